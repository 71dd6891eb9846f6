"""Strings that other readers can read, whatever a file claims, and arrays that stay within their bounds."""

import struct

import pyarrow as pa
import pytest

from lossaudit.engine.data.utf8 import check, mended

BYTES = [b"ok", b"\xff\xfe", None, b"half \xed\xa0\x80", "é😞".encode()]
TEXTS = ["ok", "\ufffd\ufffd", None, "half \ufffd\ufffd\ufffd", "é😞"]


def strings(kind=None):
    """BYTES as an array that claims to hold strings."""
    cells = pa.array(BYTES, pa.binary() if kind is None else pa.large_binary())
    return (pa.StringArray if kind is None else pa.LargeStringArray).from_buffers(
        len(BYTES), cells.buffers()[1], cells.buffers()[2], cells.buffers()[0]
    )


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (strings(), TEXTS),
        (strings().slice(1, 2), TEXTS[1:3]),
        (strings(pa.large_string()), TEXTS),
        (strings().dictionary_encode(), TEXTS),
        (pa.ListArray.from_arrays([0, 2, 2, 5], strings()), [TEXTS[:2], [], TEXTS[2:]]),
        (
            pa.StructArray.from_arrays([strings(), pa.array([b"\xff"] * 5)], ["a", "b"]),
            [{"a": text, "b": b"\xff"} for text in TEXTS],
        ),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_what_is_not_utf_8_is_replaced_and_the_rest_stays(array, expected):
    column = mended(pa.chunked_array([array]))
    assert column.to_pylist() == expected
    assert column.type == array.type
    column.validate(full=True)


def test_what_is_sound_is_the_same_column():
    for values in (["a", None, "é"], [1, 2], [["a"], None], [{"x": "y"}], [b"\xff"]):
        column = pa.chunked_array([values])
        assert mended(column) is column


def test_a_sound_table_passes_whatever_its_strings_hold():
    check(pa.table({"text": strings(), "n": range(5), "nested": [[text] for text in "abcde"]}))


def test_offsets_that_leave_the_array_are_refused():
    offsets = pa.py_buffer(struct.pack("<3i", 0, 1 << 30, 4))
    table = pa.table({"text": pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"abcd"))})
    with pytest.raises(pa.ArrowInvalid):
        check(table)
