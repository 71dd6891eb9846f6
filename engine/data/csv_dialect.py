"""How a CSV or TSV file is written: its encoding, separator, quotes and header, as its first megabyte tells.

A file and what the user says of it come in; a `Dialect` goes out. `csv_rows.py` reads records by it.
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import islice
from typing import Any

from ..errors import LossAuditError, Option
from .containers import DataFile
from .csv_encoding import Encoding, encoding_of, is_text_encoding

_HEAD = 1 << 20
_SAMPLE = 200
"""Records of the head that separators and quotes are guessed from."""
_SEPARATORS = (",", ";", "\t", "|")
_ESCAPE = re.compile(r'\\["\\]')
_SEP_LINE = re.compile(r'\s*"?sep=(\\t|[^"\r\n])"?\s*')


class Quotes(Enum):
    """What quotes are in a file. They count where they open a cell alone."""

    DOUBLED = "doubled"
    """A cell may stand in double quotes; a quote in it is written twice."""
    BACKSLASH = "backslash"
    """The same, and a backslash takes a quote or another backslash for text."""
    SINGLE = "single"
    """A cell may stand in single quotes."""
    NONE = "none"
    """They are text, wherever they are."""

    @property
    def mark(self) -> str:
        return "'" if self is Quotes.SINGLE else '"'


@dataclass(frozen=True)
class Asked:
    """What the user says of text files; None leaves it to the files."""

    separator: str | None = None
    encoding: str | None = None
    header: bool = True
    """Whether the first line names the columns."""
    sheet: str | None = None
    """The sheet of an Excel workbook."""

    def checked(self) -> "Asked":
        """The same, with a tab for `\\t`. Raises LossAuditError for a separator or an encoding that can't be one."""
        separator = self.separator
        if separator is not None:
            separator = {"\\t": "\t", "tab": "\t"}.get(separator, separator)
            if len(separator) != 1 or separator in "\"'\\\r\n":
                raise LossAuditError(
                    Option("separator", self.separator), ": it must be one character, such as ';', or \\t for a tab"
                )
        if self.encoding is not None and not is_text_encoding(self.encoding):
            raise LossAuditError(
                Option("encoding", self.encoding), " isn't known; name another, such as cp1252 or utf-16"
            )
        return replace(self, separator=separator)


NOTHING_ASKED = Asked()


@dataclass(frozen=True)
class Dialect:
    """How the text of a file is to be read."""

    encoding: Encoding
    separator: str
    quotes: Quotes = Quotes.DOUBLED
    skips_blanks: bool = False
    """Whether blanks between a separator and a quote don't count."""
    universal: bool = False
    """Whether a lone carriage return ends a line, as in files of old; else it is text."""
    line_end: str = "\n"
    """What ends the first line."""
    header: tuple[str, ...] | None = None
    """The cells of the header as they are; None for a file without one."""
    width: int = 0
    """Number of cells in the header, or in the first row."""
    has_separator_line: bool = False
    """Whether the first line, before the header, names the separator, as in `sep=;`."""
    mends: bool = False
    """Whether a line whose quotes don't fit is read by itself if it has as many cells as the header."""
    trusts_quotes: bool = False
    """Whether quotes hold tabs and line ends, though the lines might be rows by themselves."""
    first_rows: tuple[tuple[str, ...], ...] = field(default=(), repr=False)
    """Some of the first rows, to compare others with."""

    @property
    def columns(self) -> list[str]:
        """Names of the columns, each another: as pandas calls them, `Unnamed: 0` and `label.1`; 0, 1 … of no header."""
        if self.header is None:
            return [str(place) for place in range(self.width)]
        names = [name or f"Unnamed: {place}" for place, name in enumerate(self.header)]
        taken = set(names)
        unique: list[str] = []
        for name in names:
            own, number = name, 0
            while own in unique or (number and own in taken):
                number += 1
                own = f"{name}.{number}"
            unique.append(own)
        return unique

    @property
    def format(self) -> dict[str, Any]:
        """What `csv.reader` takes."""
        return {
            "delimiter": self.separator,
            "quotechar": self.quotes.mark,
            "escapechar": "\\" if self.quotes is Quotes.BACKSLASH else None,
            "skipinitialspace": self.skips_blanks,
        }


def usual_separator(file: DataFile) -> str:
    """The separator that the name of a file promises."""
    return "\t" if file.format == ".tsv" else ","


