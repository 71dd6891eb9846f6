"""A losses table on disk: reading its top without the rest, and one line of error if it is damaged."""

import random

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossaudit.engine.table import losses as losses_module
from lossaudit.engine.table.facts import Facts
from lossaudit.engine.table.formats import ENDINGS, write_table
from lossaudit.engine.table.losses import LossesTable
from lossaudit.engine.table.ranking import Filters, rank
from lossaudit.engine.table.schema import SCHEMA

NAMES = ("World", "Sports", "Business")
OLDER = ("status", "status_reason", "probabilities")
"""Columns that the first version's tables lack."""


def make_table(rows, seed=0):
    """Rows with ties and with rows without a loss, in no order."""
    draw = random.Random(seed)
    losses = [draw.choice([None, 0.0, 1.0, draw.expovariate(0.5)]) for _ in range(rows)]
    columns = {
        "id": range(rows),
        "label": [draw.randrange(3) for _ in losses],
        "label_name": [draw.choice(NAMES) for _ in losses],
        "prediction": [None if loss is None else draw.randrange(3) for loss in losses],
        "prediction_name": [None if loss is None else draw.choice(NAMES) for loss in losses],
        "probability": [None if loss is None else draw.random() for loss in losses],
        "label_probability": [None if loss is None else draw.random() for loss in losses],
        "loss": losses,
        "margin": [None if loss is None else draw.uniform(-1, 1) for loss in losses],
        "tokens": [None if loss is None else draw.randrange(64) for loss in losses],
        "unknown_tokens": [None if loss is None else draw.randrange(3) for loss in losses],
        "truncated": [None if loss is None else draw.random() < 0.3 for loss in losses],
        "precision": [None if loss is None else "fp32" for loss in losses],
        "status": ["missing_label" if loss is None else "ok" for loss in losses],
        "status_reason": [None for _ in losses],
        "probabilities": [None if loss is None else [draw.random() for _ in NAMES] for loss in losses],
    }
    arrays = [pa.array(columns[field.name], field.type) for field in SCHEMA]
    table = pa.table(arrays, schema=SCHEMA).append_column("text", pa.array([f"text {n}" for n in range(rows)]))
    order = list(range(rows))
    draw.shuffle(order)
    return table.take(pa.array(order, pa.int64()))


@pytest.fixture(scope="module")
def table():
    return make_table(3000)


@pytest.fixture(scope="module")
def parquet(table, tmp_path_factory):
    """The table in many small row groups."""
    path = tmp_path_factory.mktemp("losses") / "losses.parquet"
    schema = Facts(text_column="text", labels=NAMES).stored_in(table.schema)
    pq.write_table(table.cast(schema), path, row_group_size=37, write_page_checksum=True)
    return path


def expected_top(table, n, filters):
    """The top as a sort of the whole table gives it."""
    table = table.filter(pc.is_valid(table["loss"]))
    for column, wanted in (("label_name", filters.given), ("prediction_name", filters.predicted)):
        if wanted is not None:
            table = table.filter(pc.equal(pc.utf8_lower(table[column]), wanted.lower()))
    if filters.min_loss is not None:
        table = table.filter(pc.greater_equal(table["loss"], filters.min_loss))
    if filters.truncated:
        table = table.filter(table["truncated"])
    return rank(table).slice(0, n)


FILTERS = st.builds(
    Filters,
    given=st.sampled_from([None, "world", "Sports"]),
    predicted=st.sampled_from([None, "BUSINESS", "World"]),
    min_loss=st.sampled_from([None, 0.0, 1.0, 2.5, 1e9]),
    truncated=st.booleans(),
)


