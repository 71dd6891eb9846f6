"""The audit: what it decides, what it refuses, and that its losses are the model's."""

import datasets
import numpy as np
import onnxruntime as ort
import pyarrow as pa
import pytest
from tokenizers import Tokenizer

from lossaudit.engine.labels.given import Seen
from lossaudit.engine.model import backends
from lossaudit.engine.model.bundle import Bundle
from lossaudit.engine.run.audit import Audit
from lossaudit.engine.run.options import AuditOptions
from lossaudit.engine.table.facts import stored_facts
from lossaudit.engine.table.schema import SCHEMA
from lossaudit.version import __version__

LABELS = ["World", "Sports", "Business", "Sci/Tech"]


@pytest.fixture(scope="module")
def bundle(bundle_folder):
    return Bundle.load(bundle_folder)


@pytest.fixture(scope="module")
def dataset(rows):
    return datasets.Dataset.from_list(rows)


@pytest.fixture(scope="module")
def audited(bundle, dataset):
    return audit(bundle, dataset).run()


def audit(bundle, dataset, **options):
    """An audit in fp32 that measures nothing, so that it is the same on every machine."""
    return Audit(bundle, dataset, AuditOptions(precision="fp32", tune=False, **options))


def by_id(audited, column="loss"):
    return audited.table.sort_by("id")[column].to_pylist()


def test_each_loss_is_that_of_the_text_run_alone(audited, bundle, rows):
    session = ort.InferenceSession(bundle.folder / "model.onnx")
    tokenizer = Tokenizer.from_file(str(bundle.tokenizer))
    tokenizer.enable_truncation(64)
    for row, loss in zip(rows, by_id(audited), strict=True):
        ids = np.array([tokenizer.encode(row["text"]).ids])
        made = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        feed = {i.name: made[i.name] for i in session.get_inputs()}
        logits = session.run(["logits"], feed)[0][0].astype(np.float64)
        assert loss == pytest.approx(np.log(np.exp(logits).sum()) - logits[row["label"]], abs=1e-4)


def test_the_table_holds_each_row_once_by_falling_loss(audited, rows):
    table = audited.table
    assert table.schema.names == [*SCHEMA.names, "text"]
    assert sorted(table["id"].to_pylist()) == list(range(len(rows)))
    assert table["loss"].to_pylist() == sorted(table["loss"].to_pylist(), reverse=True)
    assert by_id(audited, "text") == [row["text"] for row in rows]
    assert by_id(audited, "label_name") == [LABELS[row["label"]] for row in rows]


def test_long_texts_are_flagged_and_counted(audited, rows):
    expected = [len(row["text"].split()) > 62 for row in rows]
    assert by_id(audited, "truncated") == expected
    assert audited.summary.truncated == sum(expected) > 0


def test_the_summary_is_the_tables(audited):
    agreeing = sum(
        label == prediction
        for label, prediction in zip(by_id(audited, "label"), by_id(audited, "prediction"), strict=True)
    )
    assert audited.summary.agreeing == agreeing
    assert audited.summary.accuracy == agreeing / len(audited.table)
    assert sum(pair.rows for pair in audited.summary.pairs) <= len(audited.table) - agreeing
    rows = [pair.rows for pair in audited.summary.pairs]
    assert rows == sorted(rows, reverse=True)


@pytest.mark.parametrize("order", [[3, 2, 1, 0], [1, 2, 3, 0]])
def test_shuffled_names_give_the_same_losses(order, bundle, rows, audited):
    shuffled = datasets.ClassLabel(names=[LABELS[index] for index in order])
    features = datasets.Features({"text": datasets.Value("string"), "label": shuffled})
    renumbered = [{"text": row["text"], "label": order.index(row["label"])} for row in rows]
    again = audit(bundle, datasets.Dataset.from_list(renumbered, features)).run()
    assert by_id(again) == by_id(audited)
    assert by_id(again, "label") == by_id(audited, "label")
    assert by_id(again, "source_label") == [row["label"] for row in renumbered]


def test_names_in_another_case_give_the_same_losses(bundle, rows, audited):
    named = [{"text": row["text"], "label": LABELS[row["label"]].upper().replace("/", "_")} for row in rows]
    assert by_id(audit(bundle, datasets.Dataset.from_list(named)).run()) == by_id(audited)


def test_an_audit_is_the_same_every_time(bundle, dataset, audited):
    assert audit(bundle, dataset).run().table.equals(audited.table)


def test_progress_counts_each_row_once(bundle, dataset):
    stages = {}

    def on_stage(stage, rows):
        stages[stage] = []
        assert rows == len(dataset)
        return stages[stage].append

    audit(bundle, dataset).run(on_stage)
    assert [sum(done) for done in stages.values()] == [len(dataset)]


def test_the_facts_say_what_was_done(audited, bundle):
    facts = stored_facts(audited.schema)
    assert stored_facts(audited.table.schema) == facts
    assert facts["labels"] == LABELS
    assert facts["run"]["versions"] == {"lossaudit": __version__} | dict(
        zip(backends.available(), backends.versions(), strict=True)
    )
    assert facts["run"]["scored"] == len(audited.table)
    assert facts["run"]["seconds"] == pytest.approx(audited.seconds, abs=1e-3)
    assert (facts["text_column"], facts["label_column"], facts["max_length"]) == ("text", "label", 64)
    assert facts["revision"] == bundle.manifest.source.revision


