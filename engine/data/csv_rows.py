"""The records of a CSV or TSV file, one after the other, each with its own text. A file and its `Dialect` come in.

Python's csv module cuts records into cells. What it would read otherwise than it is meant, since quotes don't fit, is
found here: the line is read by itself, or the file by another dialect (`other_dialects`), or it is refused.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Literal, NamedTuple, NoReturn

from .bad_lines import BadLineError
from .containers import DataFile
from .csv_cells import cells_of
from .csv_dialect import Dialect, Quotes
from .csv_lines import LONGEST, blocks_of, decoded

csv.field_size_limit(max(csv.field_size_limit(), LONGEST))
_BEFORE = 50
"""Lines before a record that are held, to compare it with."""


Role = Literal["row", "header", "separator", "blank"]


class Record(NamedTuple):
    """A record of a file; the texts of all records, one after the other, are the file's text without its mark."""

    line: int
    """The number of its first line, from 1."""
    raw: str
    """Its text as it is in the file, with quotes, escapes and line ends."""
    cells: list[str]
    """As they were meant; as many as there are, not as many as there are columns."""
    role: Role
    """A row of the dataset; the header; a line such as `sep=;`; or a line without anything."""


class MisreadError(BadLineError):
    """A file isn't written as its dialect says, but maybe as another one does."""

    def __init__(self, why: str, line: int, is_certain: bool) -> None:
        """is_certain: whether quotes don't fit for sure."""
        super().__init__(why, line)
        self.is_certain = is_certain


def records_of(file: DataFile, dialect: Dialect) -> Iterator[Record]:
    """All records of a file. dialect: how `open_dataset` read it, which its `Origin` holds.

    Raises BadLineError where a record can't be read.
    """
    parser, blocks = Parser(dialect), blocks_of(file, dialect.encoding, dialect.universal)
    for block in blocks:
        parser.add(block)
        for cells, role in parser.records(blocks):
            yield Record(parser.line, parser.raw, cells, role)


def other_dialects(file: DataFile, dialect: Dialect, error: MisreadError) -> Iterator[Dialect]:
    """The dialects that a file may be written in, if not in the one that its first records tell."""
    if dialect.quotes in (Quotes.BACKSLASH, Quotes.SINGLE):
        dialect = replace(dialect, quotes=Quotes.DOUBLED, mends=False)
        yield dialect
    elif any(b'\\"' in block for block in blocks_of(file, dialect.encoding, dialect.universal)):
        yield replace(dialect, quotes=Quotes.BACKSLASH)
    if dialect.separator == "\t":
        yield replace(dialect, quotes=Quotes.NONE)
    if error.is_certain:
        yield replace(dialect, mends=True)
    elif dialect.separator == "\t":
        yield replace(dialect, trusts_quotes=True)


