"""Checks where the data of an ONNX graph's tensor lies, and how much there is.

The data is in the graph, in one of several fields, or in a file beside it. Its type and shape say how many bytes there
must be.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import brief

if TYPE_CHECKING:
    import onnx

_BITS = {
    "BFLOAT16": 16, "BOOL": 8, "DOUBLE": 64, "FLOAT": 32, "FLOAT16": 16, "FLOAT4E2M1": 4, "FLOAT8E4M3FN": 8,
    "FLOAT8E4M3FNUZ": 8, "FLOAT8E5M2": 8, "FLOAT8E5M2FNUZ": 8, "FLOAT8E8M0": 8, "INT16": 16, "INT2": 2, "INT32": 32,
    "INT4": 4, "INT64": 64, "INT8": 8, "UINT16": 16, "UINT2": 2, "UINT32": 32, "UINT4": 4, "UINT64": 64, "UINT8": 8,
}  # fmt: skip
"""Bits of an element, by ONNX's name of its type."""
_STRING = "STRING"
_FIELDS = {
    "DOUBLE": "double_data", "FLOAT": "float_data", "INT64": "int64_data", _STRING: "string_data",
    "UINT32": "uint64_data", "UINT64": "uint64_data",
}  # fmt: skip
"""The field that holds a type's elements if they aren't bytes; for all other types it is `int32_data`."""
_ANY_FIELD = {*_FIELDS.values(), "int32_data", "raw_data"}
_OTHER_FIELDS = {"dims", "data_type", "name", "doc_string", "external_data", "data_location", "metadata_props"}
_MOST_AXES = 32
_LARGEST_SIZE = 2**31 - 1
"""The largest size of an axis."""
_PLACE = {"location", "offset", "length"}
_MOST_DIGITS = 19


def check_tensor(tensor: "onnx.TensorProto", weights: Mapping[str, int]) -> str | None:
    """The file that holds a tensor's data; None if the graph does. Raises ValueError, which says what is wrong.

    weights: names and sizes of the files that may hold it.
    """
    fields = {field.name for field, _ in tensor.ListFields()}
    unknown = fields - _OTHER_FIELDS - _ANY_FIELD
    if unknown:
        raise ValueError(f"holds {min(unknown)}, which lossaudit has no use for")
    kind, count = _type_of(tensor), _elements(tensor)
    inside = fields & _ANY_FIELD
    if tensor.data_location == tensor.EXTERNAL:
        if inside or kind == _STRING:
            raise ValueError("has data both in a file and in the graph" if inside else "holds strings in a file")
        return _check_place(tensor, -(-count * _BITS[kind] // 8), weights)
    if tensor.external_data:
        raise ValueError("names a file that doesn't hold it")
    _check_inside(tensor, kind, count, inside)
    return None


def _type_of(tensor: "onnx.TensorProto") -> str:
    try:
        kind = str(tensor.DataType.Name(tensor.data_type))
    except ValueError:
        kind = str(tensor.data_type)
    if kind not in _BITS and kind != _STRING:
        raise ValueError(f"has the type {kind}, which lossaudit has no use for")
    return kind


def _elements(tensor: "onnx.TensorProto") -> int:
    if len(tensor.dims) > _MOST_AXES:
        raise ValueError(f"has {len(tensor.dims):,} axes, more than {_MOST_AXES}")
    for size in tensor.dims:
        if not 0 <= size <= _LARGEST_SIZE:
            raise ValueError(f"has an axis of {size:,} elements")
    return math.prod(tensor.dims)


def _check_inside(tensor: "onnx.TensorProto", kind: str, count: int, inside: set[str]) -> None:
    field = _FIELDS.get(kind, "int32_data")
    if "raw_data" in inside and kind != _STRING:
        field, wanted = "raw_data", -(-count * _BITS[kind] // 8)
    else:
        # Elements of less than a byte share one.
        wanted = -(-count // max(1, 8 // _BITS.get(kind, 8)))
    if inside - {field}:
        raise ValueError(f"has data in {min(inside - {field})}, where its type {kind} has none")
    found = len(getattr(tensor, field))
    if found != wanted:
        raise ValueError(f"has {found:,} {_unit(field)}, but its type {kind} and its shape need {wanted:,}")


def _check_place(tensor: "onnx.TensorProto", wanted: int, weights: Mapping[str, int]) -> str:
    place = {entry.key: entry.value for entry in tensor.external_data}
    if len(place) != len(tensor.external_data) or not place.keys() <= _PLACE or "location" not in place:
        raise ValueError("must say where it lies with one location, and at most one offset and length")
    file = str(place["location"])
    if file not in weights:
        raise ValueError(f"lies in {quoted(file)}, which is not one of the plain files that belong to it")
    size = weights[file]
    offset = _number(place.get("offset", "0"), "offset")
    length = _number(place["length"], "length") if "length" in place else size - offset
    if offset + length > size:
        raise ValueError(f"ends at byte {offset + length:,} of {quoted(file)}, which has {size:,}")
    if length != wanted:
        raise ValueError(f"has {length:,} bytes in {quoted(file)}, but its type and its shape need {wanted:,}")
    return file


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise ValueError(f"has {quoted(text)} as its {what}, which must be a number of bytes")
    return int(text)


def _unit(field: str) -> str:
    return "bytes" if field == "raw_data" else f"entries in {field}"


def quoted(text: str) -> str:
    """A name from a graph in one short line, without control characters that a terminal would obey."""
    return brief(ValueError(repr(text)), 80)
