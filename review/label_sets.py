"""Sets of labels, which multi-label rows have instead of one label, as texts for the store and for people.

A set is stored as a JSON list of names in the model's order, so that equal sets are equal texts.
"""

import json
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lossaudit.engine.errors import LossAuditError

NO_LABEL = "(no label)"
"""Text that people see for an empty set."""


class LabelSets:
    """Sets of a model's labels. Unknown names come after the others."""

    def __init__(self, labels: Sequence[str]) -> None:
        """labels: the model's labels, by class index."""
        self._places: Mapping[str, int] = {label: place for place, label in enumerate(labels)}

    def ordered(self, labels: Iterable[str]) -> tuple[str, ...]:
        """The set's names, each once, in the model's order."""
        last = len(self._places)
        return tuple(sorted(dict.fromkeys(labels), key=lambda label: self._places.get(label, last)))

    def stored(self, labels: Iterable[str]) -> str:
        """A set as a decision stores it."""
        return json.dumps(self.ordered(labels), ensure_ascii=False)


def each_holds(sets: pa.ChunkedArray, names: pa.ChunkedArray) -> NDArray[np.bool_]:
    """(n,) whether each of n sets, none of them null, has the name at the same place."""
    lists = sets.combine_chunks()
    parents = pc.list_parent_indices(lists).to_numpy()
    same = pc.equal(lists.flatten(), names.combine_chunks().take(pa.array(parents)))
    held = np.zeros(len(lists), dtype=bool)
    held[parents[same.to_numpy(zero_copy_only=False)]] = True
    return held


def names_of(stored: str) -> tuple[str, ...]:
    """The names of a stored set. Raises LossAuditError for any other text."""
    try:
        names = json.loads(stored)
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise LossAuditError(f"a decision says {stored[:60]!r}, which isn't a set of labels; undo it")
    return tuple(names)


def shown(labels: Iterable[str]) -> str:
    """A set as people see it."""
    return ", ".join(labels) or NO_LABEL
