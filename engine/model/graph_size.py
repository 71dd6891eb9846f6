"""Bounds the memory and time that parsing a graph takes, by refusing absurd ones.

A message of two bytes becomes hundreds in memory, so a file of a gigabyte could take all there is. Weights don't grow
and aren't counted: protobuf's records are walked from the model to the graph to the tensors.
"""

from collections.abc import Iterator

_MOST_BYTES = 2**31 - 1
"""The largest size of a protobuf message."""
_MOST_BESIDE_WEIGHTS = 2**24
_MOST_RECORDS = 500_000
_GRAPH, _INITIALIZER, _WEIGHTS = 7, 5, (4, 9, 10)
"""Field numbers: a model's graph, a graph's tensors, and a tensor's float_data, raw_data and double_data."""
_VARINT, _EIGHT_BYTES, _COUNTED, _FOUR_BYTES = 0, 1, 2, 5


def check_size(data: bytes) -> None:
    """Raises ValueError for bytes that aren't protobuf or that hold too much besides weights."""
    if len(data) > _MOST_BYTES:
        raise ValueError("it is larger than 2 GB, more than an ONNX file can be")
    walk = _Walk(data)
    beside = len(data)
    for number, *graph in walk.records(0, len(data)):
        if number != _GRAPH:
            continue
        for inner, *tensor in walk.records(*graph):
            if inner == _INITIALIZER:
                beside -= sum(end - start for field, start, end in walk.records(*tensor) if field in _WEIGHTS)
    if beside > _MOST_BESIDE_WEIGHTS:
        raise ValueError(f"it holds {beside:,} bytes besides its weights, more than {_MOST_BESIDE_WEIGHTS:,}")


class _Walk:
    """Reads records of protobuf's wire format (protobuf.dev/programming-guides/encoding), a bounded number of them."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = _MOST_RECORDS

    def records(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """The field number of each length-delimited record between two places, and where its content lies."""
        while start < end:
            self._left -= 1
            if self._left < 0:
                raise ValueError(f"it holds more than {_MOST_RECORDS:,} records")
            tag, start = self._varint(start, end)
            kind = tag & 7
            if kind == _COUNTED:
                length, start = self._varint(start, end)
                if start + length > end:
                    raise ValueError("it is cut short")
                yield tag >> 3, start, start + length
                start += length
            elif kind == _VARINT:
                _, start = self._varint(start, end)
            elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
                start += 8 if kind == _EIGHT_BYTES else 4
            else:
                raise ValueError("it is not an ONNX file")

    def _varint(self, start: int, end: int) -> tuple[int, int]:
        value = 0
        for place, byte in enumerate(self._data[start : min(start + 10, end)]):
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return value, start + place + 1
        raise ValueError("it is cut short")
