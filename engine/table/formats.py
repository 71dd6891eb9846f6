"""Losses tables as files: Parquet, JSON Lines, JSON and CSV, told apart by the file's ending."""

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from ..errors import Function, LossAuditError, brief
from ..files import file_beside, files_of
from .schema import is_multi_label, own_schema

ENDINGS = (".parquet", ".jsonl", ".json", ".csv")
_REQUIRED = ("id", "label_name", "prediction_name", "probability", "loss")
_NAMES_OF = {"label_name": "labels", "prediction_name": "predictions"}
"""A multi-label row's names in one text, and in a list."""
_PROBABILITIES = "probabilities"
_ROW_GROUP = 16_384
"""Rows of a Parquet file that are read at once where only some are wanted."""
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


def write_table(pieces: Iterable[pa.Table], schema: pa.Schema, path: Path, scratch: Path | None = None) -> None:
    """Writes a table, piece by piece, and renames it into place; floats read back to the same value.

    scratch: see `files.file_beside`.
    """
    check_output(path)
    with file_beside(path, scratch) as temporary:
        if path.suffix.lower() == ".parquet":
            with pq.ParquetWriter(temporary, schema, compression="zstd", write_page_checksum=True) as parquet:
                for piece in pieces:
                    parquet.write_table(piece.cast(schema), row_group_size=_ROW_GROUP)
            return
        with temporary.open("w", encoding="utf-8", newline="") as file:
            _TEXT_WRITERS[path.suffix.lower()](pieces, schema, file)


def write_jsonl(pieces: Iterable[pa.Table], schema: pa.Schema, file: TextIO) -> None:  # noqa: ARG001 - as the others
    """One JSON object a line. JSON has no NaN or infinity: they are written as null."""
    for row in _rows(pieces):
        file.write(_json(row) + "\n")


def write_json(pieces: Iterable[pa.Table], schema: pa.Schema, file: TextIO) -> None:  # noqa: ARG001 - as the others
    """One JSON array of objects, as in `write_jsonl`."""
    file.write("[")
    separator = "\n"
    for row in _rows(pieces):
        file.write(separator + _json(row))
        separator = ",\n"
    file.write("\n]\n")


def write_csv(pieces: Iterable[pa.Table], schema: pa.Schema, file: TextIO) -> None:
    """A header and one line a row; nested values are written as JSON, missing ones are empty."""
    # All strings are quoted: only when needed, Python leaves a lone carriage return bare, which ends the row.
    writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(schema.names)
    for row in _rows(pieces):
        writer.writerow([_cell(value) for value in row.values()])


def read_table(path: Path) -> pa.Table:
    """Reads a losses table in any of the formats. Raises LossAuditError if it isn't one."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise LossAuditError(f"{path} is no losses table: its name must end in {', '.join(ENDINGS)}")
    if not path.is_file():
        raise LossAuditError(f"there is no file {path}; make one with `", Function("audit"), "`")
    try:
        table = reader(path)
        table.validate(full=True)  # strings that are no UTF-8 among it
        names = table.schema.names
    except (OSError, ValueError, OverflowError, RecursionError, csv.Error, pa.ArrowException) as error:
        raise LossAuditError(f"{path} can't be read: {brief(error)}") from error
    if len(set(names)) < len(names):
        raise LossAuditError(f"{path} is no losses table: it has columns of the same name")
    check_losses(table.schema, path)
    table = _typed(table, path)
    suspects = table.filter(pc.is_valid(table["loss"]))
    incomplete = [name for name in _REQUIRED if suspects[name].null_count]
    if incomplete or table["id"].null_count:
        raise LossAuditError(f"{path} is no losses table: it has rows without {', '.join(incomplete or ['id'])}")
    return table


def check_losses(schema: pa.Schema, path: Path) -> None:
    """Raises LossAuditError if a file's columns aren't those of a losses table."""
    missing = [name for name in _REQUIRED if name not in schema.names]
    if missing:
        raise LossAuditError(
            f"{path} is no losses table: it lacks {', '.join(missing)}; make one with `", Function("audit"), "`"
        )


def _typed(table: pa.Table, path: Path) -> pa.Table:
    """The table with its own columns in the types of `own_schema`, whatever a text format made of them."""
    types = {field.name: field.type for field in own_schema(table.column_names)}
    for index, name in enumerate(table.column_names):
        if name in types:
            column = table[name]
            try:
                if pa.types.is_string(column.type):
                    column = pc.if_else(pc.equal(column, ""), None, column)  # what CSV makes of a missing one
                if pa.types.is_list(types[name]) and pa.types.is_string(column.type):
                    column = pa.chunked_array([[json.loads(cell) if cell else None for cell in column.to_pylist()]])
                table = table.set_column(index, name, column.cast(types[name]))
            except (ValueError, pa.ArrowException) as error:
                raise LossAuditError(
                    f"{path} is no losses table: its column {name!r} holds {table[name].type}, not {types[name]}"
                ) from error
    return _with_names_of_none(table) if is_multi_label(table.column_names) else table


def _with_names_of_none(table: pa.Table) -> pa.Table:
    """A multi-label table with the names of rows without labels, "", which text formats don't tell from none."""
    for name, labels in _NAMES_OF.items():
        names = pc.if_else(pc.is_valid(table[labels]), pc.fill_null(table[name], ""), None)
        table = table.set_column(table.column_names.index(name), name, names)
    return table


def _rows(pieces: Iterable[pa.Table]) -> Iterator[dict[str, Any]]:
    for piece in pieces:
        if _PROBABILITIES in piece.column_names:
            # As few digits as read back to the same float32, where a float64 of the same value has 17.
            shortest = piece[_PROBABILITIES].cast(pa.list_(pa.string())).cast(pa.list_(pa.float64()))
            piece = piece.set_column(piece.column_names.index(_PROBABILITIES), _PROBABILITIES, shortest)
        for batch in piece.to_batches(max_chunksize=1024):
            columns = [_values(column) for column in batch.columns]
            yield from (dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True))


def _values(column: pa.Array) -> list[Any]:
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError):  # a time beyond Python's years, in words then
        return [" ".join(column.slice(row, 1).to_string().split()) for row in range(len(column))]


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
    with path.open(encoding="utf-8", newline="") as file:
        fields = own_schema(next(csv.reader(file), []))
    types = {field.name: pa.string() if pa.types.is_list(field.type) else field.type for field in fields}
    return pa_csv.read_csv(
        path,
        pa_csv.ReadOptions(block_size=_whole(path)),
        pa_csv.ParseOptions(newlines_in_values=True),
        pa_csv.ConvertOptions(column_types=types, null_values=[""]),
    )


def _read_jsonl(path: Path) -> pa.Table:
    with path.open(encoding="utf-8") as file:
        first = _objects([json.loads(file.readline() or "{}")])[0]
    known = pa.schema([field for field in own_schema(list(first)) if field.name in first])
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


_TEXT_WRITERS: dict[str, Callable[[Iterable[pa.Table], pa.Schema, TextIO], None]] = {
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
