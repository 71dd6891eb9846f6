"""Aligns the labels of a dataset with the labels of a model, by name wherever both have names.

A label column and the model's label names come in; a `LabelAlignment` goes out, which turns the column into
class indices. Whatever can't be told apart is an error that shows both sides: a silent permutation would
make every correct label look wrong.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel
from numpy.typing import NDArray

from lossaudit.engine.errors import LossAuditError

Key = int | str
_SHOWN = 12


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
    given = _given_names(values.unique().to_pylist(), feature)
    mapped = _from_map(given, model_labels, label_map or {})
    rest = {key: name for key, name in given.items() if key not in mapped}
    classes, how = _classes(rest, feature, model_labels)
    classes |= mapped
    if mapped:
        how = "by --label-map" if not rest else f"{how}; {len(mapped)} by --label-map"
    unknown = {key: name for key, name in given.items() if key not in classes}
    if unknown:
        raise LossAuditError(_unknown(unknown, values, given, model_labels))
    identity = not isinstance(feature, ClassLabel) and all(key == index for key, index in classes.items())
    if isinstance(feature, ClassLabel):
        identity = all(key == index for key, index in classes.items())
    return LabelAlignment(classes, how, identity)


def parse_label_map(pairs: tuple[str, ...]) -> dict[str, str]:
    """`("sport=Sports", "3=Business")` to a dict. Raises LossAuditError for a pair without "="."""
    for pair in pairs:
        if "=" not in pair:
            raise LossAuditError(f"--label-map {pair!r} has no '='; write GIVEN=MODEL, such as sport=Sports")
    return dict(_split(pair) for pair in pairs)


def is_unnamed(labels: tuple[str, ...]) -> bool:
    """Whether the names are only the LABEL_0, LABEL_1 … that transformers gives to a model without names."""
    return all(re.fullmatch(rf"LABEL_{index}", name, re.IGNORECASE) for index, name in enumerate(labels))


def _split(pair: str) -> tuple[str, str]:
    given, _, model = pair.rpartition("=")
    return given.strip(), model.strip()


def _stored(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column as int64 or string. Whole floats and booleans are integers; anything else is refused."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _stored(column.cast(kind.value_type))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return column.cast(pa.large_string())
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_floating(kind):
        try:
            return column.cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise LossAuditError(f"the label column holds {kind} that aren't whole numbers ({error})") from error
    raise LossAuditError(f"the label column holds {kind}; labels must be integers or names")


def _refuse_missing(values: pa.ChunkedArray, feature: object) -> None:
    missing = pc.is_null(values)
    if isinstance(feature, ClassLabel):
        missing = pc.or_(missing, pc.fill_null(pc.equal(values, -1), True))
    count = pc.sum(missing).as_py() or 0
    if count:
        row = pc.index(missing, True).as_py()
        raise LossAuditError(f"row {row} has no label ({count} such rows); fill in the labels or leave the rows out")


def _given_names(keys: list[Key], feature: object) -> dict[Key, str]:
    """What the user calls each stored value: a ClassLabel's name, or the value itself."""
    if not isinstance(feature, ClassLabel):
        return {key: str(key) for key in keys}
    names = feature.names
    return {key: names[key] if isinstance(key, int) and 0 <= key < len(names) else str(key) for key in keys}


def _from_map(given: dict[Key, str], model_labels: tuple[str, ...], label_map: Mapping[str, str]) -> dict[Key, int]:
    mapped: dict[Key, int] = {}
    for name, model_name in label_map.items():
        keys = [key for key, given_name in given.items() if name in (given_name, str(key))]
        if not keys:
            raise LossAuditError(
                f"--label-map names {name!r}, which isn't a label of the dataset; it has {_list(given.values())}"
            )
        index = _index_by_name((model_name,), model_labels).get(model_name)
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
    named = [*feature.names] if isinstance(feature, ClassLabel) else [n for k, n in given.items() if isinstance(k, str)]
    by_name = _index_by_name(tuple(given.values()), model_labels)
    if named and not all(name.isdecimal() for name in named):
        if not is_unnamed(model_labels) or by_name:
            return {key: by_name[name] for key, name in given.items() if name in by_name}, "by name"
        if isinstance(feature, ClassLabel) and len(feature.names) == len(model_labels):
            return _by_index(given, model_labels), "by index, since the model has no label names"
        return {}, "not at all, since the model has no label names"
    return _by_index(given, model_labels), "by index, since the labels are integers"


def _by_index(given: dict[Key, str], model_labels: tuple[str, ...]) -> dict[Key, int]:
    indices = {key: int(key) for key, name in given.items() if isinstance(key, int) or name.isdecimal()}
    return {key: index for key, index in indices.items() if 0 <= index < len(model_labels)}


def _index_by_name(names: tuple[str, ...], model_labels: tuple[str, ...]) -> dict[str, int]:
    """Indices of the names that the model has: the same spelling, else the same but for case and separators."""
    exact = {label: index for index, label in enumerate(model_labels)}
    loose: dict[str, list[int]] = {}
    for index, label in enumerate(model_labels):
        loose.setdefault(_normalised(label), []).append(index)
    found = {}
    for name in names:
        candidates = loose.get(_normalised(name), [])
        if name in exact:
            found[name] = exact[name]
        elif len(candidates) == 1:
            found[name] = candidates[0]
    return found


def _normalised(name: str) -> str:
    return re.sub(r"[\s_\-/.&]+", "", name.casefold())


def _unknown(
    unknown: dict[Key, str], values: pa.ChunkedArray, given: dict[Key, str], model_labels: tuple[str, ...]
) -> str:
    first = next(iter(unknown))
    row = pc.index(values, pa.scalar(first, type=values.type)).as_py()
    return (
        f"the label {unknown[first]!r} of row {row} is not in the model. "
        f"Dataset: {_list(given.values())}. Model: {_list(model_labels)}. "
        f"Say which is which, such as --label-map {_quoted(unknown[first])}={_quoted(model_labels[0])}"
    )


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[\w./+-]+", name) else repr(name)


def _list(names: object) -> str:
    items = list(names)  # type: ignore[call-overload]
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(repr(name) for name in items[:_SHOWN]) + more
