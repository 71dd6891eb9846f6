"""The states of a dataset's texts: equal to the graph's, missing ones reported, and kept shards not run again."""

import dataclasses

import datasets
import numpy as np
import onnxruntime as ort
import pytest
from tokenizers import Tokenizer

from lossaudit.engine.data.rows import Rows
from lossaudit.engine.labels.alignment import LabelAlignment
from lossaudit.engine.model.bundle import Bundle
from lossaudit.engine.model.precision import Choice
from lossaudit.engine.model.scoring import Scorer
from lossaudit.engine.model.tuning import Plan
from lossaudit.engine.run.features import encode_all, shard_logits
from lossaudit.engine.run.kept_parts import KeptParts
from lossaudit.engine.run.options import AuditOptions
from lossaudit.engine.run.reading import Reading
from lossaudit.engine.run.setup import Setup
from lossaudit.engine.run.tasks import AlignedColumn, SingleLabel

PLAN = Plan("fp32", "cpu", workers=2, threads=1)
HIDDEN = 32


@pytest.fixture(scope="module")
def encoder(encoder_folder):
    return Bundle.load(encoder_folder)


@pytest.fixture
def encode(encoder, tmp_path):
    """Encodes texts in shards of 20 rows, keeping them in one folder."""

    def go(texts, on_rows=lambda rows: None):
        rows = Rows(datasets.Dataset.from_dict({"text": texts, "label": ["a", "b"] * (len(texts) // 2)}))
        options = AuditOptions(tune=False, shard_rows=20)
        reading = Reading.open(rows, options, lambda features: "label")
        labels = AlignedColumn(
            "label", LabelAlignment({"a": 0, "b": 1}, "by name", False, {}, None, {"a": "a", "b": "b"}), ("a", "b")
        )
        job = Setup(encoder, reading, options).job(SingleLabel(("a", "b")), labels)
        with KeptParts.open(tmp_path / "parts", {}) as kept:
            kept.decide(Choice("fp32", PLAN, None, 1, "as asked"))
            states = encode_all(job, PLAN, reading, kept, on_rows)
            return dataclasses.replace(states, states=np.array(states.states)), kept

    return go


@pytest.fixture(scope="module")
def texts(rows):
    return [row["text"] for row in rows]


def test_each_state_is_that_of_the_text_run_alone(encode, encoder, texts):
    states, _ = encode(texts)
    session = ort.InferenceSession(encoder.folder / "model.onnx")
    tokenizer = Tokenizer.from_file(str(encoder.tokenizer))
    tokenizer.enable_truncation(64)
    assert states.states.shape == (60, HIDDEN)
    for text, state in zip(texts, states.states, strict=True):
        ids = np.array([tokenizer.encode(text).ids])
        made = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        assert state == pytest.approx(session.run(["logits"], made)[0][0], abs=1e-4)


def test_texts_of_the_same_tokens_have_the_same_number(encode, texts):
    many = [*texts[:40], texts[0].upper(), f"{texts[2]} and more behind the cut", *texts[42:]]
    states, _ = encode(many)
    assert len(texts[2].split()) > 64
    assert states.texts[40] == states.texts[0]
    assert states.texts[41] == states.texts[2]
    different = {text.lower() for text in many} - {many[41]}
    assert len(set(states.texts.tolist())) == len(different)


def test_rows_without_a_text_have_no_state(encode, texts):
    states, kept = encode([None, "  ", *texts[2:]])
    assert np.isnan(states.states[:2]).all()
    assert (states.texts[:2] < 0).all()
    assert (states.texts[2:] >= 0).all()
    scored = shard_logits(kept, 0, np.zeros((20, 2), np.float32))
    assert scored.tokens[:3].tolist() == [0, 0, 64]
    assert scored.truncated[:3].tolist() == [False, False, True]
    assert scored.failed == {}


def test_all_rows_are_told_of_once(encode, texts):
    told = []
    encode([None, *texts[1:]], told.append)
    assert sum(told) == 60
    again = []
    encode([None, *texts[1:]], again.append)
    assert sum(again) == 60


def test_kept_shards_are_not_encoded_again_and_damaged_ones_are(encode, texts, tmp_path):
    whole, _ = encode(texts)
    assert whole.encoded == 60
    part = sorted((tmp_path / "parts").glob("part-*"))[1]
    part.write_bytes(part.read_bytes()[:-5])
    again, _ = encode(texts)
    assert again.encoded == 20
    assert (again.states == whole.states).all()
    assert (again.texts == whole.texts).all()


def test_single_failures_are_kept_as_such(encode, texts, monkeypatch):
    fail_on(monkeypatch, {3})
    states, kept = encode(texts)
    assert np.isnan(states.states[3]).all()
    assert states.texts[3] < 0
    assert shard_logits(kept, 0, np.zeros((20, 2), np.float32)).failed == {3: "out of luck"}


def test_too_many_failures_stop_it_and_keep_what_is_done(encode, texts, monkeypatch, tmp_path, refused):
    fail_on(monkeypatch, set(range(11)))
    with refused("the encoder fails on 11 of 20 rows so far (out of luck)"):
        encode(texts)
    assert len(list((tmp_path / "parts").glob("part-*"))) == 1


def fail_on(monkeypatch, rows):
    """Takes the states of some rows of each shard away, as a runtime that fails on them would."""
    score = Scorer.score

    def failing(self, shard, on_rows):
        scored = score(self, shard, on_rows)
        scored.logits[sorted(rows)] = np.nan
        return dataclasses.replace(scored, failed=dict.fromkeys(sorted(rows), "out of luck"))

    monkeypatch.setattr(Scorer, "score", failing)
