"""Losses tables as files: Parquet, JSON Lines, JSON and CSV, told apart by the file's ending."""

import csv
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from lossaudit.engine.errors import LossAuditError, brief
from lossaudit.engine.files import file_beside

ENDINGS = (".parquet", ".jsonl", ".json", ".csv")
_REQUIRED = ("id", "label_name", "prediction_name", "probability", "loss")


def check_output(path: Path) -> None:
    """Raises LossAuditError if a losses table can't be written to `path`; call it before the work."""
    if path.suffix.lower() not in ENDINGS:
        raise LossAuditError(f"can't tell the format of {path}; its name must end in {', '.join(ENDINGS)}")
    if path.is_dir():
        raise LossAuditError(f"{path} is a folder; name a file in it")
    existing = next(parent for parent in path.absolute().parents if parent.exists())
    if not existing.is_dir():
        raise LossAuditError(f"cannot write {path}: {existing} is not a folder")


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
    """One JSON object a line."""
    for row in _rows(table):
        file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")


def write_json(table: pa.Table, file: TextIO) -> None:
    """One JSON array of objects."""
    file.write("[")
    separator = "\n"
    for row in _rows(table):
        file.write(separator + json.dumps(row, ensure_ascii=False, default=str))
        separator = ",\n"
    file.write("\n]\n")


def write_csv(table: pa.Table, file: TextIO) -> None:
    """A header and one line a row; nested values are written as JSON, missing ones are empty."""
    writer = csv.writer(file, lineterminator="\n")
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
    except (OSError, ValueError, pa.ArrowException) as error:
        raise LossAuditError(f"{path} can't be read: {brief(error)}") from error
    missing = [name for name in _REQUIRED if name not in table.column_names]
    if missing:
        raise LossAuditError(
            f"{path} is no losses table: it lacks {', '.join(missing)}; make one with `lossaudit audit`"
        )
    return table


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=1024):
        yield from batch.to_pylist()


def _cell(value: object) -> object:
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value


def _read_parquet(path: Path) -> pa.Table:
    return pq.read_table(path, memory_map=True)


def _read_csv(path: Path) -> pa.Table:
    options = pa_csv.ParseOptions(newlines_in_values=True)
    return pa_csv.read_csv(
        path, parse_options=options, convert_options=pa_csv.ConvertOptions(strings_can_be_null=False)
    )


def _read_jsonl(path: Path) -> pa.Table:
    # A block must hold a whole line, and a text can be megabytes long.
    return pa_json.read_json(path, pa_json.ReadOptions(block_size=min(max(path.stat().st_size, 1), sys.maxsize)))


def _read_json(path: Path) -> pa.Table:
    return pa.Table.from_pylist(json.loads(path.read_text(encoding="utf-8")))


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
