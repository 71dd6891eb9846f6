"""Audits with a multi-label model: losses equal PyTorch's, each row's worst label, and the outcomes of rows."""

import json
import pickle

import datasets
import numpy as np
import pyarrow as pa
import pytest
import torch
import transformers

from lossaudit.engine.data.source import open_dataset
from lossaudit.engine.labels.given import Seen
from lossaudit.engine.model.bundle import MULTI_LABEL, Bundle
from lossaudit.engine.model.scoring import Scorer
from lossaudit.engine.run.audit import Audit
from lossaudit.engine.run.kept_parts import folder_for
from lossaudit.engine.run.options import AuditOptions
from lossaudit.engine.run.tasks import MultiLabel, SingleLabel
from lossaudit.engine.table.facts import stored_facts
from lossaudit.engine.table.formats import ENDINGS, write_table
from lossaudit.engine.table.losses import LossesTable
from lossaudit.engine.table.ranking import Filters
from lossaudit.engine.table.schema import MULTI_LABEL_SCHEMA
from lossaudit.engine.table.summary import Doubt

LABELS = ("World", "Sports", "Business", "Sci/Tech")


@pytest.fixture(scope="module")
def bundle(multi_label_bundle_folder):
    return Bundle.load(multi_label_bundle_folder)


def audit(bundle, rows, precision="fp32", **options):
    dataset = datasets.Dataset.from_list(rows) if isinstance(rows, list) else rows
    return Audit(bundle, dataset, AuditOptions(precision=precision, tune=False, threads=1, **options))


@pytest.fixture(scope="module")
def audited(bundle, multi_label_rows):
    return audit(bundle, multi_label_rows).run()


@pytest.fixture(scope="module")
def found(audited):
    """The rows of the losses table, by id."""
    return audited.table.sort_by("id").to_pylist()


