"""Aligns the labels of a dataset with those of a model, by name wherever both have names.

The resulting `LabelAlignment` turns a label column into class indices. If most labels can't be matched, an error
shows both sides: a silent permutation would make every correct label look wrong.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel

from ..arrays import Ints
from ..errors import LossAuditError, Option, Part
from .given import MISSING, NOT_IN_MODEL, Given, Key, Seen, both, shown, shown_list, stored
from .numbers import are_numbers, are_truths, check_numbering, check_rest, number_text, numbered, numbers_of

_SEPARATORS = r"[\s_\-/.&]+"
# Only between words: the signs of "C++", "-1" and "A-" mean something, and "1-2" isn't "12".
_BETWEEN_WORDS = re.compile(rf"(?<=[^\W_]){_SEPARATORS}(?=[^\W\d_])|(?<=[^\W\d_]){_SEPARATORS}(?=[^\W_])")


@dataclass(frozen=True)
class LabelAlignment:
    """Which class of the model each given label is."""

    classes: Mapping[Key, int]
    """Index of the model's label for each given value, as stored in the column."""
    how: str
    """A sentence for the user: by name or by index, and why."""
    identity: bool
    """Whether the stored values are the class indices themselves."""
    not_in_model: Mapping[str, Seen]
    """The given labels, by name, that the model doesn't have."""
    missing: Seen | None
    """The rows without a label."""
    names: Mapping[Key, str]
    """The user's name for each given value."""
    no_labels: tuple[Key, ...] = ()
    """Values that stand for a missing label."""

    @property
    def unknown(self) -> list[Key]:
        """The given values that the model doesn't have, in the order of their first rows."""
        return [key for key in self.names if key not in self.classes]

    def indices(self, column: pa.ChunkedArray) -> Ints:
        """Class indices (n,) of a label column; MISSING or NOT_IN_MODEL where a row has none."""
        values = stored(column)
        missing = pc.is_null(values)
        if pa.types.is_integer(values.type) and -1 not in self.names:
            missing = pc.or_kleene(missing, pc.equal(values, -1))
        if self.no_labels:
            missing = pc.or_(missing, pc.is_in(values, value_set=pa.array(self.no_labels, type=values.type)))
        found = pc.if_else(missing, MISSING, NOT_IN_MODEL)
        if self.classes:
            places = pc.index_in(values, value_set=pa.array(list(self.classes), type=values.type))
            classes = pa.array(list(self.classes.values()), type=pa.int64()).take(pc.fill_null(places, 0))
            found = pc.if_else(pc.is_null(places), found, classes)
        return np.asarray(found.to_numpy(), dtype=np.int64)

    def names_of(self, column: pa.ChunkedArray) -> list[str | None]:
        """The user's name for each row's label; None where there is none."""
        return [self.names.get(key) for key in stored(column).to_pylist()]


def align(given: Given, model_labels: tuple[str, ...], label_map: Mapping[str, str] | None = None) -> LabelAlignment:
    """Aligns a dataset's labels with the model's.

    label_map: given label → model label (or its index), for labels that can't be matched automatically. A label that
    isn't in the model leaves its rows without a class. Raises LossAuditError if that would be most of the rows, or if
    the labels look like class indices that don't start at 0.
    """
    alignment = match(given, model_labels, label_map)
    rows = sum(given.labels[key].rows for key in alignment.names)
    without = sum(given.labels[key].rows for key in alignment.unknown)
    check_known(given, alignment, model_labels, rows, without)
    return alignment


