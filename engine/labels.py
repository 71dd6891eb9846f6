"""Aligns the labels of a dataset with the labels of a model, by name wherever both have names.

A label column and the model's label names come in; a `LabelAlignment` goes out, which turns the column into
class indices. Where most labels can't be told apart it is an error that shows both sides: a silent permutation
would make every correct label look wrong.
"""

import itertools
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel
from numpy.typing import NDArray

from lossaudit.engine.arrow_types import is_list, is_number, is_text, without
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.utf8 import mended

Key = int | str
MISSING, NOT_IN_MODEL = -1, -2
"""What stands in the place of a class index where a row has none."""
_SHOWN, MOST_LABELS = 12, 100_000
_SEPARATORS = r"[\s_\-/.&]+"
# Only between words: the signs of "C++", "-1" and "A-" mean something, and "1-2" isn't "12".
_BETWEEN_WORDS = re.compile(rf"(?<=[^\W_]){_SEPARATORS}(?=[^\W\d_])|(?<=[^\W\d_]){_SEPARATORS}(?=[^\W_])")


@dataclass(frozen=True)
class Seen:
    """Where a given label is in the dataset."""

    rows: int
    first: int
    """The first row with it."""


@dataclass(frozen=True)
class Given:
    """The labels that a dataset gives: what `align` needs to know of a label column."""

    labels: Mapping[Key, Seen]
    """The values as stored, in the order of their first rows."""
    missing: Seen | None
    """The rows without a label: nothing, NaN, or -1 in a column that names its classes."""
    names: Mapping[Key, str]
    """What the user calls each value: a ClassLabel's name, "False" or "True", or the value itself."""
    class_names: tuple[str, ...] | None
    """All names of a ClassLabel."""


@dataclass(frozen=True)
class GivenLabels:
    """The labels of n rows."""

    labels: NDArray[Any]
    """Class indices (n,), or (n, classes) of 0 and 1; MISSING or NOT_IN_MODEL, all along, where a row has none."""
    unknown: Mapping[int, Any]
    """Of the rows that are NOT_IN_MODEL: what their labels are called."""

    @property
    def codes(self) -> NDArray[Any]:
        """(n,) MISSING or NOT_IN_MODEL, or something else for a row that has labels of the model."""
        return self.labels if self.labels.ndim == 1 else self.labels.min(axis=1)


@dataclass(frozen=True)
class LabelAlignment:
    """Which class of the model each given label is."""

    classes: Mapping[Key, int]
    """The given values (as stored in the column) to the indices of the model's labels."""
    how: str
    """A sentence for the user: by name or by index, and why."""
    identity: bool
    """Whether the stored values are the class indices themselves."""
    not_in_model: Mapping[str, Seen]
    """The given labels, by name, that the model doesn't have."""
    missing: Seen | None
    """The rows without a label."""
    names: Mapping[Key, str]
    """What the user calls each given value."""

    @property
    def unknown(self) -> list[Key]:
        """The given values that the model doesn't have, in the order of their first rows."""
        return [key for key in self.names if key not in self.classes]

    def indices(self, column: pa.ChunkedArray) -> NDArray[np.int64]:
        """Class indices (n,) of a label column; MISSING or NOT_IN_MODEL where a row has none."""
        values = stored(column)
        missing = pc.is_null(values)
        if pa.types.is_integer(values.type) and -1 not in self.names:
            missing = pc.or_kleene(missing, pc.equal(values, -1))
        found = pc.if_else(missing, MISSING, NOT_IN_MODEL)
        if self.classes:
            places = pc.index_in(values, value_set=pa.array(list(self.classes), type=values.type))
            classes = pa.array(list(self.classes.values()), type=pa.int64()).take(pc.fill_null(places, 0))
            found = pc.if_else(pc.is_null(places), found, classes)
        return np.asarray(found.to_numpy(), dtype=np.int64)

    def names_of(self, column: pa.ChunkedArray) -> list[str | None]:
        """What the user calls each row's label; None where there is none."""
        return [self.names.get(key) for key in stored(column).to_pylist()]


