"""Heads refitted on the labels as corrected so far: ridge regression on kept states, each row left out of its own.

One linear system gives the outputs that each row would get from heads fitted without it (Hastie, Tibshirani and
Friedman 2009, equation 7.64), so no folds are needed and refitting takes about a second.
"""

from collections.abc import Iterator

import numpy as np

from ..arrays import Bools, Floats, Floats32, Ints
from ..table.states import STEPS, Bytes

_PENALTY = 0.1
"""Ridge penalty per fitted row, on states with deviation 1."""
_DECIDED = 5.0
"""How many undecided rows a decided one counts for."""
_MOST_FITTED = 100_000
"""Rows that heads are fitted on; all decided ones, and undecided ones drawn at random."""
_LEAST, _MOST_LEVERAGE = 0.005, 0.99
"""Output that counts as a probability, and influence of a row on its own output."""
_PIECE_CELLS = 8_000_000
"""States and outputs in memory at once, as float32."""


def doubts_of_heads(states: Bytes, given: Ints, corrected: Ints, decided: Bools, seed: int) -> Floats32:
    """(n, 2) how heads that never saw a row's label doubt it, each column with mean 0 and deviation 1.

    They are −log p of the given label, and by how much the likeliest other label beats it. states: (n, hidden), in
    STEPS; all 0 where a row has none. given, corrected: (n,) labels from 0.
    """
    classes = int(max(given.max(initial=0), corrected.max(initial=0))) + 1
    fitted = _fitted_rows(states, decided, seed)
    counts = np.where(decided[fitted], np.float32(_DECIDED), np.float32(1))
    inverse, weights = _ridge(states, fitted, counts, corrected[fitted], classes)
    leverage = np.zeros(len(given), dtype=np.float32)
    for rows in _pieces(fitted, states.shape[1]):
        x = _with_one(states[rows])
        leverage[rows] = ((x @ inverse) * x).sum(axis=1)
    leverage[fitted] *= counts
    doubts = np.empty((len(given), 2), dtype=np.float32)
    for rows in _pieces(np.arange(len(given)), states.shape[1] + classes):
        outputs = _with_one(states[rows]) @ weights
        own = np.minimum(leverage[rows], _MOST_LEVERAGE)
        outputs[np.arange(len(rows)), corrected[rows]] -= own
        doubts[rows] = _doubts(outputs / (1 - own)[:, None], given[rows])
    with_state = states.any(axis=1)
    doubts -= doubts[with_state].mean(axis=0) if with_state.any() else 0
    doubts[~with_state] = 0
    return np.asarray(doubts / np.maximum(doubts.std(axis=0), np.float32(1e-6)), dtype=np.float32)


def _fitted_rows(states: Bytes, decided: Bools, seed: int) -> Ints:
    """Rows to fit on, rising."""
    with_state = states.any(axis=1)
    others = np.flatnonzero(with_state & ~decided)
    if len(others) > _MOST_FITTED:
        others = np.random.default_rng(seed).choice(others, _MOST_FITTED, replace=False)
    return np.sort(np.concatenate([np.flatnonzero(with_state & decided), others]))


def _ridge(states: Bytes, rows: Ints, counts: Floats32, labels: Ints, classes: int) -> tuple[Floats32, Floats32]:
    """The inverse of the penalised second moments (hidden + 1, hidden + 1), and the weights (hidden + 1, classes)."""
    hidden = states.shape[1] + 1
    moments, sums = np.zeros((hidden, hidden)), np.zeros((classes, hidden))
    place = np.arange(len(rows))
    for some in _pieces(place, hidden):
        x = _with_one(states[rows[some]])
        weighted = x * counts[some, None]
        moments += weighted.T @ x
        by_label = np.argsort(labels[some], kind="stable")
        present, first = np.unique(labels[some][by_label], return_index=True)
        sums[present] += np.add.reduceat(weighted[by_label], first, axis=0, dtype=np.float64)
    moments[np.diag_indices(hidden)] += _PENALTY * max(1, len(rows))
    inverse = np.linalg.inv(moments)
    return inverse.astype(np.float32), (inverse @ sums.T).astype(np.float32)


def _doubts(outputs: Floats32, given: Ints) -> Floats:
    p = np.maximum(outputs, _LEAST)
    log_p = np.log(p / p.sum(axis=1, keepdims=True))
    places = np.arange(len(given))
    of_given = log_p[places, given]
    log_p[places, given] = -np.inf
    return np.stack([-of_given, log_p.max(axis=1) - of_given], axis=1)


def _with_one(states: Bytes) -> Floats32:
    """States with deviation 1, and a column of ones."""
    found = np.ones((len(states), states.shape[1] + 1), dtype=np.float32)
    np.multiply(states, np.float32(1 / STEPS), out=found[:, :-1])
    return found


def _pieces(rows: Ints, width: int) -> Iterator[Ints]:
    at_once = max(1, _PIECE_CELLS // width)
    for start in range(0, len(rows), at_once):
        yield rows[start : start + at_once]
