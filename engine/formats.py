"""Losses tables as files: Parquet, JSON Lines, JSON and CSV, told apart by the file's ending."""

import csv
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from lossaudit.engine.errors import LossAuditError, brief
from lossaudit.engine.files import file_beside, files_of
from lossaudit.engine.table import SCHEMA

ENDINGS = (".parquet", ".jsonl", ".json", ".csv")
_REQUIRED = ("id", "label_name", "prediction_name", "probability", "loss")
_TYPES = {field.name: field.type for field in SCHEMA}
_MOST_BYTES = 2**31 - 1
"""The largest block that Arrow's readers take."""


def check_output(path: Path, dataset: str | None = None) -> None:
    """Raises LossAuditError if a losses table can't be written to `path`; call it before the work.

    dataset: the name of the audited dataset, whose files must not be written over.
    """
    if path.suffix.lower() not in ENDINGS:
        raise LossAuditError(f"can't tell the format of {path}; its name must end in {', '.join(ENDINGS)}")
    if path.is_dir():
        raise LossAuditError(f"{path} is a folder; name a file in it")
    existing = next(parent for parent in path.absolute().parents if parent.exists())
    if not existing.is_dir():
        raise LossAuditError(f"cannot write {path}: {existing} is not a folder")
    if dataset is not None and path.exists() and any(path.samefile(file) for file in files_of(dataset)):
        raise LossAuditError(f"{path} is a file of the dataset; name another to write the losses to")


def write_table(table: pa.Table, path: Path) -> None:
    """Writes a table beside `path` and renames it into place; floats read back to the same value."""
    check_output(path)
    with file_beside(path) as temporary:
        if path.suffix.lower() == ".parquet":
            pq.write_table(table, temporary, compression="zstd")
            return
        with temporary.open("w", encoding="utf-8", newline="") as file:
            _TEXT_WRITERS[path.suffix.lower()](table, file)


def write_jsonl(table: pa.Table, file: TextIO) -> None:
    """One JSON object a line. JSON has no NaN or infinity: they are written as null."""
    for row in _rows(table):
        file.write(_json(row) + "\n")


def write_json(table: pa.Table, file: TextIO) -> None:
    """One JSON array of objects, as in `write_jsonl`."""
    file.write("[")
    separator = "\n"
    for row in _rows(table):
        file.write(separator + _json(row))
        separator = ",\n"
    file.write("\n]\n")


def write_csv(table: pa.Table, file: TextIO) -> None:
    """A header and one line a row; nested values are written as JSON, missing ones are empty."""
    # All strings are quoted: only when needed, Python leaves a lone carriage return bare, which ends the row.
    writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(table.column_names)
    for row in _rows(table):
        writer.writerow([_cell(value) for value in row.values()])


def read_table(path: Path) -> pa.Table:
    """Reads a losses table in any of the formats. Raises LossAuditError if it isn't one."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise LossAuditError(f"{path} is no losses table: its name must end in {', '.join(ENDINGS)}")
    if not path.is_file():
        raise LossAuditError(f"there is no file {path}; make one with `lossaudit audit`")
    try:
        table = reader(path)
    except (OSError, ValueError, OverflowError, RecursionError, pa.ArrowException) as error:
        raise LossAuditError(f"{path} can't be read: {brief(error)}") from error
    missing = [name for name in _REQUIRED if name not in table.column_names]
    if missing:
        raise LossAuditError(
            f"{path} is no losses table: it lacks {', '.join(missing)}; make one with `lossaudit audit`"
        )
    incomplete = [name for name in _REQUIRED if table[name].null_count]
    if incomplete:
        raise LossAuditError(f"{path} is no losses table: it has rows without {', '.join(incomplete)}")
    return _typed(table, path)


def _typed(table: pa.Table, path: Path) -> pa.Table:
    """The table with its own columns in the types of `SCHEMA`, whatever a text format made of them."""
    for index, name in enumerate(table.column_names):
        if name in _TYPES:
            try:
                table = table.set_column(index, name, table[name].cast(_TYPES[name]))
            except pa.ArrowException as error:
                raise LossAuditError(
                    f"{path} is no losses table: its column {name!r} holds {table[name].type}, not {_TYPES[name]}"
                ) from error
    return table


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=1024):
        yield from batch.to_pylist()


def _cell(value: object) -> object:
    if isinstance(value, (dict, list)):
        return _json(value)
    return value


def _json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str, allow_nan=False)
    except ValueError:
        return _json(_finite(value))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _read_parquet(path: Path) -> pa.Table:
    return pq.read_table(path, memory_map=True)


def _read_csv(path: Path) -> pa.Table:
    return pa_csv.read_csv(
        path,
        pa_csv.ReadOptions(block_size=_whole(path)),
        pa_csv.ParseOptions(newlines_in_values=True),
        pa_csv.ConvertOptions(column_types=_TYPES, null_values=[""]),
    )


def _read_jsonl(path: Path) -> pa.Table:
    with path.open(encoding="utf-8") as file:
        first = _objects([json.loads(file.readline() or "{}")])[0]
    known = pa.schema([field for field in SCHEMA if field.name in first])
    options = pa_json.ParseOptions(explicit_schema=known)
    return pa_json.read_json(path, pa_json.ReadOptions(block_size=_whole(path)), options)


def _read_json(path: Path) -> pa.Table:
    return pa.Table.from_pylist(_objects(json.loads(path.read_text(encoding="utf-8"))))


def _objects(rows: Any) -> list[dict[str, Any]]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it holds something else than JSON objects")
    return rows


def _whole(path: Path) -> int:
    """A block that holds the file, since one must hold a whole row and a text can be megabytes long."""
    return min(path.stat().st_size + 1, _MOST_BYTES)


_TEXT_WRITERS: dict[str, Callable[[pa.Table, TextIO], None]] = {
    ".jsonl": write_jsonl,
    ".json": write_json,
    ".csv": write_csv,
}
_READERS: dict[str, Callable[[Path], pa.Table]] = {
    ".parquet": _read_parquet,
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
}
