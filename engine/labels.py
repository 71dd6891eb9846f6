"""Aligns the labels of a dataset with the labels of a model, by name wherever both have names.

A label column and the model's label names come in; a `LabelAlignment` goes out, which turns the column into
class indices. Whatever can't be told apart is an error that shows both sides: a silent permutation would
make every correct label look wrong.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel
from numpy.typing import NDArray

from lossaudit.engine.errors import LossAuditError, brief

Key = int | str
_SHOWN = 12
_SEPARATORS = r"[\s_\-/.&]+"
# Only between words: the signs of "C++", "-1" and "A-" mean something, and "1-2" isn't "12".
_BETWEEN_WORDS = re.compile(rf"(?<=[^\W_]){_SEPARATORS}(?=[^\W\d_])|(?<=[^\W\d_]){_SEPARATORS}(?=[^\W_])")


@dataclass(frozen=True)
class LabelAlignment:
    """Which class of the model each given label is."""

    classes: Mapping[Key, int]
    """The given values (as stored in the column) to the indices of the model's labels."""
    how: str
    """A sentence for the user: by name or by index, and why."""
    identity: bool
    """Whether the stored values are the class indices themselves."""

    def indices(self, column: pa.ChunkedArray) -> NDArray[np.int64]:
        """Class indices (n,) of a label column whose values were all seen by `align`."""
        values = _stored(column)
        keys = pa.array(list(self.classes), type=values.type)
        classes = pa.array(list(self.classes.values()), type=pa.int64())
        return np.asarray(classes.take(pc.index_in(values, value_set=keys)).to_numpy(), dtype=np.int64)


def align(
    column: pa.ChunkedArray,
    feature: object,
    model_labels: tuple[str, ...],
    label_map: Mapping[str, str] | None = None,
) -> LabelAlignment:
    """Aligns a dataset's whole label column with the model's labels.

    column: integers (a ClassLabel's, or plain), whole floats, booleans or names. feature: its `datasets`
    feature, whose ClassLabel names count. label_map: given label → model label (or its index), for what
    can't be told by itself. Raises LossAuditError for a missing label, or one that isn't in the model.
    """
    values = _stored(column)
    _refuse_missing(values, feature)
    given = _given_names(values.unique().to_pylist(), column.type, feature)
    mapped = _from_map(given, model_labels, label_map or {})
    rest = {key: name for key, name in given.items() if key not in mapped}
    classes, how = _classes(rest, feature, model_labels)
    classes |= mapped
    if mapped:
        how = "by --label-map" if not rest else f"{how}; {len(mapped)} by --label-map"
    unknown = {key: name for key, name in given.items() if key not in classes}
    if unknown:
        raise LossAuditError(_unknown(unknown, values, given, model_labels))
    return LabelAlignment(classes, how, identity=all(key == index for key, index in classes.items()))


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


def is_unnamed(labels: tuple[str, ...]) -> bool:
    """Whether the names are only LABEL_0, LABEL_1 …, as transformers gives to a model without names, or 0, 1 …"""
    return all(name.upper() in (f"LABEL_{index}", str(index)) for index, name in enumerate(labels))


