"""The rows of a JSON file, as `json.loads` reads them. A file comes in, pieces of its rows go out.

A file holds an object per line, objects one after the other, an array of objects, or one object around all rows: a
list of them in one of its fields, or a list (or an object by row names, as pandas writes it) per column.
"""

import codecs
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import brief
from .bad_lines import NOT_UTF8, BadLineError, is_utf8
from .containers import open_bytes

Row = dict[str, Any]
HEAD = 1 << 20
"""Bytes that tell whether a file holds an object per line."""
_BLOCK = 8 << 20
_ROWS = 1000
_WHITE = re.compile(r"[ \t\r\n]*")
WHITE = b" \t\r\n"
_LF, _CR, _OPEN, _CLOSE = b"\n\r{}"
_BESIDE_A_CUT = 64
"""Characters from the end of a text within which an error may be due to its being cut there."""


_HALF = r"holds half of a surrogate pair, such as \ud83d alone, which is no text"


class BadJsonError(BadLineError):
    """What is wrong with a JSON file."""


@dataclass(frozen=True)
class Lines:
    """Whole lines of a file with an object per line."""

    content: bytes
    first: int
    """The number of the first of them."""

    def rows(self) -> list[Row]:
        """Raises BadJsonError for a line that is no object."""
        lines = enumerate(self.content.split(b"\n"), self.first)
        return [_object(line, number) for number, line in lines if line.strip(WHITE)]

    def __len__(self) -> int:
        """How many lines there are, blank ones too."""
        return len(self._breaks) + (not self.content.endswith(b"\n"))

    @property
    def are_in_braces(self) -> bool:
        """Whether each line begins with a brace and ends with one."""
        text = np.frombuffer(self.content, np.uint8)
        ends = self._breaks if self.content.endswith(b"\n") else np.append(self._breaks, len(text))
        begins, last = np.append(0, ends[:-1] + 1), ends - 1
        last = np.where(text[last] == _CR, last - 1, last)
        return bool((text[begins] == _OPEN).all() and (text[last] == _CLOSE).all())

    @cached_property
    def _breaks(self) -> NDArray[np.int64]:
        return np.flatnonzero(np.frombuffer(self.content, np.uint8) == _LF)

    @property
    def first_not_utf8(self) -> int | None:
        """The number of the first line that isn't UTF-8."""
        lines = enumerate(self.content.split(b"\n"), self.first)
        return next((number for number, line in lines if not is_utf8(line)), None)


def rows_of(file: Path) -> Iterator[list[Row]]:
    """The rows of a file, in pieces. Raises BadJsonError."""
    for piece in pieces_of(file):
        yield piece.rows() if isinstance(piece, Lines) else piece


def pieces_of(file: Path) -> Iterator[Lines | list[Row]]:
    """The rows of a file, in pieces: read, or as lines that are still to be. Raises BadJsonError."""
    with open_bytes(file) as opened:
        head = opened.read(HEAD).removeprefix(codecs.BOM_UTF8)
        if is_lines(head):
            yield from _lines(opened, head)
        else:
            yield from _document(_Text(opened, head))


def is_lines(head: bytes) -> bool:
    """Whether a file that begins so holds an object per line."""
    start = head.lstrip(WHITE)
    line, _, rest = start.partition(b"\n")
    if not start.startswith(b"{"):
        return bool(start) and not start.startswith(b"[")
    try:
        _DECODER.raw_decode(line.decode(errors="surrogateescape"))
    except json.JSONDecodeError:
        return False
    except (ValueError, RecursionError):  # which names the line
        return True
    return bool(rest.strip(WHITE))


def _lines(opened: IO[bytes], head: bytes) -> Iterator[Lines]:
    number, block = 1, head + opened.readline()
    while block:
        lines = Lines(block, number)
        yield lines
        number += len(lines)
        block = opened.read(_BLOCK)
        block += opened.readline() if block else b""


def _object(line: bytes, number: int) -> Row:
    # Bytes that are no UTF-8 spoil their own cell alone.
    text = line.decode(errors="surrogateescape")
    try:
        value, end = _DECODER.raw_decode(text, _next(text, 0))
        if _next(text, end) < len(text):
            raise json.JSONDecodeError("Extra data", text, end)
    except json.JSONDecodeError as error:
        why = f"is not JSON: {error.msg} at character {error.pos}" if is_utf8(line) else NOT_UTF8
        raise BadJsonError(why, number) from error
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, thousands of brackets
        raise BadJsonError(f"can't be read: {brief(error)}", number) from error
    if type(value) is not dict:
        raise BadJsonError("is not a JSON object", number)
    if b"\\u" in line and not _is_text(value, "strict" if is_utf8(line) else "surrogateescape"):
        raise BadJsonError(_HALF, number)
    return value


def _is_text(value: Row, errors: str = "strict") -> bool:
    """Whether what came of escapes can be written as UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False).encode(errors=errors)
    except UnicodeEncodeError:
        return False
    return True


def _unique(pairs: list[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice!r} stands twice in one object")
    return row


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def _next(text: str, at: int) -> int:
    """Where the next character is that isn't white."""
    found = _WHITE.match(text, at)
    return found.end() if found else at


