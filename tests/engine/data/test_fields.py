"""Fields inside of columns, named with dots."""

import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lossaudit.engine.data.fields import fields_of, with_fields
from lossaudit.engine.data.source import open_dataset
from lossaudit.engine.run.options import AuditOptions
from lossaudit.engine.run.reading import Reading

ROWS = [
    {"data": {"text": "the cup", "more": {"a.b": 1}}, "meta": {"label": "x"}, "data.id": 7},
    {"data": {"text": "peace", "more": {"a.b": 2}}, "meta": {"label": "y"}, "data.id": 8},
    {"data": None, "meta": None, "data.id": 9},
]
MIXED = [
    {"data": {"text": "the cup"}, "meta": {"label": "x", "by": 3}},
    {"data": {"text": 5}, "meta": {}},
    {"data": "no object", "meta": {"label": "y", "deep": {"er": [1]}}},
]


@pytest.fixture
def opened(tmp_path, write_file):
    def make(rows, kind):
        if kind == "saved":
            datasets.Dataset.from_list(rows).save_to_disk(tmp_path / "saved")
            return open_dataset(str(tmp_path / "saved"))
        if kind == "parquet":
            pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
            return open_dataset(str(tmp_path / "a.parquet"))
        return open_dataset(str(write_file("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))))

    return make


def read(rows, name):
    (field,) = fields_of(rows.features, [name])
    return field.column_of(rows.take(0, len(rows))).to_pylist()


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "saved"])
def test_a_field_is_found_by_its_dotted_name(kind, opened):
    rows = opened(ROWS, kind)
    assert read(rows, "data.text") == ["the cup", "peace", None]
    assert read(rows, "data.more.a.b") == [1, 2, None]
    assert list(with_fields(rows.features)) == ["data.text", "data.more.a.b", "meta.label", "data.id"]


def test_a_column_of_the_whole_name_comes_first(opened):
    assert fields_of(opened(ROWS, "jsonl").features, ["data.id", "data", None]) == ()


@pytest.mark.parametrize("name", ["data.none", "none.text", "data.text.deep", "data.", ".text", "."])
def test_what_is_not_there_is_no_field(name, opened):
    assert fields_of(opened(ROWS, "parquet").features, [name]) == ()


def test_objects_that_differ_have_fields_too(opened):
    rows = opened(MIXED, "jsonl")
    assert [cell and json.loads(cell) for cell in map(_text, read(rows, "meta.label"))] == ["x", None, "y"]
    assert [cell and json.loads(cell) for cell in map(_text, read(rows, "data.text"))] == ["the cup", 5, None]


def _text(cell):
    return cell if cell is None or isinstance(cell, str) else json.dumps(cell)


def test_a_cell_gets_another_value_and_keeps_the_rest(opened):
    (field,) = fields_of(opened(ROWS, "jsonl").features, ["data.more.a.b"])
    assert field.with_value({"text": "t", "more": {"a.b": 1, "c": 2}}, 3) == {"text": "t", "more": {"a.b": 3, "c": 2}}
    assert field.with_value('{"more": {"é": 1}}', 3) == '{"more": {"é": 1, "a.b": 3}}'
    assert field.with_value(None, 3) == {"more": {"a.b": 3}}


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "saved"])
def test_an_audit_reads_fields_as_columns(kind, opened):
    options = AuditOptions(text_column="data.text", label_column="meta.label", shard_rows=2)
    reading = Reading.open(opened(ROWS, kind), options, lambda features: options.label_column)
    tables = [table for _, table in reading.shards()]
    assert list(reading.features) == ["data", "meta", "data.id", "data.text", "meta.label"] == tables[0].column_names
    assert [cell for table in tables for cell in table["meta.label"].to_pylist()] == ["x", "y", None]


def test_names_of_fields_are_offered(opened, refused):
    from lossaudit.engine.data.columns import find_label_column, find_text_column

    features = opened(ROWS, "parquet").features
    with refused(
        "there is no column 'text'; name one with text_column: 'data.text', 'data.more.a.b', 'meta.label', 'data.id'"
    ):
        find_text_column(features, "text", None)
    with refused("column 'data' holds objects; name one of their fields with text_column: data.text, data.more.a.b"):
        find_text_column(features, "data", None)
    with refused("column 'meta' holds objects; name one of their fields with label_column: meta.label"):
        find_label_column(features, "meta")
