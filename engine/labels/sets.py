"""Reads a dataset's labels for a multi-label model, as (n, classes) of 0 and 1.

`NamedSets` reads cells that name a row's labels, `Indicators` a 0 or 1 per label. `survey.py` finds out which of them
a dataset needs, and aligns it with the model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import ClassLabel, Value

from ..arrays import Floats, Ints
from ..data.arrow_types import is_number
from ..data.columns import find_label_column
from ..errors import LossAuditError, Option
from .alignment import LabelAlignment, index_by_name, values_of_classes
from .cells import Cells, cells, indicator_lists, indicators
from .form import GivenFacts, LabelForm
from .given import MISSING, NOT_IN_MODEL, GivenLabels

LIST, SEPARATED, SINGLE, COLUMNS, INDICATORS = "list", "separated", "single", "columns", "indicators"
"""What holds a row's labels: a list, a text with a separator, a cell with one label, a column of 0 and 1 for each label
of the model, or a list of 0 and 1."""


@dataclass(frozen=True)
class NamedSets:
    """A column whose cells name a row's labels, or give their indices."""

    column: str
    kind: str
    """`LIST`, `SEPARATED` or `SINGLE`."""
    separator: str | None
    alignment: LabelAlignment
    model_labels: tuple[str, ...]

    def read(self, source: pa.Table) -> GivenLabels:
        """The labels of source rows."""
        found = cells(source[self.column], self.separator)
        indices = self.alignment.indices(found.keys)
        known, missing = indices >= 0, found.missing
        missing[found.rows[indices == MISSING]] = True
        labels = np.zeros((len(source), len(self.model_labels)), dtype=np.int8)
        labels[found.rows[known], indices[known]] = 1
        unknown = np.setdiff1d(found.rows[indices == NOT_IN_MODEL], np.flatnonzero(missing))
        labels[unknown] = NOT_IN_MODEL
        labels[missing] = MISSING
        return GivenLabels(labels, {row: self._names(found, indices, row) for row in unknown.tolist()})

    def _names(self, found: Cells, indices: Ints, row: int) -> list[str]:
        """The labels of a row: those of the model in its order, then the others."""
        start, stop = np.searchsorted(found.rows, [row, row + 1])
        here = indices[start:stop]
        others = found.keys.slice(start, stop - start).filter(pa.array(here < 0))
        ours = [self.model_labels[index] for index in np.unique(here[here >= 0])]
        return [*ours, *dict.fromkeys(str(name) for name in self.alignment.names_of(others))]

    def facts(self, features: Mapping[str, Any], names: Mapping[str, str | None]) -> GivenFacts:
        """The run's facts about it (docs/losses.md). names: the source columns' names in the losses table."""
        feature = getattr(features[self.column], "feature", features[self.column])
        values = values_of_classes(self.alignment, feature, self.model_labels)
        if self.kind == SEPARATED:
            values = [None if value is None else str(value) for value in values]
        separator = self.separator if self.kind == SEPARATED else None
        return GivenFacts(names[self.column], form=LabelForm(self.kind, separator, tuple(values)))


@dataclass(frozen=True)
class Indicators:
    """A 0 or 1 for each of the model's labels: in columns named after them, or in the lists of one column."""

    column: str | None
    """The column with the lists; None where each label has a column."""
    columns: tuple[str, ...]
    """The labels' columns in the model's order; () where one column holds lists."""
    alignment: LabelAlignment

    def read(self, source: pa.Table) -> GivenLabels:
        """The labels of source rows."""
        given = self.matrix(source, 0)
        assert given is not None  # as when the dataset was surveyed
        missing = np.any(np.isnan(given), axis=1, keepdims=True)
        return GivenLabels(np.where(missing, MISSING, np.nan_to_num(given)).astype(np.int8), {})

    def matrix(self, source: pa.Table, start: int) -> Floats | None:
        """(n, classes) of 0, 1 and NaN; None if the lists hold something else. Raises LossAuditError if columns do."""
        if self.column is not None:
            return indicator_lists(source[self.column], len(self.alignment.classes), start)
        return indicators([source[name] for name in self.columns], start, self.columns)

    def facts(self, features: Mapping[str, Any], names: Mapping[str, str | None]) -> GivenFacts:  # noqa: ARG002
        """See `NamedSets.facts`."""
        if self.column is not None:
            return GivenFacts(names[self.column], form=LabelForm(INDICATORS))
        columns = tuple(names[name] or name for name in self.columns)
        return GivenFacts(form=LabelForm(COLUMNS, columns=columns))


def find_sets(
    features: Mapping[str, Any],
    asked: str | None,
    model_labels: tuple[str, ...],
    label_map: Mapping[str, str] | None = None,
) -> str | tuple[str, ...]:
    """The label column; or, if none is asked for and each of the model's labels has one, the columns of 0 and 1.

    label_map: a column's name → the model's label, where they differ. Raises LossAuditError, listing the columns, if
    the labels can't be found.
    """
    columns: dict[int, str] = {}
    numbers = [name for name, feature in features.items() if _is_number(feature)]
    called = {name: (label_map or {}).get(name, name) for name in numbers}
    found = index_by_name(called.values(), model_labels)
    for name in sorted(called, key=lambda name: called[name] in model_labels):  # of two, the exact name wins
        if called[name] in found:
            columns[found[called[name]]] = name
    if asked is None and len(columns) == len(model_labels):
        return tuple(columns[index] for index in range(len(model_labels)))
    try:
        return find_label_column(features, asked)
    except LossAuditError as error:
        if asked is not None or not columns:
            raise
        without = next(label for index, label in enumerate(model_labels) if index not in columns)
        raise LossAuditError(
            f"{len(columns)} of the model's {len(model_labels)} labels have a column of 0 and 1, but {without!r} has "
            "none; add it, or name the label column with ",
            Option("label_column"),
        ) from error


def _is_number(feature: object) -> bool:
    return isinstance(feature, ClassLabel) or (isinstance(feature, Value) and is_number(feature.pa_type))
