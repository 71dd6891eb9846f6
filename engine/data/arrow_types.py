"""What columns of an Arrow type hold. A type comes in, yes or no goes out; the several sizes of one thing are one."""

import pyarrow as pa


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of a type holds texts."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_list(kind: pa.DataType) -> bool:
    """Whether a column of a type holds lists."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of a type holds numbers or true and false."""
    return bool(pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind))
