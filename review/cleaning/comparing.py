"""Compares a cleaned dataset, read again, with what its source and the decisions make, row by row."""

import json
from collections.abc import Iterable, Iterator
from itertools import zip_longest

import pyarrow as pa

from lossaudit.engine.shortening import shortened
from lossaudit.engine.table.text_rows import Row

_SHOWN = 40


class DifferentError(ValueError):
    """Where a cleaned dataset isn't what it should be, for the end of a sentence."""


def compare_rows(expected: Iterable[Row], found: Iterable[Row]) -> int:
    """How many rows there are; text formats' rows, in the order of their names. Raises DifferentError."""
    rows = 0
    for wanted, row in zip_longest(expected, found):
        if wanted is None or row is None:
            raise DifferentError(f"it has {'more' if wanted is None else 'only'} {rows:,} rows")
        if list(wanted.items()) != list(row.items()) and json.dumps(wanted) != json.dumps(row):
            raise _different(rows, wanted, row)
        rows += 1
    return rows


def _different(place: int, wanted: Row, row: Row) -> DifferentError:
    missing, more = [*(wanted.keys() - row.keys())], [*(row.keys() - wanted.keys())]
    if missing or more:
        return DifferentError(f"row {place} has {'no' if missing else 'a'} column {(missing or more)[0]!r}")
    name = next((name for name in wanted if json.dumps(wanted[name]) != json.dumps(row[name])), None)
    if name is None:
        return DifferentError(f"row {place} has its columns in another order")
    return _different_cell(place, name, wanted[name], row[name])


def _different_cell(place: int, name: str, wanted: object, cell: object) -> DifferentError:
    shown = [shortened(repr(value), _SHOWN) for value in (cell, wanted)]
    return DifferentError(f"row {place} has {shown[0]} in column {name!r}, not {shown[1]}")


def compare_tables(expected: Iterator[pa.Table], found: Iterator[pa.Table]) -> int:
    """How many rows there are; the tables may be cut otherwise. Raises DifferentError."""
    rows, held = 0, None
    for wanted in expected:
        while len(wanted):
            while held is None or not len(held):
                held = next(found, None)
                if held is None:
                    raise DifferentError(f"it has only {rows:,} rows")
            size = min(len(wanted), len(held))
            _compare(rows, wanted.slice(0, size), held.slice(0, size))
            rows, wanted, held = rows + size, wanted.slice(size), held.slice(size)
    if (held is not None and len(held)) or any(len(table) for table in found):
        raise DifferentError(f"it has more than {rows:,} rows")
    return rows


def _compare(start: int, wanted: pa.Table, table: pa.Table) -> None:
    if wanted.column_names != table.column_names:
        raise DifferentError(
            f"it has the columns {', '.join(table.column_names)}, not {', '.join(wanted.column_names)}"
        )
    for name, column, other in zip(wanted.column_names, wanted.columns, table.columns, strict=True):
        if column.type != other.type:
            raise DifferentError(f"its column {name!r} holds {other.type}, not {column.type}")
        if not column.equals(other):
            cells, others = column.to_pylist(), other.to_pylist()
            pairs = enumerate(zip(cells, others, strict=True))
            # NaN isn't equal to itself, but is written as it was.
            place = next((at for at, (one, cell) in pairs if one != cell and repr(one) != repr(cell)), None)
            if place is not None:
                raise _different_cell(start + place, name, cells[place], others[place])
