"""The numbers of a report: reads a losses table once, in pieces, and counts `Figures`.

Memory holds one piece, the classes, and the pairs of classes that the model confuses.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.table.losses import LossesTable
from lossaudit.engine.table.outcomes import STATUSES
from lossaudit.engine.table.schema import REQUIRED

from .bins import CONFIDENCE_BINS, LENGTH_EDGES, LOSS_EDGES, Floats, Ints, confidence_bins, length_bins, loss_bins

_WHERE_THERE = ("tokens", "unknown_tokens", "truncated", "status")


@dataclass(frozen=True)
class Missing:
    """Something that a report can't show."""

    why: str
    """The reason, a sentence."""


@dataclass(frozen=True)
class ClassFigures:
    """The ranked rows of a given label."""

    name: str
    rows: int
    agreeing: int
    """Rows whose prediction is the given label."""
    mean_loss: float
    mean_probability: float
    """Mean probability of the given label: its self-confidence."""


@dataclass(frozen=True)
class PairFigures:
    """The rows of a given label for which the model predicts another one."""

    given: str
    predicted: str
    rows: int
    mean_loss: float


@dataclass(frozen=True)
class LengthFigures:
    """The ranked rows whose length is in some bin."""

    first: int
    last: int | None
    """Most tokens; None where the bin has no end."""
    rows: int
    agreeing: int
    losses: Ints
    """(loss bins,) rows by loss."""


@dataclass(frozen=True)
class ConfidenceFigures:
    """The ranked rows whose prediction has a probability in some bin."""

    rows: int
    agreeing: int
    confidence: float
    """Mean probability of the prediction; 0 without rows."""


@dataclass(frozen=True)
class UnknownFigures:
    """Tokens that the tokenizer doesn't know, in all rows that went through the model."""

    tokens: int
    unknown: int
    rows: int
    """Rows with at least one unknown token."""


@dataclass(frozen=True)
class StatusFigures:
    """The rows of a status (docs/losses.md)."""

    status: str
    rows: int
    first: int
    """Smallest `id` of these rows."""


@dataclass(frozen=True)
class Figures:
    """A losses table in numbers. Ranked rows are those with a loss."""

    rows: int
    ranked: int
    agreeing: int
    mean_loss: float
    """Mean loss of the ranked rows, in nats; 0 without any."""
    top: int
    """The requested K, or the number of ranked rows if that is smaller."""
    cut: float | None
    """The K-th highest loss; None without ranked rows."""
    losses: Ints
    """(loss bins,) ranked rows by loss (see bins.py)."""
    classes: tuple[ClassFigures, ...]
    """Classes by index, including those without rows; () where rows have sets of labels (see sets.py)."""
    pairs: tuple[PairFigures, ...]
    """All pairs in which the model disagrees, the most frequent first; () for sets of labels."""
    lengths: tuple[LengthFigures, ...] | Missing
    confidence: tuple[ConfidenceFigures, ...]
    """Figures by bin; all are empty for sets of labels."""
    statuses: tuple[StatusFigures, ...] | Missing
    truncated: int | Missing
    """Rows that were cut, ranked or not."""
    unknown: UnknownFigures | Missing

    @property
    def disagreeing(self) -> int:
        return self.ranked - self.agreeing

    @property
    def calibration_error(self) -> float:
        """The expected calibration error (Guo et al. 2017): the mean over rows of |accuracy − confidence| in a bin."""
        gaps = sum(abs(b.agreeing - b.confidence * b.rows) for b in self.confidence)
        return gaps / self.ranked if self.ranked else 0.0


class Coder:
    """Maps names of labels to class indices. A new name gets the next index."""

    def __init__(self, losses: LossesTable) -> None:
        self.names = list(losses.label_names)
        self._codes: dict[str, int] = {}
        for index, name in enumerate(self.names):
            self._codes.setdefault(name, index)
        self._path = losses.path

    def codes(self, column: pa.ChunkedArray) -> Ints:
        """(n,) indices of n names. Raises LossAuditError if a name is missing."""
        if column.null_count:
            raise LossAuditError(f"{self._path} isn't a losses table: it has rows with a loss but without a label name")
        encoded = pc.dictionary_encode(column).combine_chunks()
        if isinstance(encoded, pa.ChunkedArray):  # an empty column stays chunked
            return np.empty(0, dtype=np.int64)
        codes = np.array([self._code(name) for name in encoded.dictionary.to_pylist()], dtype=np.int64)
        return np.asarray(codes[encoded.indices.to_numpy()])

    def _code(self, name: str) -> int:
        if name not in self._codes:
            self._codes[name] = len(self.names)
            self.names.append(name)
        return self._codes[name]


