"""Losses tables as files: Parquet, JSON Lines, JSON and CSV, told apart by the file's ending."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from ..data.arrow_types import without
from ..errors import Function, LossAuditError, brief
from ..files import check_output_file, file_beside, files_of
from .schema import REQUIRED, is_multi_label, own_schema
from .sidecar import Sum, check_facts_path, summed, with_facts, write_facts
from .text_rows import write_rows

ENDINGS = (".parquet", ".jsonl", ".json", ".csv")
_NAMES_OF = {"label_name": "labels", "prediction_name": "predictions"}
"""Columns with a multi-label row's names as one text, and as a list."""
_PROBABILITIES = "probabilities"
_ROW_GROUP = 16_384
"""Rows per row group of a Parquet file: the fewest that are read at once."""
_MOST_BYTES = 2**31 - 1
"""The largest block that Arrow's readers accept."""


def check_output(path: Path, dataset: str | None = None) -> None:
    """Raises LossAuditError if a losses table can't be written to `path`; call it before the work.

    dataset: the name of the audited dataset, whose files must not be overwritten.
    """
    check_output_file(path, path.suffix.lower(), ENDINGS, files_of(dataset) if dataset is not None else ())
    if path.exists() and path.stat().st_size and not {*REQUIRED} <= {*_columns(path)}:
        raise LossAuditError(f"{path} exists and isn't a losses table; remove it, or write to another file")
    if path.suffix.lower() != ".parquet":
        check_facts_path(path)


def _columns(path: Path) -> list[str]:
    """The columns of a losses table, by its beginning; [] for any other file."""
    ending = path.suffix.lower()
    try:
        if ending == ".parquet":
            return list(pq.read_schema(path).names)
        with path.open(encoding="utf-8", newline="") as file:
            if ending == ".csv":
                return next(csv.reader(file), [])
            first = file.readline() if ending == ".jsonl" else file.readline() and file.readline().rstrip(",\n")
        return list(_objects([json.loads(first)])[0])
    except (OSError, ValueError, RecursionError, csv.Error, pa.ArrowException):
        return []


def write_table(pieces: Iterable[pa.Table], schema: pa.Schema, path: Path, scratch: Path | None = None) -> None:
    """Writes a table, piece by piece, and renames it into place; floats read back to the same value.

    The facts in the schema's metadata go into the Parquet file, or into a file beside one in a text format.

    scratch: see `files.file_beside`.
    """
    check_output(path)
    with file_beside(path, scratch) as temporary:
        if path.suffix.lower() == ".parquet":
            with pq.ParquetWriter(temporary, schema, compression="zstd", write_page_checksum=True) as parquet:
                for piece in pieces:
                    parquet.write_table(piece.cast(schema), row_group_size=_ROW_GROUP)
            return
        table = Sum()
        with temporary.open("w", encoding="utf-8", newline="") as file:
            write_text(summed(iter(pieces), table), schema, path.suffix.lower(), file)
        write_facts(path, schema, table)


def write_text(pieces: Iterable[pa.Table], schema: pa.Schema, ending: str, file: TextIO) -> None:
    """Writes a table, piece by piece, in the text format with this ending."""
    # Some programs distinguish a quoted 007 or NA from a number or a missing value.
    write_rows(_rows(pieces), schema.names, ending, file, quote_texts=True)