def _stored(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column as int64 or string. Whole floats and booleans are integers, NaN is missing; others are refused."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _stored(column.cast(kind.value_type))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
        return column.cast(pa.large_string())
    if pa.types.is_floating(kind):
        column = pc.if_else(pc.is_nan(column), None, column)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_floating(kind):
        try:
            return column.cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise LossAuditError(f"the label column holds {kind} that aren't whole numbers ({brief(error)})") from error
    raise LossAuditError(f"the label column holds {kind}; labels must be integers or names")


def _refuse_missing(values: pa.ChunkedArray, feature: object) -> None:
    missing = pc.is_null(values)
    if isinstance(feature, ClassLabel):
        missing = pc.or_(missing, pc.fill_null(pc.equal(values, -1), True))
    count = pc.sum(missing).as_py() or 0
    if count:
        row = pc.index(missing, True).as_py()
        raise LossAuditError(f"row {row} has no label ({count} such rows); fill in the labels or leave the rows out")


def _given_names(keys: list[Key], kind: pa.DataType, feature: object) -> dict[Key, str]:
    """What the user calls each stored value: a ClassLabel's name, "False" or "True", or the value itself."""
    if pa.types.is_boolean(kind):
        return {key: str(bool(key)) for key in keys}
    if not isinstance(feature, ClassLabel):
        return {key: str(key) for key in keys}
    names = feature.names
    return {key: names[key] if isinstance(key, int) and 0 <= key < len(names) else str(key) for key in keys}


def _from_map(given: dict[Key, str], model_labels: tuple[str, ...], label_map: Mapping[str, str]) -> dict[Key, int]:
    mapped: dict[Key, int] = {}
    for name, model_name in label_map.items():
        keys = [key for key, given_name in given.items() if name == given_name]
        keys = keys or [key for key in given if name == str(key)]
        if not keys:
            raise LossAuditError(
                f"--label-map names {name!r}, which isn't a label of the dataset; it has {_list(given.values())}"
            )
        index = _index_by_name([model_name], model_labels).get(model_name)
        if index is None and model_name.isdecimal() and int(model_name) < len(model_labels):
            index = int(model_name)
        if index is None:
            raise LossAuditError(
                f"--label-map names {model_name!r}, which isn't a label of the model; it has {_list(model_labels)}"
            )
        mapped |= dict.fromkeys(keys, index)
    return mapped


def _classes(given: dict[Key, str], feature: object, model_labels: tuple[str, ...]) -> tuple[dict[Key, int], str]:
    """The classes of all given labels that have one, and how they were found."""
    found = _index_by_name(given.values(), model_labels)
    by_name = {key: found[name] for key, name in given.items() if name in found}
    names = list(feature.names) if isinstance(feature, ClassLabel) else list(given.values())
    if _are_numbers(model_labels) and not is_unnamed(model_labels):
        return by_name, "by name, since the model's labels are numbers too"
    if _are_numbers(names):
        return _by_index(given, model_labels), "by index, since the labels are numbers"
    if by_name:
        return by_name, "by name"
    if {*names} <= {"False", "True"}:
        return _by_index(given, model_labels), "by index, since the labels are false and true"
    if not is_unnamed(model_labels):
        return {}, "not at all, since no name is the model's"
    if isinstance(feature, ClassLabel) and len(names) == len(model_labels):
        return _by_index(given, model_labels), "by index, since the model has no label names"
    return {}, "not at all, since the model has no label names"


def _are_numbers(names: Iterable[str]) -> bool:
    return all(re.fullmatch(r"[+-]?\d+", name) for name in names)


def _by_index(given: dict[Key, str], model_labels: tuple[str, ...]) -> dict[Key, int]:
    indices = {key: int(key) for key, name in given.items() if isinstance(key, int) or name.isdecimal()}
    return {key: index for key, index in indices.items() if 0 <= index < len(model_labels)}


def _index_by_name(names: Iterable[str], model_labels: tuple[str, ...]) -> dict[str, int]:
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


def _unknown(
    unknown: dict[Key, str], values: pa.ChunkedArray, given: dict[Key, str], model_labels: tuple[str, ...]
) -> str:
    first = next(iter(unknown))
    row = pc.index(values, pa.scalar(first, type=values.type)).as_py()
    return (
        f"the label {_shown(unknown[first])} of row {row} is not in the model. "
        f"Dataset: {_list(given.values())}. Model: {_list(model_labels)}. "
        f"Say which is which, such as --label-map {_quoted(unknown[first])}={_quoted(model_labels[0])}"
    )


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[\w./+-]+", name) else repr(name)


def _list(names: Iterable[str]) -> str:
    items = list(names)
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(_shown(name) for name in items[:_SHOWN]) + more


def _shown(name: str) -> str:
    return repr(name if len(name) <= 60 else f"{name[:59]}…")
