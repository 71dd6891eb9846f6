"""Kept states: as they were but for rounding, for the table that they belong to."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lossaudit.engine.table import states as module
from lossaudit.engine.table.states import STEPS, read_states, states_path, write_states


@pytest.fixture
def losses(tmp_path):
    path = tmp_path / "losses.parquet"
    path.write_bytes(b"losses")
    return path


@pytest.fixture
def states():
    rng = np.random.default_rng(0)
    return (rng.normal(size=(50, 6)) * [1, 1, 9, 0.1, 0, 1] + [0, 5, 0, 0, 3, 0]).astype(np.float32)


@pytest.mark.parametrize("cells", [20, 10_000])
def test_states_come_back_but_for_rounding(cells, losses, states, monkeypatch):
    monkeypatch.setattr(module, "_PIECE_CELLS", cells)
    states[[7, 20]] = np.nan
    states[20, 0] = 1.0
    path = write_states(states, losses)
    assert path == states_path(losses) == losses.with_name("losses.parquet.states.parquet")
    assert path.stat().st_mode & 0o777 == 0o600
    found = read_states(losses, np.arange(50))
    mean, deviation = np.nanmean(np.delete(states, 20, 0), axis=0), np.nanstd(np.delete(states, 20, 0), axis=0)
    expected = (states - mean) / np.where(deviation > 1e-6, deviation, 1)
    expected[[7, 20]] = 0
    np.testing.assert_allclose(found / STEPS, expected, atol=0.5 / STEPS + 1e-4)


def test_rows_in_any_order(losses, states):
    write_states(states, losses)
    everything = read_states(losses, np.arange(50))
    np.testing.assert_array_equal(read_states(losses, np.array([9, 3, 40])), everything[[9, 3, 40]])


def test_an_outlier_is_cut(losses, states):
    states[0, 0] = 1000
    write_states(states, losses)
    assert read_states(losses, np.arange(1))[0, 0] <= 127


def test_those_of_another_table_are_none(losses, states):
    assert read_states(losses, np.arange(3)) is None
    write_states(states, losses)
    losses.write_bytes(b"others")
    assert read_states(losses, np.arange(3)) is None


@pytest.mark.parametrize("kind", ["cut", "text", "fewer rows", "other type"])
def test_damaged_ones_are_one_line(kind, losses, states, refused):
    path = write_states(states, losses)
    table = pq.read_table(path)
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    elif kind == "text":
        path.write_text("hello")
    elif kind == "fewer rows":
        pq.write_table(table.slice(0, 20), path)
    else:
        pq.write_table(pa.table({"state": range(50)}).replace_schema_metadata(table.schema.metadata), path)
    with refused("losses.parquet.states.parquet doesn't hold states", "remove it"):
        read_states(losses, np.arange(50))
