"""Learned orders beside a losses file: read back as written, refused if damaged, ignored if of another table."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lossaudit.engine.table.learned import P_WRONG, Learned, learned_path, read_learned, write_learned
from lossaudit.engine.table.losses import LossesTable
from lossaudit.engine.table.ranking import Filters

TABLE = pa.table(
    {
        "id": [3, 0, 1, 4, 2],
        "label_name": list("aabba"),
        "prediction_name": list("bbaab"),
        "probability": [0.9] * 5,
        "loss": [5.0, 4.0, 3.0, 2.0, None],
    }
)
LEARNED = Learned(np.array([1, 4, 0, 3]), np.array([0.9, 0.5, 0.4, 0.1]), np.array([0, 0, 0, 1], dtype=bool), 1, "abc")


@pytest.fixture
def path(tmp_path):
    pq.write_table(TABLE, tmp_path / "losses.parquet")
    return tmp_path / "losses.parquet"


def test_it_comes_back_as_written(path):
    assert read_learned(path) is None
    assert write_learned(LEARNED, path) == learned_path(path) == path.with_name("losses.parquet.learned.parquet")
    found = read_learned(path)
    for name in ("ids", "p_wrong", "decided"):
        np.testing.assert_array_equal(getattr(found, name), getattr(LEARNED, name))
    assert (found.lessons, found.decisions, found.expected(2)) == (1, "abc", 1)


def test_the_top_follows_it(path):
    losses = LossesTable.open(path)
    found = losses.top(3, learned=LEARNED)
    assert found["id"].to_pylist() == [1, 4, 0]
    assert found[P_WRONG].to_pylist() == [0.9, 0.5, 0.4]
    assert losses.top(9, Filters(given="A"), LEARNED)["id"].to_pylist() == [0, 3]
    assert losses.top(9, Filters(min_loss=3.5), LEARNED)["id"].to_pylist() == [0, 3]
    assert losses.top(3)["id"].to_pylist() == [3, 0, 1]


def test_a_row_that_the_order_lacks_comes_last(path):
    fewer = Learned(np.array([4, 0]), np.array([0.5, 0.4]), np.zeros(2, dtype=bool), 1, "abc")
    found = LossesTable.open(path).top(9, learned=fewer)
    assert found["id"].to_pylist() == [4, 0, 1, 3]
    assert found[P_WRONG].to_pylist() == [0.5, 0.4, None, None]


def test_that_of_another_table_is_none(path):
    write_learned(LEARNED, path)
    pq.write_table(TABLE.slice(0, 4), path)
    assert read_learned(path) is None
    path.unlink()
    assert read_learned(path) is None


@pytest.mark.parametrize("kind", ["text", "cut", "no facts", "null", "empty", "other column"])
def test_a_damaged_one_is_one_line(kind, path, refused):
    order = write_learned(LEARNED, path)
    table = pq.read_table(order)
    if kind == "text":
        order.write_text("hello")
    elif kind == "cut":
        order.write_bytes(order.read_bytes()[:-9])
    else:
        other = {
            "no facts": table.replace_schema_metadata(),
            "null": table.set_column(0, "id", pa.array([1, None, 0, 3])),
            "empty": table.slice(0, 0),
            "other column": table.rename_columns(["row", "p_wrong", "decided"]),
        }[kind]
        pq.write_table(other, order)
    with refused("losses.parquet.learned.parquet isn't a learned order", "remove it"):
        read_learned(path)