def read_table(path: Path) -> pa.Table:
    """Reads a losses table in any of the formats. Raises LossAuditError if it isn't one."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise LossAuditError(f"{path} is not a losses table: its name must end in {', '.join(ENDINGS)}")
    if not path.is_file():
        raise LossAuditError(f"there is no file {path}; make one with `", Function("audit"), "`")
    try:
        table = reader(path)
        table.validate(full=True)  # refuses strings that aren't UTF-8 too
        names = table.schema.names
    except (OSError, ValueError, OverflowError, RecursionError, csv.Error, pa.ArrowException) as error:
        raise LossAuditError(f"{path} can't be read: {brief(error)}") from error
    if len(set(names)) < len(names):
        raise LossAuditError(f"{path} is not a losses table: it has columns of the same name")
    check_losses(table.schema, path)
    table = _typed(table, path)
    suspects = table.filter(pc.is_valid(table["loss"]))
    incomplete = [name for name in REQUIRED if suspects[name].null_count]
    if incomplete or table["id"].null_count:
        raise LossAuditError(f"{path} is not a losses table: it has rows without {', '.join(incomplete or ['id'])}")
    return table if path.suffix.lower() == ".parquet" else with_facts(path, table)


def check_losses(schema: pa.Schema, path: Path) -> None:
    """Raises LossAuditError if a file's columns aren't those of a losses table."""
    missing = [name for name in REQUIRED if name not in schema.names]
    if missing:
        raise LossAuditError(
            f"{path} is not a losses table: it lacks {', '.join(missing)}; make one with `", Function("audit"), "`"
        )


def _typed(table: pa.Table, path: Path) -> pa.Table:
    """The table with its own columns in the types of `own_schema`, whatever a text format made of them."""
    types = {field.name: field.type for field in own_schema(table.column_names)}
    for index, name in enumerate(table.column_names):
        if name in types:
            column = table[name]
            try:
                if pa.types.is_string(column.type):
                    column = without(column, pc.equal(column, ""))  # a missing one in CSV
                if pa.types.is_list(types[name]) and pa.types.is_string(column.type):
                    column = pa.chunked_array([[json.loads(cell) if cell else None for cell in column.to_pylist()]])
                table = table.set_column(index, name, column.cast(types[name]))
            except (ValueError, pa.ArrowException) as error:
                raise LossAuditError(
                    f"{path} is not a losses table: its column {name!r} holds {table[name].type}, not {types[name]}"
                ) from error
    return _with_names_of_none(table) if is_multi_label(table.column_names) else table


def _with_names_of_none(table: pa.Table) -> pa.Table:
    """A multi-label table in which rows without labels have the name "", which text formats can't tell from null."""
    for name, labels in _NAMES_OF.items():
        names = without(pc.fill_null(table[name], ""), pc.is_null(table[labels]))
        table = table.set_column(table.column_names.index(name), name, names)
    return table


def _rows(pieces: Iterable[pa.Table]) -> Iterator[dict[str, Any]]:
    for piece in pieces:
        if _PROBABILITIES in piece.column_names:
            # The fewest digits that read back to the same float32; a float64 of the same value has 17.
            shortest = piece[_PROBABILITIES].cast(pa.list_(pa.string())).cast(pa.list_(pa.float64()))
            piece = piece.set_column(piece.column_names.index(_PROBABILITIES), _PROBABILITIES, shortest)
        for batch in piece.to_batches(max_chunksize=1024):
            columns = [_values(column) for column in batch.columns]
            yield from (dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True))


def _values(column: pa.Array) -> list[Any]:
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError):  # a time beyond Python's years, which becomes text
        return [" ".join(column.slice(row, 1).to_string().split()) for row in range(len(column))]


def _read_parquet(path: Path) -> pa.Table:
    return pq.read_table(path, memory_map=True)


def _read_csv(path: Path) -> pa.Table:
    with path.open(encoding="utf-8", newline="") as file:
        names = next(csv.reader(file), [])
    own = {f.name: pa.string() if pa.types.is_list(f.type) else f.type for f in own_schema(names)}
    types = dict.fromkeys(names, pa.string()) | own  # the source's cells, such as 00001, stay as they are
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
    table = _parsed_json(path, known)
    dates = [field for field in table.schema if pa.types.is_timestamp(field.type) and field.name not in known.names]
    if not dates:
        return table
    # Arrow takes texts that look like a time for times, and would write them another way.
    return _parsed_json(path, pa.schema([*known, *(field.with_type(pa.string()) for field in dates)]))


def _parsed_json(path: Path, known: pa.Schema) -> pa.Table:
    options = pa_json.ParseOptions(explicit_schema=known)
    return pa_json.read_json(path, pa_json.ReadOptions(block_size=_whole(path)), options)


def _read_json(path: Path) -> pa.Table:
    return pa.Table.from_pylist(_objects(json.loads(path.read_text(encoding="utf-8"))))


def _objects(rows: Any) -> list[dict[str, Any]]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it holds something other than JSON objects")
    return rows


def _whole(path: Path) -> int:
    """The size of a block that holds the file, since one must hold a whole row and texts can have megabytes."""
    return min(path.stat().st_size + 1, _MOST_BYTES)


_READERS: dict[str, Callable[[Path], pa.Table]] = {
    ".parquet": _read_parquet,
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
}
