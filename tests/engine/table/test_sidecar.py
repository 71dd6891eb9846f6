"""Facts beside tables in text formats: they come back with the table, and never with another one."""

import json

import pyarrow as pa
import pytest

from lossaudit.engine.table.facts import Facts
from lossaudit.engine.table.formats import check_output, write_table
from lossaudit.engine.table.losses import LossesTable
from lossaudit.engine.table.sidecar import facts_path

ROWS = [{"id": n, "label_name": "a", "prediction_name": "b", "probability": 0.5, "loss": n / 7} for n in range(5)]
FACTS = Facts.from_json({"model": "m", "labels": ["b", "a"], "source": {"name": "data.csv"}})


@pytest.fixture(params=[".csv", ".jsonl", ".json"])
def path(request, tmp_path):
    return tmp_path / f"losses{request.param}"


def write(path, rows=ROWS, facts=FACTS):
    table = pa.Table.from_pylist(rows)
    write_table([table.slice(0, 2), table.slice(2)], facts.stored_in(table.schema) if facts else table.schema, path)


def test_they_come_back(path):
    write(path)
    assert LossesTable.open(path).facts == FACTS
    assert LossesTable.open(path).label_names == ("b", "a")


def test_a_parquet_file_needs_none(tmp_path):
    write(tmp_path / "losses.parquet")
    assert [file.name for file in tmp_path.iterdir()] == ["losses.parquet"]


def test_sorted_with_another_column_and_fewer_digits_it_is_the_same_table(tmp_path):
    path = tmp_path / "losses.csv"
    write(path)
    header, *rows = path.read_text().splitlines()
    changed = [row.replace(repr(1 / 7), f"{1 / 7:.15g}") + ",note" for row in rows[::-1]]
    path.write_text("\n".join([f"{header},mine", *changed]))
    assert LossesTable.open(path).facts == FACTS


@pytest.mark.parametrize("rows", [ROWS[1:], [ROWS[0] | {"loss": 0.1}, *ROWS[1:]], [ROWS[0] | {"id": 9}, *ROWS[1:]]])
def test_another_table_has_none_of_them(path, rows):
    write(path, rows)
    beside = facts_path(path).read_bytes()
    write(path)
    facts_path(path).write_bytes(beside)
    assert LossesTable.open(path).facts == Facts()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"facts": 1, "table": {}}', b"\xff", b"[" * 100_000])
def test_a_file_of_something_else_is_ignored_and_kept(path, content, refused):
    write(path)
    facts_path(path).write_bytes(content)
    assert LossesTable.open(path).facts == Facts()
    with refused(f"{path.name}.facts.json exists and doesn't hold the facts"):
        check_output(path)


def test_a_table_without_facts_has_no_file(path):
    write(path, facts=None)
    assert not facts_path(path).exists()


def test_facts_of_a_later_version_stay(path):
    write(path)
    told = json.loads(facts_path(path).read_text())
    told["facts"]["new"] = "ä"
    facts_path(path).write_text(json.dumps(told))
    assert LossesTable.open(path).facts == FACTS
