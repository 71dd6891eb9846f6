"""What an audit found, in a few figures: counts the parts of a losses table one by one into a `Summary`."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..arrays import Ints
from ..labels.given import Seen
from .outcomes import FAILED, RANKED, STATUSES
from .repeats import Repeats

_COLUMNS = ("id", "loss", "truncated", "status", "status_reason")


@dataclass(frozen=True)
class Pair:
    """A given label and the one that the model would have given."""

    label_name: str
    """The given label."""
    prediction_name: str
    """The predicted label."""
    rows: int
    """Number of rows with both."""
    mean_loss: float
    """Their mean loss."""


@dataclass(frozen=True)
class Doubt:
    """A label that a multi-label model would remove from rows, or add to them."""

    label_name: str
    """The label."""
    given: bool
    """Whether the rows have it."""
    rows: int
    """Number of rows whose worst label it is."""
    mean_loss: float
    """Their mean loss."""


@dataclass(frozen=True)
class Summary:
    """The figures of one audit."""

    rows: int
    """Number of rows."""
    ranked: int
    """Number of rows with a loss, which the figures below are about."""
    classes: int
    """Number of the model's labels."""
    agreeing: int
    """Number of rows whose prediction is the given label, or all of the given labels and no other."""
    label_accuracy: float
    """The share of labels, a yes or no each per row, that are predicted as given; for a single-label model, of rows."""
    chance: float
    """What `label_accuracy` would be if predictions had nothing to do with labels."""
    truncated: int
    """Number of rows whose text was cut at the maximum length."""
    mean_loss: float
    """The mean loss, in nats."""
    pairs: tuple[Pair, ...]
    """The pairs with the most rows whose prediction isn't the given label, the most frequent first."""
    doubts: tuple[Doubt, ...]
    """For a multi-label model, the labels that it doubts in the most rows, the most frequent first."""
    unranked: dict[str, Seen]
    """The rows without a loss, by status."""
    conflicting_texts: int = 0
    """Texts that different given labels are given to, in several rows; at least one label of each text is wrong."""
    conflicting_rows: int = 0
    """The rows with these texts."""
    leaking_texts: int = 0
    """Texts that stand in several of the splits that were audited."""
    leaking_rows: int = 0
    """The rows with these texts."""
    conflicting_leaks: int = 0
    """How many of these texts have different given labels."""

    @property
    def accuracy(self) -> float:
        """The share of rows whose prediction is the given label, or all of the given labels and no other."""
        return self.agreeing / self.ranked


def with_repeats(summary: Summary, repeats: Repeats) -> Summary:
    """The summary with the counts of identical texts."""
    conflicts, leaks = repeats.conflicts, repeats.leaks
    return replace(
        summary,
        conflicting_texts=conflicts.different_texts,
        conflicting_rows=len(conflicts.places),
        leaking_texts=leaks.different_texts,
        leaking_rows=len(leaks.places),
        conflicting_leaks=repeats.conflicting_leaks.different_texts,
    )


