"""Finds out how a dataset holds labels for a multi-label model, and aligns them, in one pass over the dataset.

The result is the `NamedSets` or `Indicators` that reads them. Texts are split by the separator that makes the most
parts labels of the model; the alignment's `how` names every guess.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import ClassLabel, Features

from ..data.arrow_types import is_list
from ..errors import LossAuditError, Option
from .alignment import LabelAlignment, check_known, match
from .cells import AS_JSON, SEPARATORS, Cells, cells, holds_texts
from .given import MOST_LABELS, Given, Key, Seen, both, names_of_keys, too_many_labels
from .numbers import NumberingError
from .sets import LIST, SEPARATED, SINGLE, Indicators, NamedSets

Pieces = Callable[[], Iterator[tuple[int, pa.Table]]]
"""Yields the dataset's rows in pieces, each with its first row's number, from the start at each call."""
_WAYS = (None, *SEPARATORS, AS_JSON)
"""Ways to separate the labels of a text, the likeliest first; None: a text is one label."""


def align_sets(
    columns: str | tuple[str, ...],
    pieces: Pieces,
    features: Mapping[str, Any],
    model_labels: tuple[str, ...],
    label_map: Mapping[str, str] | None = None,
) -> NamedSets | Indicators:
    """Aligns what `sets.find_sets` found with the model's labels.

    label_map: as in `labels.align`, for single labels. Raises LossAuditError if no row has a label, or most of those
    with labels have one that isn't in the model.
    """
    if isinstance(columns, tuple):
        _check_map(label_map, columns, "not a column of 0 and 1 for one of the model's labels")
        mapped = f" ({len(label_map)} by the label map)" if label_map else ""
        alignment = _of_places(columns, f"by name{mapped}, each with a column of 0 and 1")
        survey = _IndicatorSurvey(Indicators(None, columns, alignment))
        for start, table in pieces():
            survey.add(table, start)
        return survey.indicators()
    kind = Features(features).arrow_schema.field(columns).type
    in_lists = _of_places(model_labels, "by index, since each list has a 0 or 1 for each of the model's labels")
    survey = _IndicatorSurvey(Indicators(columns, (), in_lists))
    counts = [_Count(separator) for separator in (_WAYS if holds_texts(kind) else (None,))]
    for start, table in pieces():
        survey.add(table, start)
        for count in counts:
            count.add(cells(table[columns], count.separator, start), start)
    if survey.is_sure:
        _check_map(label_map, (), "of no use for lists of 0 and 1: they follow the order of the model's labels")
        return survey.indicators()
    feature = getattr(features[columns], "feature", features[columns])
    sets, given = _likeliest(_Column(columns, feature, _kind_of(kind)), counts, model_labels, label_map)
    rows, without = _rows_with_unknown(sets, pieces) if sets.alignment.unknown else (len(sets.alignment.names), 0)
    check_known(given, sets.alignment, model_labels, rows, without)
    return sets


@dataclass
class _Count:
    """The labels of a dataset's cells, each counted once per row."""

    separator: str | None
    rows: dict[Key, int] = field(default_factory=dict)
    first: dict[Key, int] = field(default_factory=dict)
    missing: Seen | None = None

    def add(self, found: Cells, start: int) -> None:
        """Counts the cells of a piece; stops counting at more different values than labels can be."""
        self.missing = _also(self.missing, found.missing, start)
        if self.is_too_much:
            return
        encoded = found.keys.combine_chunks().dictionary_encode()
        keys = encoded.dictionary.to_pylist()
        codes = np.asarray(encoded.indices.to_numpy(), dtype=np.int64)
        rows, codes = np.divmod(np.unique(found.rows * max(1, len(keys)) + codes), max(1, len(keys)))
        places, at, times = np.unique(codes, return_index=True, return_counts=True)
        for place, row, count in zip(places.tolist(), rows[at].tolist(), times.tolist(), strict=True):
            self.rows[keys[place]] = self.rows.get(keys[place], 0) + count
            self.first.setdefault(keys[place], start + row)

    @property
    def is_too_much(self) -> bool:
        """Whether there are too many different values for labels."""
        return len(self.rows) > MOST_LABELS

    def given(self, feature: object) -> Given:
        """What was counted. feature: that of a single label."""
        class_names = tuple(feature.names) if isinstance(feature, ClassLabel) else None
        seen = {key: Seen(self.rows[key], first) for key, first in sorted(self.first.items(), key=lambda item: item[1])}
        missing = self.missing
        if class_names is not None and -1 in seen:
            nothing = seen.pop(-1)
            missing = both(missing, nothing)
        boolean = getattr(feature, "dtype", None) == "bool"
        return Given(seen, missing, names_of_keys(seen, boolean, class_names), class_names)