def ranked_rows(piece: pa.Table) -> pa.Table:
    """The rows of a piece that have a loss; NaN and infinity don't count."""
    return piece.filter(pc.is_finite(piece["loss"]))  # null for a missing loss, which leaves the row out


def pair_keys(given: Ints, predicted: Ints) -> Ints:
    """(n,) one number for each pair of class indices."""
    return given << 32 | predicted


def gather(losses: LossesTable, coder: Coder, top: int) -> Figures:
    """The figures of a losses table. top: the number of highest losses that the report highlights.

    Raises LossAuditError if the file can't be read or holds something else.
    """
    there = [name for name in _WHERE_THERE if name in losses.schema.names]
    counts = _RowCounts(None if losses.is_multi_label else coder, top)
    for piece in losses.pieces([*REQUIRED, *there]):
        counts.add(piece)
    return counts.figures(there)


class _RowCounts:
    """Adds up the counts of pieces."""

    def __init__(self, coder: Coder | None, top: int) -> None:
        """coder: None where rows have sets of labels."""
        self._coder = coder
        self._top = top
        self._rows, self._agreeing, self._sum = 0, 0, 0.0
        self._highest: Floats = np.empty(0)
        self._losses = np.zeros(len(LOSS_EDGES) - 1, dtype=np.int64)
        self._classes = np.zeros((4, 0 if coder is None else len(coder.names)))
        """Rows, agreeing rows, sums of losses and of the given label's probabilities, by class."""
        self._pairs: Counter[int] = Counter()
        self._pair_losses: Counter[int] = Counter()
        self._lengths = np.zeros((2, len(LENGTH_EDGES), len(LOSS_EDGES) - 1), dtype=np.int64)
        """Disagreeing and agreeing rows, by tokens and loss."""
        self._confidence = np.zeros((3, CONFIDENCE_BINS))
        """Rows, agreeing rows and sums of probabilities, by bin."""
        self._statuses: dict[str, tuple[int, int]] = {}
        self._truncated = 0
        self._unknown = np.zeros(3, dtype=np.int64)

    def add(self, piece: pa.Table) -> None:
        self._rows += len(piece)
        self._add_outcomes(piece)
        rows = ranked_rows(piece)
        losses = np.maximum(rows["loss"].to_numpy(), 0.0)
        self._highest = _highest(np.concatenate([self._highest, losses]), self._top)
        bins = loss_bins(losses)
        self._losses += np.bincount(bins, minlength=len(self._losses))
        agree = self._add_labels(rows, losses)
        self._agreeing += int(agree.sum())
        self._sum += float(losses.sum())
        if "tokens" in rows.column_names:
            tokens = pc.fill_null(rows["tokens"], 0).to_numpy()
            np.add.at(self._lengths, (agree.astype(np.int64), length_bins(tokens), bins), 1)

    def _add_labels(self, rows: pa.Table, losses: Floats) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
        """(n,) whether the prediction equals what is given."""
        if self._coder is None:
            return np.asarray(pc.equal(rows["label_name"], rows["prediction_name"]).to_numpy(), dtype=bool)
        given, predicted = (self._coder.codes(rows[name]) for name in ("label_name", "prediction_name"))
        agree = np.asarray(given == predicted)
        self._add_classes(self._coder, given, agree, losses)
        self._add_pairs(pair_keys(given, predicted)[~agree], losses[~agree])
        probabilities = np.nan_to_num(rows["probability"].to_numpy().astype(np.float64))
        at = confidence_bins(probabilities)
        for into, weights in zip(self._confidence, (None, agree, probabilities), strict=True):
            into += np.bincount(at, weights, minlength=CONFIDENCE_BINS)
        return agree

    def _add_outcomes(self, piece: pa.Table) -> None:
        if "truncated" in piece.column_names:
            self._truncated += pc.sum(piece["truncated"]).as_py() or 0
        if "unknown_tokens" in piece.column_names:
            unknown = pc.fill_null(piece["unknown_tokens"], 0).to_numpy()
            tokens = pc.sum(piece["tokens"]).as_py() or 0 if "tokens" in piece.column_names else 0
            self._unknown += (tokens, int(unknown.sum()), int((unknown > 0).sum()))
        if "status" in piece.column_names:
            grouped = piece.group_by("status").aggregate([("id", "count"), ("id", "min")])
            for status, rows, first in zip(*(grouped[n].to_pylist() for n in grouped.column_names), strict=True):
                before, earliest = self._statuses.get(str(status), (0, first))
                self._statuses[str(status)] = (before + rows, min(earliest, first))

    def _add_classes(
        self, coder: Coder, given: Ints, agree: "np.ndarray[tuple[int], np.dtype[np.bool_]]", losses: Floats
    ) -> None:
        n = len(coder.names)
        if n > self._classes.shape[1]:
            self._classes = np.pad(self._classes, ((0, 0), (0, n - self._classes.shape[1])))
        for into, weights in zip(self._classes, (None, agree, losses, np.exp(-losses)), strict=True):
            into += np.bincount(given, weights, minlength=n)

    def _add_pairs(self, keys: Ints, losses: Floats) -> None:
        pairs, places = np.unique(keys, return_inverse=True)
        rows, sums = np.bincount(places, minlength=len(pairs)), np.bincount(places, losses, minlength=len(pairs))
        self._pairs.update(dict(zip(pairs.tolist(), rows.tolist(), strict=True)))
        self._pair_losses.update(dict(zip(pairs.tolist(), sums.tolist(), strict=True)))

    def figures(self, there: list[str]) -> Figures:
        ranked = int(self._losses.sum())
        rows, agreeing, sums, probabilities = self._classes
        means = np.divide([sums, probabilities], rows, out=np.zeros((2, len(rows))), where=rows > 0)
        names = self._names
        return Figures(
            rows=self._rows,
            ranked=ranked,
            agreeing=self._agreeing,
            mean_loss=self._sum / ranked if ranked else 0.0,
            top=min(self._top, ranked),
            cut=float(self._highest.min()) if ranked else None,
            losses=self._losses,
            classes=tuple(
                ClassFigures(names[i], int(rows[i]), int(agreeing[i]), float(means[0, i]), float(means[1, i]))
                for i in range(len(names))
            ),
            pairs=self._pair_figures(),
            lengths=self._length_figures() if "tokens" in there else _without("tokens"),
            confidence=tuple(
                ConfidenceFigures(int(n), int(agree), total / n if n else 0.0)
                for n, agree, total in self._confidence.T.tolist()
            ),
            statuses=self._status_figures() if "status" in there else _without("status"),
            truncated=self._truncated if "truncated" in there else _without("truncated"),
            unknown=self._unknown_figures() if "unknown_tokens" in there else _without("unknown_tokens"),
        )

    @property
    def _names(self) -> list[str]:
        return [] if self._coder is None else self._coder.names

    def _pair_figures(self) -> tuple[PairFigures, ...]:
        names = self._names
        found = [
            PairFigures(names[key >> 32], names[key & 0xFFFFFFFF], rows, self._pair_losses[key] / rows)
            for key, rows in self._pairs.items()
        ]
        return tuple(sorted(found, key=lambda pair: (-pair.rows, pair.given, pair.predicted)))

    def _length_figures(self) -> tuple[LengthFigures, ...]:
        lasts = [*(LENGTH_EDGES[1:] - 1).tolist(), None]
        return tuple(
            LengthFigures(first, last, int(both.sum()), int(both[1].sum()), both.sum(axis=0))
            for first, last, both in zip(LENGTH_EDGES.tolist(), lasts, self._lengths.swapaxes(0, 1), strict=True)
            if both.any()
        )

    def _status_figures(self) -> tuple[StatusFigures, ...]:
        known = [status for status in STATUSES if status in self._statuses]
        others = sorted(set(self._statuses) - set(known))
        return tuple(StatusFigures(status, *self._statuses[status]) for status in (*known, *others))

    def _unknown_figures(self) -> UnknownFigures:
        tokens, unknown, rows = self._unknown.tolist()
        return UnknownFigures(tokens, unknown, rows)


def _highest(losses: Floats, n: int) -> Floats:
    return losses if len(losses) <= n else np.partition(losses, len(losses) - n)[-n:]


def _without(column: str) -> Missing:
    return Missing(
        f"The losses file has no column {column!r}: an older version or another program wrote it. "
        "Run the audit again to add it."
    )