def given_labels(columns: Iterable[pa.ChunkedArray], feature: object) -> Given:
    """Counts the labels of a column that comes in pieces, in memory for one piece.

    columns: integers (a ClassLabel's, or plain), whole floats, booleans or names. feature: its `datasets` feature.
    Raises LossAuditError for a column of another kind, or with more different values than labels can have.
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
    names = names_of_keys(keys, boolean, class_names)
    return Given({key: Seen(rows[key], first[key]) for key in keys}, missing, names, class_names)


def too_many_labels() -> LossAuditError:
    """What to raise for a column of more than `MOST_LABELS` different values."""
    return LossAuditError(
        f"the label column holds over {MOST_LABELS:,} different values, too many for labels; "
        "name another with --label-column"
    )


def align(given: Given, model_labels: tuple[str, ...], label_map: Mapping[str, str] | None = None) -> LabelAlignment:
    """Aligns a dataset's labels with the model's.

    label_map: given label → model label (or its index), for what can't be told by itself. A label that isn't in the
    model leaves its rows without a class. Raises LossAuditError where that would be most of the rows, or where
    the labels look like class indices that don't begin at 0.
    """
    alignment = match(given, model_labels, label_map)
    rows = sum(given.labels[key].rows for key in alignment.names)
    without = sum(given.labels[key].rows for key in alignment.unknown)
    check_known(given, alignment, model_labels, rows, without)
    return alignment


def match(given: Given, model_labels: tuple[str, ...], label_map: Mapping[str, str] | None = None) -> LabelAlignment:
    """As `align`, however many rows have labels that aren't in the model."""
    mapped = _from_map(given, model_labels, label_map or {})
    rest = {key: name for key, name in given.names.items() if key not in mapped}
    classes, how = _classes(rest, given, model_labels)
    missing = given.missing
    if how.startswith("by index") and not mapped and given.class_names is None:
        _refuse_other_numbers(given, model_labels)
    if -1 in given.labels and -1 not in classes and -1 not in mapped and how.startswith("by index"):
        # `datasets` writes -1 for an example without a label.
        given, missing = _without(given, -1), both(given.missing, given.labels[-1])
    classes |= mapped
    if mapped:
        how = "by --label-map" if not rest else f"{how}; {len(mapped)} by --label-map"
    return LabelAlignment(
        classes=classes,
        how=how,
        identity=all(key == index for key, index in classes.items()),
        not_in_model={given.names[key]: seen for key, seen in given.labels.items() if key not in classes},
        missing=missing,
        names=given.names,
    )


def check_known(
    given: Given, alignment: LabelAlignment, model_labels: tuple[str, ...], rows: int, without: int
) -> None:
    """Raises LossAuditError if no rows have labels, or most of them (`without`) have some that aren't in the model."""
    if not rows:
        missing = alignment.missing
        raise LossAuditError(f"no row has a label (row {missing.first if missing else 0} is the first without)")
    if 2 * without > rows:
        raise LossAuditError(_unknown(alignment.unknown[0], without, rows, given, model_labels))


def _without(given: Given, key: Key) -> Given:
    labels = {other: seen for other, seen in given.labels.items() if other != key}
    return replace(given, labels=labels, names={other: given.names[other] for other in labels})


def both(one: Seen | None, other: Seen) -> Seen:
    """What has been seen in two places."""
    return other if one is None else Seen(one.rows + other.rows, min(one.first, other.first))


def _refuse_other_numbers(given: Given, model_labels: tuple[str, ...]) -> None:
    """Labels from 1 to n or from -1 to n - 2, or -1 and 1, for a model of n labels are another numbering."""
    numbers, n = {int(name) for name in given.names.values() if _are_numbers([name])}, len(model_labels)
    from_one = min(numbers, default=0) == 1 and max(numbers) == n
    if from_one or numbers == set(range(-1, n - 1)) or (n == 2 and numbers == {-1, 1}):
        raise LossAuditError(
            f"the labels are numbers from {min(numbers)} to {max(numbers)}, but the model's are numbered from 0 to "
            f"{n - 1}. Model: {_list(model_labels)}. "
            f"Say which is which, such as --label-map {min(numbers)}={_quoted(model_labels[0])}"
        )


def parse_label_map(pairs: tuple[str, ...]) -> dict[str, str]:
    """`("sport=Sports", "3=Business")` to a dict. Raises LossAuditError for no "=", or two for one label."""
    label_map: dict[str, str] = {}
    for pair in pairs:
        given, equals, model = (part.strip() for part in pair.rpartition("="))
        if not equals:
            raise LossAuditError(f"--label-map {pair!r} has no '='; write GIVEN=MODEL, such as sport=Sports")
        if label_map.setdefault(given, model) != model:
            raise LossAuditError(f"--label-map says both {label_map[given]!r} and {model!r} for {given!r}; say one")
    return label_map


def values_of_classes(alignment: LabelAlignment, feature: object, model_labels: tuple[str, ...]) -> list[Any]:
    """What a label column of this feature holds for each of the model's classes; None where that isn't known."""
    values: list[Any] = [None] * len(model_labels)
    if isinstance(feature, ClassLabel):
        named = index_by_name(feature.names, model_labels)
        for value, name in enumerate(feature.names):
            if name in named:
                values[named[name]] = value
    elif alignment.how.startswith("by index"):
        values = list(range(len(model_labels)))
    for key, index in reversed(list(alignment.classes.items())):
        values[index] = key
    if getattr(feature, "dtype", None) == "bool":
        return [value if value is None else bool(value) for value in values]
    return values


def is_unnamed(labels: tuple[str, ...]) -> bool:
    """Whether the names are only LABEL_0, LABEL_1 …, as transformers gives to a model without names, or 0, 1 …"""
    return all(name.upper() in (f"LABEL_{index}", str(index)) for index, name in enumerate(labels))


