"""Replaces cells of Arrow columns, whose types stay what they are, and leaves rows out."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa


def with_cells(column: pa.ChunkedArray, places: Sequence[int], values: Sequence[Any]) -> pa.ChunkedArray:
    """The column with other values at some places; what is new to a dictionary extends it.

    Raises ArrowInvalid and the like if the type can't hold the values.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _in_dictionary(column, places, values)
    # Pieces are put together, since Arrow can't take rows of views of strings.
    pieces, start = list[pa.Array](), 0
    new = pa.array(values, type=kind)
    for at, place in sorted(enumerate(places), key=lambda pair: pair[1]):
        pieces += [*column.slice(start, place - start).chunks, new.slice(at, 1)]
        start = place + 1
    pieces += column.slice(start).chunks
    return pa.chunked_array(pieces, type=kind)


def without_rows(table: pa.Table, places: Sequence[int]) -> pa.Table:
    """The table without some rows, whose places rise."""
    starts, stops = [0, *(place + 1 for place in places)], [*places, len(table)]
    kept = [table.slice(start, stop - start) for start, stop in zip(starts, stops, strict=True) if start < stop]
    return pa.concat_tables(kept or [table.slice(0, 0)])


def _in_dictionary(column: pa.ChunkedArray, places: Sequence[int], values: Sequence[Any]) -> pa.ChunkedArray:
    kind, whole = column.type, column.combine_chunks()
    held = whole.dictionary.to_pylist()
    more = [value for value in dict.fromkeys(values) if value is not None and value not in held]
    dictionary = pa.concat_arrays([whole.dictionary, pa.array(more, kind.value_type)])
    index = {value: at for at, value in enumerate([*held, *more])}
    indices = with_cells(pa.chunked_array([whole.indices]), places, [index.get(value) for value in values])
    array = pa.DictionaryArray.from_arrays(indices.combine_chunks(), dictionary, ordered=kind.ordered)
    return pa.chunked_array([array])
