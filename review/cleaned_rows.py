"""Edits the audited rows by decisions and writes them as a cleaned dataset.

The order of columns and the label's type are the source's. The source itself is never written to.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lossaudit.engine.data.containers import ending_of, writing_text
from lossaudit.engine.data.source import quiet_datasets
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.files import file_beside, folder_beside
from lossaudit.engine.table.schema import storable
from lossaudit.engine.table.text_rows import TEXT_ENDINGS, Row, write_rows

from .audited_rows import ROWS, AuditedRows
from .label_writers import LabelWriter
from .store import Decision

ORIGINAL, REVIEW, DISCARDED = "label_original", "review", "discarded"


@dataclass(frozen=True)
class Edit:
    """The changes to each row."""

    writer: LabelWriter
    decisions: Mapping[int, Decision]
    flag_discarded: bool
    review_columns: bool

    def check(self, columns: Iterable[str]) -> None:
        """Raises LossAuditError if the edit can't be made. columns: those of the source."""
        for row, decision in sorted(self.decisions.items()):
            if decision.label is not None:
                self.writer.check(row, decision.label)
        taken = sorted(set(self.added) & set(columns))
        if taken:
            raise LossAuditError(f"the dataset already has a column {taken[0]!r}, so none can be added; rename it")

    @property
    def added(self) -> list[str]:
        """Names of the added columns."""
        return [*([ORIGINAL, REVIEW] if self.review_columns else []), *([DISCARDED] if self.flag_discarded else [])]

    def row(self, place: int, row: Row) -> Row | None:
        """A row as it will be written; None if it is left out."""
        decision = self.decisions.get(place)
        verdict = decision.verdict if decision else None
        if verdict == "discard" and not self.flag_discarded:
            return None
        given = self.writer.told(row)
        if decision is not None and decision.label is not None:
            row = row | self.writer.cells(row, decision.label)
        extra = {ORIGINAL: given, REVIEW: verdict, DISCARDED: verdict == "discard"}
        return row | {name: extra[name] for name in self.added}

    def table(self, start: int, table: pa.Table) -> pa.Table:
        """Rows as they will be written; undecided rows stay unchanged and aren't copied."""
        places = range(start, start + len(table))
        decided = [self.decisions.get(place) for place in places]
        original = self._original(table) if self.review_columns else None
        relabelled = {place: d.label for place, d in enumerate(decided) if d and d.label is not None}
        if relabelled:
            table = self._relabelled(table, relabelled)
        discarded = np.array([bool(decision and decision.verdict == "discard") for decision in decided], bool)
        extra = {
            ORIGINAL: original,
            REVIEW: pa.array([decision and decision.verdict for decision in decided], pa.string()),
            DISCARDED: pa.array(discarded),
        }
        for name in self.added:
            table = table.append_column(name, extra[name])
        return table if self.flag_discarded else table.filter(pa.array(~discarded))

    def _relabelled(self, table: pa.Table, labels: Mapping[int, str]) -> pa.Table:
        """The table with new labels. labels: new labels by place in the table."""
        rows = table.select(self.writer.columns).to_pylist()
        for place, label in labels.items():
            rows[place] = self.writer.cells(rows[place], label)
        for name in self.writer.columns:
            at = table.schema.get_field_index(name)
            kind = table.schema.field(at).type
            try:
                column = pa.chunked_array([[row[name] for row in rows]], type=kind)
            except pa.ArrowException as error:
                raise LossAuditError(
                    f"column {name!r} holds {kind}, which can't hold the new labels: {error}"
                ) from error
            table = table.set_column(at, table.schema.field(at), column)
        return table

    def _original(self, table: pa.Table) -> pa.ChunkedArray | pa.Array:
        """The given labels, as a column."""
        columns = self.writer.columns
        if len(columns) == 1:
            return table[columns[0]]
        return pa.array([self.writer.told(row) for row in table.select(columns).to_pylist()], pa.string())


