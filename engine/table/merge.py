"""Ranks more rows than fit in memory, from parts in the dataset's order.

The losses are cut into ranges of so many bytes of rows; each part's rows are appended to their ranges' files, and
each range is sorted alone (a distribution sort: Knuth, The Art of Computer Programming, volume 3, 5.4). A loss that
many rows share, such as 0, gets a range of its own, which is already in order.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..arrays import Floats
from ..files import write_errors
from .ranking import rank

Parts = Callable[[], Iterator[pa.Table]]
"""Yields all parts in the dataset's order, from the start at each call."""


@dataclass(frozen=True)
class Ranges:
    """How the losses are cut into ranges."""

    size: int = 4 * 2**20
    """Bytes of the rows that are sorted together; more only if there would be too many ranges."""
    most: int = 2000
    """Largest number of ranges, since each group of parts touches the file of each range."""
    every: int = 64
    """One loss in this many is looked at to cut the ranges."""


RANGES = Ranges()


def ranked(parts: Parts, losses: Parts, rows: int, folder: Path, ranges: Ranges = RANGES) -> Iterator[pa.Table]:
    """All rows, highest loss first, ties by ascending id, then those without a loss by id; one range is in memory.

    losses: the parts with ids and losses alone. rows: number of rows in all parts. folder: for temporary files.
    """
    with write_errors(folder):
        temporary = Path(tempfile.mkdtemp(dir=folder, prefix="ranges."))
    try:
        first = next(_grouped(parts(), ranges.size))
        if len(first) == rows:
            yield rank(first)
            return
        bytes_a_row = max(1, first.nbytes // len(first))
        del first
        cuts = _cuts(losses(), max(ranges.size // bytes_a_row, rows // ranges.most, 1), ranges.every)
        with write_errors(folder):
            for group in _grouped(parts(), ranges.size):
                _distribute(group, cuts, temporary)
                pa.default_memory_pool().release_unused()  # else the pieces' holes add up to as much again
        for place in reversed(range(-1, len(cuts) + 1)):
            yield from _range(temporary / str(place), in_order=_is_one_loss(cuts, place))
            pa.default_memory_pool().release_unused()
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _grouped(parts: Iterator[pa.Table], size: int) -> Iterator[pa.Table]:
    """The parts, combined until they have at least so many bytes."""
    held: list[pa.Table] = []
    for part in parts:
        held.append(part)
        if sum(table.nbytes for table in held) >= size:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)


def _cuts(losses: Iterator[pa.Table], rows: int, every: int) -> Floats:
    """Where to cut the losses, ascending: range i holds about so many rows, above cut i - 1 and up to cut i."""
    looked_at, skip = [np.empty(0)], 0
    for part in losses:
        values = np.sort(np.asarray(part["loss"].drop_null().to_numpy(), dtype=np.float64))
        looked_at.append(values[skip::every])
        skip = (skip - len(values)) % every
    sample = np.sort(np.concatenate(looked_at))
    cuts = sample[:: max(1, rows // every)][1:]
    values, times = np.unique(cuts, return_counts=True)
    alone = values[times > 1]
    return np.unique(np.concatenate([values, alone, np.nextafter(alone, -np.inf)]))


def _is_one_loss(cuts: Floats, place: int) -> bool:
    """Whether a range holds a single loss, or none (the rows without a loss)."""
    if place < 0:
        return True
    return 0 < place < len(cuts) and bool(np.nextafter(cuts[place], -np.inf) == cuts[place - 1])


def _distribute(group: pa.Table, cuts: Floats, folder: Path) -> None:
    """Appends rows to the files of their ranges, in their order; those without a loss to range -1."""
    losses = np.asarray(pc.fill_null(group["loss"], 0.0).to_numpy(), dtype=np.float64)
    places = np.searchsorted(cuts, losses, side="left")
    places[np.asarray(pc.is_null(group["loss"]).to_numpy())] = -1
    order = np.argsort(places, kind="stable")
    sorted_rows = group.take(pa.array(order))
    starts = np.flatnonzero(np.diff(places[order], prepend=-2))
    for start, stop in zip(starts, [*starts[1:], len(order)], strict=True):
        path = folder / str(places[order[start]])
        with path.open("ab") as file, pa.ipc.new_stream(file, group.schema) as stream:
            stream.write_table(sorted_rows.slice(start, stop - start))


def _range(file: Path, in_order: bool) -> Iterator[pa.Table]:
    if not file.exists():
        return
    pieces = _read(file)
    if in_order:
        yield from pieces
    else:
        yield rank(pa.concat_tables(pieces))
    file.unlink()


def _read(file: Path) -> Iterator[pa.Table]:
    size = file.stat().st_size
    with file.open("rb") as opened:
        while opened.tell() < size:
            with pa.ipc.open_stream(opened) as stream:
                yield stream.read_all()
