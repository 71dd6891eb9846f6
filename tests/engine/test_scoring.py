"""Scoring a shard: every text once, in its place, whatever the threads; and a failing batch stops it."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossaudit.engine.encoding import Encoded
from lossaudit.engine.scoring import EncodedShard, Scorer, encode_shard, one_ahead


class Echo:
    """A runner whose logits say which tokens it was given."""

    def __init__(self):
        self.rows = 0
        self.batches = []
        self._lock = threading.Lock()

    def run(self, ids, mask):
        with self._lock:
            self.rows += len(ids)
            self.batches.append(ids.tolist())
        return np.stack([(ids * mask).sum(axis=1), mask.sum(axis=1)], axis=1).astype(np.float32)


class Splitter:
    """An encoder that makes a token of each letter."""

    def encode(self, texts):
        lengths = np.array([len(text) for text in texts])
        ids = np.array([ord(c) for text in texts for c in text])
        return Encoded(ids, np.cumsum(lengths) - lengths, lengths, lengths > 20, pad_id=0)


texts = st.lists(st.text("abc", min_size=1, max_size=30), min_size=1, max_size=60)


@settings(deadline=None)
@given(texts=texts, workers=st.integers(1, 4), budget=st.integers(1, 200))
def test_each_text_gets_its_own_logits(texts, workers, budget):
    runner, done = Echo(), []
    with Scorer(runner, workers, budget) as scorer:
        found = scorer.score(encode_shard(texts, Splitter()), done.append)
    assert found.logits.tolist() == [[sum(map(ord, text)), len(text)] for text in texts]
    assert found.tokens.tolist() == [len(text) for text in texts]
    assert found.truncated.tolist() == [len(text) > 20 for text in texts]
    assert sum(done) == len(texts)
    assert runner.rows == len(set(texts)), "the same text is scored once"


def test_batches_depend_on_the_texts_alone():
    texts = ["a" * (1 + i % 7) + "b" * (i % 11) for i in range(100)]
    seen = []
    for workers in (1, 4):
        runner = Echo()
        with Scorer(runner, workers, budget=64) as scorer:
            scorer.score(encode_shard(texts, Splitter()))
        seen.append(sorted(runner.batches))
    assert seen[0] == seen[1]


def test_a_batch_that_fails_stops_the_shard():
    class Failing(Echo):
        def run(self, ids, mask):
            if ids.shape[1] == 3:
                raise RuntimeError("out of memory")
            return super().run(ids, mask)

    with Scorer(Failing(), workers=2, budget=8) as scorer, pytest.raises(RuntimeError, match="out of memory"):
        scorer.score(encode_shard(["aaaaa", "aaa", "a"], Splitter()))


def test_no_texts_are_an_error():
    empty = Encoded(*(np.empty(0, np.int64) for _ in range(3)), np.empty(0, bool), pad_id=0)
    with Scorer(Echo(), workers=1, budget=8) as scorer, pytest.raises(ValueError, match="no texts"):
        scorer.score(EncodedShard(empty, np.empty(0, np.int64)))


def test_one_ahead_gives_all_in_order_and_works_ahead():
    made = []

    def items():
        for i in range(5):
            made.append(i)
            yield i

    ahead = one_ahead(items())
    assert next(ahead) == 0
    assert [0, *ahead] == list(range(5))
    assert made == list(range(5))
    assert list(one_ahead(iter([]))) == []


def test_one_ahead_raises_what_its_source_raises():
    def items():
        yield 1
        raise ValueError("bad row")

    ahead = one_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="bad row"):
        next(ahead)