class _IndicatorSurvey:
    """Finds out whether a dataset's rows have a 0 or 1 for each label."""

    def __init__(self, candidate: Indicators) -> None:
        self._candidate = candidate
        self._fits, self._proven = True, False
        self._any = False
        self._missing: Seen | None = None

    def add(self, table: pa.Table, start: int) -> None:
        """Checks a piece. Raises LossAuditError if columns hold something else."""
        given = self._candidate.matrix(table, start) if self._fits else None
        if given is None:
            self._fits = False
            return
        self._any = self._any or bool((given == 1).any())
        self._missing = _also(self._missing, np.isnan(given.sum(axis=1)), start)
        # Class indices would neither repeat nor fall.
        kind = table[self._candidate.column].type.value_type if self._candidate.column else pa.bool_()
        falls = (np.diff(given, axis=1) <= 0).any()
        self._proven = self._proven or not pa.types.is_integer(kind) or bool(falls)

    @property
    def is_sure(self) -> bool:
        """Whether they have, and don't have lists of class indices."""
        return self._fits and self._proven

    def indicators(self) -> Indicators:
        """What was found. Raises LossAuditError if no row has a label."""
        alignment = replace(self._candidate.alignment, missing=self._missing)
        if not self._any:
            raise LossAuditError("no row has a label: there are no 1s among the labels")
        return replace(self._candidate, alignment=alignment)


def _check_map(label_map: Mapping[str, str] | None, names: tuple[str, ...], why: str) -> None:
    others = [name for name in label_map or {} if name not in names]
    if others:
        raise LossAuditError(Option("label_map"), f" names {others[0]!r}, which is {why}")


def _of_places(names: tuple[str, ...], how: str) -> LabelAlignment:
    """An alignment by the order of the model's labels."""
    classes: dict[Key, int] = {name: index for index, name in enumerate(names)}
    return LabelAlignment(classes, how, False, {}, None, {name: str(name) for name in classes})


def _also(seen: Seen | None, rows: "np.ndarray[Any, np.dtype[np.bool_]]", start: int) -> Seen | None:
    """What has been seen before, and in the rows of a piece that are true."""
    return both(seen, Seen(int(rows.sum()), start + int(np.argmax(rows)))) if rows.any() else seen


def _kind_of(kind: pa.DataType) -> str:
    """How cells of a type hold labels, if they aren't texts with a separator."""
    return LIST if is_list(kind) or isinstance(kind, pa.JsonType) else SINGLE


@dataclass(frozen=True)
class _Column:
    """The column with a row's labels."""

    name: str
    feature: object
    """Feature of a single label."""
    kind: str
    """How its cells hold labels, if they aren't texts with a separator."""


def _likeliest(
    column: _Column, counts: list[_Count], model_labels: tuple[str, ...], label_map: Mapping[str, str] | None
) -> tuple[NamedSets, Given]:
    """The way of separating labels that leaves the fewest outside the model, and what it gives.

    If none makes most of them labels of the model and one can't be matched, raises the likeliest way's LossAuditError.
    """
    found: list[tuple[float, NamedSets, Given]] = []
    refused: list[LossAuditError] = []
    counts = [count for count in counts if not count.is_too_much]
    if not counts:
        raise too_many_labels()
    for count in counts:
        given = count.given(column.feature)
        try:
            alignment = match(given, model_labels, label_map)
        except LossAuditError as error:
            refused.append(error)
            continue
        rows = sum(given.labels[key].rows for key in alignment.names)
        without = sum(given.labels[key].rows for key in alignment.unknown)
        form = {None: column.kind, AS_JSON: LIST}.get(count.separator, SEPARATED)
        alignment = replace(alignment, how=f"{alignment.how}, {_said(form, count.separator)}")
        sets = NamedSets(column.name, form, count.separator, alignment, model_labels)
        found.append((without / max(1, rows), sets, given))
    found.sort(key=lambda way: way[0])  # of equals, the likelier stays first
    if refused and (not found or found[0][0] > 0.5):
        raise next((error for error in refused if isinstance(error, NumberingError)), refused[0])
    return found[0][1:]


def _said(kind: str, separator: str | None) -> str:
    if kind == SEPARATED:
        return f"in texts separated by {separator!r}"
    return "in lists" if kind == LIST else "one per row"


def _rows_with_unknown(sets: NamedSets, pieces: Pieces) -> tuple[int, int]:
    """How many rows have labels, and how many of those have some that aren't in the model."""
    rows = without = 0
    for _, table in pieces():
        given = sets.read(table)
        rows += int((given.labels == 1).any(axis=1).sum()) + len(given.unknown)
        without += len(given.unknown)
    return rows, without
