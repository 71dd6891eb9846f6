"""What an audit found, in a few figures. A losses table comes in, a `Summary` goes out."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc


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
    classes: int
    """Labels of the model."""
    agreeing: int
    """Rows whose prediction is the given label."""
    truncated: int
    mean_loss: float
    pairs: tuple[Pair, ...]
    """The pairs with the most rows whose prediction isn't the given label, the most frequent first."""

    @property
    def accuracy(self) -> float:
        """The share of rows whose prediction is the given label."""
        return self.agreeing / self.rows


def summarise(table: pa.Table, classes: int, pairs: int = 5) -> Summary:
    """Sums up a losses table of at least one row, made by a model with that many labels."""
    agree = pc.equal(table["label"], table["prediction"])
    doubtful = table.filter(pc.invert(agree)).select(["label_name", "prediction_name", "loss"])
    grouped = doubtful.group_by(["label_name", "prediction_name"]).aggregate([("loss", "count"), ("loss", "mean")])
    found = [Pair(r["label_name"], r["prediction_name"], r["loss_count"], r["loss_mean"]) for r in grouped.to_pylist()]
    found.sort(key=lambda pair: (-pair.rows, pair.label_name, pair.prediction_name))
    return Summary(
        rows=len(table),
        classes=classes,
        agreeing=pc.sum(agree).as_py(),
        truncated=pc.sum(table["truncated"]).as_py(),
        mean_loss=pc.mean(table["loss"]).as_py(),
        pairs=tuple(found[:pairs]),
    )
