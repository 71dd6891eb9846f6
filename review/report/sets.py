"""The numbers of a report about a multi-label table: figures of each label and of the doubts.

A doubt is a row's worst label: a given one that may be wrong, or one that may be missing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.table.losses import LossesTable

from ..label_sets import each_holds
from .bins import Floats, Ints
from .examples import Example, top_of_groups
from .figures import ranked_rows

_MOST_ROWS, _MOST_CELLS = 65_536, 4_000_000
"""Rows, and labels of rows, in memory at once."""
_LEAST = 2.0**-25
"""Replacement for a probability of 0, to which float32 rounds smaller ones."""
_COLUMNS = ("labels", "predictions", "worst_label", "loss", "label_probability")


@dataclass(frozen=True)
class LabelFigures:
    """One label in the ranked rows."""

    name: str
    given: int
    """Rows that have the label."""
    not_predicted: int
    """Rows that have the label although its probability is below a half."""
    only_predicted: int
    """Rows that lack the label although its probability is at least a half."""
    top_given: int
    """Rows of the top that have the label and whose worst label it is."""
    top_missing: int
    """Rows of the top that lack the label and whose worst label it is."""
    mean_loss: float | None
    """Mean binary cross-entropy of the label, in nats; None if the order of the probabilities isn't known."""


@dataclass(frozen=True)
class DoubtFigures:
    """The rows in which the model disagrees, and most of all about one label."""

    label: str
    is_given: bool
    rows: int
    mean_loss: float


@dataclass(frozen=True)
class SetFigures:
    """A multi-label table, label by label."""

    labels: tuple[LabelFigures, ...]
    """Labels, those most often doubted in the top first."""
    doubts: tuple[DoubtFigures, ...]
    """Doubts, most frequent first."""


def gather_sets(losses: LossesTable, cut: float | None) -> SetFigures:
    """The figures of a multi-label table. cut: the lowest loss of the top, None without ranked rows."""
    counts = _LabelCounts(losses, np.inf if cut is None else cut)
    columns = [*_COLUMNS, *(["probabilities"] if counts.has_probabilities else [])]
    for piece in losses.pieces(columns, min(_MOST_ROWS, max(1, _MOST_CELLS // max(1, len(counts.names))))):
        counts.add(ranked_rows(piece))
    return counts.figures()


def top_of_doubts(
    losses: LossesTable, doubts: Sequence[DoubtFigures], each: int
) -> list[tuple[DoubtFigures, list[Example]]]:
    """For each doubt, the `each` rows with the highest loss, or as many as it has; ties by id."""
    names = losses.label_names
    wanted = np.array([names.index(doubt.label) << 1 | doubt.is_given for doubt in doubts], dtype=np.int64)
    columns = ["labels", "worst_label"]
    examples = top_of_groups(losses, columns, lambda rows: _doubts(rows, names, losses.path), wanted, each)
    return list(zip(doubts, examples, strict=True))


def _doubts(rows: pa.Table, names: tuple[str, ...], path: Path) -> Ints:
    """(n,) one number for the doubt of each row: the label's place, and whether it is given."""
    return _places(rows["worst_label"], names, path) << 1 | each_holds(rows["labels"], rows["worst_label"])


def _places(column: pa.ChunkedArray | pa.Array, names: tuple[str, ...], path: Path) -> Ints:
    """(n,) the labels' places among the model's labels. Raises LossAuditError for any other label."""
    places = pc.index_in(column, value_set=pa.array(names, pa.string()))
    if places.null_count:
        strange = column.filter(pc.is_null(places))[0].as_py()
        raise LossAuditError(f"{path} isn't a losses table: it has the label {strange!r}, which the model doesn't have")
    return np.asarray(places.to_numpy(), dtype=np.int64)


class _LabelCounts:
    """Adds up the counts of ranked rows."""

    def __init__(self, losses: LossesTable, cut: float) -> None:
        self.names = losses.label_names
        self.has_probabilities = bool(losses.probability_names)
        self._path, self._cut = losses.path, cut
        self._sums = np.zeros((3, len(self.names)), dtype=np.int64)
        """Rows in which a label is given, given but not predicted, and predicted but not given, by label."""
        self._top = np.zeros(2 * len(self.names), dtype=np.int64)
        """Rows of the top by doubt."""
        self._doubts = np.zeros_like(self._top)
        """Rows in which the model disagrees, by doubt; `_doubt_losses` sums their losses."""
        self._doubt_losses: Floats = np.zeros(len(self._top))
        self._losses: Floats = np.zeros(len(self.names))
        self._rows = 0

    def add(self, rows: pa.Table) -> None:
        given, predicted = (self._matrix(rows[name]) for name in ("labels", "predictions"))
        self._sums += [m.sum(axis=0) for m in (given, given & ~predicted, predicted & ~given)]
        keys, losses = _doubts(rows, self.names, self._path), rows["loss"].to_numpy()
        self._top += np.bincount(keys[losses >= self._cut], minlength=len(self._top))
        disagrees = rows["label_probability"].to_numpy() < 0.5
        self._doubts += np.bincount(keys[disagrees], minlength=len(self._top))
        self._doubt_losses += np.bincount(keys[disagrees], losses[disagrees], minlength=len(self._top))
        if self.has_probabilities:
            probabilities = rows["probabilities"].combine_chunks().flatten().to_numpy()
            self.has_probabilities = probabilities.size == given.size
        if self.has_probabilities:
            probabilities = probabilities.reshape(given.shape)
            agrees = np.where(given, probabilities, 1 - probabilities).astype(np.float64)
            self._losses += -np.log(np.maximum(agrees, _LEAST)).sum(axis=0)
        self._rows += len(rows)

    def _matrix(self, sets: pa.ChunkedArray) -> NDArray[np.bool_]:
        """(n, labels) whether each set has each label."""
        lists = sets.combine_chunks()
        held = np.zeros((len(lists), len(self.names)), dtype=bool)
        held[pc.list_parent_indices(lists).to_numpy(), _places(lists.flatten(), self.names, self._path)] = True
        return held

    def figures(self) -> SetFigures:
        missing, given = self._top.reshape(-1, 2).T.tolist()
        means = (self._losses / max(1, self._rows)).tolist() if self.has_probabilities else [None] * len(self.names)
        columns = zip(self.names, *self._sums.tolist(), given, missing, means, strict=True)
        labels = [LabelFigures(*row) for row in columns]
        doubts = [
            DoubtFigures(self.names[key >> 1], bool(key & 1), rows, loss / rows)
            for key, (rows, loss) in enumerate(zip(self._doubts.tolist(), self._doubt_losses.tolist(), strict=True))
            if rows
        ]
        return SetFigures(
            tuple(sorted(labels, key=lambda f: (-f.top_given - f.top_missing, -f.not_predicted - f.only_predicted))),
            tuple(sorted(doubts, key=lambda d: (-d.rows, d.label, d.is_given))),
        )
