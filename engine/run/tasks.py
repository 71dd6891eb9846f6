"""What a model's labels mean: one of them is right for a row (`SingleLabel`), or any may be (`MultiLabel`).

A task makes the columns of the losses table that depend on labels. What is the same for both is in `shard_table.py`
and `shards.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from ..arrays import Floats
from ..data.columns import find_label_column
from ..errors import LossAuditError, Option
from ..labels.alignment import LabelAlignment, align, values_of_classes
from ..labels.form import GivenFacts
from ..labels.given import MISSING, NOT_IN_MODEL, GivenLabels, given_labels
from ..labels.sets import find_sets
from ..labels.survey import Pieces, align_sets
from ..model.bundle import CLASSIFY, MULTI_LABEL
from ..scores.loss import score
from ..scores.multi_label import score_labels
from ..table.schema import MULTI_LABEL_SCHEMA, SCHEMA
from ..table.summary import SetTally, Tally

Labels = NDArray[Any]
"""Class indices (n,), or (n, classes) of 0 and 1; below 0 where a row has none."""
BETWEEN = ", "
"""Separator between a row's labels in `label_name` and `prediction_name`."""
Columns = str | tuple[str, ...]
"""The label column, or a column of 0 and 1 for each of the model's labels."""


class LabelReader(Protocol):
    """The labels of a dataset, aligned with a model's."""

    @property
    def alignment(self) -> LabelAlignment: ...

    def read(self, source: pa.Table) -> GivenLabels:
        """The labels of source rows."""

    def facts(self, features: Mapping[str, Any], names: Mapping[str, str | None]) -> GivenFacts:
        """The run's facts about them (docs/losses.md). names: the source columns' names in the losses table."""


class Task(Protocol):
    """How labels are read and logits are scored. `task_of` returns a bundle's."""

    @property
    def name(self) -> str:
        """The name of the task in a bundle's manifest."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The model's labels."""

    @property
    def schema(self) -> pa.Schema:
        """The losses table's own columns."""

    def find_columns(self, features: Mapping[str, Any], asked: str | None, label_map: Mapping[str, str]) -> Columns:
        """Where the labels are. label_map: given label → model label.

        Raises LossAuditError, listing the columns, if they can't be found.
        """

    def align(
        self, columns: Columns, pieces: Pieces, features: Mapping[str, Any], label_map: Mapping[str, str]
    ) -> LabelReader:
        """Aligns what `find_columns` found. Raises LossAuditError if most labels aren't the model's."""

    def given_columns(self, given: GivenLabels) -> dict[str, Any]:
        """The columns of the losses table that hold the given labels."""

    def score_columns(self, logits: ArrayLike, labels: Labels) -> dict[str, Any]:
        """The columns computed from finite logits (n, classes); those of the loss are null without labels."""

    def labels_of(self, table: pa.Table) -> Labels:
        """The labels of rows of a losses table that all have a loss."""

    def tally(self) -> Tally:
        """An empty tally of what an audit finds."""


def task_of(task: str, labels: tuple[str, ...]) -> Task:
    """The task with a name that a manifest or a run's facts give. Raises LossAuditError for ambiguous labels."""
    return MultiLabel(labels) if task == MULTI_LABEL else SingleLabel(labels)


@dataclass(frozen=True)
class AlignedColumn:
    """A dataset's label column, with one label per row."""

    name: str
    alignment: LabelAlignment
    model_labels: tuple[str, ...]

    def read(self, source: pa.Table) -> GivenLabels:
        """The labels of source rows."""
        labels = self.alignment.indices(source[self.name])
        rows = np.flatnonzero(labels == NOT_IN_MODEL)
        names = self.alignment.names_of(source[self.name].take(pa.array(rows)))
        return GivenLabels(labels, dict(zip(rows.tolist(), names, strict=True)))

    def facts(self, features: Mapping[str, Any], names: Mapping[str, str | None]) -> GivenFacts:
        """See `LabelReader.facts`."""
        values = values_of_classes(self.alignment, features[self.name], self.model_labels)
        return GivenFacts(names[self.name] or "label", tuple(values))


