"""The states that `fit` keeps beside its losses, from which heads are fitted again on corrected labels.

They are rounded to bytes, a quarter of their size; rows are in the dataset's order.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..arrays import Floats32, Ints
from ..errors import LossAuditError, brief
from ..files import file_beside
from .learned import fingerprint

STEPS = 16
"""Steps of a kept state per deviation of its dimension over all rows."""
_MOST_STEPS = 127
_STATE, _KEY = "state", b"lossaudit_losses"
_PIECE_CELLS = 8_000_000

Bytes = NDArray[np.int8]


def states_path(losses_path: Path) -> Path:
    """The path of the states of a losses file: beside it, with its whole name."""
    return losses_path.with_name(f"{losses_path.name}.states.parquet")


def write_states(states: Floats32, losses_path: Path) -> Path:
    """Writes the states (rows, hidden) of a losses file beside it; a row without a state has NaN there.

    Raises LossAuditError if they can't be written.
    """
    path, hidden = states_path(losses_path), states.shape[1]
    mean, deviation = _moments(states)
    schema = pa.schema([(_STATE, pa.binary(hidden))], metadata={_KEY: fingerprint(losses_path).encode()})
    with (
        file_beside(path) as beside,
        pq.ParquetWriter(
            beside,
            schema,
            compression="zstd",
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=True,
        ) as writer,
    ):
        for piece in _pieces(states):
            steps = np.rint((piece - mean) / deviation * STEPS).clip(-_MOST_STEPS, _MOST_STEPS)
            missing = ~np.isfinite(steps).all(axis=1)
            rounded = np.where(missing[:, None], 0, steps).astype(np.int8)
            valid = pa.array(~missing).buffers()[1]
            buffers = [valid, pa.py_buffer(rounded)]
            cells = pa.FixedSizeBinaryArray.from_buffers(schema.field(0).type, len(rounded), buffers)
            writer.write_table(pa.table([cells], schema=schema))
    return path


def read_states(losses_path: Path, ids: Ints) -> Bytes | None:
    """The states (ids, hidden) of some rows, in STEPS; all 0 where a row has none.

    None where there is no file, or only that of a table which was there before. Raises LossAuditError if the file can't
    be read.
    """
    path = states_path(losses_path)
    if not path.is_file() or not losses_path.is_file():
        return None
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            schema = file.schema_arrow
            if (schema.metadata or {}).get(_KEY) != fingerprint(losses_path).encode():
                return None
            kind = schema.field(_STATE).type
            if not pa.types.is_fixed_size_binary(kind):
                raise ValueError(f"the column {_STATE!r} is of the type {kind}")
            hidden = kind.byte_width
            states, filled = np.zeros((file.metadata.num_rows, hidden), dtype=np.int8), 0
            for batch in file.iter_batches(columns=[_STATE]):
                column = batch[_STATE]
                cells = np.frombuffer(column.buffers()[1], dtype=np.int8).reshape(-1, hidden)
                found = cells[column.offset : column.offset + len(column)]
                states[filled : filled + len(column)] = (
                    found * column.is_valid().to_numpy(zero_copy_only=False)[:, None]
                )
                filled += len(column)
        return states[ids]
    except (OSError, ValueError, KeyError, IndexError, pa.ArrowException) as error:
        raise LossAuditError(f"{path} doesn't hold states, or is damaged: {brief(error)}; remove it") from error


def _moments(states: Floats32) -> tuple[Floats32, Floats32]:
    """Mean and deviation of each dimension, over the rows that have a state; 1 for a dimension that is constant."""
    rows, sums, squares = 0, np.zeros(states.shape[1]), np.zeros(states.shape[1])
    for piece in _pieces(states):
        there = piece[np.isfinite(piece).all(axis=1)].astype(np.float64)
        rows, sums, squares = rows + len(there), sums + there.sum(axis=0), squares + (there**2).sum(axis=0)
    mean = sums / max(1, rows)
    deviation = np.sqrt(np.maximum(squares / max(1, rows) - mean**2, 0))
    deviation[deviation <= 1e-6 * max(1.0, float(np.abs(mean).max()))] = 1.0
    return mean.astype(np.float32), deviation.astype(np.float32)


def _pieces(states: Floats32) -> Iterator[Floats32]:
    at_once = max(1, _PIECE_CELLS // states.shape[1])
    for start in range(0, len(states), at_once):
        yield states[start : start + at_once]