@pytest.fixture(scope="module")
def expected(multi_label_checkpoint, multi_label_rows):
    """(rows, labels) probabilities and losses, of PyTorch and its own criterion."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(multi_label_checkpoint).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(multi_label_checkpoint)
    logits = []
    for row in multi_label_rows:
        with torch.inference_mode():
            logits.append(model(**tokenizer(row["text"], truncation=True, return_tensors="pt")).logits[0].double())
    given = torch.tensor([[float(name in row["labels"]) for name in LABELS] for row in multi_label_rows]).double()
    losses = torch.nn.BCEWithLogitsLoss(reduction="none")(torch.stack(logits), given)
    return torch.sigmoid(torch.stack(logits)).numpy(), losses.numpy()


def column(rows, name):
    return [row[name] for row in rows]


def test_a_rows_loss_is_that_of_its_worst_label_in_pytorch(found, expected):
    probabilities, losses = expected
    np.testing.assert_allclose(column(found, "loss"), losses.max(axis=1), atol=1e-5)
    np.testing.assert_allclose(column(found, "probabilities"), probabilities, atol=1e-5)
    assert column(found, "worst_label") == [LABELS[worst] for worst in losses.argmax(axis=1)]


def test_the_columns_say_the_same_of_a_row(found, multi_label_rows):
    for row, source in zip(found, multi_label_rows, strict=True):
        p = row["probabilities"]
        assert row["labels"] == row["source_labels"] == source["labels"]
        assert row["predictions"] == [name for name, value in zip(LABELS, p, strict=True) if value >= 0.5]
        assert row["label_name"] == ", ".join(row["labels"])
        assert row["prediction_name"] == ", ".join(row["predictions"])
        assert (row["label"], row["prediction"]) == (None, None)
        assert row["probability"] == pytest.approx(p[LABELS.index(row["worst_label"])], abs=1e-6)
        given = row["worst_label"] in row["labels"]
        assert row["label_probability"] == pytest.approx(row["probability"] if given else 1 - row["probability"])
        assert row["margin"] == pytest.approx(2 * row["label_probability"] - 1)
        assert row["loss"] == pytest.approx(-np.log(row["label_probability"]))


def test_the_table_has_three_more_columns_and_is_ranked(audited, multi_label_rows):
    table = audited.table
    assert table.schema.names == [*MULTI_LABEL_SCHEMA.names, "text", "source_labels"]
    assert table.schema.names[16:19] == ["labels", "predictions", "worst_label"]
    assert table["loss"].to_pylist() == sorted(table["loss"].to_pylist(), reverse=True)
    assert sorted(table["id"].to_pylist()) == list(range(len(multi_label_rows)))


def test_the_facts_say_the_task_and_the_form(audited, bundle):
    facts = stored_facts(audited.schema)
    assert facts["task"] == bundle.manifest.task == MULTI_LABEL
    assert facts["label_column"] == "source_labels"
    assert facts["label_values"] is None
    assert facts["label_form"] == {"kind": "list", "separator": None, "values": list(LABELS), "columns": None}


def test_the_summary_is_the_tables(audited, found):
    summary = audited.summary
    agree = [row["labels"] == row["predictions"] for row in found]
    decisions = [[(name in row["labels"]) == (name in row["predictions"]) for name in LABELS] for row in found]
    assert summary.agreeing == sum(agree)
    assert summary.label_accuracy == pytest.approx(np.mean(decisions))
    given, predicted = (np.mean([len(row[name]) / 4 for row in found]) for name in ("labels", "predictions"))
    assert summary.chance == pytest.approx(given * predicted + (1 - given) * (1 - predicted))
    assert summary.mean_loss == pytest.approx(np.mean(column(found, "loss")))
    assert summary.pairs == ()
    wrong = [row for row, agrees in zip(found, agree, strict=True) if not agrees]
    for doubt in summary.doubts:
        rows = [
            r for r in wrong if (r["worst_label"], r["worst_label"] in r["labels"]) == (doubt.label_name, doubt.given)
        ]
        assert doubt == Doubt(doubt.label_name, doubt.given, len(rows), pytest.approx(np.mean(column(rows, "loss"))))
    assert [doubt.rows for doubt in summary.doubts] == sorted((d.rows for d in summary.doubts), reverse=True)


def test_what_becomes_of_rows(bundle):
    rows = [
        {"text": "the bank", "labels": ["Business"]},
        {"text": "team won", "labels": []},
        {"text": "peace talks", "labels": None},
        {"text": "oil", "labels": ["Politics", "World"]},
        {"text": " ", "labels": ["World"]},
        {"text": "word " * 90, "labels": ["World", "World"]},
        {"text": "chip", "labels": ["Sci/Tech", None]},
    ]
    audited = audit(bundle, rows).run()
    found = audited.table.sort_by("id").to_pylist()
    assert column(found, "status") == [
        *("ok", "ok", "missing_label", "label_not_in_model", "empty_text", "truncated", "missing_label")
    ]
    assert [row["loss"] is not None for row in found] == [True, True, False, False, False, True, False]
    assert column(found, "label_name") == ["Business", "", None, "World, Politics", "World", "World", None]
    assert column(found, "labels") == [["Business"], [], None, ["World", "Politics"], ["World"], ["World"], None]
    for row in (found[2], found[3], found[6]):
        assert (row["worst_label"], row["probability"], row["margin"]) == (None, None, None)
        assert row["prediction_name"] is not None
        assert len(row["probabilities"]) == 4
    assert found[4]["predictions"] is None
    assert audited.summary.unranked["missing_label"] == Seen(2, 2)


@pytest.mark.parametrize("form", ["lists", "indices", "text", "columns", "one-hot lists"])
def test_every_form_of_the_labels_gives_the_same_losses(form, bundle, multi_label_rows, audited):
    def cell(labels):
        return {
            "lists": {"tags": labels[::-1]},
            "indices": {"tags": [LABELS.index(name) for name in labels]},
            "text": {"tags": " | ".join(labels)},
            "columns": {name: int(name in labels) for name in LABELS},
            "one-hot lists": {"tags": [float(name in labels) for name in LABELS]},
        }[form]

    rows = [{"text": row["text"], **cell(row["labels"])} for row in multi_label_rows]
    asked = None if form == "columns" else "tags"
    again = audit(bundle, rows, label_column=asked).run().table
    names = MULTI_LABEL_SCHEMA.names
    assert again.select(names).equals(audited.table.select(names))


def test_labels_in_columns_are_said_in_the_facts_and_have_no_label_column(bundle, multi_label_rows):
    rows = [{"text": row["text"], **{name: name in row["labels"] for name in LABELS}} for row in multi_label_rows]
    prepared = audit(bundle, rows)
    assert prepared.reading.label_column is None
    facts = stored_facts(prepared.run().schema)
    assert facts["label_column"] is None
    assert facts["label_form"]["columns"] == list(LABELS)


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_format_reads_back_to_the_same_rows(ending, bundle, multi_label_rows, tmp_path):
    odd = [{"text": "x", "labels": None}, {"text": "y", "labels": ["of", "others"]}, {"text": " ", "labels": []}]
    table = audit(bundle, multi_label_rows + odd).run().table
    # A random model may predict nothing at all.
    lists = [
        None if cell is None else list(LABELS[n % 3 : 3]) for n, cell in enumerate(table["predictions"].to_pylist())
    ]
    for name, cells in (("predictions", lists), ("prediction_name", [cell and ", ".join(cell) for cell in lists])):
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.array(cells, table.schema.field(name).type))
    assert "" in table["label_name"].to_pylist()
    write_table([table], table.schema, tmp_path / f"losses{ending}")
    losses = LossesTable.open(tmp_path / f"losses{ending}")
    assert losses.is_multi_label
    assert losses.text_column == "text"
    names = [*MULTI_LABEL_SCHEMA.names, "text"]
    read = pa.Table.from_batches(losses.batches(names))
    assert read.schema.types[:19] == MULTI_LABEL_SCHEMA.types
    assert read.to_pylist() == table.select(names).to_pylist()
    for filters in (Filters(given="sports"), Filters(predicted="Business"), Filters(given="World", predicted="SPORTS")):
        top = losses.top(7, filters).select(["id"]).to_pylist()
        assert top == expected_top(table, filters)[:7]


def expected_top(table, filters):
    wanted = [("labels", filters.given), ("predictions", filters.predicted)]
    return [
        {"id": row["id"]}
        for row in table.to_pylist()
        if row["loss"] is not None
        and all(name is None or name.casefold() in [label.casefold() for label in row[key]] for key, name in wanted)
    ]


def test_a_label_that_the_table_has_not_is_refused(audited, refused):
    with refused("given 'Sport'", "Business, Sci/Tech, Sports, World"):
        LossesTable.of(audited.table).top(3, Filters(given="Sport"))


@pytest.fixture(scope="module")
def many(multi_label_rows):
    """Six times the rows, each time with other words in front, and some that get no loss."""
    rows = [
        {"text": f"{'the ' * n}{row['text']}", "labels": row["labels"]} for n in range(6) for row in multi_label_rows
    ]
    odd = [{"text": None, "labels": ["World"]}, {"text": "the bank", "labels": None}]
    return [*rows[:100], *odd, *rows[100:]]


EXACT = {"precision": "exact-top", "top": 12, "shard_rows": 16}


class TestExactTop:
    def test_is_that_of_fp32(self, bundle, many):
        exact, fp32 = (
            audit(bundle, many, **EXACT).run(),
            audit(bundle, many, shard_rows=16).run(),
        )
        assert exact.table["id"].to_pylist()[:12] == fp32.table["id"].to_pylist()[:12]
        again = set(exact.exact.rows)
        assert len(again) >= 12
        by_id = {row["id"]: row for row in fp32.table.to_pylist()}
        for row in exact.table.to_pylist():
            if row["id"] in again:
                same = by_id[row["id"]]
                assert row["precision"] == "fp32"
                assert row["loss"] == pytest.approx(same["loss"], abs=1e-5)
                assert row["labels"] == same["labels"]

    @pytest.mark.parametrize("calls_before", [5, 25])
    def test_an_interrupted_audit_goes_on_to_the_same_table(self, calls_before, bundle, many, tmp_path, monkeypatch):
        expected = audit(bundle, many, **EXACT).run().table
        folder, score, calls = folder_for(tmp_path / "losses.parquet"), Scorer.score, []

        def stopping(self, *arguments):
            calls.append(1)
            if len(calls) == calls_before:
                raise KeyboardInterrupt
            return score(self, *arguments)

        monkeypatch.setattr(Scorer, "score", stopping)
        with (
            (first := audit(bundle, many, **EXACT)).keep_parts(folder),
            pytest.raises(KeyboardInterrupt),
        ):
            first.run()
        with (second := audit(bundle, many, **EXACT)).keep_parts(folder) as kept:
            assert second.run().table.equals(expected)
            kept.discard()


def test_a_job_travels_to_other_processes(bundle, multi_label_rows):
    job = audit(bundle, multi_label_rows).job
    assert pickle.loads(pickle.dumps(job)) == job


def test_lists_for_a_model_of_one_label_are_refused_with_the_way_out(bundle_folder, multi_label_rows, refused):
    with refused("holds lists", "single-label model", "multi_label=True"):
        audit(Bundle.load(bundle_folder), multi_label_rows)


def test_names_that_the_model_has_twice_are_refused(refused):
    with refused("two labels named 'a'", "id2label"):
        MultiLabel(("a", "b", "a"))
    assert SingleLabel(("a", "a")).labels == ("a", "a")


def test_labels_in_a_csv(bundle, multi_label_rows, audited, write_file):
    lines = [f"{row['text']},{';'.join(row['labels'])}\n" for row in multi_label_rows]
    prepared = audit(bundle, open_dataset(str(write_file("rows.csv", "text,labels\n" + "".join(lines)))))
    found = prepared.run().table.sort_by("id").to_pylist()
    assert "in texts separated by ';'" in prepared.alignment.how
    losses = dict(zip(audited.table["id"].to_pylist(), audited.table["loss"].to_pylist(), strict=True))
    for row, source in zip(found, multi_label_rows, strict=True):
        # A CSV's empty cell is no cell, so that a row without labels is one without a label.
        assert row["loss"] == (losses[row["id"]] if source["labels"] else None)
        assert row["status"] in (("ok", "truncated") if source["labels"] else ("missing_label",))


def test_a_table_audited_anew_keeps_its_own_columns_apart(bundle, audited, write_file):
    lines = [json.dumps({k: row[k] for k in ("text", "labels", "worst_label")}) for row in audited.table.to_pylist()]
    again = audit(bundle, open_dataset(str(write_file("rows.jsonl", "\n".join(lines))))).run().table
    assert again.schema.names == [*MULTI_LABEL_SCHEMA.names, "text", "source_labels", "source_worst_label"]
    assert again["loss"].to_pylist() == audited.table["loss"].to_pylist()


def test_a_column_called_labels_stays_in_a_table_of_one_label(bundle_folder, rows, tmp_path):
    tagged = [{**row, "labels": ["x", str(row["label"])]} for row in rows]
    table = audit(Bundle.load(bundle_folder), tagged, label_column="label").run().table
    for ending in (".parquet", ".jsonl"):
        write_table([table], table.schema, tmp_path / f"losses{ending}")
        losses = LossesTable.open(tmp_path / f"losses{ending}")
        assert not losses.is_multi_label
        assert losses.top(5, Filters(given="World"))["labels"].to_pylist()[0][0] == "x"
