"""What an audit found, in a few figures. Parts of a losses table come in one by one, a `Summary` goes out."""

from collections import Counter
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from lossaudit.engine.labels import Seen
from lossaudit.engine.outcomes import FAILED, RANKED, STATUSES


@dataclass(frozen=True)
class Pair:
    """A given label and the one that the model would have given."""

    label_name: str
    prediction_name: str
    rows: int
    mean_loss: float


@dataclass(frozen=True)
class Summary:
    """The figures of one audit."""

    rows: int
    ranked: int
    """Rows with a loss; the figures below are of them."""
    classes: int
    """Labels of the model."""
    agreeing: int
    """Rows whose prediction is the given label."""
    truncated: int
    mean_loss: float
    pairs: tuple[Pair, ...]
    """The pairs with the most rows whose prediction isn't the given label, the most frequent first."""
    unranked: dict[str, Seen]
    """The rows without a loss, by status."""

    @property
    def accuracy(self) -> float:
        """The share of rows whose prediction is the given label."""
        return self.agreeing / self.ranked


class Tally:
    """Counts parts up, in memory for one of them."""

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self.rows = self.ranked = 0
        self.first_failure = ""
        """The row, and what the runtime said."""
        self._agreeing = self._truncated = 0
        self._loss = 0.0
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._pair_losses: Counter[tuple[str, str]] = Counter()
        self._statuses: dict[str, Seen] = {}

    def add(self, part: pa.Table) -> None:
        """Counts a part in; parts may come in any order."""
        self.rows += len(part)
        self._add_statuses(part)
        scored = part.filter(pc.is_valid(part["loss"]))
        agree = pc.equal(scored["label"], scored["prediction"])
        self.ranked += len(scored)
        self._agreeing += pc.sum(agree).as_py() or 0
        self._truncated += pc.sum(scored["truncated"]).as_py() or 0
        self._loss += pc.sum(scored["loss"]).as_py() or 0.0
        doubtful = scored.filter(pc.invert(agree)).select(["label_name", "prediction_name", "loss"])
        grouped = doubtful.group_by(["label_name", "prediction_name"]).aggregate([("loss", "count"), ("loss", "sum")])
        for row in grouped.to_pylist():
            pair = (row["label_name"], row["prediction_name"])
            self._pairs[pair] += row["loss_count"]
            self._pair_losses[pair] += row["loss_sum"]

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
        """The figures of all parts, at least one row of which has a loss."""
        found = [
            Pair(label, prediction, rows, self._pair_losses[label, prediction] / rows)
            for (label, prediction), rows in self._pairs.items()
        ]
        found.sort(key=lambda pair: (-pair.rows, pair.label_name, pair.prediction_name))
        return Summary(
            rows=self.rows,
            ranked=self.ranked,
            classes=self._classes,
            agreeing=self._agreeing,
            truncated=self._truncated,
            mean_loss=self._loss / self.ranked,
            pairs=tuple(found[:pairs]),
            unranked=self.unranked,
        )
