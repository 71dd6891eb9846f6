"""Copies text files with the decided cells alone changed, and reads the copy again."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from lossaudit.engine.data.containers import writing_bytes
from lossaudit.engine.table.text_rows import Row

from ..audited_rows import AuditedRows, pieces_of_text, written
from .comparing import compare_rows
from .edit import Edit
from .json_copy import JsonCopier


@dataclass(frozen=True)
class JsonCopy:
    """A JSON file, or several with an object per line, one after the other."""

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
            copier = JsonCopier(self.edit, file.write)
            for source in self.source.files:
                copier.copy(source)

    def check(self, place: Path, name: str) -> int:
        return compare_rows(self._expected(), chain.from_iterable(pieces_of_text(written(place, name))))

    def _expected(self) -> Iterator[Row]:
        for place, row in enumerate(chain.from_iterable(self.source.dicts())):
            edited = self.edit.row(place, row)
            if edited is not None:
                yield edited