def match(given: Given, model_labels: tuple[str, ...], label_map: Mapping[str, str] | None = None) -> LabelAlignment:
    """Like `align`, however many rows have labels that aren't in the model."""
    mapped = _from_map(given, model_labels, label_map or {})
    rest = {key: name for key, name in given.names.items() if key not in mapped}
    classes, how = _classes(rest, given, model_labels)
    no_labels: tuple[Key, ...] = ()
    missing = given.missing
    if how.startswith("by index"):
        check_numbering(given.names, given.class_names, mapped, model_labels)
        check_rest(given.names, mapped, _by_index(given.names, given.class_names, len(model_labels)), model_labels)
        # `datasets` writes -1 for an example without a label; a ClassLabel that is called so is a class.
        numbers = numbers_of(rest) if given.class_names is None else {}
        no_labels = tuple(key for key, number in numbers.items() if number == -1)
        for key in no_labels:
            missing = both(missing, given.labels[key])
        if no_labels:
            given, how = _without(given, no_labels), f"{how}, and -1 stands for a missing label"
    classes |= mapped
    if mapped:
        how = "by the label map" if not rest else f"{how}; {len(mapped)} by the label map"
    # The usual spelling of a class stands first, without blanks around it: it is what is written for the class.
    plain = {key: given.names[key].strip() for key in classes}
    counts: Counter[str] = Counter()
    for key, name in plain.items():
        counts[name] += given.labels[key].rows
    usual_first = sorted(classes, key=lambda key: (-counts[plain[key]], given.names[key] != plain[key]))
    return LabelAlignment(
        classes={key: classes[key] for key in usual_first},
        how=how,
        identity=all(key == index for key, index in classes.items()),
        not_in_model={given.names[key]: seen for key, seen in given.labels.items() if key not in classes},
        missing=missing,
        names=given.names,
        no_labels=no_labels,
    )


def check_known(
    given: Given, alignment: LabelAlignment, model_labels: tuple[str, ...], rows: int, without: int
) -> None:
    """Raises LossAuditError if no row has a label, or most of them (`without`) have one that isn't in the model."""
    if not rows:
        missing = alignment.missing
        raise LossAuditError(f"no row has a label (row {missing.first if missing else 0} is the first without)")
    if 2 * without > rows:
        raise LossAuditError(*_unknown(alignment.unknown[0], without, rows, given, model_labels))


def _without(given: Given, keys: tuple[Key, ...]) -> Given:
    labels = {other: seen for other, seen in given.labels.items() if other not in keys}
    return replace(given, labels=labels, names={other: given.names[other] for other in labels})


def parse_label_map(pairs: tuple[str, ...]) -> dict[str, str]:
    """Turns `("sport=Sports", "3=Business")` into a dict. Raises LossAuditError for no "=", or two for one label."""
    label_map: dict[str, str] = {}
    for pair in pairs:
        given, equals, model = (part.strip() for part in pair.rpartition("="))
        if not equals:
            raise LossAuditError(Option("label_map"), f" {pair!r} has no '='; write GIVEN=MODEL, such as sport=Sports")
        if label_map.setdefault(given, model) != model:
            raise LossAuditError(
                Option("label_map"), f" gives both {label_map[given]!r} and {model!r} for {given!r}; keep one"
            )
    return label_map


def values_of_classes(alignment: LabelAlignment, feature: object, model_labels: tuple[str, ...]) -> list[Any]:
    """What a label column of this feature holds for each of the model's classes; None where that isn't known."""
    values: list[Any] = [None] * len(model_labels)
    by_index = alignment.how.startswith("by index")
    if isinstance(feature, ClassLabel):
        names = dict[Key, str](enumerate(feature.names))
        named = index_by_name(feature.names, model_labels)
        places = {key: named[name] for key, name in names.items() if name in named}
        if by_index:
            places = _by_index(names, tuple(feature.names), len(model_labels))
        for value, place in places.items():
            values[place] = value
    elif by_index:
        holds_texts = any(isinstance(key, str) for key in alignment.classes)
        values = [str(index) if holds_texts else index for index in range(len(model_labels))]
    for key, index in reversed(list(alignment.classes.items())):
        values[index] = key
    if getattr(feature, "dtype", None) == "bool":
        return [value if value is None else bool(value) for value in values]
    return values


def is_unnamed(labels: tuple[str, ...]) -> bool:
    """Whether the names are just 0, 1 … or LABEL_0, LABEL_1 …, which transformers gives to a model without names."""
    return all(name.upper() in (f"LABEL_{index}", str(index)) for index, name in enumerate(labels))


def _from_map(given: Given, model_labels: tuple[str, ...], label_map: Mapping[str, str]) -> dict[Key, int]:
    mapped: dict[Key, int] = {}
    for name, model_name in label_map.items():
        keys = _called(name, given, label_map)
        if not keys:
            raise LossAuditError(
                Option("label_map"),
                f" names {name!r}, which isn't a label of the dataset; it has {shown_list(given.names.values())}",
            )
        index = index_by_name([model_name], model_labels).get(model_name)
        if index is None and model_name.isdecimal() and int(model_name) < len(model_labels):
            index = int(model_name)
        if index is None:
            raise LossAuditError(
                Option("label_map"),
                f" names {model_name!r}, which isn't a label of the model; it has {shown_list(model_labels)}",
            )
        mapped |= dict.fromkeys(keys, index)
    return mapped


