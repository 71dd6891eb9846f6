"""Splits cells that hold several labels: lists, texts with a separator, or a 0 or 1 per label.

`cells` gives the labels of a column flat, each with its row; `indicators` gives a matrix that says for each row which
labels it has.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..arrays import Floats, Ints
from ..data.arrow_types import is_list, is_number, is_text
from ..data.utf8 import mended
from ..errors import LossAuditError, Option
from .given import stored

Bools = NDArray[np.bool_]


SEPARATORS = (",", ";", "|")
"""Separators between the labels of a text, the likeliest first."""
AS_JSON = "[]"
"""Stands in for a separator where a text holds a list in JSON."""


@dataclass(frozen=True)
class Cells:
    """The labels of n rows."""

    keys: pa.ChunkedArray
    """(labels,) int64 or string, none of them null."""
    rows: Ints
    """(labels,) the row of each, in ascending order."""
    missing: Bools
    """(n,) whether the row has no cell, or a null among its labels."""


def cells(column: pa.ChunkedArray, separator: str | None, start: int = 0) -> Cells:
    """The labels of each cell. start: the number of the first row.

    separator: between the labels of a text, or AS_JSON; None where a text is one label. An empty text has no labels.
    Raises LossAuditError for what can't be a label.
    """
    if isinstance(column.type, pa.JsonType):  # what `datasets` makes of cells of several types
        column = pa.chunked_array([[_listed(cell) for cell in column.cast(pa.string()).to_pylist()]], _TEXTS)
    elif separator == AS_JSON:
        texts = mended(column.cast(pa.large_string())).to_pylist()
        column = pa.chunked_array([[_listed(cell) if _may_be_list(cell) else _whole(cell) for cell in texts]], _TEXTS)
    flat, rows = _flat(column, separator)
    keys = stored(pa.chunked_array([flat]), rows + start)
    there = np.asarray(pc.is_valid(keys).to_numpy())
    missing = np.array(pc.is_null(column).to_numpy())
    missing[rows[~there]] = True
    return Cells(keys.filter(pa.array(there)), rows[there], missing)


def _flat(column: pa.ChunkedArray, separator: str | None) -> tuple[pa.Array, Ints]:
    """The items in the cells, and the row of each."""
    column, rows = column.combine_chunks(), np.arange(len(column))
    if is_list(column.type):
        return pc.list_flatten(column), _parents(column)
    if not holds_texts(column.type):
        return column, rows
    parts = mended(pa.chunked_array([column.cast(pa.large_string())])).combine_chunks()
    if separator is not None:
        lists = pc.split_pattern(parts, separator)
        parts, rows = pc.list_flatten(lists), _parents(lists)
    parts = pc.utf8_trim_whitespace(parts)
    filled = np.flatnonzero(pc.fill_null(pc.not_equal(parts, ""), False).to_numpy(zero_copy_only=False))
    return parts.take(pa.array(filled)), rows[filled]


def holds_texts(kind: pa.DataType) -> bool:
    """Whether cells of a type are texts, dictionary-encoded or not."""
    return is_text(kind.value_type if pa.types.is_dictionary(kind) else kind)


_TEXTS = pa.list_(pa.large_string())


def _may_be_list(text: str | None) -> bool:
    return text is not None and text.lstrip().startswith("[")


def _whole(text: str | None) -> list[str | None] | None:
    return None if text is None else [text.strip()] if text.strip() else []


def _listed(cell: str | None) -> list[str | None] | None:
    """The items of a list in JSON; anything else is a single item."""
    try:
        value = None if cell is None else json.loads(cell)
    except (ValueError, RecursionError):
        return _whole(cell)
    items = value if value is None or isinstance(value, list) else [value]
    return None if items is None else [None if item is None else _text(item) for item in items]


def _text(item: object) -> str:
    return str(int(item)) if isinstance(item, float) and item.is_integer() else str(item)


def _parents(lists: pa.Array) -> Ints:
    return np.asarray(pc.list_parent_indices(lists).to_numpy(), dtype=np.int64)


def indicators(columns: Sequence[pa.ChunkedArray], start: int = 0, names: Sequence[str] = ()) -> Floats:
    """(n, labels) from a column of 0 and 1 per label; NaN where a cell is null, NaN or -1 (not annotated).

    Raises LossAuditError for any other value, with the column's name and the row.
    """
    given = np.column_stack([_numbers(column) for column in columns])
    given[given == -1] = np.nan
    wrong = ~(np.isnan(given) | np.isin(given, (0, 1)))
    if wrong.any():
        row, place = (int(at) for at in np.argwhere(wrong)[0])
        value = columns[place][row].as_py()
        raise LossAuditError(
            f"column {names[place]!r} holds {value!r} in row {start + row}; it has the name of one of the model's "
            "labels and must hold 0 or 1 (or name the label column with ",
            Option("label_column"),
            ")",
        )
    return given


def indicator_lists(column: pa.ChunkedArray, labels: int, start: int = 0) -> Floats | None:
    """(n, labels) from lists of a 0 or 1 per label; NaN as in `indicators`, and for an empty list.

    None if the column holds something else. Raises LossAuditError for lists of 0 and 1 of other lengths: as class
    indices, they would repeat the same ones many times.
    """
    if not is_list(column.type) or not is_number(column.type.value_type):
        return None
    lists = column.combine_chunks()
    signs = _numbers(pa.chunked_array([pc.list_flatten(lists)]))
    signs[signs == -1] = np.nan
    if not (np.isnan(signs) | np.isin(signs, (0, 1))).all():
        return None
    lengths = np.asarray(pc.fill_null(pc.list_value_length(lists), 0).to_numpy())
    other = ~np.isin(lengths, (0, labels))
    if other.any():
        if pa.types.is_boolean(column.type.value_type) or lengths.max() > 2:
            row = int(np.argmax(other))
            raise LossAuditError(
                f"the label column holds lists of 0 and 1, but the one in row {start + row} has {lengths[row]} items; "
                f"the model has {labels} labels"
            )
        return None
    given = np.full((len(lists), labels), np.nan)
    given[lengths > 0] = signs.reshape(-1, labels)
    return given


def _numbers(column: pa.ChunkedArray) -> Floats:
    if is_text(column.type):
        with suppress(pa.ArrowInvalid):  # texts of numbers
            column = column.cast(pa.bool_())
    return np.array(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
