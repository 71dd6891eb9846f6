"""The texts of rows, or their pairs of texts, read from columns; and what rows without one hold instead."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

Text = str | tuple[str, str]
"""A text, or a pair of texts that the model reads together."""


@dataclass(frozen=True)
class Texts:
    """The texts of n rows, or their pairs of texts."""

    values: Sequence[Text | None]
    """(n,) texts or pairs; None where there is nothing to score."""
    empty: dict[int, str | None]
    """Rows without a text, or with a blank one; for pairs, with the columns that have none."""
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
    texts = [value if isinstance(value, str) and value and not value.isspace() else None for value in values]
    empty = [row for row, text in enumerate(texts) if text is None and row not in bad]
    return Texts(texts, dict.fromkeys(empty), bad)


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _kind(value: object) -> str:
    return {bool: "true or false", int: "a number", float: "a number", list: "a list"}.get(type(value), "an object")


def _decoded(cell: bytes | None) -> str | bytes | None:
    try:
        return None if cell is None else cell.decode()
    except UnicodeDecodeError:
        return cell