def dialect_of(file: DataFile, asked: Asked) -> Dialect | None:
    """How a file is written, as its first records tell; None for a file without any.

    Quotes may turn out to be others further down: see `csv_rows.readings`. Raises OSError, and BadLineError for a file
    that is no text.
    """
    with file.open() as opened:
        start = opened.read(_HEAD)
    encoding = encoding_of(start, asked.encoding)
    head = encoding.decoder("replace").decode(start[len(encoding.bom) :], final=len(start) < _HEAD)
    found = _SEP_LINE.fullmatch(head[: head.find("\n") + 1])
    if found:
        head = head[found.end() :]
    universal, line_end = _line_ends(head)
    if len(start) == _HEAD:  # the last line may be cut
        head = head[: max(head.rfind("\n"), head.rfind("\r") if universal else 0) + 1] or head
    named = asked.separator or (found[1].replace("\\t", "\t") if found else None)
    sample = _Sample(head, universal)
    separator = named or sample.separator(usual_separator(file))
    dialect = Dialect(encoding, separator, universal=universal, line_end=line_end, has_separator_line=found is not None)
    dialect = sample.quotes_of(dialect)
    records = [tuple(record) for record in islice(sample.records(dialect), _SAMPLE)]
    if not records:
        return None
    return replace(
        dialect,
        header=records[0] if asked.header else None,
        width=len(records[0]),
        mends=dialect.quotes is Quotes.SINGLE,
        first_rows=tuple(records[1:]),
    )


def _line_ends(head: str) -> tuple[bool, str]:
    """Whether lone carriage returns end lines, and what ends the first line."""
    line = head[: head.find("\n") + 1] or head
    unquoted = re.sub(r'"[^"]*+"', "", line)
    if re.search(r"\r(?!\n)", unquoted):
        return True, "\r"
    return False, "\r\n" if line.endswith("\r\n") else "\n"


class _Sample:
    """The first records of a file."""

    def __init__(self, head: str, universal: bool) -> None:
        self._head, self._newline = head, "" if universal else "\n"

    def records(self, dialect: Dialect) -> Iterator[list[str]]:
        """Those that aren't blank, as read leniently."""
        lines = io.StringIO(self._head, newline=self._newline)
        reader = csv.reader(lines, **dialect.format)
        while True:
            try:
                record = next(reader)
            except StopIteration:
                return
            except csv.Error:
                continue
            if record:
                yield record

    def _widths(self, dialect: Dialect) -> set[int]:
        """Numbers of cells of the first records; none if there is text behind quotes."""
        reader = csv.reader(io.StringIO(self._head, newline=self._newline), **dialect.format, strict=True)
        try:
            return {len(record) for record in islice(reader, _SAMPLE) if record}
        except csv.Error:
            return set()

    def separator(self, usual: str) -> str:
        """The usual one, unless it leaves lines whole, or of different length, that another one cuts alike."""
        plain = Dialect(Encoding("utf-8"), usual)
        found = {
            separator: list(islice(self.records(replace(plain, separator=separator)), _SAMPLE))
            for separator in (usual, *(other for other in _SEPARATORS if other != usual))
        }
        widths = {separator: len(records[0]) for separator, records in found.items() if records}
        if not widths:
            return usual
        alike = {
            separator: sum(_filled(record) <= width <= len(record) for record in found[separator])
            / len(found[separator])
            for separator, width in widths.items()
        }
        is_cut = widths[usual] > 1 and all(_filled(record) <= widths[usual] for record in found[usual])
        is_cut = is_cut and bool(self._widths(replace(plain, separator=usual)))
        if is_cut and alike[usual] == 1:
            return usual
        others = [separator for separator, width in widths.items() if separator != usual and width > 1]
        best = max(others, key=lambda separator: (alike[separator], widths[separator]), default=usual)
        enough = 0.9 if widths[usual] == 1 else 1.0
        if alike[best] < enough or (is_cut and not self._widths(replace(plain, separator=best))):
            return usual
        return best

    def quotes_of(self, dialect: Dialect) -> Dialect:
        """The dialect with what quotes are in the sample."""
        rows = list(islice(self.records(dialect), 1, _SAMPLE))
        blanks = replace(dialect, skips_blanks=True)
        if any(cell[:1] == " " and cell.lstrip(" ")[:1] == '"' for row in rows for cell in row[1:]):
            widths = {len(record) for record in islice(self.records(blanks), _SAMPLE)}
            if len(widths) == 1:
                return blanks
        with_quotes = [cell for row in rows for cell in row if '"' in cell]
        only_escaped = all('"' not in _ESCAPE.sub("", cell) for cell in with_quotes)
        escaped = replace(dialect, quotes=Quotes.BACKSLASH)
        if (
            '\\"' in self._head
            and len(self._widths(escaped)) == 1
            and (only_escaped or len(self._widths(dialect)) != 1)
        ):
            return escaped
        columns = list(zip(*rows, strict=False))
        single = replace(dialect, quotes=Quotes.SINGLE)
        opened = (sum(cell[:1] == "'" for cell in column) > max(2, 0.9 * len(column)) for column in columns)
        if any(opened) and len({len(record) for record in islice(self.records(single), _SAMPLE)}) == 1:
            return single
        return dialect


def _filled(record: list[str]) -> int:
    """Number of cells up to the last that isn't empty."""
    return next((place for place in range(len(record), 0, -1) if record[place - 1]), 0)