@settings(max_examples=50)
@given(n=st.integers(1, 3500), filters=FILTERS, piece=st.sampled_from([10, 64, 65_536]))
def test_the_top_of_many_row_groups_is_that_of_the_whole_table(n, filters, piece, table, parquet):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(losses_module, "_PIECE_ROWS", piece)
        found = LossesTable.open(parquet).top(n, filters)
    assert found.to_pylist() == expected_top(table, n, filters).to_pylist()


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_format_has_the_same_rows_and_the_same_top(ending, table, tmp_path):
    path = tmp_path / f"losses{ending}"
    write_table([table.slice(0, 1), table.slice(1)], table.schema, path)
    losses = LossesTable.open(path)
    assert len(losses) == len(table)
    assert losses.text_column == "text"
    assert losses.top(100).to_pylist() == expected_top(table, 100, Filters()).to_pylist()
    read = pa.Table.from_batches(losses.batches())
    assert read.to_pylist() == table.to_pylist()
    assert pa.Table.from_batches(losses.batches(["loss", "id"])).column_names == ["loss", "id"]


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".json", ".parquet"])
def test_probabilities_read_back_to_the_same_float32(ending, tmp_path):
    rows = [[0.1, 0.2, 0.7], [1 / 3, 1e-30, 1.0], [1.401298464324817e-45, 0.0, 0.9999999], None]
    table = make_table(4)
    field = SCHEMA.field("probabilities")
    table = table.set_column(SCHEMA.names.index(field.name), field, pa.array(rows, field.type))
    write_table([table], table.schema, tmp_path / f"losses{ending}")
    read = pa.Table.from_batches(LossesTable.open(tmp_path / f"losses{ending}").batches())
    assert read["probabilities"].equals(table["probabilities"])


@pytest.mark.parametrize("ending", ENDINGS)
def test_tables_of_the_first_version_are_read(ending, table, tmp_path):
    older = table.drop_columns(list(OLDER))
    older = older.filter(pc.is_valid(older["loss"]))
    write_table([older], older.schema, tmp_path / f"losses{ending}")
    losses = LossesTable.open(tmp_path / f"losses{ending}")
    assert losses.top(50).to_pylist() == expected_top(older, 50, Filters()).to_pylist()
    assert losses.facts == Facts()


def test_types_that_another_program_wrote_are_taken(table, tmp_path):
    other = table.set_column(2, "label_name", table["label_name"].dictionary_encode())
    other = other.set_column(7, "loss", table["loss"].cast(pa.float32()))
    pq.write_table(other, tmp_path / "losses.parquet")
    found = LossesTable.open(tmp_path / "losses.parquet").top(20, Filters(given="World"))
    assert len(found) == 20


def test_a_column_of_another_kind_is_no_losses_table(table, tmp_path, refused):
    other = table.set_column(7, "loss", pa.array(["high"] * len(table)))
    pq.write_table(other, tmp_path / "losses.parquet")
    with refused("losses.parquet is not a losses table"):
        LossesTable.open(tmp_path / "losses.parquet").top(20)


def damage(data, kind):
    middle = len(data) // 2
    return {
        "cut short": data[:middle],
        "empty": b"",
        "no end": data[:-4],
        "a bit flipped": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "zeroed": data[:4] + bytes(2000) + data[2004:],
    }[kind]


@pytest.mark.parametrize("kind", ["cut short", "empty", "no end", "a bit flipped", "zeroed"])
def test_a_damaged_file_is_one_line(kind, parquet, tmp_path, refused):
    path = tmp_path / "losses.parquet"
    path.write_bytes(damage(parquet.read_bytes(), kind))
    with refused("losses.parquet"):
        losses = LossesTable.open(path)
        losses.top(3000)
        list(losses.batches())


def test_no_file_and_no_losses_table_are_refused(tmp_path, refused):
    with refused("there is no file", "`la.audit`"):
        LossesTable.open(tmp_path / "losses.parquet")
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "other.parquet")
    with refused("other.parquet is not a losses table", "id, label_name"):
        LossesTable.open(tmp_path / "other.parquet")


def test_an_empty_table_has_no_top(tmp_path):
    write_table([], make_table(1).schema, tmp_path / "losses.parquet")
    assert len(LossesTable.open(tmp_path / "losses.parquet").top(5)) == 0
