"""Writes a cleaned dataset anew, where it gets another format than its source has, or several files become one."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from lossaudit.engine.data.containers import writing_text
from lossaudit.engine.data.first_bytes import TEXT_FORMATS
from lossaudit.engine.data.rows import Rows
from lossaudit.engine.data.source import open_dataset, quiet_datasets
from lossaudit.engine.table.schema import storable
from lossaudit.engine.table.text_rows import Row, as_written, write_rows

from ..audited_rows import ROWS, AuditedRows, rows_written
from .comparing import compare_rows, compare_tables
from .edit import Edit
from .form import Form


@dataclass(frozen=True)
class NewText(Form):
    """A text file."""

    source: AuditedRows
    edit: Edit
    ending: str
    """Of its format."""

    @property
    def lost(self) -> str | None:
        if self.source.format == ".json":
            return "the source's JSON as it is written: spacing, escapes, order of names"
        if self.source.format in (".csv", ".tsv"):
            return "the source's CSV as it is written: quotes, line endings, encoding"
        return _lost_of_arrow(self.source, "types and metadata")

    def write(self, place: Path, name: str) -> None:
        with writing_text(place, name) as file:
            write_rows(self._rows(), self._columns, self.ending, file)

    def check(self, place: Path, name: str) -> int:
        expected = (as_written(row, self._columns, self.ending) for row in self._rows())
        return compare_rows(expected, rows_written(place, name))

    @property
    def _columns(self) -> list[str]:
        return [*self.source.features, *self.edit.added]

    def _rows(self) -> Iterator[Row]:
        if self.source.as_text:
            return self.edit.rows(chain.from_iterable(self.source.dicts()))
        tables = self.edit.tables(self.source.tables())
        return chain.from_iterable(
            pa.table({name: storable(table[name]) for name in table.column_names}).to_pylist() for table in tables
        )


@dataclass(frozen=True)
class NewFile(Form):
    """A Parquet, Arrow or Feather file."""

    source: AuditedRows
    edit: Edit
    ending: str
    """Of its format."""

    @property
    def lost(self) -> str | None:
        return _lost_as_arrow(self.source)

    def write(self, place: Path, name: str) -> None:  # noqa: ARG002
        tables = self.edit.tables(self.source.tables())
        first = next(tables)
        schema = _schema(first)
        parquet = self.ending == ".parquet"
        with (
            pq.ParquetWriter(place, schema, compression="zstd") if parquet else pa.ipc.new_file(place, schema) as writer
        ):
            for table in chain([first], tables):
                writer.write_table(table.cast(schema))

    def check(self, place: Path, name: str) -> int:  # noqa: ARG002
        expected = self.edit.tables(self.source.tables())
        if self.ending == ".parquet":
            with pq.ParquetFile(place) as file:
                return compare_tables(expected, map(_table, file.iter_batches(ROWS)))
        with pa.memory_map(str(place)) as mapped, pa.ipc.open_file(mapped) as reader:
            return compare_tables(expected, map(_table, map(reader.get_batch, range(reader.num_record_batches))))


@dataclass(frozen=True)
class NewFolder(Form):
    """A saved dataset."""

    source: AuditedRows
    edit: Edit

    @property
    def lost(self) -> str | None:
        return _lost_as_arrow(self.source)

    @property
    def has_splits(self) -> bool:
        return bool(self.source.splits)

    def write(self, place: Path, name: str) -> None:  # noqa: ARG002
        # `datasets` makes the folder's files from one file with the rows of each split.
        with TemporaryDirectory(dir=place.parent) as beside, quiet_datasets():
            saved = {}
            for split, tables in self._splits().items():
                stream = f"{beside}/{split}.arrow"
                first = next(tables)
                schema = _schema(first)
                with pa.ipc.new_stream(stream, schema) as writer:
                    for table in chain([first], tables):
                        writer.write_table(table.cast(schema))
                saved[split] = datasets.Dataset.from_file(stream)
            (datasets.DatasetDict(saved) if self.source.splits else saved[""]).save_to_disk(place)

    def check(self, place: Path, name: str) -> int:  # noqa: ARG002
        rows = 0
        audited = {*self.source.splits} or {""}
        for split, tables in self._splits().items():
            with open_dataset(str(place), split=split or None) as found:
                count = compare_tables(tables, (table for _, table in found.shards(ROWS)))
            rows += count if split in audited else 0
        return rows

    def _splits(self) -> dict[str, Iterator[pa.Table]]:
        """The rows of each split, or of the one dataset."""
        if not self.source.splits:
            return {"": self.edit.tables(self.source.tables())}
        found, start = {}, 0
        for split, rows in self.source.splits.items():
            found[split] = self.edit.tables(_tables(rows), start)
            start += len(rows)
        found |= {split: _tables(rows) for split, rows in self.source.other_splits().items()}
        return {split: found[split] for split in self.source.all_splits}


def _table(batch: pa.RecordBatch) -> pa.Table:
    return pa.Table.from_batches([batch])


def _lost_as_arrow(source: AuditedRows) -> str:
    if source.format in TEXT_FORMATS:
        return "the source's values as they are written, since they get types"
    return _lost_of_arrow(source, "metadata of the source beside the rows")


def _lost_of_arrow(source: AuditedRows, what: str) -> str:
    others = ", ".join(split for split in source.all_splits if split != source.split)
    return f"{what}, and the other splits ({others})" if others else what


def _tables(rows: Rows) -> Iterator[pa.Table]:
    """The rows of a split, and before them a table without any."""
    return chain([rows.take(0, 0)], (table for _, table in rows.shards(ROWS)))


def _schema(table: pa.Table) -> pa.Schema:
    # The features that `datasets` keeps in the schema would lack the added columns.
    return datasets.Features.from_arrow_schema(table.schema).arrow_schema
