"""The cells of one record, by themselves: where each is in the record's text, and what it says.

It is slower than Python's csv module, which reads most records, but also reads lines whose quotes don't fit.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from .csv_dialect import Dialect, Quotes

_END = re.compile(r"[\r\n]*\Z")


class Cell(NamedTuple):
    """A cell of a record."""

    start: int
    stop: int
    """Where it is in the record's text, with its quotes."""
    text: str
    """What it says, without them."""
    fits: bool
    """Whether its quotes are as they should be."""


@dataclass(frozen=True)
class _Patterns:
    separator: str
    mark: str
    quoted: re.Pattern[str] | None
    """A cell in quotes; None where quotes are text."""
    loosely: re.Pattern[str]
    """The same, though quotes in it aren't escaped."""
    plain: re.Pattern[str]

    @classmethod
    def of(cls, dialect: Dialect) -> "_Patterns":
        mark, separator = dialect.quotes.mark, re.escape(dialect.separator)
        end = rf"(?={separator}|[\r\n]*\Z)"
        blanks = " *" if dialect.skips_blanks else ""
        inside = rf"[^{mark}]++|{mark}{mark}"
        plain = rf"[^{separator}]*"
        if dialect.quotes is Quotes.BACKSLASH:
            inside, plain = r'[^"\\]++|""|\\.', rf"(?:[^{separator}\\]++|\\.)*+"
        return cls(
            dialect.separator,
            mark,
            None
            if dialect.quotes is Quotes.NONE
            else re.compile(rf"{blanks}{mark}((?:{inside})*+){mark}{end}", re.DOTALL),
            re.compile(rf"{blanks}{mark}(.*?){mark}{end}", re.DOTALL),
            re.compile(plain, re.DOTALL),
        )


_patterns_of = lru_cache(maxsize=64)(_Patterns.of)


def cells_of(raw: str, dialect: Dialect, width: int) -> list[Cell]:
    """The cells of a record's text. width: how many there should be, for which quotes are taken for text if need be."""
    patterns = _patterns_of(dialect)
    cells = _cells(raw, patterns, dialect, text_only=dialect.quotes is Quotes.NONE)
    if len(cells) != width and not all(cell.fits for cell in cells):
        literal = _cells(raw, patterns, dialect, text_only=True)
        if len(literal) == width:
            return literal
    return cells


def _cells(raw: str, patterns: _Patterns, dialect: Dialect, text_only: bool) -> list[Cell]:
    found = _END.search(raw)
    end = found.start() if found else len(raw)
    cells: list[Cell] = []
    at = 0
    while True:
        cell = None if text_only else _in_quotes(raw, at, patterns, dialect)
        if cell is None:
            match = patterns.plain.match(raw, at, end)
            assert match is not None  # it matches nothing too
            text = match[0].lstrip(" ") if dialect.skips_blanks else match[0]
            text = _UNESCAPED.sub(r"\1", text) if dialect.quotes is Quotes.BACKSLASH else text
            fits = text_only or not text.startswith(patterns.mark)
            cell = Cell(at, match.end(), text, fits)
        cells.append(cell)
        at = cell.stop + 1
        if cell.stop >= end:
            return cells


_UNESCAPED = re.compile(r'\\(["\\])')


def _in_quotes(raw: str, at: int, patterns: _Patterns, dialect: Dialect) -> Cell | None:
    if patterns.quoted is not None and (match := patterns.quoted.match(raw, at)):
        text = match[1].replace(patterns.mark * 2, patterns.mark)
        if dialect.quotes is Quotes.BACKSLASH:
            text = _UNESCAPED.sub(r"\1", match[1].replace('""', '\\"'))
        return Cell(at, match.end(), text, fits=True)
    match = patterns.loosely.match(raw, at)
    return Cell(at, match.end(), match[1], fits=False) if match else None
