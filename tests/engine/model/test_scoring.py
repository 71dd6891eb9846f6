"""Scoring a shard: every text once and in its place, whatever the threads; a failure affects only its own text."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossaudit.engine.model.encoding import Encoded
from lossaudit.engine.model.scoring import NOT_FINITE, Scorer, encode_shard, one_ahead


class Echo:
    """A runner whose logits say which tokens it was given."""

    def __init__(self):
        self.rows = 0
        self.batches = []
        self._lock = threading.Lock()

    def run(self, batch):
        ids, mask = batch.ids, batch.mask
        with self._lock:
            self.rows += len(ids)
            self.batches.append(ids.tolist())
        return np.stack([(ids * mask).sum(axis=1), mask.sum(axis=1)], axis=1).astype(np.float32)


class Splitter:
    """An encoder that makes a token of each letter."""

    def encode(self, texts):
        lengths = np.array([len(text) for text in texts], dtype=np.int64)
        ids = np.array([ord(c) for text in texts for c in text], dtype=np.int64)
        starts, places = np.cumsum(lengths) - lengths, np.arange(len(texts))
        return Encoded(ids, ids * 0, starts, lengths, places, lengths > 20, pad_id=0, unknown_id=ord("c"))


texts = st.lists(st.text("abc", min_size=1, max_size=30), min_size=1, max_size=60)


@given(texts=texts, workers=st.integers(1, 4), budget=st.integers(1, 200))
def test_each_text_gets_its_own_logits(texts, workers, budget):
    runner, done = Echo(), []
    with Scorer(runner, workers, budget, classes=2) as scorer:
        found = scorer.score(encode_shard(texts, Splitter()), done.append)
    assert found.logits.tolist() == [[sum(map(ord, text)), len(text)] for text in texts]
    assert found.tokens.tolist() == [len(text) for text in texts]
    assert found.unknown.tolist() == [text.count("c") for text in texts]
    assert found.truncated.tolist() == [len(text) > 20 for text in texts]
    assert sum(done) == len(texts)
    assert runner.rows == len(set(texts)), "the same text is scored once"


def test_batches_depend_on_the_texts_alone():
    texts = ["a" * (1 + i % 7) + "b" * (i % 11) for i in range(100)]
    seen = []
    for workers in (1, 4):
        runner = Echo()
        with Scorer(runner, workers, budget=64, classes=2) as scorer:
            scorer.score(encode_shard(texts, Splitter()))
        seen.append(sorted(runner.batches))
    assert seen[0] == seen[1]


class Failing(Echo):
    """Fails on every batch that holds one of these tokens."""

    def __init__(self, token, error):
        super().__init__()
        self._token, self._error = ord(token), error

    def run(self, batch):
        if (batch.ids == self._token).any():
            raise self._error
        return super().run(batch)


@given(texts=texts, workers=st.integers(1, 3), budget=st.integers(1, 300))
def test_a_batch_that_fails_is_halved_until_the_rows_that_do_it_are_alone(texts, workers, budget):
    done = []
    with Scorer(Failing("c", RuntimeError("bad\ntoken")), workers, budget, classes=2) as scorer:
        found = scorer.score(encode_shard(texts, Splitter()), done.append)
    assert found.failed == {row: "bad token" for row, text in enumerate(texts) if "c" in text}
    for row, text in enumerate(texts):
        expected = [np.nan, np.nan] if "c" in text else [sum(map(ord, text)), len(text)]
        np.testing.assert_array_equal(found.logits[row], expected)
    assert sum(done) == len(texts)


def test_what_is_too_much_at_once_is_scored_in_less():
    class Small(Echo):
        def run(self, batch):
            if len(batch.ids) > 4:
                raise MemoryError
            return super().run(batch)

    texts = ["a" * (1 + n % 9) + "b" * (n % 5) for n in range(100)]
    with Scorer(Small(), workers=2, budget=10_000, classes=2) as scorer:
        found = scorer.score(encode_shard(texts, Splitter()))
    assert found.failed == {}
    assert found.logits.tolist() == [[sum(map(ord, text)), len(text)] for text in texts]


def test_out_of_memory_halves_the_budget_for_the_rest_of_the_run():
    text = (
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Attention node. "
        "Status Message: bfc_arena.cc:376 void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool) "
        "Failed to allocate memory for requested buffer of size 8388608000"
    )

    class Small(Echo):
        failures = 0

        def run(self, batch):
            if batch.ids.size > 100:
                self.failures += 1
                raise RuntimeError(text)
            return super().run(batch)

    runner = Small()
    with Scorer(runner, workers=1, budget=1600, classes=2) as scorer:
        for first in (0, 100, 200):
            texts = [f"{first + n:010d}" for n in range(100)]
            found = scorer.score(encode_shard(texts, Splitter()))
            assert found.failed == {}
            assert found.logits.tolist() == [[sum(map(ord, text)), 10] for text in texts]
    assert runner.failures == 4, "with 1,000, 500, 250 and 120 tokens, once each"


def test_another_failure_leaves_the_budget_as_it_is():
    runner = Failing("c", RuntimeError("bad token"))
    with Scorer(runner, workers=1, budget=64, classes=2) as scorer:
        scorer.score(encode_shard(["c", *("a" * 8 + "b" * n for n in range(9))], Splitter()))
        before = len(runner.batches)
        scorer.score(encode_shard(["a" * 8] * 3 + ["b" * 8, "ab" * 4], Splitter()))
    assert len(runner.batches) == before + 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_failures(value):
    class Overflowing(Echo):
        def run(self, batch):
            logits = super().run(batch)
            logits[(batch.ids == ord("c")).any(axis=1), 1] = value
            return logits

    texts = ["aa", "ac", "bb", "c", "b"]
    with Scorer(Overflowing(), workers=1, budget=100, classes=2) as scorer:
        found = scorer.score(encode_shard(texts, Splitter()))
    assert found.failed == dict.fromkeys([1, 3], NOT_FINITE)
    assert np.isnan(found.logits).all(axis=1).tolist() == [False, True, False, True, False]


@pytest.mark.parametrize("shape", [lambda n: (n, 3), lambda n: (n,), lambda n: (n, 2, 2), lambda n: (n + 1, 2)])
def test_logits_of_another_shape_stop_the_shard(shape, refused):
    class Other(Echo):
        def run(self, batch):
            return np.zeros(shape(len(batch.ids)), np.float32)

    with Scorer(Other(), workers=2, budget=8, classes=2) as scorer, refused("2 labels", "export the model again"):
        scorer.score(encode_shard(["aaaaa", "aaa", "a"], Splitter()))


def test_an_interruption_stops_the_shard():
    scorer = Scorer(Failing("c", KeyboardInterrupt()), workers=2, budget=8, classes=2)
    with scorer, pytest.raises(KeyboardInterrupt):
        scorer.score(encode_shard(["abc", "ab", "a"], Splitter()))


def test_rows_without_a_text_get_nothing():
    runner, done = Echo(), []
    with Scorer(runner, workers=1, budget=8, classes=2) as scorer:
        found = scorer.score(encode_shard([None, "ab", None, "ab"], Splitter()), done.append)
        nothing = scorer.score(encode_shard([None, None], Splitter()))
    assert np.isnan(found.logits).all(axis=1).tolist() == [True, False, True, False]
    assert found.tokens.tolist() == [0, 2, 0, 2]
    assert (found.failed, sum(done), runner.rows) == ({}, 2, 1)
    assert np.isnan(nothing.logits).all()
    assert nothing.logits.shape == (2, 2)


@given(pairs=st.lists(st.tuples(st.text("abc", max_size=9), st.text("abc", max_size=9)), min_size=1, max_size=40))
def test_each_pair_gets_its_own_logits(pairs):
    class Both(Splitter):
        def encode(self, pairs):
            encoded = super().encode(["".join(("_", *pair)) for pair in pairs])
            types = [[0] * (1 + len(first)) + [1] * len(second) for first, second in pairs]
            return replace(encoded, types=np.concatenate(types))

    class Types(Echo):
        def run(self, batch):
            return super().run(batch) * [[1, 0]] + [[0, 1]] * batch.types.sum(axis=1, keepdims=True)

    runner = Types()
    with Scorer(runner, workers=2, budget=40, classes=2) as scorer:
        found = scorer.score(encode_shard(pairs, Both()))
    assert found.logits.tolist() == [[sum(map(ord, f"_{a}{b}")), len(b)] for a, b in pairs]
    assert runner.rows == len(set(pairs)), "the same pair is scored once"


class Windows(Splitter):
    """Makes windows of five letters each."""

    def encode(self, texts):
        windows = [(place, text[i : i + 5]) for place, text in enumerate(texts) for i in range(0, len(text), 5)]
        encoded = super().encode([window for _, window in windows])
        text_of = np.array([place for place, _ in windows])
        return replace(encoded, text_of=text_of, truncated=np.zeros(len(texts), dtype=np.bool_))


@given(texts=texts, workers=st.integers(1, 3), budget=st.integers(1, 60))
def test_a_text_in_windows_gets_the_mean_of_what_they_get_alone(texts, workers, budget):
    done = []
    with Scorer(Echo(), workers, budget, classes=2) as scorer:
        found = scorer.score(encode_shard(texts, Windows()), done.append)
        for row, text in enumerate(texts):
            alone = scorer.score(encode_shard([text[i : i + 5] for i in range(0, len(text), 5)], Splitter()))
            np.testing.assert_allclose(found.logits[row], alone.logits.mean(axis=0), rtol=1e-6)
    assert found.tokens.tolist() == [len(text) for text in texts]
    assert found.unknown.tolist() == [text.count("c") for text in texts]
    assert not found.truncated.any()
    assert sum(done) == len(texts)


def test_a_text_fails_with_any_of_its_windows():
    done = []
    with Scorer(Failing("c", RuntimeError("bad token")), workers=1, budget=100, classes=2) as scorer:
        found = scorer.score(encode_shard(["aaaaabb", "aaaaabc", "bb", "caaaabb"], Windows()), done.append)
    assert found.failed == {1: "bad token", 3: "bad token"}
    assert np.isnan(found.logits).all(axis=1).tolist() == [False, True, False, True]
    assert sum(done) == 4


class Panic(BaseException):
    """No Exception, as the panics of a library in Rust are none."""


@pytest.mark.parametrize("error", [Panic, ValueError])
def test_a_text_that_cannot_be_tokenised_fails_alone(error):
    class Choking(Splitter):
        def encode(self, texts):
            if any("c" in text for text in texts):
                raise error("no c\nplease")
            return super().encode(texts)

    shard = encode_shard(["ab", "c", None, "ab", "b", "c"], Choking())
    assert shard.failed == dict.fromkeys([1, 5], "the tokenizer fails: no c please")
    with Scorer(Echo(), workers=1, budget=8, classes=2) as scorer:
        found = scorer.score(shard)
    assert found.failed == shard.failed
    assert found.tokens.tolist() == [2, 0, 0, 2, 1, 0]
    assert found.logits[[0, 3, 4]].tolist() == [[195, 2], [195, 2], [98, 1]]


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
