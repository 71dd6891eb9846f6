"""Scoring the top again: which rows are replaced by what, and that an interrupted second pass resumes."""

import json

import datasets
import numpy as np
import pyarrow.compute as pc
import pytest

from lossaudit.engine.data.source import open_dataset
from lossaudit.engine.labels.given import Seen
from lossaudit.engine.model.backends import onnxruntime
from lossaudit.engine.model.backends.onnxruntime import Session
from lossaudit.engine.model.bundle import Bundle
from lossaudit.engine.model.encoding import TextEncoder
from lossaudit.engine.model.scoring import NOT_FINITE, Scorer
from lossaudit.engine.run.audit import Audit
from lossaudit.engine.run.kept_parts import folder_for
from lossaudit.engine.run.options import AuditOptions

TOP = 12


@pytest.fixture(scope="module")
def bundle(bundle_folder):
    return Bundle.load(bundle_folder)


@pytest.fixture(scope="module")
def dataset(rows):
    """Six times the rows, each time with other words in front, and some that get no loss."""
    many = [{"text": f"{'the ' * n}{row['text']}", "label": row["label"]} for n in range(6) for row in rows]
    odd = [{"text": None, "label": 0}, {"text": "the bank", "label": None}, {"text": " ", "label": 1}]
    return datasets.Dataset.from_list([*many[:100], *odd, *many[100:]])


def audit(bundle, dataset, precision="exact-top"):
    top = TOP if precision == "exact-top" else None
    options = AuditOptions(precision=precision, top=top, tune=False, threads=1, shard_rows=16)
    return Audit(bundle, dataset, options)


@pytest.fixture(scope="module")
def tables(bundle, dataset):
    """The losses of each precision by id, and the rows that were scored again."""
    audited = audit(bundle, dataset).run()
    return {
        "exact": audited.table.sort_by("id"),
        "again": audited.exact,
        "ranked": audited.table,
        "fp32": audit(bundle, dataset, "fp32").run().table.sort_by("id"),
        "int8": audit(bundle, dataset, "int8").run().table.sort_by("id"),
    }


def test_the_rows_that_were_scored_again_are_fp32_and_the_others_int8(tables):
    again = tables["again"].rows
    assert 0 < TOP <= len(again) < len(tables["exact"])
    for name in ("loss", "probability", "label_probability", "margin"):
        exact, fp32, int8 = (np.array(tables[t][name].to_pylist(), dtype=float) for t in ("exact", "fp32", "int8"))
        others = np.setdiff1d(np.arange(len(exact)), again)
        # A row's batch is another one than in an audit in fp32 alone.
        np.testing.assert_allclose(exact[again], fp32[again], atol=1e-5)
        np.testing.assert_array_equal(exact[others], int8[others])
    precisions = np.array(tables["exact"]["precision"].to_pylist())
    assert set(precisions[again]) == {"fp32"}
    assert set(np.delete(precisions, again)) == {"int8", None}


def test_the_top_is_that_of_fp32(tables):
    losses = tables["fp32"].filter(pc.is_valid(tables["fp32"]["loss"]))
    expected = losses.sort_by([("loss", "descending")])["id"].to_pylist()[:TOP]
    assert tables["ranked"]["id"].to_pylist()[:TOP] == expected


def test_the_sources_columns_and_the_rows_without_a_loss_are_as_they_were(tables, dataset):
    assert tables["exact"]["text"].to_pylist() == list(dataset["text"])
    assert tables["exact"]["id"].to_pylist() == list(range(len(dataset)))
    for name in ("label", "label_name", "status", "status_reason"):
        assert tables["exact"][name].to_pylist() == tables["int8"][name].to_pylist()
    assert tables["exact"]["status"].to_pylist()[100:103] == ["empty_text", "missing_label", "empty_text"]


class StopHereError(Exception):
    pass


@pytest.mark.parametrize("stop", [0, 1, 3])
def test_an_interrupted_second_pass_goes_on_to_the_same_table(stop, bundle, dataset, tables, tmp_path, monkeypatch):
    folder = folder_for(tmp_path / "losses.parquet")
    score, calls = Scorer.score, []
    shards = -(-len(dataset) // 16)

    def stopping(self, *arguments):
        calls.append(1)
        if len(calls) == shards + stop + 1:
            raise StopHereError
        return score(self, *arguments)

    monkeypatch.setattr(Scorer, "score", stopping)
    with (first := audit(bundle, dataset)).keep_parts(folder), pytest.raises(StopHereError):
        first.run()
    assert len(list(folder.glob("again-*"))) == stop
    calls.clear()
    with (second := audit(bundle, dataset)).keep_parts(folder) as kept:
        audited = second.run()
        assert audited.table == tables["ranked"]
        chunks = len(list(folder.glob("again-*")))
        kept.discard()
    assert len(calls) == chunks - stop, "what was scored again isn't scored a third time"
    assert audited.scored == 0


def test_texts_among_other_values_are_scored_again_as_they_are(bundle, rows, write_file):
    mixed = [*rows[:30], {"text": 5, "label": 0}]
    path = write_file("mixed.jsonl", "".join(json.dumps(row) + "\n" for row in mixed))
    table = audit(bundle, open_dataset(str(path))).run().table.sort_by("id")
    plain = audit(bundle, datasets.Dataset.from_list(rows[:30]), "fp32").run().table.sort_by("id")
    assert set(table["precision"].to_pylist()) == {"fp32", None}
    np.testing.assert_allclose(table["loss"].to_pylist()[:30], plain["loss"].to_pylist(), atol=1e-5)
    assert table["text"].to_pylist()[:30] == plain["text"].to_pylist()
    assert table["status"].to_pylist()[30] == "bad_text"


def test_rows_that_fail_the_second_time_are_failed_and_leave_the_top(bundle, dataset, tables, monkeypatch):
    first = tables["ranked"]["id"].to_pylist()[0]
    tokens = TextEncoder(bundle.tokenizer, 64, 0).encode([dataset[first]["text"]]).ids
    fp32 = []

    class Failing(Session):
        def __init__(self, model, *arguments):
            super().__init__(model, *arguments)
            fp32.extend([self] if model.name == "model.onnx" else [])

        def run(self, batch):
            logits, ids, mask = super().run(batch), batch.ids, batch.mask
            if self in fp32 and ids.shape[1] >= len(tokens):
                same = (mask.sum(axis=1) == len(tokens)) & (ids[:, : len(tokens)] == tokens).all(axis=1)
                logits[same] = np.nan
            return logits

    monkeypatch.setattr(onnxruntime, "Session", Failing)
    audited = audit(bundle, dataset).run()
    row = audited.table.sort_by("id").slice(first, 1).to_pylist()[0]
    assert (row["status"], row["status_reason"], row["loss"]) == ("failed", NOT_FINITE, None)
    assert audited.table["id"].to_pylist()[: TOP - 1] == tables["ranked"]["id"].to_pylist()[1:TOP]
    assert audited.summary.unranked["failed"] == Seen(1, first)
