"""The texts of rows, or their pairs of texts, read from columns; and what rows without one hold instead."""

import functools
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

Text = str | tuple[str, str]
"""A text, or a pair of texts that the model reads together."""
_INVISIBLE = ("Cc", "Cf", "Zl", "Zp", "Zs")
"""Unicode's categories of control and format characters, separators and spaces."""
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2065\u2800\u3164\uffa0")
"""Characters of other categories that show nothing, such as the fillers of Hangul and the blank of Braille."""
_BLANK_RANGES = ((0x180B, 0x180F), (0xFE00, 0xFE0F), (0xFFF0, 0xFFF8), (0xE0000, 0xE0FFF))
"""Variation selectors and tags, with what Unicode reserves beside them; first and last."""
_SIGNS = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
"""Format characters that are seen all the same: those that enclose or precede numbers."""


@dataclass(frozen=True)
class Texts:
    """The texts of n rows, or their pairs of texts."""

    values: Sequence[Text | None]
    """(n,) texts or pairs; None where there is nothing to score."""
    empty: dict[int, str | None]
    """Rows without a text, or with one that shows nothing; for pairs, with the columns that have none."""
    bad: dict[int, str]
    """Rows that hold something other than text, and what it is."""


def texts_of(rows: pa.Table, columns: Sequence[str]) -> Texts:
    """The texts of one column, or the pairs of two, which need both."""
    halves = [read_texts(rows[column]) for column in columns]
    if len(halves) == 1:
        return halves[0]
    cells = zip(*(half.values for half in halves), strict=True)
    pairs = [(a, b) if isinstance(a, str) and isinstance(b, str) else None for a, b in cells]
    bad: dict[int, list[str]] = {}
    empty: dict[int, list[str]] = {}
    for column, half in zip(columns, halves, strict=True):
        for row, what in half.bad.items():
            bad.setdefault(row, []).append(f"{column}: {what}")
        for row in half.empty:
            empty.setdefault(row, []).append(f"no text in {column}")
    return Texts(
        pairs,
        {row: ", ".join(reasons) for row, reasons in empty.items() if row not in bad},
        {row: ", ".join(reasons) for row, reasons in bad.items()},
    )


def read_texts(column: pa.ChunkedArray) -> Texts:
    """The texts of a column of strings, or of the values of several types that `datasets` keeps as JSON."""
    bad: dict[int, str] = {}
    if isinstance(column.type, pa.JsonType):
        values = [None if cell is None else json.loads(cell) for cell in column.cast(pa.string()).to_pylist()]
        bad = {row: f"not a text but {_kind(value)}" for row, value in enumerate(values) if not _is_text(value)}
    else:
        try:
            values = column.to_pylist()
        except UnicodeDecodeError:  # Arrow takes a file's word for it that strings are UTF-8
            values = [_decoded(cell) for cell in column.cast(pa.large_binary()).to_pylist()]
            bad = {row: "not UTF-8" for row, value in enumerate(values) if isinstance(value, bytes)}
    texts = [value if isinstance(value, str) and _is_visible(value) else None for value in values]
    empty = [row for row, text in enumerate(texts) if text is None and row not in bad]
    return Texts(texts, dict.fromkeys(empty), bad)


def _is_visible(text: str) -> bool:
    """Whether a reader sees anything of a text; most texts show it with their first character, which is cheap."""
    first = text[:1]
    return (first.isalnum() and first not in _BLANK) or not all(map(_is_blank, text))


@functools.lru_cache(maxsize=4096)
def _is_blank(character: str) -> bool:
    if unicodedata.category(character) in _INVISIBLE:
        return character not in _SIGNS
    return character in _BLANK or any(first <= ord(character) <= last for first, last in _BLANK_RANGES)


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _kind(value: object) -> str:
    return {bool: "true or false", int: "a number", float: "a number", list: "a list"}.get(type(value), "an object")


def _decoded(cell: bytes | None) -> str | bytes | None:
    try:
        return None if cell is None else cell.decode()
    except UnicodeDecodeError:
        return cell
