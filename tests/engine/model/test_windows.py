"""Audits of long texts in windows: no token is lost, and a text's loss is that of its windows' mean logits."""

import pickle

import datasets
import numpy as np
import pytest

from lossaudit.engine.model.bundle import Bundle
from lossaudit.engine.model.encoding import TextEncoder
from lossaudit.engine.model.scoring import Scorer, encode_shard
from lossaudit.engine.model.tuning import default_plan
from lossaudit.engine.run.audit import Audit
from lossaudit.engine.run.options import AuditOptions
from lossaudit.engine.run.shards import load_scorer, score_here
from lossaudit.engine.scores.loss import score
from lossaudit.engine.table.facts import stored_facts

LENGTH, STRIDE = 16, 4


@pytest.fixture(scope="module")
def bundle(bundle_folder):
    return Bundle.load(bundle_folder)


def audit(bundle, rows, **options):
    options = {"precision": "fp32", "tune": False, "max_length": LENGTH, "stride": STRIDE, **options}
    return Audit(bundle, datasets.Dataset.from_list(rows), AuditOptions(**options))


def by_id(audited, column="loss"):
    return audited.table.sort_by("id")[column].to_pylist()


@pytest.fixture(scope="module")
def audited(bundle, rows):
    return audit(bundle, rows).run()


def windows(text):
    """A text's windows as texts of their own; each of the words is one token or more."""
    words = text.split()
    return [" ".join(words[i : i + LENGTH - 2]) for i in range(0, max(1, len(words) - STRIDE), LENGTH - 2 - STRIDE)]


@pytest.fixture(scope="module")
def one_token_words(bundle, rows):
    """Rows of words that are one token each, so that windows can be cut by words."""
    encoder = TextEncoder(bundle.tokenizer, 64, 0)
    words = sorted({word for row in rows for word in row["text"].split()})
    lengths = encoder.encode(words).lengths
    return {word for word, length in zip(words, lengths, strict=True) if length == 3}


def test_a_loss_is_that_of_the_mean_of_the_windows_logits(bundle, rows, one_token_words):
    kept = [{**row, "text": " ".join(w for w in row["text"].split() if w in one_token_words) or "the"} for row in rows]
    found = by_id(audit(bundle, kept).run())
    with load_scorer(bundle, default_plan(bundle, "fp32", "cpu", 1)) as scorer:
        means = [alone(scorer, bundle, windows(row["text"])).mean(axis=0) for row in kept]
    expected = score(np.array(means), np.array([row["label"] for row in kept])).loss
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert max(len(windows(row["text"])) for row in kept) >= 8


def alone(scorer: Scorer, bundle: Bundle, texts: list[str]):
    """(texts, classes)"""
    return scorer.score(encode_shard(texts, TextEncoder(bundle.tokenizer, LENGTH, 0))).logits


def test_texts_that_fit_have_the_losses_that_they_have_without(bundle, rows, audited):
    without = audit(bundle, rows, stride=None).run()
    cut = np.array(by_id(without, "truncated"))
    losses, others = np.array(by_id(audited)), np.array(by_id(without))
    assert 0 < cut.sum() < len(rows)
    np.testing.assert_allclose(losses[~cut], others[~cut], atol=1e-6)
    assert (np.abs(losses[cut] - others[cut]) > 1e-4).mean() > 0.9


def test_nothing_is_truncated_and_all_tokens_are_counted(bundle, rows, audited):
    whole = TextEncoder(bundle.tokenizer, 1000, 0).encode([row["text"] for row in rows]).lengths - 2
    room, step = LENGTH - 2, LENGTH - 2 - STRIDE
    expected = [n + 2 if n <= room else n + (2 + STRIDE) * -(-(n - room) // step) + 2 for n in whole.tolist()]
    assert by_id(audited, "tokens") == expected
    assert not any(by_id(audited, "truncated"))
    assert set(by_id(audited, "status")) == {"ok"}
    assert audited.summary.truncated == 0


def test_the_facts_say_it(audited):
    facts = stored_facts(audited.table.schema)
    assert (facts["stride"], facts["max_length"], facts["text_pair_column"]) == (STRIDE, LENGTH, None)


def test_the_exact_top_is_scored_again_in_windows(bundle, rows, audited):
    exact = audit(bundle, rows, precision="exact-top", top=10).run()
    expected = np.array(by_id(audited))
    np.testing.assert_allclose(np.array(by_id(exact))[exact.exact.rows], expected[exact.exact.rows], atol=1e-4)


def test_a_job_that_was_sent_elsewhere_reads_the_same(bundle, rows, audited):
    def elsewhere(job, *others):
        return score_here(pickle.loads(pickle.dumps(job)), *others)

    assert by_id(audit(bundle, rows).run(score_shards=elsewhere)) == by_id(audited)


def test_kept_shards_are_of_one_stride(bundle, rows, tmp_path, refused):
    first = audit(bundle, rows)
    with first.keep_parts(tmp_path / "parts"):
        first.run()
    again = audit(bundle, rows)
    with again.keep_parts(tmp_path / "parts"):
        assert again.run().scored == 0
    with refused("stride"):
        audit(bundle, rows, stride=STRIDE + 1).keep_parts(tmp_path / "parts")


@pytest.mark.parametrize("stride", [-1, 14, 16, 512])
def test_a_stride_that_leaves_no_new_tokens_is_refused_before_the_work(stride, bundle, rows, refused):
    with refused(f"stride={stride} must be from 0 to 13"):
        audit(bundle, rows, stride=stride)


def test_a_text_of_thousands_of_windows_is_one_row(bundle):
    rows = [{"text": "the bank " * 20_000, "label": 1}, {"text": "the bank", "label": 1}]
    audited = audit(bundle, rows).run()
    assert by_id(audited, "tokens")[0] > 40_000
    assert by_id(audited, "status") == ["ok", "ok"]
