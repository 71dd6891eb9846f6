"""Copies JSON files as an Arrow stream. Files come in, a file of their rows goes out, each cell what `json.loads` says.

Arrow reads most pieces, since it is several times as fast; those that it might read otherwise are read by `json`.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json

from .arrow_types import is_list, is_text
from .bad_lines import NOT_UTF8
from .json_kinds import EXACT, Kind, column_of
from .json_rows import BadJsonError, Lines, Row, pieces_of

Kinds = dict[str, Kind]
_READ_BYTES = 1 << 20
"""What Arrow gives one thread at a time; a line that is longer is read by `json`."""
_PLAIN = (pa.null(), pa.bool_(), pa.string(), pa.int64(), pa.uint64(), pa.float64())
_FAST = (*_PLAIN, *map(pa.list_, _PLAIN))
"""What Arrow reads as `json` does. Of objects, it takes a name that is left out for null."""


def copy_json(files: Sequence[Path], copy: Path) -> int:
    """Writes the rows of all files to `copy`, with the columns of all, null where a row has none; gives their number.

    Where a late row doesn't fit the types of those before it, all are read again, with types that fit all of them.
    Raises BadJsonError.
    """
    kinds: Kinds = {}
    rows = _copied(files, kinds, copy)
    if rows is None:
        rows = _copied(files, kinds, copy)
    if rows is None:
        raise BadJsonError("changed while it was read")
    return rows


def _copied(files: Sequence[Path], kinds: Kinds, copy: Path) -> int | None:
    """The number of rows; None if the types changed on the way. `kinds` are those of all rows then."""
    writer, rows = None, 0
    try:
        for table in _tables(files, kinds):
            if writer is None:
                schema = table.schema
                writer = pa.ipc.new_stream(str(copy), schema)
            if table.schema == schema:
                writer.write_table(table)
            rows += len(table)
    finally:
        if writer is not None:
            writer.close()
    return rows if writer is None or _schema(kinds) == schema else None


def _tables(files: Sequence[Path], kinds: Kinds) -> Iterator[pa.Table]:
    """The rows of all files in pieces, in the types of `kinds`, which are widened on the way."""
    for file in files:
        try:
            yield from (_table(piece, kinds) for piece in pieces_of(file))
        except BadJsonError as error:
            if len(files) > 1:
                raise error.of(file) from error
            raise


def _schema(kinds: Kinds) -> pa.Schema:
    return pa.schema([(name, kind.type) for name, kind in kinds.items()])


def _table(piece: Lines | list[Row], kinds: Kinds) -> pa.Table:
    """The rows of a piece, in the types of `kinds`, which are widened to hold them."""
    table = _by_arrow(piece, _schema(kinds)) if isinstance(piece, Lines) else None
    if table is not None:
        for name in table.column_names:
            kinds[name] |= Kind.of(_extremes(table[name]))
        return table
    rows = piece.rows() if isinstance(piece, Lines) else piece
    names = list(dict.fromkeys([*kinds, *(name for row in rows for name in row)]))
    columns = {name: [row.get(name) for row in rows] for name in names}
    for name, values in columns.items():
        kinds[name] = kinds.get(name, Kind()) | Kind.of(values)
    try:
        return pa.table({name: column_of(values, kinds[name].type) for name, values in columns.items()})
    except UnicodeEncodeError as error:
        raise BadJsonError(NOT_UTF8, piece.first_not_utf8 if isinstance(piece, Lines) else None) from error


def _by_arrow(piece: Lines, schema: pa.Schema) -> pa.Table | None:
    """The rows of lines, if Arrow is sure to read them as `json` does.

    It reads an object after the other wherever they are. One that ends in a brace, with a brace in the next line, isn't
    in the middle of an object: there would be a comma between them.
    """
    if not piece.are_in_braces or not set(schema.types) <= set(_FAST):
        return None
    try:
        table = pa_json.read_json(
            pa.BufferReader(piece.content),
            read_options=pa_json.ReadOptions(block_size=_READ_BYTES),
            parse_options=pa_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
        )
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    is_one_per_line = len(table) == len(piece)
    return table if is_one_per_line and table.schema == schema and all(map(_is_as_written, table.columns)) else None


def _is_as_written(column: pa.ChunkedArray) -> bool:
    """Whether cells that were read as of a type are what `json` says."""
    values = _flat(column)
    if is_list(column.type) and is_text(values.type):
        with suppress(pa.ArrowInvalid):
            values.validate(full=True)
            return True
        return False
    if values.type != pa.float64() or len(values) == values.null_count:
        return True
    # Arrow takes other spellings of infinity, and whole numbers that floats don't hold.
    return bool(pc.all(pc.less(pc.abs(values), EXACT)).as_py() and not pc.any(pc.is_nan(values)).as_py())


def _extremes(column: pa.ChunkedArray) -> list[Any]:
    """The cells of a column that decide how wide a type it needs."""
    values = _flat(column)
    if not pa.types.is_integer(values.type):
        return []
    found = list(pc.min_max(values).as_py().values())
    return [found] if is_list(column.type) else found


def _flat(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.list_flatten(column) if is_list(column.type) else column
