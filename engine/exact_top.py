"""The exact top of a ranking from approximate losses and few exact ones.

int8 gives every row an approximate loss at a fraction of fp32's price. Rows are scored again in fp32 from the top
down until no other row can enter the top K: until the highest approximate loss left, plus a margin, is below
the K-th exact loss. The margin comes from the differences seen so far, on the rows scored again and on a random
sample of all, so a bad approximation widens it and more rows are scored again, all of them if need be.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lossaudit.engine.loss import Floats, Ints

SAMPLE = 96
"""Rows that are scored again wherever they stand, so that the margin knows of more than the top."""
SAFETY = 1.25
"""The margin is the largest difference seen, times this: the rows not seen may hold a larger one."""


@dataclass(frozen=True)
class ExactTop:
    """Which rows were scored again, and what that says of the rest."""

    rows: Ints
    """(m,) positions, rising."""
    losses: Floats
    """(m,) their exact losses."""
    margin: float
    """How much more than its approximate loss a row's exact loss was taken to be, at most."""


def exact_top(approximate: Floats, k: int, rescore: Callable[[Ints], Floats], seed: int = 0) -> ExactTop:
    """Scores rows again until the K highest exact losses are known.

    approximate: (n,) losses. rescore: positions (m,) to exact losses (m,); it is called with each position at
    most once. The rows not returned have approximate losses below the K-th exact one by the margin at least.
    """
    n = len(approximate)
    k = min(k, n)
    order = np.argsort(-approximate, kind="stable")
    exact = np.full(n, np.nan)
    sample = np.random.default_rng(seed).choice(n, size=min(SAMPLE, n), replace=False)
    todo = np.union1d(order[:k], sample)
    margin = 0.0
    while len(todo):
        exact[todo] = rescore(todo)
        seen = np.flatnonzero(~np.isnan(exact))
        margin = max(0.0, SAFETY * float((exact[seen] - approximate[seen]).max()))
        kth = np.partition(exact[seen], len(seen) - k)[len(seen) - k]
        todo = np.flatnonzero(np.isnan(exact) & (approximate + margin >= kth))
    seen = np.flatnonzero(~np.isnan(exact))
    return ExactTop(seen, exact[seen], margin)
