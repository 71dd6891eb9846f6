"""Copies text files with the decided cells alone changed, and reads the copy again."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from lossaudit.engine.data.containers import DataFile, packing_of, writing_bytes
from lossaudit.engine.data.csv_cells import cells_of
from lossaudit.engine.data.csv_rows import records_of
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.table.text_rows import Row

from ..audited_rows import AuditedRows, rows_written
from .comparing import DifferentError, compare_rows
from .csv_copy import CsvCopier, row_of
from .edit import Edit
from .form import Form
from .json_copy import JsonCopier


@dataclass(frozen=True)
class TextCopy(Form):
    """A text file, or several that can follow each other."""

    source: AuditedRows
    edit: Edit

    def write(self, place: Path, name: str) -> None:
        with writing_bytes(place, name) as file:
            if self.source.format == ".json":
                json_copier = JsonCopier(self.edit, file.write)
                for path in self.source.files:
                    json_copier.copy(path)
            else:
                csv_copier = CsvCopier(self.edit, file.write)
                for source in self.source.csv_files:
                    csv_copier.copy(source)

    def check(self, place: Path, name: str) -> int:
        if next(self._rows(), None) is None:  # which a dataset can't be
            return 0
        if self.source.format == ".json":
            return compare_rows(self._rows(), rows_written(place, name))
        try:
            return self._compare_csv(rows_written(place, name, self.source.asked))
        except LossAuditError:
            # Where quotes don't fit, the labels of other rows tell how they are meant: those of the source.
            if not self.source.csv_files[0].dialect.mends or len(self.source.files) > 1:
                raise
            return self._compare_csv(self._rows_in_step(place, name))

    def _compare_csv(self, found: Iterator[Row]) -> int:
        """The rows of CSV without a header are compared cell by cell, since added columns have names only there."""
        if not self.source.asked.header:
            names = list(next(self._rows(), {}))
            found = (dict(zip(names, row.values(), strict=False)) for row in found)
        return compare_rows(map(_in_texts, self._rows()), found)

    def _rows_in_step(self, place: Path, name: str) -> Iterator[Row]:
        """The rows of a CSV file that has as many lines for each record that is left as the source has."""
        (source,) = self.source.csv_files
        newline = "" if source.dialect.universal else "\n"
        columns, number = [*source.dialect.columns, *self.edit.added], 0
        with DataFile(place, self.source.format, packing_of(name)).open() as opened:
            opened.read(len(source.dialect.encoding.bom))
            lines = io.TextIOWrapper(opened, source.dialect.encoding.name, newline=newline)
            for record in records_of(source.file, source.dialect):
                if record.role == "row":
                    number += 1
                    if self.edit.row(number - 1, row_of(record, columns)) is None:
                        continue
                raw = "".join(islice(lines, len(io.StringIO(record.raw, newline=newline).readlines())))
                if record.role == "row":
                    cells = cells_of(raw, source.dialect, len(record.cells) + len(self.edit.added))
                    said = {column: cell.text for column, cell in zip(columns, cells, strict=False)}
                    yield dict.fromkeys(columns, "") | said
            if lines.read(1):
                raise DifferentError("it has more lines")

    def _rows(self) -> Iterator[Row]:
        """The rows as they should be read."""
        return self.edit.rows(chain.from_iterable(self.source.dicts()))


def _in_texts(row: Row) -> Row:
    return {name: "" if cell is None else str(cell) for name, cell in row.items()}
