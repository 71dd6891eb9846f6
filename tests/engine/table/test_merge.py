"""The merge: for any losses and any cut into parts it equals a sort in memory, and it leaves nothing behind."""

import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.table.merge import Ranges, ranked
from lossaudit.engine.table.ranking import rank

# Few different values give ties; the smallest and neighbours of equal ones test where the ranges are cut.
VALUES = st.one_of(
    st.none(),
    st.sampled_from([0.0, 5e-324, 0.5, 1.0, float(np.nextafter(1.0, 0)), float(np.nextafter(1.0, 2)), 700.0]),
    st.floats(0, 30),
)


def table_of(losses):
    """A table with an id, a loss and a text of some length a row."""
    texts = [f"text {n} " * (n % 5) for n in range(len(losses))]
    return pa.table(
        {
            "id": pa.array(range(len(losses)), pa.int64()),
            "loss": pa.array(losses, pa.float64()),
            "text": pa.array(texts, pa.string()),
        }
    )


def merged(table, part_rows, folder, ranges):
    """The merge of a table that is cut into parts of so many rows."""

    def parts(columns):
        return lambda: (table.select(columns).slice(n, part_rows) for n in range(0, len(table), part_rows))

    pieces = list(ranked(parts(table.column_names), parts(["id", "loss"]), len(table), folder, ranges))
    return pieces, pa.concat_tables(pieces)


@given(
    losses=st.lists(VALUES, min_size=1, max_size=300),
    part_rows=st.integers(1, 120),
    range_bytes=st.sampled_from([1, 100, 2000, 10**7]),
    every=st.sampled_from([1, 3, 64]),
)
def test_it_is_the_sort_in_memory(losses, part_rows, range_bytes, every, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    table = table_of(losses)
    _, found = merged(table, part_rows, folder, Ranges(range_bytes, every=every))
    assert found.to_pylist() == rank(table).to_pylist()
    assert not any(folder.iterdir())


@pytest.mark.parametrize("most", [3, 2000])
@pytest.mark.parametrize("kind", ["spread", "one value", "two values", "mostly zero", "no loss at all"])
def test_it_is_the_sort_of_many_rows_in_small_pieces(kind, most, tmp_path):
    draw = random.Random(5)
    make = {
        "spread": lambda: draw.expovariate(1.0),
        "one value": lambda: 0.25,
        "two values": lambda: draw.choice([0.0, 9.0]),
        "mostly zero": lambda: draw.choice([0.0] * 9 + [draw.random()]),
        "no loss at all": lambda: None,
    }[kind]
    table = table_of([make() for _ in range(20_000)])
    pieces, found = merged(table, 700, tmp_path, Ranges(20_000, most))
    assert found.to_pylist() == rank(table).to_pylist()
    assert len(pieces) > 1
    if kind == "spread" and most == 2000:
        assert max(piece.nbytes for piece in pieces) < 10 * 20_000


def test_a_merge_that_is_not_used_up_leaves_nothing(tmp_path):
    table = table_of([float(n % 50) for n in range(5000)])

    def parts():
        return (table.slice(n, 100) for n in range(0, 5000, 100))

    pieces = ranked(parts, parts, 5000, tmp_path, Ranges(5000))
    assert len(next(pieces))
    assert any(tmp_path.iterdir())
    pieces.close()
    assert not any(tmp_path.iterdir())


def test_a_part_that_cannot_be_read_stops_the_merge_and_leaves_nothing(tmp_path):
    table = table_of([float(n % 50) for n in range(5000)])

    def parts():
        yield from (table.slice(n, 100) for n in range(0, 4000, 100))
        raise LossAuditError("the part is damaged")

    with pytest.raises(LossAuditError, match="damaged"):
        list(ranked(parts, parts, 5000, tmp_path, Ranges(5000)))
    assert not any(tmp_path.iterdir())


def test_a_folder_that_is_gone_is_said(tmp_path, refused):
    table = table_of([1.0, 2.0])
    with refused("cannot write", "gone"):
        list(ranked(lambda: iter([table]), lambda: iter([table]), 2, tmp_path / "gone"))
