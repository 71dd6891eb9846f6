"""Counts the labels that the model disagrees with confidently, by confident learning from all probabilities.

Northcutt, Jiang, Chuang (2021), Confident Learning: Estimating Uncertainty in Dataset Labels, JAIR 70.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lossaudit.engine.table.losses import LossesTable

from .bins import Ints
from .figures import ClassFigures, Coder, Missing, gather, ranked_rows

_Float32s = NDArray[np.float32]

_MOST_ROWS, _MOST_CELLS = 65_536, 4_000_000
"""Rows, and probabilities, in memory at once."""
_TOLERANCE = 1e-6
"""Rounding allowance: equal float32 probabilities may all be slightly below their mean."""


@dataclass(frozen=True)
class WrongLabels:
    """How many labels the model disagrees with confidently. Mistakes that it has learned too are not among them."""

    total: int
    classes: tuple[int, ...]
    """By class index, of the rows with this given label."""


def wrong_labels(losses: LossesTable) -> WrongLabels | Missing:
    """The estimate for a losses table, in two passes. See `estimate_wrong`."""
    coder = Coder(losses)
    return estimate_wrong(losses, coder, gather(losses, coder, top=1).classes)


def estimate_wrong(losses: LossesTable, coder: Coder, classes: tuple[ClassFigures, ...]) -> WrongLabels | Missing:
    """The estimate by confident learning, or why there is none: how many rows are confidently taken for another class.

    A row counts for class j if its probability of j is at least the mean among the rows labelled j, and higher than
    that of any other such class. If j isn't the given label, the label is probably wrong. Unlike in the paper, a row
    whose given label is the likeliest of all never counts for another: a class of few rows can have a mean so low that
    any row reaches it. Nor are the counts scaled up by the rows that reach no mean, whose labels are mostly right.
    """
    if losses.is_multi_label:
        return Missing("There is no estimate for rows with sets of labels.")
    known = losses.probability_names
    if not sum(c.rows for c in classes):
        return Missing("No row has a loss.")
    if not known:
        return Missing(
            "The losses file lacks the probabilities of all classes, or doesn't say which class is which; "
            "run the audit again with this version, into a Parquet file."
        )
    if len(known) < 2:
        return Missing("The model has only one class, so there is no other that a label could be.")
    thresholds = np.array([c.mean_probability if c.rows else np.inf for c in classes[: len(known)]], dtype=np.float32)
    elsewhere = np.zeros(len(known), dtype=np.int64)
    at_once = min(_MOST_ROWS, max(1, _MOST_CELLS // len(known)))
    for piece in losses.pieces(["label_name", "loss", "probabilities"], at_once):
        rows = ranked_rows(piece)
        probabilities = _matrix(rows["probabilities"], len(known))
        if probabilities is None:
            return Missing(f"Some rows lack the probabilities of all {len(known):,} classes.")
        given = coder.codes(rows["label_name"])
        another = given[confidently_another(given, probabilities, thresholds)]
        elsewhere += np.bincount(another, minlength=len(known))[: len(known)]
    return WrongLabels(int(elsewhere.sum()), tuple(elsewhere.tolist()))


def _matrix(column: pa.ChunkedArray, classes: int) -> _Float32s | None:
    """(rows, classes), or None if a row has another number of probabilities."""
    if column.null_count or pc.any(pc.not_equal(pc.list_value_length(column), classes)).as_py():
        return None
    values = pc.list_flatten(column).to_numpy().astype(np.float32, copy=False)
    return np.asarray(values).reshape(len(column), classes)


def confidently_another(given: Ints, probabilities: _Float32s, thresholds: _Float32s) -> NDArray[np.bool_]:
    """(n,) whether a row is confidently taken for another class than the given one. See `estimate_wrong`.

    given: (n,) class indices. probabilities: (n, classes). thresholds: (classes,) the mean probability of each class
    among the rows labelled so.
    """
    over = probabilities >= thresholds - np.float32(_TOLERANCE)
    likeliest = np.where(over, probabilities, np.float32(-1)).argmax(axis=1)
    another = over.any(axis=1) & (likeliest != given) & (probabilities.argmax(axis=1) != given)
    return np.asarray(another, dtype=np.bool_)