class Tally:
    """Counts the parts of a single-label model's table, with one at a time in memory."""

    columns: ClassVar[tuple[str, ...]] = ("label", "label_name", "prediction", "prediction_name", *_COLUMNS)
    """The columns of a losses table that are counted."""

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self.rows = self.ranked = 0
        self.first_failure = ""
        """The first row that failed, and the runtime's reason."""
        self._agreeing = self._truncated = 0
        self._loss = 0.0
        self._doubts: Counter[tuple[str, Any]] = Counter()
        self._doubt_losses: Counter[tuple[str, Any]] = Counter()
        self._statuses: dict[str, Seen] = {}

    def add(self, part: pa.Table) -> None:
        """Counts a part; parts may come in any order."""
        self.rows += len(part)
        self._add_statuses(part)
        self._add_scored(part.filter(pc.is_valid(part["loss"])))

    def _add_scored(self, scored: pa.Table) -> None:
        """Counts rows with a loss."""
        agree = self._agree(scored)
        self.ranked += len(scored)
        self._agreeing += pc.sum(agree).as_py() or 0
        self._truncated += pc.sum(scored["truncated"]).as_py() or 0
        self._loss += pc.sum(scored["loss"]).as_py() or 0.0
        doubtful = self._doubt(scored.filter(pc.invert(agree)))
        grouped = doubtful.group_by(["what", "contrary"]).aggregate([("loss", "count"), ("loss", "sum")])
        for row in grouped.to_pylist():
            doubt = (row["what"], row["contrary"])
            self._doubts[doubt] += row["loss_count"]
            self._doubt_losses[doubt] += row["loss_sum"]

    def _agree(self, scored: pa.Table) -> pa.ChunkedArray:
        """Whether the prediction is what is given, for rows with a loss."""
        return pc.equal(scored["label"], scored["prediction"])

    def _doubt(self, doubtful: pa.Table) -> pa.Table:
        """What is given in rows with another prediction, and what the model holds against it."""
        columns = doubtful.select(["label_name", "prediction_name", "loss"])
        return columns.rename_columns(["what", "contrary", "loss"])

    def _add_statuses(self, part: pa.Table) -> None:
        if FAILED not in self._statuses:
            failed = part.filter(pc.equal(part["status"], FAILED)).slice(0, 1).to_pylist()
            self.first_failure = "".join(f"row {row['id']}: {row['status_reason']}" for row in failed)
        for item in part["status"].value_counts().to_pylist():
            status, count = item["values"], item["counts"]
            first = part["id"][pc.index(part["status"], status).as_py()].as_py()
            seen = self._statuses.get(status, Seen(0, first))
            self._statuses[status] = Seen(seen.rows + count, min(seen.first, first))

    @property
    def failed(self) -> int:
        seen = self._statuses.get(FAILED)
        return seen.rows if seen else 0

    @property
    def unranked(self) -> dict[str, Seen]:
        """The rows without a loss, by status."""
        return {s: self._statuses[s] for s in STATUSES if s in self._statuses and s not in RANKED}

    def summary(self, pairs: int = 5) -> Summary:
        """The figures of all parts, at least one row of which has a loss. pairs: the most pairs, or doubts, to list."""
        return Summary(
            rows=self.rows,
            ranked=self.ranked,
            classes=self._classes,
            agreeing=self._agreeing,
            label_accuracy=self._agreeing / self.ranked,
            chance=1 / max(1, self._classes),
            truncated=self._truncated,
            mean_loss=self._loss / self.ranked,
            pairs=tuple(Pair(*doubt) for doubt in self._most_frequent(pairs)),
            doubts=(),
            unranked=self.unranked,
        )

    def _most_frequent(self, n: int) -> list[tuple[str, Any, int, float]]:
        """The doubts with the most rows: what is doubted, against what, the rows and their mean loss."""
        found = sorted(self._doubts, key=lambda doubt: (-self._doubts[doubt], *doubt))[:n]
        return [(*doubt, self._doubts[doubt], self._doubt_losses[doubt] / self._doubts[doubt]) for doubt in found]


class SetTally(Tally):
    """Counts the parts of a multi-label model's table."""

    columns: ClassVar[tuple[str, ...]] = (
        "labels",
        "predictions",
        "worst_label",
        "probability",
        "probabilities",
        *_COLUMNS,
    )

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self._given = self._predicted = self._both = 0

    def _add_scored(self, scored: pa.Table) -> None:
        super()._add_scored(scored)
        names = pc.unique(pc.list_flatten(pa.chunked_array([*scored["labels"].chunks, *scored["predictions"].chunks])))
        given, predicted = (_pairs(scored[name], names) for name in ("labels", "predictions"))
        self._given += len(given)
        self._predicted += len(predicted)
        self._both += len(np.intersect1d(given, predicted, assume_unique=True))
        self._classes = max(self._classes, pc.max(pc.list_value_length(scored["probabilities"])).as_py() or 0)

    def _agree(self, scored: pa.Table) -> pa.ChunkedArray:
        return pc.equal(*(pc.binary_join(scored[name], "\0") for name in ("labels", "predictions")))

    def _doubt(self, doubtful: pa.Table) -> pa.Table:
        # The model disagrees at least with the worst label: if it finds that unlikely, the label is given.
        given = pc.less(doubtful["probability"], 0.5)
        return pa.table({"what": doubtful["worst_label"], "contrary": given, "loss": doubtful["loss"]})

    def summary(self, pairs: int = 5) -> Summary:
        """See `Tally.summary`."""
        found = super().summary(0)
        decisions = self.ranked * self._classes
        given, predicted, both = (count / decisions for count in (self._given, self._predicted, self._both))
        return replace(
            found,
            label_accuracy=1 - given - predicted + 2 * both,
            chance=given * predicted + (1 - given) * (1 - predicted),
            doubts=tuple(Doubt(*doubt) for doubt in self._most_frequent(pairs)),
        )


def _pairs(lists: pa.ChunkedArray, names: pa.Array) -> Ints:
    """A number for each label of each row, distinct for each pair of the two."""
    lists = lists.combine_chunks()
    places = pc.index_in(pc.list_flatten(lists), value_set=names).to_numpy()
    return np.asarray(pc.list_parent_indices(lists).to_numpy() * len(names) + places, dtype=np.int64)