def test_source_columns_named_like_ours_get_a_prefix(bundle):
    dataset = datasets.Dataset.from_dict({"text": ["a"], "label": ["World"], "loss": [9.5], "id": ["x7"]})
    row = audit(bundle, dataset).run().table.to_pylist()[0]
    assert (row["source_loss"], row["source_id"], row["source_label"]) == (9.5, "x7", "World")
    assert (row["id"], row["label"]) == (0, 0)


def test_a_limit_takes_the_first_rows(bundle, dataset, audited):
    first = audit(bundle, dataset, limit=5).run()
    assert sorted(first.table["id"].to_pylist()) == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(by_id(first), by_id(audited)[:5], atol=1e-5)
    assert len(audit(bundle, dataset, limit=10**9)) == len(dataset)


def test_a_shorter_maximum_cuts_more(bundle, dataset):
    short = audit(bundle, dataset, max_length=8).run()
    assert max(by_id(short, "tokens")) == 8


def test_a_longer_maximum_than_the_models_is_refused(bundle, dataset, refused):
    with refused("max_length=65", "64 tokens"):
        audit(bundle, dataset, max_length=65)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"text": [None, "", " "], "label": [0, 1, 2]}, "3 empty_text (first: row 0)"),
        ({"text": ["a", "b", "c"], "label": [None, None, None]}, "no row has a label"),
        ({"text": ["a", "b", "c"], "label": [0, 4, 5]}, "'4' of row 1"),
        ({"text": ["a", "b", "c"], "label": ["World", "x", "x"]}, "'x' of row 1"),
        ({"text": ["a", None], "label": [None, 0]}, "1 empty_text (first: row 1), 1 missing_label (first: row 0)"),
    ],
)
def test_a_dataset_that_would_be_ranked_in_no_or_the_least_part_is_refused(columns, says, bundle, refused):
    with refused(says):
        audit(bundle, datasets.Dataset.from_dict(columns)).run()


def test_a_row_beyond_the_limit_may_be_bad(bundle):
    dataset = datasets.Dataset.from_dict({"text": ["a", None], "label": [0, 99]})
    assert len(audit(bundle, dataset, limit=1).run().table) == 1


def test_the_same_text_twice_has_one_loss(bundle):
    dataset = datasets.Dataset.from_dict({"text": ["the bank", "the team", "the bank"], "label": [0, 0, 0]})
    losses = by_id(audit(bundle, dataset).run())
    assert losses[0] == losses[2] != losses[1]


def test_several_shards_are_one_table(bundle, rows, audited):
    again = audit(bundle, datasets.Dataset.from_list(rows), shard_rows=7).run()
    np.testing.assert_allclose(by_id(again), by_id(audited), atol=1e-4)
    assert by_id(again, "text") == by_id(audited, "text")


def test_odd_texts_are_scored(bundle):
    texts = ["😞", "\x00.", "a\nb", "the " * 10_000]
    dataset = datasets.Dataset.from_dict({"text": texts, "label": [0] * len(texts)})
    audited = audit(bundle, dataset).run()
    assert np.isfinite(by_id(audited)).all()
    assert by_id(audited, "status") == ["ok", "ok", "ok", "truncated"]


def test_rows_without_a_loss_stand_at_the_end_by_id_and_are_counted(bundle, rows, audited):
    mixed = [
        {"text": " ", "label": 0},
        rows[0],
        {"text": "the bank", "label": None},
        rows[1],
        {"text": "x", "label": 9},
    ]
    found = audit(bundle, datasets.Dataset.from_list(mixed)).run()
    assert found.table["id"].to_pylist()[2:] == [0, 2, 4]
    assert by_id(found, "status") == ["empty_text", "ok", "missing_label", "ok", "label_not_in_model"]
    assert found.summary.unranked == {
        "empty_text": Seen(1, 0),
        "missing_label": Seen(1, 2),
        "label_not_in_model": Seen(1, 4),
    }
    assert (found.summary.rows, found.summary.ranked) == (5, 2)
    np.testing.assert_allclose([by_id(found)[1], by_id(found)[3]], by_id(audited)[:2], atol=1e-5)


def test_a_text_without_a_label_still_has_a_prediction(bundle):
    columns = {"text": ["the bank", "the bank", "the bank"], "label": [1, None, 9]}
    table = audit(bundle, datasets.Dataset.from_dict(columns)).run().table.sort_by("id")
    for name in ("prediction", "prediction_name", "probability", "probabilities", "tokens", "precision"):
        assert len({str(value) for value in table[name].to_pylist()}) == 1
    for name in ("loss", "margin", "label_probability", "label"):
        assert table[name].to_pylist()[1:] == [None, None]
    assert table["label_name"].to_pylist() == ["Sports", None, "9"]


def test_strict_makes_rows_without_a_loss_an_error(bundle, refused):
    columns = {"text": ["a", "", None, "b"], "label": [0, 1, 2, None]}
    with refused("strict=True: ", "2 empty_text (first: row 1)", "1 missing_label (first: row 3)"):
        audit(bundle, datasets.Dataset.from_dict(columns), strict=True).run()


def test_strict_says_nothing_where_every_row_has_a_loss(bundle, dataset, audited):
    assert audit(bundle, dataset, strict=True).run().table == audited.table


def test_the_pieces_are_the_table(bundle, dataset, audited):
    pieces = audit(bundle, dataset).run().rows()  # what ran is gone by now, but not what the pieces come from
    assert pa.concat_tables(pieces).cast(audited.schema) == audited.table


def test_nothing_is_left_in_the_temporary_folder(bundle, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    audited = audit(bundle, dataset).run()
    assert len(audited.table) == len(dataset)
    del audited
    assert list(tmp_path.iterdir()) == []
