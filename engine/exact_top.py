"""The exact top of a ranking from approximate losses and few exact ones.

int8 gives every row an approximate loss at a fraction of fp32's price. Rows are scored again in fp32 from the top
down until no other row can enter the top K: until the approximate value of every row left, plus a margin, is below
the K-th exact one. The margin comes from the differences seen so far, on the rows scored again and on a random sample
of all, so a bad approximation widens it and more rows are scored again, all of them if need be.

Losses are compared as log-odds against the given label, log(exp(loss) - 1), which ranks the same: int8 errs in
logits, by about as much for every row, but a logit's error hardly moves a small loss and fully moves a large one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lossaudit.engine.loss import Floats, Ints

SAMPLE = 96
"""Rows that are scored again wherever they stand, so that the margin knows of more than the top."""
_BELOW = 50
"""Rows just below the top that are scored again at first: those most likely to enter it."""
_SAFETY = 1.5
"""The margin is the largest difference seen, times this: the rows not seen may hold a larger one. With 1.25, one
audit in five of those tried with int8 at its worst missed a row; with 1.5, one in forty (docs/design.md)."""


@dataclass(frozen=True)
class ExactTop:
    """Which rows were scored again, and what that says of the rest."""

    rows: Ints
    """(m,) positions, rising."""
    losses: Floats
    """(m,) their exact losses."""
    margin: float
    """How much above its approximate log-odds a row's exact ones were taken to be, at most."""


def exact_top(approximate: Floats, k: int, rescore: Callable[[Ints], Floats], seed: int = 0) -> ExactTop:
    """Scores rows again until the K highest exact losses are known.

    approximate: (n,) losses. rescore: positions (m,) to exact losses (m,); it is called with each position at
    most once. The rows not returned have approximate log-odds below the K-th exact ones by the margin at least.
    """
    n = len(approximate)
    k = min(k, n)
    guess = _log_odds(approximate)
    exact, losses = np.full(n, np.nan), np.full(n, np.nan)
    sample = np.random.default_rng(seed).choice(n, size=min(SAMPLE, n), replace=False)
    todo = np.union1d(np.argsort(-guess, kind="stable")[: k + _BELOW], sample)
    margin = 0.0
    while len(todo):
        losses[todo] = rescore(todo)
        exact[todo] = _log_odds(losses[todo])
        seen = np.flatnonzero(~np.isnan(exact))
        margin = max(0.0, _SAFETY * float((exact[seen] - guess[seen]).max()))
        kth = np.partition(exact[seen], len(seen) - k)[len(seen) - k]
        todo = np.flatnonzero(np.isnan(exact) & (guess + margin >= kth))
    seen = np.flatnonzero(~np.isnan(exact))
    return ExactTop(seen, losses[seen], margin)


def _log_odds(losses: Floats) -> Floats:
    """log(exp(loss) - 1), without overflow for large losses; -690 or so for a loss of 0."""
    x = np.maximum(losses, 1e-300)
    return np.asarray(x + np.log(-np.expm1(-x)), dtype=np.float64)
