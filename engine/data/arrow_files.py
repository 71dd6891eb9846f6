"""Copies Parquet and Arrow files as an Arrow stream of plain types (see plain_types.py), with the columns of all files.

Files come in, a file of their rows goes out.
"""

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from .containers import DataFile, unpacked
from .plain_types import NotTextsError, Plain
from .utf8 import check

ARROW_FORMATS = (".parquet", ".arrow")
_ROWS = 10_000
_IN_PIECES = {"pre_buffer": False, "buffer_size": 1 << 20}
"""Of a group of rows, no more is read ahead than this."""
_ARROW_TYPES, _NO_ARROW_TYPES = b"ARROW:schema", b"ARROW_schema"
"""Where a Parquet file keeps its columns' Arrow types, and a name of the same length that means nothing."""


@dataclass(frozen=True)
class ArrowFile:
    """A Parquet file, or an Arrow file or stream."""

    name: str
    """The name that messages have for it."""
    path: Path
    format: str
    schema: pa.Schema
    rows: int | None
    """None where they must be counted."""

    @classmethod
    def open(cls, file: DataFile, folder: Path) -> Self:
        """folder: for a copy of a compressed file."""
        path = unpacked(file, folder)
        with _opened(path, file.format) as opened:
            if isinstance(opened, pq.ParquetFile):
                rows = opened.metadata.num_rows
                return cls(str(file.path), path, file.format, opened.schema_arrow, rows)
            rows = 0 if getattr(opened, "num_record_batches", 1) == 0 else None
            return cls(str(file.path), path, file.format, opened.schema, rows)

    def tables(self) -> Iterator[pa.Table]:
        """The rows, in pieces."""
        with _opened(self.path, self.format) as file:
            if isinstance(file, pq.ParquetFile):
                batches = file.iter_batches(_ROWS)
            elif isinstance(file, pa.RecordBatchFileReader):
                batches = (file.get_batch(number) for number in range(file.num_record_batches))
            else:
                batches = iter(file)
            for batch in batches:
                table = pa.Table.from_batches([batch])
                if self.format == ".arrow":
                    check(table)
                yield from (table.slice(start, _ROWS) for start in range(0, len(table), _ROWS))

    def count(self) -> int:
        """How many rows there are."""
        return sum(map(len, self.tables())) if self.rows is None else self.rows


def copy_arrow(files: Sequence[ArrowFile], copy: Path) -> tuple[int, tuple[str, ...]]:
    """Writes the rows of all files to `copy`; gives their number, and what to tell about them.

    Files without rows don't count: their columns often have no types. Raises LossAuditError where files don't fit
    together, and whatever Arrow raises for damaged ones.
    """
    with_rows = [file for file in files if file.rows != 0] or files[:1]
    as_bytes: set[str] = set()
    while True:
        plain = Plain.of({file.name: file.schema for file in with_rows}, as_bytes)
        try:
            return _copied(with_rows, plain, copy), plain.notes
        except NotTextsError as error:
            as_bytes.add(error.column)


def _copied(files: Sequence[ArrowFile], plain: Plain, copy: Path) -> int:
    rows = 0
    with pa.ipc.new_stream(str(copy), plain.features.arrow_schema) as writer:
        for file in files:
            for table in file.tables():
                writer.write_table(plain.table(table))
                rows += len(table)
    return rows


@contextmanager
def _opened(path: Path, format: str) -> Iterator[Any]:
    if format == ".parquet":
        try:
            parquet = pq.ParquetFile(path, **_IN_PIECES)
        except pa.ArrowNotImplementedError:  # such as polars' whole numbers of 128 bits
            parquet = pq.ParquetFile(_WithoutArrowTypes(path), **_IN_PIECES)
        with parquet:
            yield parquet
        return
    with pa.OSFile(str(path)) as file:
        is_stream = file.read(1) == b"\xff"
        file.seek(0)
        with pa.ipc.open_stream(file) if is_stream else pa.ipc.open_file(file) as reader:
            yield reader


class _WithoutArrowTypes(io.FileIO):
    """A Parquet file that doesn't tell its columns' Arrow types, so that they are Parquet's own."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        size = os.fstat(self.fileno()).st_size
        self.seek(size - 8)
        self._footer_at = size - 8 - int.from_bytes(super().read(4), "little")
        self.seek(self._footer_at)
        self._footer = super().read().replace(_ARROW_TYPES, _NO_ARROW_TYPES)
        self.seek(0)

    def read(self, size: int | None = -1) -> bytes:
        at = self.tell()
        data = super().read(-1 if size is None else size) or b""
        start = max(at, self._footer_at)
        if start < at + len(data):
            told = self._footer[start - self._footer_at : at + len(data) - self._footer_at]
            data = data[: start - at] + told
        return data