@dataclass(frozen=True)
class SingleLabel:
    """One label of the model is right: cross-entropy over all of them."""

    labels: tuple[str, ...]
    name: ClassVar[str] = CLASSIFY
    schema: ClassVar[pa.Schema] = SCHEMA

    def find_columns(
        self,
        features: Mapping[str, Any],
        asked: str | None,
        label_map: Mapping[str, str],  # noqa: ARG002 - names labels, not columns
    ) -> str:
        """See `Task.find_columns`."""
        try:
            return find_label_column(features, asked)
        except LossAuditError as error:
            if not set(self.labels) <= features.keys():
                raise
            raise LossAuditError(
                f"the columns {', '.join(self.labels)} are called as the model's labels are, but it is a single-label "
                "model, which needs one column with each row's label; name it with ",
                Option("label_column"),
                ", or export the model with ",
                Option("multi_label", True),
            ) from error

    def align(
        self, columns: Columns, pieces: Pieces, features: Mapping[str, Any], label_map: Mapping[str, str]
    ) -> AlignedColumn:
        """See `Task.align`."""
        assert isinstance(columns, str)
        given = given_labels((table[columns] for _, table in pieces()), features[columns])
        return AlignedColumn(columns, align(given, self.labels, label_map), self.labels)

    def given_columns(self, given: GivenLabels) -> dict[str, Any]:
        """See `Task.given_columns`."""
        labels = given.labels
        names = np.array([*self.labels, None], dtype=object)[np.maximum(labels, -1)]
        for row, name in given.unknown.items():
            names[row] = name
        return {"label": pa.array(labels, mask=labels < 0), "label_name": pa.array(names, type=pa.string())}

    def score_columns(self, logits: ArrayLike, labels: Labels) -> dict[str, Any]:
        """See `Task.score_columns`."""
        without = labels < 0
        scores = score(logits, np.maximum(labels, 0))
        return {
            "prediction": scores.prediction,
            "prediction_name": pa.array(self.labels, pa.string()).take(pa.array(scores.prediction)),
            "probability": scores.probability,
            "label_probability": pa.array(scores.label_probability, mask=without),
            "loss": pa.array(scores.loss, mask=without),
            "margin": pa.array(scores.margin, mask=without),
            "probabilities": _lists(scores.probabilities),
        }

    def labels_of(self, table: pa.Table) -> Labels:
        """See `Task.labels_of`."""
        return np.asarray(table["label"].to_numpy(), dtype=np.int64)

    def tally(self) -> Tally:
        """See `Task.tally`."""
        return Tally(len(self.labels))


@dataclass(frozen=True)
class MultiLabel:
    """Any labels of the model may be right: binary cross-entropy of each, of which the worst is a row's loss."""

    labels: tuple[str, ...]
    name: ClassVar[str] = MULTI_LABEL
    schema: ClassVar[pa.Schema] = MULTI_LABEL_SCHEMA

    def __post_init__(self) -> None:
        twice = [label for index, label in enumerate(self.labels) if label in self.labels[:index]]
        if twice:
            raise LossAuditError(
                f"the model has two labels named {twice[0]!r}, which can't be told apart in a row with several; "
                "rename one in the checkpoint's id2label and export it again"
            )

    def find_columns(self, features: Mapping[str, Any], asked: str | None, label_map: Mapping[str, str]) -> Columns:
        """See `Task.find_columns`."""
        return find_sets(features, asked, self.labels, label_map)

    def align(
        self, columns: Columns, pieces: Pieces, features: Mapping[str, Any], label_map: Mapping[str, str]
    ) -> LabelReader:
        """See `Task.align`."""
        return align_sets(columns, pieces, features, self.labels, label_map)

    def given_columns(self, given: GivenLabels) -> dict[str, Any]:
        """See `Task.given_columns`."""
        sets: list[list[str] | None] = [
            None if code == MISSING else names
            for code, names in zip(given.codes, self._names(given.labels), strict=True)
        ]
        for row, names in given.unknown.items():
            sets[row] = names
        labels = pa.array(sets, pa.list_(pa.string()))
        return {
            "label": pa.nulls(len(sets), pa.int64()),
            "label_name": pc.binary_join(labels, BETWEEN),
            "labels": labels,
        }

    def score_columns(self, logits: ArrayLike, labels: Labels) -> dict[str, Any]:
        """See `Task.score_columns`."""
        without = labels.min(axis=1) < 0
        scores = score_labels(logits, np.maximum(labels, 0))
        predictions = pa.array(self._names(scores.predictions), pa.list_(pa.string()))
        return {
            "prediction": pa.nulls(len(without), pa.int64()),
            "prediction_name": pc.binary_join(predictions, BETWEEN),
            "probability": pa.array(scores.probability, mask=without),
            "label_probability": pa.array(scores.label_probability, mask=without),
            "loss": pa.array(scores.loss, mask=without),
            "margin": pa.array(scores.margin, mask=without),
            "probabilities": _lists(scores.probabilities),
            "predictions": predictions,
            "worst_label": pa.array(np.array(self.labels, dtype=object)[scores.worst], pa.string(), mask=without),
        }

    def labels_of(self, table: pa.Table) -> Labels:
        """See `Task.labels_of`; (n, classes)."""
        lists = table["labels"].combine_chunks()
        found = np.zeros((len(lists), len(self.labels)), dtype=np.int8)
        places = pc.index_in(pc.list_flatten(lists), value_set=pa.array(self.labels, pa.string()))
        found[pc.list_parent_indices(lists).to_numpy(), places.to_numpy()] = 1
        return found

    def tally(self) -> SetTally:
        """See `Task.tally`."""
        return SetTally(len(self.labels))

    def _names(self, labels: Labels) -> list[list[str]]:
        """The names of the labels that are 1 in each row."""
        names: list[list[str]] = [[] for _ in labels]
        for row, place in np.argwhere(labels == 1).tolist():
            names[row].append(self.labels[place])
        return names


def _lists(probabilities: Floats) -> pa.Array:
    offsets = np.arange(0, probabilities.size + 1, probabilities.shape[1])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(probabilities.ravel(), pa.float32()))
