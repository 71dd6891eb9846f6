"""A dataset's rows, in order and a shard at a time. A `datasets.Dataset` comes in, Arrow tables go out.

What `open_dataset` opened is read from its Arrow files from front to back, without mapping them into memory: mapped
pages count as the process's own, so that memory would grow with the rows.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
from datasets.table import ConcatenationTable, MemoryMappedTable

_READ_ROWS = 4096


@dataclass(frozen=True)
class Origin:
    """What the user gave as the dataset, so that it can be opened again."""

    name: str
    config: str | None = None
    split: str | None = None
    files: tuple[Path, ...] = ()
    """The files that the name means, in order; () for a saved or a hub dataset."""


class Rows:
    """The rows of a dataset, or the first of them."""

    def __init__(self, dataset: datasets.Dataset, origin: Origin | None = None, limit: int | None = None) -> None:
        """origin: None for a dataset that was made in memory. limit: only the first rows."""
        self._dataset = dataset.with_format("arrow")
        self.origin = origin
        self.limit = limit
        self.features: dict[str, Any] = dict(dataset.features)

    def first(self, limit: int | None) -> "Rows":
        """Only so many rows of it."""
        return Rows(self._dataset, self.origin, limit)

    def __len__(self) -> int:
        rows = len(self._dataset)
        return rows if self.limit is None else min(self.limit, rows)

    @property
    def fingerprint(self) -> str:
        """What `datasets` identifies the data by: it changes when the files do."""
        return str(self._dataset._fingerprint)

    def take(self, start: int, stop: int) -> pa.Table:
        """The rows from `start` up to `stop`."""
        return self._dataset[start : min(stop, len(self))]

    def shards(self, size: int, wanted: Callable[[int], bool] = lambda start: True) -> Iterator[tuple[int, pa.Table]]:
        """The rows in tables of `size` (the last may be shorter), each with its first row's number.

        wanted: whether the shard that begins with a row is to be given; the others are passed over.
        """
        start, held = 0, 0
        pieces: list[pa.Table] = []
        for table in self._in_order():
            pieces.append(table)
            held += len(table)
            while held >= size:
                yield from _shard(pieces, start, size, wanted)
                rest = pa.concat_tables(pieces).slice(size)
                pieces, held, start = [rest], held - size, start + size
        if held:
            yield from _shard(pieces, start, size, wanted)

    def _in_order(self) -> Iterator[pa.Table]:
        """All rows, in pieces of any size."""
        left = len(self)
        files = _files_behind(self._dataset)
        for table in self._from_dataset() if files is None else _from_files(files):
            yield table.slice(0, left)
            left -= min(left, len(table))
            if not left:
                return

    def _from_dataset(self) -> Iterator[pa.Table]:
        for start in range(0, len(self), _READ_ROWS):
            yield self.take(start, start + _READ_ROWS)


def _shard(
    pieces: list[pa.Table], start: int, size: int, wanted: Callable[[int], bool]
) -> Iterator[tuple[int, pa.Table]]:
    if wanted(start):
        yield start, pa.concat_tables(pieces).slice(0, size)


def _files_behind(dataset: datasets.Dataset) -> list[str] | None:
    """The Arrow files whose rows, one after the other, are the dataset's; None if it is another view of them."""
    table = dataset.data
    blocks = table.blocks if isinstance(table, ConcatenationTable) else [[table]]
    whole = all(
        len(side_by_side) == 1
        and isinstance(side_by_side[0], MemoryMappedTable)
        and all(replay[0] == "replace_schema_metadata" for replay in side_by_side[0].replays)
        for side_by_side in blocks
    )
    return [block.path for (block,) in blocks] if whole and dataset._indices is None else None


def _from_files(files: list[str]) -> Iterator[pa.Table]:
    for file in files:
        with pa.OSFile(file) as opened, pa.ipc.open_stream(opened) as reader:
            for batch in reader:
                yield pa.Table.from_batches([batch])
