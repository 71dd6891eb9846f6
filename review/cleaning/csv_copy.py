"""Copies CSV and TSV files: the decided cells are replaced, in the quotes that they had, and every other byte stays."""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import IO

from lossaudit.engine.data.csv_cells import Cell, cells_of
from lossaudit.engine.data.csv_dialect import Quotes
from lossaudit.engine.data.csv_rows import Record, records_of
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.table.text_rows import Row

from ..audited_rows import CsvSource
from .edit import ORIGINAL, Edit

_SAMPLE = 1000
"""Rows that show whether labels are in quotes."""
_HELD = 1 << 16
"""Characters that are compared with the file's bytes at once."""


class CsvCopier:
    """Copies CSV files, one after the other, with the changes of an edit."""

    def __init__(self, edit: Edit, write: Callable[[bytes], object]) -> None:
        self._edit, self._write = edit, write
        self._place = 0
        """The number of the next row."""
        self._is_ended = True
        """Whether what was written last ends a line."""

    def copy(self, source: CsvSource) -> None:
        """Copies a file; of those after the first, the rows alone.

        Raises LossAuditError for an encoding whose bytes can't be kept, and for labels that the file can't hold.
        """
        is_first = self._place == 0
        cells = _Cells(self._edit, source)
        with source.file.open() as opened:
            mark = opened.read(len(source.dialect.encoding.bom))
            end = "" if self._is_ended else source.dialect.line_end
            self._write(mark if is_first else end.encode(source.dialect.encoding.name))
            pieces = _Pieces(opened, source.dialect.encoding.name, self._write)
            for record in records_of(source.file, source.dialect):
                if record.role == "row":
                    self._row(record, cells, pieces)
                elif not is_first and record.role != "blank":
                    pieces.skip(record.raw)
                elif record.role == "header" and self._edit.added:
                    pieces.change(record.raw, cells.header(record))
                else:
                    pieces.keep(record.raw)
            pieces.close()

    def _row(self, record: Record, cells: "_Cells", pieces: "_Pieces") -> None:
        place = self._place
        self._place += 1
        if not self._edit.concerns(place):
            pieces.keep(record.raw)
        else:
            row = row_of(record, cells.columns)
            new = self._edit.row(place, row)
            if new is None:
                pieces.skip(record.raw)
                return
            pieces.change(record.raw, cells.changed(record, row, new))
        self._is_ended = record.raw.endswith(("\n", "\r"))


def row_of(record: Record, columns: Sequence[str]) -> Row:
    """A record's cells by column; None where it has none."""
    return dict(zip(columns, [*record.cells, *[None] * (len(columns) - len(record.cells))], strict=False))


Changed = list[tuple[int, int, str]]
"""Places in a record's text, and what comes there."""


