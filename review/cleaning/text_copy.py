"""Copies text files with the decided cells alone changed, and reads the copy again."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from lossaudit.engine.data.containers import writing_bytes
from lossaudit.engine.table.text_rows import Row

from ..audited_rows import AuditedRows, rows_written
from .comparing import compare_rows
from .csv_copy import CsvCopier
from .edit import Edit
from .json_copy import JsonCopier


@dataclass(frozen=True)
class TextCopy:
    """A text file, or several that can follow each other."""

    source: AuditedRows
    edit: Edit

    @property
    def lost(self) -> str | None:
        return None

    @property
    def has_splits(self) -> bool:
        return False

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
        rows = self._rows()
        first = next(rows, None)
        if first is None:  # which a dataset can't be
            return 0
        found = rows_written(place, name, self.source.asked)
        if self.source.format == ".json":
            return compare_rows(chain([first], rows), found)
        if not self.source.asked.header:
            found = (dict(zip(first, row.values(), strict=False)) for row in found)
        return compare_rows(map(_in_texts, chain([first], rows)), found)

    def _rows(self) -> Iterator[Row]:
        """The rows as they should be read."""
        for place, row in enumerate(chain.from_iterable(self.source.dicts())):
            edited = self.edit.row(place, row)
            if edited is not None:
                yield edited


def _in_texts(row: Row) -> Row:
    return {name: "" if cell is None else str(cell) for name, cell in row.items()}