def write_cleaned(source: AuditedRows, edit: Edit, output: Path) -> int:
    """Writes all rows, edited, to a file, or to a saved dataset if `output` has no ending; returns their number.

    Raises LossAuditError for a file if several splits were audited.
    """
    ending = ending_of(output)
    if source.splits:
        return _write_splits(source, edit, output)
    if ending in TEXT_ENDINGS:
        rows = _edited_rows(source, edit) if source.as_text else _rows_of(_edited_tables(source, edit))
        with file_beside(output) as temporary, writing_text(temporary, output.name) as file:
            return write_rows(rows, [*source.features, *edit.added], ending, file)
    tables = _edited_tables(source, edit)
    if ending == ".parquet":
        with file_beside(output) as temporary:
            return _write_arrow(tables, lambda schema: pq.ParquetWriter(temporary, schema, compression="zstd"))
    with (
        folder_beside(output, "dataset_info.json", private=True) as folder,
        TemporaryDirectory(dir=output.parent) as beside,
    ):
        # `datasets` makes the folder's files from one file with the rows.
        stream = f"{beside}/rows.arrow"
        written = _write_arrow(tables, _stream_at(stream))
        with quiet_datasets():
            datasets.Dataset.from_file(stream).save_to_disk(folder)
        return written


def _write_splits(source: AuditedRows, edit: Edit, output: Path) -> int:
    """Writes the audited splits, edited, and the dataset's other ones as they are, to a saved dataset."""
    if ending_of(output):
        raise LossAuditError(
            f"{output} is one file, but {len(source.splits)} splits were audited; name a folder, without an ending"
        )
    written, start = 0, 0
    with (
        folder_beside(output, "dataset_dict.json", private=True) as folder,
        TemporaryDirectory(dir=output.parent) as beside,
    ):
        for name, rows in source.splits.items():
            tables = itertools.chain([(0, rows.take(0, 0))], rows.shards(ROWS))
            edited = (edit.table(start + first, table) for first, table in tables)
            written += _write_arrow(edited, _stream_at(f"{beside}/{name}.arrow"))
            start += len(rows)
        for name, rows in source.other_splits().items():
            copied = itertools.chain([rows.take(0, 0)], (table for _, table in rows.shards(ROWS)))
            _write_arrow(copied, _stream_at(f"{beside}/{name}.arrow"))
        names = source.all_splits
        with quiet_datasets():
            splits = {name: datasets.Dataset.from_file(f"{beside}/{name}.arrow") for name in names}
            datasets.DatasetDict(splits).save_to_disk(folder)
    return written


def _stream_at(path: str) -> Callable[[pa.Schema], Any]:
    return lambda schema: pa.ipc.new_stream(path, schema)


def _edited_rows(source: AuditedRows, edit: Edit) -> Iterator[Row]:
    rows = (row for piece in source.dicts() for row in piece)
    edited = (edit.row(place, row) for place, row in enumerate(rows))
    return (row for row in edited if row is not None)


def _edited_tables(source: AuditedRows, edit: Edit) -> Iterator[pa.Table]:
    start = 0
    for table in source.tables():
        yield edit.table(start, table)
        start += len(table)


def _rows_of(tables: Iterable[pa.Table]) -> Iterator[Row]:
    """The rows of tables in the form of text formats."""
    for table in tables:
        yield from pa.table({name: storable(table[name]) for name in table.column_names}).to_pylist()


def _write_arrow(tables: Iterator[pa.Table], writer_of: Callable[[pa.Schema], Any]) -> int:
    first = next(tables)
    # The features that `datasets` keeps in the schema would lack the added columns.
    schema = datasets.Features.from_arrow_schema(first.schema).arrow_schema
    with writer_of(schema) as writer:
        writer.write_table(first.cast(schema))
        written = len(first)
        for table in tables:
            writer.write_table(table.cast(schema))
            written += len(table)
    return written