class _Text:
    """The text of a file, of which only the value that is read next is held."""

    def __init__(self, opened: IO[bytes], head: bytes) -> None:
        self._opened = opened
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._text, self._at, self._first = "", 0, 1
        self._add(head)

    def peek(self) -> str:
        """The next character that isn't white; "" at the end."""
        while True:
            self._at = _next(self._text, self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def skip(self, character: str) -> bool:
        """Whether that is the next character, which is passed over then."""
        found = self.peek() == character
        self._at += found
        return found

    def value(self) -> Any:
        self.peek()
        while True:
            try:
                value, self._at = _DECODER.raw_decode(self._text, self._at)
                return value
            except json.JSONDecodeError as error:
                at = error.pos - self._at
                near = error.pos > len(self._text) - _BESIDE_A_CUT or error.msg.startswith("Unterminated")
                if not near or not self._more():
                    raise self.wrong(f"is not JSON: {error.msg}", at) from error
            except (ValueError, RecursionError) as error:
                raise self.wrong(f"can't be read: {brief(error)}") from error

    def line(self, at: int = 0) -> int:
        """The number of the line that is `at` characters further."""
        return self._first + self._text.count("\n", 0, self._at + at)

    def wrong(self, why: str, at: int = 0) -> BadJsonError:
        """What to raise for what is `at` characters further."""
        return BadJsonError(why, self.line(at))

    def _more(self) -> bool:
        """Reads on, as much again as is held."""
        return self._add(self._opened.read(max(_BLOCK, len(self._text) - self._at)))

    def _add(self, content: bytes) -> bool:
        self._first = self.line()
        self._text, self._at = self._text[self._at :], 0
        try:
            self._text += self._decode(content, final=not content)
        except UnicodeDecodeError as error:
            lines = self._text.count("\n") + error.object.count(b"\n", 0, error.start)
            raise BadJsonError(NOT_UTF8, self._first + lines) from error
        return bool(content)


def _document(text: _Text) -> Iterator[list[Row]]:
    if text.skip("["):
        yield from _batched(_array(text))
    elif text.peek():
        first = _row(text)
        if text.peek():
            yield from _batched(_one_by_one(text, first))
        else:
            yield from _batched(_unfolded(first))


def _batched(rows: Iterable[Row]) -> Iterator[list[Row]]:
    rows = iter(rows)
    while batch := list(islice(rows, _ROWS)):
        yield batch


def _row(text: _Text) -> Row:
    if text.peek() != "{":
        raise text.wrong("is not a JSON object" if text.peek() else "is not JSON: the file ends early")
    at = text.line()
    row = cast(Row, text.value())
    if not _is_text(row):
        raise BadJsonError(_HALF, at)
    return row


def _one_by_one(text: _Text, first: Row) -> Iterator[Row]:
    yield first
    while text.peek():
        yield _row(text)


def _array(text: _Text) -> Iterator[Row]:
    if not text.skip("]"):
        yield _row(text)
        while text.skip(","):
            yield _row(text)
        if not text.skip("]"):
            raise text.wrong("is not JSON: Expecting ',' delimiter")
    if text.peek():
        raise text.wrong("is not JSON: Extra data")


def shape_of(whole: Row) -> str | None:
    """How a file's one object is around all rows: a name among `_SHAPES`; None if it is a row itself.

    Raises BadJsonError if that isn't certain.
    """
    return next((name for name, rows_in in _SHAPES.items() if rows_in(whole) is not None), None)


def _unfolded(whole: Row) -> Iterable[Row]:
    """The rows that a file's one object is around, or else itself."""
    shape = shape_of(whole)
    return [whole] if shape is None else cast(Iterable[Row], _SHAPES[shape](whole))


def _split(whole: Row) -> list[Row] | None:
    """Of the names of columns, and the cells of each row, as by pandas' `orient="split"`."""
    names, rows = whole.get("columns", ()), whole.get("data", ())
    if not _all_of(str, names) or not _all_of(list, rows) or any(len(row) != len(names) for row in rows):
        return None
    return [dict(zip(names, row, strict=True)) for row in rows] if len(set(names)) == len(names) else None


def _records(whole: Row) -> list[Row] | None:
    """Of one field that holds a list of objects, and no other one of as many."""
    found = [name for name, value in whole.items() if _all_of(dict, value)]
    others = [value for name, value in whole.items() if name not in found and isinstance(value, list)]
    if len(found) > 1 and len(found) == sum(isinstance(value, list) for value in whole.values()):
        raise BadJsonError(f"holds several lists of rows, {', '.join(found)}; write each to a file of its own")
    if len(found) != 1 or any(len(other) == len(whole[found[0]]) for other in others):
        return None
    return cast(list[Row], whole[found[0]])


def _index(whole: Row) -> Iterable[Row] | None:
    """Of an object for each row, by its number."""
    return list(whole.values()) if _are_alike(whole) and "".join(whole).isdigit() else None


def _columns(whole: Row) -> Iterable[Row] | None:
    """Of an object of row names for each column."""
    if not _are_alike(whole):
        return None
    return ({name: column[row] for name, column in whole.items()} for row in next(iter(whole.values())))


def _are_alike(whole: Row) -> bool:
    """Whether that is several objects with the same names."""
    columns = list(whole.values())
    return len(columns) > 1 and _all_of(dict, columns) and all(column.keys() == columns[0].keys() for column in columns)


def _lists(whole: Row) -> Iterable[Row] | None:
    """Of a list for each column."""
    columns = list(whole.values())
    if len(columns) < 2 or not _all_of(list, columns):
        return None
    if len({len(column) for column in columns}) > 1:
        lengths = ", ".join(f"{name} {len(column)}" for name, column in whole.items())
        raise BadJsonError(f"holds a list per column, but of different lengths: {lengths}")
    return (dict(zip(whole, cells, strict=True)) for cells in zip(*columns, strict=True))


def _all_of(kind: type, values: Any) -> bool:
    """Whether that is a list with something in it, all of it of one kind."""
    return isinstance(values, list) and bool(values) and all(type(value) is kind for value in values)


_SHAPES: Mapping[str, Callable[[Row], Iterable[Row] | None]] = {
    "split": _split,
    "records": _records,
    "index": _index,
    "columns": _columns,
    "lists": _lists,
}
