"""The classes that a dataset's own labels make, where no model names them: all spellings of a name are one class.

What a dataset gives comes in; its classes go out, with what was folded and what was taken for a missing label.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from .alignment import LabelAlignment, spelling_key
from .given import Given, Key, Seen, both

_NO_LABELS = {
    *("#N/A", "#N/A N/A", "#NA", "<NA>", "N/A", "NA", "n/a", "NULL", "null", "None", "NaN", "-NaN", "nan", "-nan"),
    *("-1.#IND", "-1.#QNAN", "1.#IND", "1.#QNAN"),
}
"""What pandas reads as missing, beside a cell of nothing."""


@dataclass(frozen=True)
class OwnClasses:
    """Which class each label of a dataset is."""

    given: Given
    names: Mapping[Key, str]
    """The class of each given value that is a label."""
    rows: Mapping[str, int]
    """The rows of each class, in the order of a ClassLabel or of the first rows."""
    spellings: Mapping[str, tuple[str, ...]]
    """The other spellings of the classes that have some, the most frequent first."""
    no_labels: Mapping[str, Seen]
    """The words that were taken for a missing label."""

    def aligned(self, classes: tuple[str, ...]) -> LabelAlignment:
        """The labels as indices of the classes, in an order that was decided on."""
        place, labels = {name: index for index, name in enumerate(classes)}, self.given.labels
        no_labels = tuple(key for key in labels if key not in self.names)
        missing = self.given.missing
        for key in no_labels:
            missing = both(missing, labels[key])
        # The usual spelling stands first: it is what is written for a class.
        usual_first = sorted(self.names, key=lambda key: (self.given.names[key] != self.names[key], -labels[key].rows))
        return LabelAlignment(
            classes={key: place[self.names[key]] for key in usual_first},
            how="by name",
            identity=all(key == place[name] for key, name in self.names.items()),
            not_in_model={},
            missing=missing,
            names={key: self.given.names[key] for key in self.names},
            no_labels=no_labels,
        )


def own_classes(given: Given, exact: bool = False) -> OwnClasses:
    """The classes of a dataset's labels; each is called by its most frequent spelling, without the blanks around it.

    exact: whether each spelling is a class of its own, also what pandas reads as missing.
    """
    if exact:
        rows = {given.names[key]: given.labels[key].rows for key in _in_order(given)}
        return OwnClasses(given, given.names, rows, {}, {})
    no_labels = {given.names[key]: seen for key, seen in given.labels.items() if given.names[key].strip() in _NO_LABELS}
    keys = [key for key in _in_order(given) if given.names[key] not in no_labels]
    spellings: dict[str, dict[str, int]] = {}
    for key in keys:
        name, counts = given.names[key].strip(), spellings.setdefault(spelling_key(given.names[key]), {})
        counts[name] = counts.get(name, 0) + given.labels[key].rows
    usual = {same: _usual(counts) for same, counts in spellings.items()}
    names = {key: usual[spelling_key(given.names[key])] for key in keys}
    rows = {usual[same]: sum(counts.values()) for same, counts in spellings.items()}
    others: dict[str, tuple[str, ...]] = {}
    for key in sorted(keys, key=lambda key: -given.labels[key].rows):
        if given.names[key] != names[key]:
            others[names[key]] = (*others.get(names[key], ()), given.names[key])
    return OwnClasses(given, names, rows, others, no_labels)


def _in_order(given: Given) -> list[Key]:
    return list(given.labels) if given.class_names is None else sorted(given.labels, key=lambda key: int(key))


def _usual(counts: Mapping[str, int]) -> str:
    """The most frequent spelling, whatever the order of the rows."""
    return min(counts, key=lambda name: (-counts[name], name))