def _called(name: str, given: Given, label_map: Mapping[str, str]) -> list[Key]:
    """The labels that a label map calls by a name: its very spelling, also between blanks; else as names are matched.

    A label that the map names by its own spelling is only meant by that.
    """
    others = {key: other for key, other in given.names.items() if other == name or other not in label_map}
    keys = [key for key, other in others.items() if other.strip() == name.strip()]
    keys = keys or [key for key in given.labels if name == str(key)]
    return keys or [key for key, other in others.items() if spelling_key(other) == spelling_key(name)]


def _classes(names_of: Mapping[Key, str], given: Given, model_labels: tuple[str, ...]) -> tuple[dict[Key, int], str]:
    """The classes of those given labels that have one, and how they were found. names_of: those outside the map."""
    class_names = given.class_names
    found = index_by_name(names_of.values(), model_labels)
    by_name = {key: found[name] for key, name in names_of.items() if name in found}
    names = list(class_names or names_of.values())
    by_index = _by_index(names_of, class_names, len(model_labels))
    numbers = numbered(model_labels)
    if numbers and not is_unnamed(model_labels):
        places = {key: numbers.get(number_text(name) or name) for key, name in names_of.items()}
        by_number = {key: place for key, place in places.items() if place is not None}
        return by_number | by_name, "by name, since the model's labels are numbers too"
    if are_numbers(names):
        return by_index, f"by index, since the {'labels' if class_names is None else 'class names'} are numbers"
    if by_name:
        return by_name, "by name"
    if class_names is None and _are_numbers_mostly(names_of, given.labels):
        return by_index, "by index, since most labels are numbers"
    if are_truths(names):
        return by_index, "by index, since the labels are false and true"
    if not is_unnamed(model_labels):
        return {}, "not at all, since no name is one of the model's"
    if class_names is not None and len(names) == len(model_labels):
        return by_index, "by index, since the model has no label names"
    return {}, "not at all, since the model has no label names"


def _are_numbers_mostly(names_of: Mapping[Key, str], labels: Mapping[Key, Seen]) -> bool:
    numbers = sum(labels[key].rows for key, name in names_of.items() if are_numbers([name]))
    return 2 * numbers > sum(labels[key].rows for key in names_of)


def _by_index(names_of: Mapping[Key, str], class_names: tuple[str, ...] | None, classes: int) -> dict[Key, int]:
    """The places that labels have by their numbers; those of a ClassLabel's words, by its order."""
    words = class_names is not None and not (are_numbers(class_names) or are_truths(class_names))
    places = {key: int(key) for key in names_of} if words else numbers_of(names_of)
    return {key: place for key, place in places.items() if 0 <= place < classes}


def index_by_name(names: Iterable[str], model_labels: tuple[str, ...]) -> dict[str, int]:
    """Indices of the names that the model has: by exact spelling, else ignoring case and separators.

    A name that fits several of the model's labels gets none.
    """
    exact: dict[str, list[int]] = {}
    loose: dict[str, list[int]] = {}
    for index, label in enumerate(model_labels):
        exact.setdefault(label, []).append(index)
        loose.setdefault(spelling_key(label), []).append(index)
    candidates = {name: exact.get(name) or loose.get(spelling_key(name), []) for name in names}
    return {name: indices[0] for name, indices in candidates.items() if len(indices) == 1}


def spelling_key(name: str) -> str:
    """A text that all spellings of a name share: case, separators between words and a number's ".0" don't count."""
    return number_text(name) or _BETWEEN_WORDS.sub("", unicodedata.normalize("NFC", name).casefold().strip())


def _unknown(key: Key, without: int, rows: int, given: Given, model_labels: tuple[str, ...]) -> tuple[Part, ...]:
    name = given.names[key]
    return (
        f"the label {shown(name)} of row {given.labels[key].first} is not in the model ({without:,} of {rows:,} rows "
        f"have such labels). Dataset: {shown_list(given.names.values())}. Model: {shown_list(model_labels)}. "
        "Say which is which, for example with ",
        Option("label_map", {name: model_labels[0]}),
    )
