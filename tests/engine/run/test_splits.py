"""Audits of several splits: one table, in which each row says which split it is from."""

import datasets
import pytest

from lossaudit.engine.data.in_memory import splits_in_memory
from lossaudit.engine.data.rows import Split
from lossaudit.engine.data.source import open_dataset
from lossaudit.engine.model.bundle import Bundle
from lossaudit.engine.run.audit import Audit
from lossaudit.engine.run.options import AuditOptions
from lossaudit.engine.table.facts import Facts, stored_facts
from lossaudit.engine.table.formats import ENDINGS, write_table
from lossaudit.engine.table.losses import LossesTable
from lossaudit.engine.table.schema import MULTI_LABEL_SCHEMA, SCHEMA, SPLITS
from lossaudit.review.records import records_of

OPTIONS = AuditOptions(precision="fp32", tune=False, threads=1)


@pytest.fixture(scope="module")
def bundle(bundle_folder):
    return Bundle.load(bundle_folder)


@pytest.fixture(scope="module")
def parts(rows):
    """The rows as a train split of 45 and a test split of 15."""
    return {"train": datasets.Dataset.from_list(rows[:45]), "test": datasets.Dataset.from_list(rows[45:])}


def audit(bundle, parts, **options):
    rows = splits_in_memory(parts, None)
    return Audit(bundle, rows, AuditOptions(precision="fp32", tune=False, threads=1, **options)).run()


@pytest.fixture(scope="module")
def audited(bundle, parts):
    return audit(bundle, parts)


def test_each_row_is_of_its_split_and_has_the_loss_that_it_has_alone(audited, bundle, rows):
    table = audited.table.sort_by("id")
    assert table["id"].to_pylist() == [*range(60)]
    assert table["split"].to_pylist() == ["train"] * 45 + ["test"] * 15
    assert table["text"].to_pylist() == [row["text"] for row in rows]
    alone = Audit(bundle, datasets.Dataset.from_list(rows), OPTIONS).run().table.sort_by("id")
    assert table["loss"].to_pylist() == alone["loss"].to_pylist()
    assert "split" not in alone.column_names


def test_shards_go_across_splits(bundle, parts, audited):
    again = audit(bundle, parts, shard_rows=7)
    for column in ("id", "split", "text"):
        assert again.table[column].to_pylist() == audited.table[column].to_pylist()


def test_the_facts_have_the_splits_in_order(bundle, parts, audited):
    assert stored_facts(audited.schema)["source"]["splits"] == [
        {"name": "train", "rows": 45},
        {"name": "test", "rows": 15},
    ]
    assert Facts.of(audited.schema).source.splits == (Split("train", 45), Split("test", 15))
    limited = Facts.of(audit(bundle, parts, limit=50).schema).source
    assert (limited.rows, limited.limit, limited.splits) == (50, 50, (Split("train", 45), Split("test", 15)))


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_source_column_of_the_same_name_gets_a_prefix(ending, bundle, parts, tmp_path):
    named = {name: part.add_column("split", [f"{name} of mine"] * len(part)) for name, part in parts.items()}
    audited = audit(bundle, named)
    names = [*SCHEMA.names, *SPLITS.names, "text", "source_split"]
    assert audited.schema.names == names
    write_table(audited.rows(), audited.schema, tmp_path / f"losses{ending}")
    losses = LossesTable.open(tmp_path / f"losses{ending}")
    assert losses.schema.names == names
    assert losses.text_column == "text"
    for record in records_of(losses, 60):
        assert record.metadata["source_split"] == f"{record.metadata['split']} of mine"


@pytest.mark.parametrize("ending", ENDINGS)
def test_of_a_multi_label_model_too(ending, multi_label_bundle_folder, multi_label_rows, tmp_path):
    parts = {
        "a": datasets.Dataset.from_list(multi_label_rows[:20]),
        "b": datasets.Dataset.from_list(multi_label_rows[20:]),
    }
    audited = audit(Bundle.load(multi_label_bundle_folder), parts)
    write_table(audited.rows(), audited.schema, tmp_path / f"losses{ending}")
    losses = LossesTable.open(tmp_path / f"losses{ending}")
    assert losses.is_multi_label
    assert losses.schema.names == [*MULTI_LABEL_SCHEMA.names, *SPLITS.names, "text", "source_labels"]
    found = losses.take(range(60), ["id", "split"]).sort_by("id")
    assert found["split"].to_pylist() == ["a"] * 20 + ["b"] * 40


def test_a_saved_dataset_is_named_by_the_splits_that_were_asked_for(bundle, parts, tmp_path):
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "saved")
    told = {}
    for asked in (None, "test", "test,train", "all"):
        rows = open_dataset(str(tmp_path / "saved"), split=asked)
        told[asked] = Facts.of(Audit(bundle, rows, OPTIONS).run().schema).source
    assert {asked: source.split for asked, source in told.items()} == {asked: asked for asked in told}
    assert [told[asked].rows for asked in told] == [45, 15, 60, 60]
    assert told[None].splits is None
    assert told["test,train"].splits == (Split("test", 15), Split("train", 45))


@pytest.mark.parametrize("precision", ["fp32", "exact-top"])
def test_rows_name_the_other_splits_of_their_text(precision, bundle, rows):
    text = rows[0]["text"]
    more = [{"text": f" {text}", "label": 1}, {"text": text, "label": None}]
    parts = {"train": datasets.Dataset.from_list(rows), "test": datasets.Dataset.from_list(more)}
    opened = splits_in_memory(parts, None)
    options = AuditOptions(precision=precision, top=5 if precision == "exact-top" else None, tune=False, threads=1)
    audited = Audit(bundle, opened, options).run()
    others = {row["id"]: row["also_in"] for row in audited.table.to_pylist() if row["also_in"] is not None}
    assert others == {0: "test", 60: "train"}
    assert (audited.summary.leaking_texts, audited.summary.leaking_rows) == (1, 2)
