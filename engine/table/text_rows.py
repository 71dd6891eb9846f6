"""Writes rows, which are dicts, as CSV, TSV, JSON Lines or JSON. JSON has no NaN or infinity: they become null."""

import csv
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TextIO, cast

Row = dict[str, Any]
TEXT_ENDINGS = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json")
_END = "\r\n"


def write_rows(
    rows: Iterable[Row], columns: Sequence[str], ending: str, file: TextIO, quote_texts: bool = False
) -> int:
    """Writes rows in the format with this ending, one of TEXT_ENDINGS, and returns how many there were.

    columns: those of CSV and TSV, where nested values are JSON and missing ones are empty. quote_texts: quotes all
    texts there, not only those that need it.
    """
    table = None
    if ending in (".csv", ".tsv", ".tab"):
        quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if quote_texts else csv.QUOTE_MINIMAL
        separator = "," if ending == ".csv" else "\t"
        table = csv.writer(_Lines(file), delimiter=separator, lineterminator=_END, quoting=quoting)
        table.writerow(columns)
    elif ending == ".json":
        file.write("[")
    count = 0
    for count, row in enumerate(rows, start=1):
        if table is not None:
            table.writerow([_cell(row.get(name)) for name in columns])
        elif ending == ".json":
            file.write((",\n" if count > 1 else "\n") + _json(row))
        else:
            file.write(_json(row) + "\n")
    if ending == ".json":
        file.write("\n]\n")
    return count


def as_written(row: Row, columns: Sequence[str], ending: str) -> Row:
    """A row as it is read again from the format with this ending; cells of CSV and TSV are strings."""
    if ending in (".csv", ".tsv"):
        cells = {name: _cell(row.get(name)) for name in columns}
        return {name: "" if cell is None else str(cell) for name, cell in cells.items()}
    return cast(Row, json.loads(_json(row)))


class _Lines:
    """A file for csv.writer, whose lines end in a newline alone.

    The writer quotes the characters of its own line end. If that were a newline alone, it wouldn't quote a lone
    carriage return, which ends a row too.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, line: str) -> int:
        return self._file.write(line.removesuffix(_END) + "\n")


def _cell(value: object) -> object:
    return _json(value) if isinstance(value, (dict, list)) else value


def _json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