class _Cells:
    """How the cells of a file are written."""

    def __init__(self, edit: Edit, source: CsvSource) -> None:
        self._edit, self._dialect = edit, source.dialect
        self.columns = source.dialect.columns
        self._labels = [self.columns.index(name) for name in edit.writer.columns]
        rows = (record for record in records_of(source.file, source.dialect) if record.role == "row")
        self._quotes_labels = self._are_quoted(list(islice(rows, _SAMPLE)))

    def header(self, record: Record) -> Changed:
        """What puts the names of the added columns into the header."""
        names = [self._written(name, quoted=self._quotes_labels) for name in self._edit.added]
        return self.with_added(self._cells(record), names, len(record.cells))

    def changed(self, record: Record, row: Row, new: Row) -> Changed:
        """What makes a record say `new`, where it says `row` now."""
        cells = self._cells(record)
        changes: Changed = []
        filled = len(cells)
        for at in sorted(self._labels):
            name = self.columns[at]
            if new[name] == row[name]:
                continue
            text = "" if new[name] is None else str(new[name])
            if at < len(cells):
                changes.append((cells[at].start, cells[at].stop, self._rewritten(record.raw, cells[at], text)))
            else:
                gap = self._dialect.separator * (at + 1 - filled)
                changes.append((cells[-1].stop, cells[-1].stop, gap + self._written(text)))
                filled = at + 1
        extra = [self._extra(name, record.raw, cells, new) for name in self._edit.added]
        return changes + self.with_added(cells, extra, filled)

    def with_added(self, cells: Sequence[Cell], texts: Sequence[str], filled: int) -> Changed:
        """What puts cells behind the last column. filled: how many cells a record has by then."""
        if not texts:
            return []
        separator, width = self._dialect.separator, self._dialect.width
        at = cells[min(len(cells), width) - 1].stop
        return [(at, at, separator * (width - filled) + "".join(separator + text for text in texts))]

    def _extra(self, name: str, raw: str, cells: Sequence[Cell], new: Row) -> str:
        if name == ORIGINAL and len(self._labels) == 1:
            (at,) = self._labels
            return raw[cells[at].start : cells[at].stop] if at < len(cells) else ""
        value = new[name]
        return self._written("" if value is None else str(value), quoted=self._quotes_labels)

    def _rewritten(self, raw: str, cell: Cell, text: str) -> str:
        """A cell with another text, in quotes if it is now."""
        old = raw[cell.start : cell.stop]
        if not old:
            return self._written(text)
        blanks = old[: len(old) - len(old.lstrip(" "))] if self._dialect.skips_blanks else ""
        return blanks + self._written(text, quoted=self._is_quoted(old))

    def _written(self, text: str, quoted: bool | None = None) -> str:
        """A text as a cell. quoted: whether it is in quotes if it needn't be; None for what is usual."""
        mark = self._dialect.quotes.mark
        special = (self._dialect.separator, mark, "\r", "\n", *("\\" * (self._dialect.quotes is Quotes.BACKSLASH)))
        needs = any(sign in text for sign in special) or (self._dialect.skips_blanks and text != text.strip(" "))
        if self._dialect.quotes is Quotes.NONE:
            if any(sign in text for sign in (self._dialect.separator, "\r", "\n")):
                raise LossAuditError(
                    f"the label {text!r} can't be written, since the file separates cells by "
                    f"{self._dialect.separator!r} and has no quotes; change these decisions"
                )
            return text
        if not needs and not (self._quotes_labels if quoted is None else quoted):
            return text
        if self._dialect.quotes is Quotes.BACKSLASH:
            text = text.replace("\\", "\\\\").replace(mark, f"\\{mark}")
        else:
            text = text.replace(mark, mark * 2)
        return f"{mark}{text}{mark}"

    def _cells(self, record: Record) -> list[Cell]:
        return cells_of(record.raw, self._dialect, len(record.cells))

    def _are_quoted(self, records: Sequence[Record]) -> bool:
        """Whether most labels are in quotes."""
        olds = []
        for record in records:
            cells = self._cells(record)
            olds += [record.raw[cells[at].start : cells[at].stop] for at in self._labels if at < len(cells)]
        olds = [old for old in olds if old]
        return sum(map(self._is_quoted, olds)) * 2 > len(olds)

    def _is_quoted(self, old: str) -> bool:
        return self._dialect.quotes is not Quotes.NONE and old.lstrip(" ").startswith(self._dialect.quotes.mark)


class _Pieces:
    """The bytes of a file, which its records say in order: kept, passed over, or changed."""

    def __init__(self, opened: IO[bytes], encoding: str, write: Callable[[bytes], object]) -> None:
        self._opened, self._encoding, self._write = opened, encoding, write
        self._kept: list[str] = []
        self._held = 0

    def keep(self, text: str) -> None:
        self._kept.append(text)
        self._held += len(text)
        if self._held > _HELD:
            self.close()

    def skip(self, text: str) -> None:
        self.close()
        self._bytes_of(text)

    def change(self, text: str, changes: Changed) -> None:
        here = 0
        for start, stop, new in sorted(changes, key=lambda change: change[:2]):
            self.keep(text[here:start])
            self.skip(text[start:stop])
            try:
                self._write(new.encode(self._encoding))
            except UnicodeEncodeError as error:
                raise LossAuditError(
                    f"the label {new!r} can't be written in {self._encoding}; change these decisions, or write the "
                    "cleaned dataset as JSON or Parquet"
                ) from error
            here = stop
        self.keep(text[here:])

    def close(self) -> None:
        """Writes what was kept."""
        self._write(self._bytes_of("".join(self._kept)))
        self._kept, self._held = [], 0

    def _bytes_of(self, text: str) -> bytes:
        """The next bytes of the file, which say a text."""
        encoded = text.encode(self._encoding)
        content = self._opened.read(len(encoded))
        if content != encoded and content.decode(self._encoding, "replace") != text:
            raise LossAuditError(
                f"its encoding, {self._encoding}, has several ways to write a text, so its bytes can't be kept; write "
                "the cleaned dataset as JSON or Parquet"
            )
        return content
