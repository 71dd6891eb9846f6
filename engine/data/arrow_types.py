"""What columns of an Arrow type hold, whatever the size of its numbers or offsets.

Also works around the one thing that Arrow does wrong with texts.
"""

import pyarrow as pa
import pyarrow.compute as pc


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of a type holds texts."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_list(kind: pa.DataType) -> bool:
    """Whether a column of a type holds lists."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of a type holds numbers or true and false."""
    types = pa.types
    return bool(types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def without(texts: pa.ChunkedArray, where: pa.ChunkedArray) -> pa.ChunkedArray:
    """The texts, with null in place of some.

    The nulls are an array of the texts' length: with a single one, Arrow before 24 gives the wrong bytes of a slice
    (its GH-49410).
    """
    return pc.if_else(where, pa.nulls(len(texts), texts.type), texts)
