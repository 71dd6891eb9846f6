"""Arrow takes a file's word for it that its arrays are sound and its strings UTF-8; Python and other readers don't.

`check` refuses damaged tables from other people's files. `mended` replaces bytes that aren't UTF-8 with U+FFFD, in
nested values too.
"""

from typing import Any

import pyarrow as pa

from .arrow_types import is_text


def check(table: pa.Table) -> None:
    """Raises ArrowInvalid for a table whose arrays point outside themselves; bytes that aren't UTF-8 pass."""
    for column in table.columns:
        for chunk in column.chunks:
            _without_texts(chunk).validate(full=True)


def mended(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column with nothing but valid strings."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return pa.chunked_array([_mended(chunk) for chunk in column.chunks], column.type)
    return column


def _without_texts(array: pa.Array) -> pa.Array:
    """The array with bytes in place of strings, which may be any."""
    if pa.types.is_dictionary(array.type):
        return pa.DictionaryArray.from_arrays(array.indices, _without_texts(array.dictionary))
    kind = _as_bytes(array.type)
    return array if kind == array.type else array.cast(kind)


def _mended(array: pa.Array) -> pa.Array:
    kind = array.type
    if pa.types.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(array.indices, _mended(array.dictionary))
    return pa.array([_decoded(value, kind) for value in array.cast(_as_bytes(kind)).to_pylist()], kind)


def _as_bytes(kind: pa.DataType) -> pa.DataType:
    """The same type with bytes in place of strings."""
    if pa.types.is_string(kind):
        return pa.binary()
    if pa.types.is_large_string(kind):
        return pa.large_binary()
    if pa.types.is_string_view(kind):
        return pa.binary_view()
    if pa.types.is_list(kind):
        return pa.list_(_as_bytes(kind.value_type))
    if pa.types.is_large_list(kind):
        return pa.large_list(_as_bytes(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_as_bytes(field.type)) for field in kind])
    return kind


def _decoded(value: Any, kind: pa.DataType) -> Any:
    if value is None:
        return None
    if is_text(kind):
        return value.decode(errors="replace")
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [_decoded(item, kind.value_type) for item in value]
    if pa.types.is_struct(kind):
        return {field.name: _decoded(value[field.name], field.type) for field in kind}
    return value
