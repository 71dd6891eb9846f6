"""The labels that a dataset gives: reads a label column in pieces and describes its values (`Given`).

Nothing here knows the model: `alignment.py` matches the given labels with the model's.
"""

import itertools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel
from numpy.typing import NDArray

from ..data.arrow_types import is_list, is_number, is_text, without
from ..data.utf8 import mended
from ..errors import LossAuditError, Option
from ..shortening import shortened

MOST_LABELS = 100_000
"""The most different values that a label column may hold."""
Key = int | str
_SHOWN = 12
"""Labels that a message lists."""
MISSING, NOT_IN_MODEL = -1, -2
"""Stand-ins for the class index of a row that has none."""


@dataclass(frozen=True)
class Seen:
    """How often something, such as a label, is in the dataset, and where first."""

    rows: int
    """Number of rows that have it."""
    first: int
    """The first of them, from 0."""


@dataclass(frozen=True)
class Given:
    """The labels that a dataset gives: what `align` needs to know of a label column."""

    labels: Mapping[Key, Seen]
    """The values as stored, in the order of their first rows."""
    missing: Seen | None
    """The rows without a label: null, NaN, or -1 in a column that names its classes."""
    names: Mapping[Key, str]
    """The user's name for each value: a ClassLabel's name, "False" or "True", or the value itself."""
    class_names: tuple[str, ...] | None
    """All names of a ClassLabel."""


@dataclass(frozen=True)
class GivenLabels:
    """The labels of n rows."""

    labels: NDArray[Any]
    """Class indices (n,), or (n, classes) of 0 and 1; throughout MISSING or NOT_IN_MODEL for a row without any."""
    unknown: Mapping[int, Any]
    """Names of the labels of rows that are NOT_IN_MODEL."""

    @property
    def codes(self) -> NDArray[Any]:
        """(n,) MISSING or NOT_IN_MODEL, or something else for a row with labels of the model."""
        return self.labels if self.labels.ndim == 1 else self.labels.min(axis=1)


def given_labels(columns: Iterable[pa.ChunkedArray], feature: object) -> Given:
    """Counts the labels of a column in pieces, with one piece at a time in memory.

    columns: integers (a ClassLabel's, or plain), whole floats, booleans or names. feature: its `datasets` feature.
    Raises LossAuditError for a column of another kind, or with too many different values for labels.
    """
    rows: dict[Key | None, int] = {}
    first: dict[Key | None, int] = {}
    start = 0
    boolean = False
    for column in columns:
        boolean = boolean or pa.types.is_boolean(column.type)
        values = stored(column, range(start, start + len(column)))
        for item in values.value_counts().to_pylist():
            rows[item["values"]] = rows.get(item["values"], 0) + item["counts"]
        for value in rows.keys() - first.keys():
            at = pc.index(pc.is_null(values), True) if value is None else pc.index(values, value)
            first[value] = start + at.as_py()
        if len(rows) > MOST_LABELS:
            raise too_many_labels()
        start += len(column)
    class_names = tuple(feature.names) if isinstance(feature, ClassLabel) else None
    none = [key for key in rows if key is None or (class_names is not None and key == -1)]
    missing = Seen(sum(rows[key] for key in none), min(first[key] for key in none)) if none else None
    keys = sorted((key for key in rows if key is not None and key not in none), key=lambda key: first[key])
    names = {key: _only_item_in(name) for key, name in names_of_keys(keys, boolean, class_names).items()}
    return Given({key: Seen(rows[key], first[key]) for key in keys}, missing, names, class_names)


def too_many_labels() -> LossAuditError:
    """The error for a column of more than `MOST_LABELS` different values."""
    return LossAuditError(
        f"the label column holds over {MOST_LABELS:,} different values, too many for labels; name another with ",
        Option("label_column"),
    )


def both(one: Seen | None, other: Seen) -> Seen:
    """What has been seen in two places together."""
    return other if one is None else Seen(one.rows + other.rows, min(one.first, other.first))


def stored(column: pa.ChunkedArray, rows: Iterable[int] | None = None) -> pa.ChunkedArray:
    """The column as int64 or string. rows: its rows' numbers, if they don't start at 0.

    Whole floats and booleans become integers, NaN and "" null; anything else is refused.
    """
    kind = column.type
    if isinstance(kind, pa.JsonType):  # what `datasets` makes of a column of several types
        return pa.chunked_array([[_of_json(cell) for cell in column.cast(pa.string()).to_pylist()]], pa.large_string())
    if pa.types.is_dictionary(kind):
        return stored(column.cast(kind.value_type), rows)
    if pa.types.is_null(kind):
        return column.cast(pa.large_string())
    if is_text(kind):
        names = mended(column).cast(pa.large_string())
        return without(names, pc.equal(names, ""))
    if pa.types.is_floating(kind):
        column = pc.if_else(pc.is_nan(column), None, column)
    if is_number(kind):
        try:
            return column.cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise LossAuditError(_no_whole_number(column, itertools.count() if rows is None else rows)) from error
    if is_list(kind):
        return stored(_only_items(column, itertools.count() if rows is None else rows), rows)
    raise LossAuditError(f"the label column holds {kind}; labels must be integers or names")


def _only_items(lists: pa.ChunkedArray, rows: Iterable[int]) -> pa.ChunkedArray:
    """What stands in lists of one label each; nothing where a list is empty."""
    lists = lists.combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    if (lengths > 1).any():
        place = int((lengths > 1).argmax())
        row = next(itertools.islice(rows, place, None))
        raise LossAuditError(
            f"the label column holds lists, and that of row {row} has {lengths[place]} labels, but this is a "
            "single-label model; name another column with ",
            Option("label_column"),
            " or, if several of the model's labels may be right, export it with ",
            Option("multi_label", True),
        )
    places = np.zeros(len(lists), np.int64)
    places[lengths == 1] = np.arange((lengths == 1).sum())
    return pa.chunked_array([pc.list_flatten(lists).take(pa.array(places, mask=lengths == 0))])


def _no_whole_number(column: pa.ChunkedArray, rows: Iterable[int]) -> str:
    values = ((row, value) for row, value in zip(rows, column.to_pylist(), strict=False) if value is not None)
    row, value = next((row, value) for row, value in values if value != value // 1 or abs(value) >= 2**63)
    return f"the label column holds {value} in row {row}; labels must be whole numbers or names"


def _of_json(cell: str | None) -> str | None:
    value = None if cell is None else json.loads(cell)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if value is None or isinstance(value, str) else str(value)


def names_of_keys(keys: Iterable[Key], boolean: bool, class_names: tuple[str, ...] | None) -> dict[Key, str]:
    if boolean:
        return {key: str(bool(key)) for key in keys}
    names = class_names or ()
    return {key: names[key] if isinstance(key, int) and 0 <= key < len(names) else str(key) for key in keys}


_ONE_ITEM = re.compile(r"""\s*\[\s*(?:'([^']*)'|"([^"\\]*)"|([+-]?\d+))\s*,?\s*\]\s*""")


def _only_item_in(name: str) -> str:
    """What stands in the text of a list of one label, such as `['World']`; else the name."""
    found = _ONE_ITEM.fullmatch(name)
    return next((item for item in found.groups() if item is not None), name) if found else name


def shown(name: str) -> str:
    """A label's name in a message."""
    return repr(shortened(name, 60))


def shown_list(names: Iterable[str]) -> str:
    """The first of some labels' names in a message, and how many more there are."""
    items = list(names)
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(shown(name) for name in items[:_SHOWN]) + more
