"""Audits of pairs of texts: each pair's loss equals PyTorch's, whatever else happens on the way."""

import pickle

import datasets
import numpy as np
import pytest
import torch
import transformers

import lossaudit
from lossaudit.engine.model import precision
from lossaudit.engine.model.backends.onnxruntime import Session
from lossaudit.engine.model.bundle import Bundle
from lossaudit.engine.run.audit import Audit
from lossaudit.engine.run.options import AuditOptions
from lossaudit.engine.run.shards import score_here
from lossaudit.engine.scores.loss import score
from lossaudit.engine.table.facts import stored_facts

PAIR = {"text_column": "premise", "text_pair_column": "hypothesis"}


@pytest.fixture(scope="module")
def bundle(bundle_folder):
    return Bundle.load(bundle_folder)


@pytest.fixture(scope="module")
def pairs(rows):
    """60 pairs, some of them longer than the model's 64 tokens, some the same."""
    texts = [row["text"] for row in rows]
    second = [*texts[1:30], *texts[1:30], texts[0], texts[0]]
    made = [
        {"premise": a, "hypothesis": b, "label": row["label"]} for a, b, row in zip(texts, second, rows, strict=True)
    ]
    return [*made, made[0], made[5]]


@pytest.fixture(scope="module")
def expected(checkpoint, pairs):
    """(pairs,) losses by transformers, each pair alone."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoint).eval()
    with torch.inference_mode():
        inputs = [
            tokenizer(pair["premise"], pair["hypothesis"], truncation=True, max_length=64, return_tensors="pt")
            for pair in pairs
        ]
        logits = np.concatenate([model(**one).logits.numpy() for one in inputs])
    return score(logits, np.array([pair["label"] for pair in pairs])).loss


def audit(bundle, pairs, **options):
    options = {"precision": "fp32", "tune": False, **PAIR, **options}
    return Audit(bundle, datasets.Dataset.from_list(pairs), AuditOptions(**options))


def by_id(audited, column="loss"):
    return audited.table.sort_by("id")[column].to_pylist()


def test_each_loss_is_that_of_pytorch(bundle, pairs, expected):
    audited = audit(bundle, pairs).run()
    np.testing.assert_allclose(by_id(audited), expected, atol=1e-4)
    halves = audit(bundle, pairs, text_pair_column=None).run()
    assert np.abs(np.subtract(by_id(halves), expected)).mean() > 0.01, "the second text matters"


def test_the_table_has_both_columns_and_says_which(bundle, pairs):
    audited = audit(bundle, pairs).run()
    for column in ("premise", "hypothesis"):
        assert by_id(audited, column) == [pair[column] for pair in pairs]
    facts = stored_facts(audited.table.schema)
    assert (facts["text_column"], facts["text_pair_column"], facts["stride"]) == ("premise", "hypothesis", None)
    assert (facts["source"]["text_column"], facts["source"]["text_pair_column"]) == ("premise", "hypothesis")
    tokens = by_id(audited, "tokens")
    assert max(tokens) == 64
    assert by_id(audited, "truncated") == [
        len(pair["premise"].split()) + len(pair["hypothesis"].split()) > 61 for pair in pairs
    ]


def test_columns_that_are_called_like_ours_are_renamed_in_the_table_alone(bundle, pairs, expected):
    renamed = [{"tokens": pair["premise"], "status": pair["hypothesis"], "label": pair["label"]} for pair in pairs]
    options = {"text_column": "tokens", "text_pair_column": "status"}
    audited = audit(bundle, renamed, precision="exact-top", top=5, **options).run()
    facts = stored_facts(audited.table.schema)
    assert (facts["text_column"], facts["text_pair_column"]) == ("source_tokens", "source_status")
    assert facts["source"]["text_pair_column"] == "status"
    np.testing.assert_allclose(audited.table["loss"].to_numpy()[:5], sorted(expected)[:-6:-1], atol=1e-4)


def test_the_same_pair_is_scored_once(bundle, pairs, monkeypatch):
    seen, run = [], Session.run
    monkeypatch.setattr(Session, "run", lambda session, batch: seen.append(len(batch.ids)) or run(session, batch))
    found = by_id(audit(bundle, pairs).run())
    assert found[-2:] == [found[0], found[5]]
    assert sum(seen) == len({(pair["premise"], pair["hypothesis"]) for pair in pairs}) < len(pairs)


def test_the_exact_top_is_scored_again_as_pairs(bundle, pairs, expected):
    audited = audit(bundle, pairs, precision="exact-top", top=10).run()
    again = audited.exact.rows
    assert len(again) >= 10
    np.testing.assert_allclose(np.array(by_id(audited))[again], expected[again], atol=1e-4)


def test_a_missing_half_is_said_and_not_ranked(bundle, pairs):
    broken = [*pairs]
    broken[3] = broken[3] | {"premise": None}
    broken[4] = broken[4] | {"hypothesis": " "}
    audited = audit(bundle, broken).run()
    assert by_id(audited, "status")[3:5] == ["empty_text", "empty_text"]
    assert by_id(audited, "status_reason")[3:5] == ["no text in premise", "no text in hypothesis"]
    assert [loss is None for loss in by_id(audited)] == [id in (3, 4) for id in range(len(pairs))]
    assert audited.summary.unranked["empty_text"].rows == 2


def test_kept_shards_are_of_one_way_to_read(bundle, pairs, tmp_path, refused):
    first = audit(bundle, pairs)
    with first.keep_parts(tmp_path / "parts"):
        first.run()
    again = audit(bundle, pairs)
    with again.keep_parts(tmp_path / "parts"):
        assert again.run().scored == 0
    with refused("text pair column"):
        audit(bundle, pairs, text_pair_column=None).keep_parts(tmp_path / "parts")
    with refused("stride"):
        audit(bundle, pairs, text_pair_column=None, stride=4).keep_parts(tmp_path / "parts")


def test_a_job_that_was_sent_elsewhere_reads_the_same(bundle, pairs, expected):
    def elsewhere(job, *others):
        return score_here(pickle.loads(pickle.dumps(job)), *others)

    np.testing.assert_allclose(by_id(audit(bundle, pairs).run(score_shards=elsewhere)), expected, atol=1e-4)


def test_half_a_pair_is_never_guessed_to_be_the_text(bundle, pairs, refused):
    with refused("text_column='premise', text_pair_column='hypothesis'"):
        audit(bundle, pairs, text_column=None, text_pair_column=None)
    assert audit(bundle, pairs, text_column=None).reading.text_column == "premise"


def test_pairs_do_not_go_with_a_stride(bundle, pairs, refused):
    with refused("stride can't be combined with text_pair_column"):
        audit(bundle, pairs, stride=4)


def test_they_are_measured_as_pairs(bundle, pairs, monkeypatch):
    samples, choose = [], precision.choose
    monkeypatch.setattr(
        "lossaudit.engine.run.setup.choose", lambda *asked: samples.append(asked[-1]) or choose(*asked[:-1], None)
    )
    assert audit(bundle, pairs * 20, tune=True).choice.precision == "fp32"
    assert samples[0].types.any()


class TestScore:
    def test_it_takes_second_texts(self, bundle, pairs, expected):
        first, second = ([pair[name] for pair in pairs] for name in ("premise", "hypothesis"))
        labels = [pair["label"] for pair in pairs]
        found = lossaudit.score(bundle, first, labels, text_pairs=second)
        np.testing.assert_allclose(found.loss, expected, atol=1e-4)

    def test_there_must_be_as_many(self, bundle, refused):
        with refused("2 texts, but 1 second texts"):
            lossaudit.score(bundle, ["a", "b"], [0, 1], text_pairs=["c"])