def stored(column: pa.ChunkedArray, rows: Iterable[int] | None = None) -> pa.ChunkedArray:
    """The column as int64 or string. rows: its rows' numbers, if they don't begin at 0.

    Whole floats and booleans are integers; NaN and "" are missing; others are refused.
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
        raise LossAuditError(
            "the label column holds lists, but the model gives one label a row; name another with --label-column or, "
            "if any of the model's labels may be right, export it with --multi-label"
        )
    raise LossAuditError(f"the label column holds {kind}; labels must be integers or names")


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


def _from_map(given: Given, model_labels: tuple[str, ...], label_map: Mapping[str, str]) -> dict[Key, int]:
    mapped: dict[Key, int] = {}
    for name, model_name in label_map.items():
        keys = [key for key, given_name in given.names.items() if name == given_name]
        keys = keys or [key for key in given.labels if name == str(key)]
        if not keys:
            raise LossAuditError(
                f"--label-map names {name!r}, which isn't a label of the dataset; it has {_list(given.names.values())}"
            )
        index = index_by_name([model_name], model_labels).get(model_name)
        if index is None and model_name.isdecimal() and int(model_name) < len(model_labels):
            index = int(model_name)
        if index is None:
            raise LossAuditError(
                f"--label-map names {model_name!r}, which isn't a label of the model; it has {_list(model_labels)}"
            )
        mapped |= dict.fromkeys(keys, index)
    return mapped


def _classes(names_of: dict[Key, str], given: Given, model_labels: tuple[str, ...]) -> tuple[dict[Key, int], str]:
    """The classes of those given labels that have one, and how they were found. names_of: those that aren't mapped."""
    class_names = given.class_names
    found = index_by_name(names_of.values(), model_labels)
    by_name = {key: found[name] for key, name in names_of.items() if name in found}
    names = list(class_names or names_of.values())
    if _are_numbers(model_labels) and not is_unnamed(model_labels):
        return by_name, "by name, since the model's labels are numbers too"
    if _are_numbers(names):
        return _by_index(names_of, model_labels), "by index, since the labels are numbers"
    if by_name:
        return by_name, "by name"
    if class_names is None and _are_numbers_mostly(names_of, given.labels):
        return _by_index(names_of, model_labels), "by index, since most labels are numbers"
    if {*names} <= {"False", "True"}:
        return _by_index(names_of, model_labels), "by index, since the labels are false and true"
    if not is_unnamed(model_labels):
        return {}, "not at all, since no name is the model's"
    if class_names is not None and len(names) == len(model_labels):
        return _by_index(names_of, model_labels), "by index, since the model has no label names"
    return {}, "not at all, since the model has no label names"


def _are_numbers(names: Iterable[str]) -> bool:
    return all(re.fullmatch(r"[+-]?\d+", name) for name in names)


def _are_numbers_mostly(names_of: Mapping[Key, str], labels: Mapping[Key, Seen]) -> bool:
    numbers = sum(labels[key].rows for key, name in names_of.items() if _are_numbers([name]))
    return 2 * numbers > sum(labels[key].rows for key in names_of)


def _by_index(given: dict[Key, str], model_labels: tuple[str, ...]) -> dict[Key, int]:
    indices = {key: int(key) for key, name in given.items() if isinstance(key, int) or name.isdecimal()}
    return {key: index for key, index in indices.items() if 0 <= index < len(model_labels)}


def index_by_name(names: Iterable[str], model_labels: tuple[str, ...]) -> dict[str, int]:
    """Indices of the names that the model has: the same spelling, else the same but for case and separators.

    A name that fits several of the model's labels has none.
    """
    exact: dict[str, list[int]] = {}
    loose: dict[str, list[int]] = {}
    for index, label in enumerate(model_labels):
        exact.setdefault(label, []).append(index)
        loose.setdefault(_normalised(label), []).append(index)
    candidates = {name: exact.get(name) or loose.get(_normalised(name), []) for name in names}
    return {name: indices[0] for name, indices in candidates.items() if len(indices) == 1}


def _normalised(name: str) -> str:
    return _BETWEEN_WORDS.sub("", unicodedata.normalize("NFC", name).casefold().strip())


def _unknown(key: Key, without: int, rows: int, given: Given, model_labels: tuple[str, ...]) -> str:
    name = given.names[key]
    return (
        f"the label {_shown(name)} of row {given.labels[key].first} is not in the model ({without:,} of {rows:,} rows "
        f"have such labels). Dataset: {_list(given.names.values())}. Model: {_list(model_labels)}. "
        f"Say which is which, such as --label-map {_quoted(name)}={_quoted(model_labels[0])}"
    )


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[\w./+-]+", name) else repr(name)


def _list(names: Iterable[str]) -> str:
    items = list(names)
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(_shown(name) for name in items[:_SHOWN]) + more


def _shown(name: str) -> str:
    return repr(name if len(name) <= 60 else f"{name[:59]}…")