class Parser:
    """Cuts blocks of lines into records. `blocks_of` gives them; a record may begin in one and end in another."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self._lines: list[str] = []
        self._first = 1
        """The number of the first line that is held."""
        self._begun = self._at = 0
        """The record that is read: its first line, and that after its last, among those held."""
        self._skipped = b""
        """The last block that was passed over."""
        self._roles = _roles_of(dialect)
        self.mended: list[int] = []
        """The numbers of lines whose quotes didn't fit, so that they were taken for text."""

    @property
    def raw(self) -> str:
        """The text of the record that was read last."""
        return "".join(self._lines[self._begun : self._at])

    @property
    def line(self) -> int:
        """The number of the first line of the record that was read last, or of the next block."""
        return self._first + self._begun

    def add(self, block: bytes) -> None:
        """Takes in a block, which `records` reads next."""
        if self._skipped:
            last = self._skipped.removesuffix(b"\n").rsplit(b"\n", _BEFORE)[-_BEFORE:]
            self._lines = [line.decode() + "\n" for line in last]
            self._first -= len(self._lines)
            self._begun = self._at = len(self._lines)
            self._skipped = b""
        text = decoded(block, self._first + len(self._lines))
        self._hold(io.StringIO(text, newline="" if self.dialect.universal else "\n"))

    def skip(self, block: bytes, lines: int) -> None:
        """Passes over a block of so many lines that was read otherwise, a record each."""
        if lines <= _BEFORE:
            self.add(block)
            self._begun = self._at = len(self._lines)
            return
        self._first += len(self._lines) + lines
        self._begun = self._at = 0
        self._lines, self._skipped = [], block

    @property
    def awaits_header(self) -> bool:
        """Whether the header is still to come."""
        return bool(self._roles)

    def behind_header(self, block: bytes, blocks: Iterator[bytes]) -> bytes:
        """What follows the header in a block, which `add` or `skip` takes next."""
        self.add(block)
        records = self.records(blocks)
        while self.awaits_header and next(records, None):
            pass
        rest = "".join(self._lines[self._at :]).encode()
        del self._lines[self._at :]
        return rest

    def records(self, blocks: Iterator[bytes]) -> Iterator[tuple[list[str], Role]]:
        """The cells of the records of what was added. The last may need further blocks, whose rest is read too.

        Raises BadLineError, and MisreadError unless the dialect mends.
        """
        reader = self._reader(blocks)
        while True:
            self._begun = self._at
            if self._at == len(self._lines):
                return
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                cells = self._mended(error)
                reader = self._reader(blocks)
            else:
                if self._at > self._begun + 1:
                    at, cells = self._at, self._single_lines(cells)
                    reader = reader if at == self._at else self._reader(blocks)
            yield self._told(cells)

    def _told(self, cells: list[str]) -> tuple[list[str], Role]:
        width = self.dialect.width
        if not cells:
            return [], "blank"
        if self._roles:
            return cells, self._roles.pop(0)
        if len(cells) < width and self._doubts_quotes:
            self._check_tabs()
        if width > 1 and len(cells) == 1 and not cells[0].strip():
            return [], "blank"
        if len(cells) > width and any(cells[width:]):
            than = (
                f"the header ({len(cells)}, not {width})"
                if self.dialect.header
                else f"line 1 ({len(cells)}, not {width})"
            )
            self._refuse(f"has more cells than {than}")
        return cells, "row"

    def _reader(self, blocks: Iterator[bytes]) -> Iterator[list[str]]:
        lines = self._fed(blocks)
        if self.dialect.quotes is Quotes.NONE:
            return self._unquoted(lines)
        return csv.reader(lines, **self.dialect.format, strict=True)

    def _fed(self, blocks: Iterator[bytes]) -> Iterator[str]:
        escaped = self.dialect.quotes is Quotes.BACKSLASH
        while True:
            while self._at < len(self._lines):
                line = self._lines[self._at]
                self._at += 1
                yield _OTHER_ESCAPES.sub(_kept, line) if escaped and "\\" in line else line
            block = next(blocks, None)
            if block is None:
                return
            self.add(block)

    def _unquoted(self, lines: Iterator[str]) -> Iterator[list[str]]:
        separator = self.dialect.separator
        for line in lines:
            text = line.rstrip("\r\n")
            cells = text.split(separator) if text else []
            if cells and not (len(cells) == self.dialect.width or self._roles) and not self._is_longer(cells):
                self._refuse(f"has {len(cells)} cells, not {self.dialect.width}")
            yield cells

    def _is_longer(self, cells: list[str]) -> bool:
        return len(cells) > self.dialect.width and not any(cells[self.dialect.width :])

    def _hold(self, lines: Iterable[str]) -> None:
        """Adds lines, and forgets those long before the record that is read."""
        gone = max(0, self._begun - _BEFORE)
        del self._lines[:gone]
        self._first, self._begun, self._at = self._first + gone, self._begun - gone, self._at - gone
        self._lines.extend(lines)

    def _mended(self, error: csv.Error) -> list[str]:
        """The cells of the first line of a record that can't be read, if that is one by itself."""
        lines = self._lines[self._begun : self._at]
        cells = cells_of(lines[0], self.dialect, self.dialect.width)
        fits = len(cells) == self.dialect.width or bool(self._roles)
        if not fits or len(lines) > 1 or not all(cell.fits for cell in cells):  # else it has a lone carriage return
            if not fits or not self.dialect.mends or (len(lines) > 1 and not self._are_rows(lines)):
                is_open = len(lines) > 1 or "unexpected end" in str(error)
                what = "opens a quoted cell that isn't closed" if is_open else "has text behind a quoted cell"
                if "field limit" in str(error):
                    what = f"opens a cell longer than {LONGEST >> 20} MB"
                self._refuse(f"{what}; a quote in a quoted cell must be written twice", certain=True)
            self.mended.append(self.line)
        self._at = self._begun + 1
        return [cell.text for cell in cells]

    def _single_lines(self, cells: list[str]) -> list[str]:
        """The cells of a record of several lines, or of its first if those are records by themselves.

        A quote in the text opens a cell there, and another one, lines further down, closes it.
        """
        width = self.dialect.width
        lines = self._lines[self._begun : self._at]
        rows = [cells_of(line, self.dialect, width) for line in lines]
        if width < 2 or self._roles or any(len(row) != width for row in rows):
            return cells
        broken = [place for place, cell in enumerate(cells) if "\n" in cell or "\r" in cell]
        are_rows = bool(broken) and self._are_rows(lines, broken[-1])
        if self.dialect.mends and are_rows:
            self.mended.append(self.line)
            self._at = self._begun + 1
            return [cell.text for cell in rows[0]]
        if are_rows or self._doubts_quotes:
            self._refuse(
                f"opens a quoted cell that ends in line {self.line + len(lines) - 1}, but the lines from here to there "
                "are rows of their own; a quote of the text must be written twice, in a quoted cell"
            )
        return cells

    @property
    def _doubts_quotes(self) -> bool:
        """Whether quotes around tabs may be text, since texts hardly have tabs."""
        return self.dialect.separator == "\t" and not self.dialect.mends and not self.dialect.trusts_quotes

    def _check_tabs(self) -> None:
        """Refuses a row that lacks cells only because quotes hold its tabs."""
        line = self.raw.rstrip("\r\n")
        if line.count("\t") + 1 == self.dialect.width:
            self._refuse(f"has fewer cells than the header ({self.dialect.width}), since quotes are around a tab")

    def _are_rows(self, lines: list[str], closed: int | None = None) -> bool:
        """Whether lines, the first of which opens a quoted cell, have cells that rows have in the same columns.

        That holds for labels, and hardly for what stands between separators in a text. closed: the place of the cell
        whose quotes the last line closes.
        """
        width = self.dialect.width
        rows = [[cell.text for cell in cells_of(line, self.dialect, width)] for line in lines]
        if len(rows[0]) != width:
            return False
        opened = next((place for place, cell in enumerate(rows[0]) if cell.startswith(self.dialect.quotes.mark)), 0)
        # What stands before the first quote and behind the last are cells in any case.
        inside = [{(place, cell) for place, cell in enumerate(row) if cell and len(row) == width} for row in rows]
        inside[0] = {(place, cell) for place, cell in inside[0] if place > opened}
        if closed is not None:
            inside[-1] = {(place, cell) for place, cell in inside[-1] if place < closed}
        others = self._seen
        times = Counter(chain.from_iterable(inside))
        last = len(inside) - (closed is None)  # the line that doesn't fit may be anything
        told = [any(cell in others or times[cell] > 1 for cell in cells) for cells in inside[:last] if cells]
        return all(told) and any(cell in others for cells in inside for cell in cells)

    @property
    def _seen(self) -> set[tuple[int, str]]:
        """What stands in which column in the first rows, and in the lines before the record."""
        width = self.dialect.width
        before = self._lines[max(0, self._begun - _BEFORE) : self._begun]
        rows = [[cell.text for cell in cells_of(line, self.dialect, width)] for line in before]
        return {
            (place, cell)
            for row in (*self.dialect.first_rows, *rows)
            if len(row) == width
            for place, cell in enumerate(row)
        }

    def _refuse(self, why: str, certain: bool = False) -> NoReturn:
        if self.dialect.mends:
            raise BadLineError(why, self.line)
        raise MisreadError(why, self.line, certain)


def _roles_of(dialect: Dialect) -> list[Role]:
    """Of the records before the first row."""
    separator: list[Role] = ["separator"] if dialect.has_separator_line else []
    return separator if dialect.header is None else [*separator, "header"]


_OTHER_ESCAPES = re.compile(r'\\(["\\]?)', re.DOTALL)


def _kept(escape: re.Match[str]) -> str:
    """A backslash that escapes neither a quote nor a backslash is text."""
    return escape[0] if escape[1] else "\\\\"
