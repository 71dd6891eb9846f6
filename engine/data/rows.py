"""A dataset's rows as Arrow tables, in order and one shard at a time.

What `open_dataset` opened is read from its Arrow files from front to back, without mapping them into memory: mapped
pages count as the process's own, so memory would grow with the number of rows.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import datasets
import pyarrow as pa
from datasets.table import ConcatenationTable, MemoryMappedTable

from ..errors import SAME_AGAIN, LossAuditError, Note, brief
from ..scratch import Scratch
from .csv_dialect import NOTHING_ASKED, Asked, Dialect
from .utf8 import check

_READ_ROWS = 4096


@dataclass(frozen=True)
class Split:
    """One of several splits that are read as one dataset, one after another."""

    name: str
    rows: int


@dataclass(frozen=True)
class Origin:
    """The dataset as the user named it, so that it can be opened again."""

    name: str | None
    """None for splits in memory, which can't be."""
    config: str | None = None
    split: str | None = None
    files: tuple[Path, ...] = ()
    """The files that the name stands for, in order; () for a saved or a hub dataset."""
    splits: tuple[Split, ...] = ()
    """The splits that are read as one dataset, in order, with all of their rows; () where it is a single one."""
    all_splits: tuple[str, ...] = ()
    """The names of all splits that the dataset has."""
    asked: Asked = NOTHING_ASKED
    """How CSV and TSV files are written, where the user says so."""
    dialects: tuple[Dialect | None, ...] = ()
    """How each CSV or TSV file is written; None for one without anything."""


class Rows:
    """The rows of a dataset, or the first of them."""

    def __init__(
        self,
        dataset: datasets.Dataset,
        origin: Origin | None = None,
        fingerprint: str | None = None,
        scratch: Scratch | None = None,
        notes: tuple[Note, ...] = (),
        looks: Mapping[str, pa.DataType] | None = None,
    ) -> None:
        """origin: None for a dataset that was made in memory. fingerprint: None for the one of `datasets`.
        scratch: the folder of the dataset's Arrow files, if it is to be deleted with the rows. notes: on its reading.
        looks: of columns of texts, the type that all cells can be read as.
        """
        self.origin = origin
        self.notes = notes
        """What a person should know of how the dataset was read, each a line in pieces of a message."""
        self._scratch = scratch
        self.features: dict[str, Any] = dict(dataset.features)
        self.looks = self.features | {name: datasets.Value(str(kind)) for name, kind in (looks or {}).items()}
        """The features as they would be if columns of texts that are all numbers, or nothing, were of that type."""
        self.fingerprint = fingerprint or str(dataset._fingerprint)
        """Identifier of the data, which changes when they do."""
        self._rows = len(dataset)
        self._files = _files_behind(dataset)
        # A dataset in files isn't held: the mapping alone would take half of its memory.
        self._dataset = dataset.with_format("arrow") if self._files is None else None

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that are read as one dataset; () where it is a single one."""
        return self.origin.splits if self.origin else ()

    def first(self, limit: int | None) -> Self:
        """The first `limit` rows; all if None."""
        rows = copy.copy(self)
        rows._rows = self._rows if limit is None else min(limit, self._rows)
        return rows

    def close(self) -> None:
        """Deletes the working copy of a dataset in files, which can't be read any more."""
        if self._scratch is not None:
            self._scratch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self._rows

    def take(self, start: int, stop: int) -> pa.Table:
        """The rows from `start` up to `stop`; the files of a dataset in files are mapped into memory for it."""
        if self._dataset is None:
            mapped = [datasets.Dataset.from_file(file) for file in self._files or ()]
            self._dataset = datasets.concatenate_datasets(mapped).with_format("arrow")
        return self._dataset[start : min(stop, len(self))]

    def shards(self, size: int, wanted: Callable[[int], bool] = lambda start: True) -> Iterator[tuple[int, pa.Table]]:
        """The rows in tables of `size` (the last may be shorter), each with its first row's number.

        wanted: whether to yield the shard that begins with a row; the others are skipped.
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
        for table in self._from_dataset() if self._files is None else _from_files(self._files):
            yield table.slice(0, left)
            left -= min(left, len(table))
            if not left:
                return
        raise LossAuditError("the dataset changed while it was read: it has fewer rows now; ", SAME_AGAIN)

    def _from_dataset(self) -> Iterator[pa.Table]:
        for start in range(0, len(self), _READ_ROWS):
            yield self.take(start, start + _READ_ROWS)


def _shard(
    pieces: list[pa.Table], start: int, size: int, wanted: Callable[[int], bool]
) -> Iterator[tuple[int, pa.Table]]:
    if wanted(start):
        yield start, pa.concat_tables(pieces).slice(0, size)


def _files_behind(dataset: datasets.Dataset) -> list[str] | None:
    """The Arrow files whose rows, in order, are the dataset's; None if the dataset is another view of them."""
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
        try:
            with pa.OSFile(file) as opened, pa.ipc.open_stream(opened) as reader:
                for batch in reader:
                    table = pa.Table.from_batches([batch])
                    check(table)
                    yield table
        except (OSError, pa.ArrowException) as error:
            raise LossAuditError(f"{file} is damaged: {brief(error)}") from error
