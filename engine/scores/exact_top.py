"""The exact top of a ranking from approximate losses and few exact ones.

int8 gives every row an approximate loss at a fraction of fp32's cost. Rows are scored again in fp32 from the top
down until no other row can enter the top K: until the approximate value of every row left, plus a margin, is below
the K-th exact one. The margin comes from the differences seen so far, on the rows scored again and on a random sample
of all, so a bad approximation widens it and more rows are scored again, all of them if need be.

Losses are compared as log-odds against the given label, log(exp(loss) - 1), which ranks the same: int8 errs in
logits, by about as much for every row, but a logit's error hardly moves a small loss and fully moves a large one.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from ..arrays import Floats, Ints

SAMPLE = 96
"""Random rows that are scored again, so that the margin reflects more than the top."""
_BELOW = 50
"""Rows just below the top that are scored again at first: those most likely to enter it."""
_SAFETY = 1.5
"""The margin is the largest difference seen times this, since unseen rows may have a larger one. In trials with int8
at its worst, one audit in five missed a row with 1.25, and one in forty with 1.5 (docs/design.md)."""


Chunks = Callable[[], Iterable[tuple[Ints, Floats]]]
"""Yields all rows with a loss in pieces, from the start at each call: ascending ids (m,), approximate losses (m,)."""


@dataclass(frozen=True)
class ExactTop:
    """Which rows were scored again, and what that says of the rest."""

    rows: Ints
    """(m,) ids, ascending."""
    losses: Floats
    """(m,) their exact losses; NaN where scoring failed."""
    margin: float
    """The most by which a row's exact log-odds are assumed to exceed its approximate ones."""


def exact_top(approximate: Chunks, n: int, k: int, rescore: Callable[[Ints], Floats], seed: int = 0) -> ExactTop:
    """Scores rows again until the K highest exact losses are known, with only those rows in memory.

    n: how many rows `approximate` yields. rescore: from ascending ids (m,) to exact losses (m,), called with each id at
    most once. The approximate log-odds of rows not returned are below the K-th exact ones by at least the margin.
    """
    k = min(k, n)
    ids, guess = _likeliest(approximate, k + _BELOW, _sample(n, seed))
    seen = _Seen.none()
    margin = 0.0
    while len(ids):
        seen = seen.with_rows(ids, guess, rescore(ids))
        known = seen.exact > -np.inf
        margin = max(0.0, _SAFETY * float((seen.exact - seen.guess)[known].max(initial=0.0)))
        kth = np.partition(seen.exact, len(seen.ids) - k)[len(seen.ids) - k]
        ids, guess = _that_may_enter(approximate, kth - margin, seen.ids)
    return ExactTop(seen.ids, seen.losses, margin)


@dataclass(frozen=True)
class _Seen:
    """The rows scored again, by ascending id."""

    ids: Ints
    guess: Floats
    """Approximate log-odds."""
    losses: Floats
    exact: Floats
    """Exact log-odds; -inf for a row that failed, which can't be in the top."""

    @classmethod
    def none(cls) -> "_Seen":
        nothing = np.empty(0)
        return cls(np.empty(0, np.int64), nothing, nothing, nothing)

    def with_rows(self, ids: Ints, guess: Floats, losses: Floats) -> "_Seen":
        exact = np.where(np.isnan(losses), -np.inf, _log_odds(np.nan_to_num(losses)))
        order = np.argsort(all_ids := np.concatenate([self.ids, ids]), kind="stable")
        return _Seen(
            all_ids[order],
            np.concatenate([self.guess, guess])[order],
            np.concatenate([self.losses, losses])[order],
            np.concatenate([self.exact, exact])[order],
        )


def _sample(n: int, seed: int) -> Ints:
    """Places of random rows."""
    return np.sort(np.random.default_rng(seed).choice(n, size=min(SAMPLE, n), replace=False)).astype(np.int64)


def _likeliest(approximate: Chunks, m: int, sample: Ints) -> tuple[Ints, Floats]:
    """The m rows of highest approximate loss, and those at the sample's places: ascending ids, and log-odds."""
    best_ids, best = np.empty(0, np.int64), np.empty(0)
    sampled: list[tuple[Ints, Floats]] = []
    place = 0
    for ids, losses in approximate():
        guess = _log_odds(losses)
        here = sample[np.searchsorted(sample, place) : np.searchsorted(sample, place + len(ids))] - place
        sampled.append((ids[here], guess[here]))
        place += len(ids)
        best_ids, best = np.concatenate([best_ids, ids]), np.concatenate([best, guess])
        order = np.argsort(-best, kind="stable")[:m]
        best_ids, best = best_ids[order], best[order]
    all_ids = np.concatenate([best_ids, *(ids for ids, _ in sampled)])
    all_guesses = np.concatenate([best, *(guess for _, guess in sampled)])
    rising, first = np.unique(all_ids, return_index=True)
    return rising, all_guesses[first]


def _that_may_enter(approximate: Chunks, least: float, seen: Ints) -> tuple[Ints, Floats]:
    """The rows not seen yet with at least these approximate log-odds: ascending ids, and log-odds."""
    found: list[tuple[Ints, Floats]] = [(np.empty(0, np.int64), np.empty(0))]
    for ids, losses in approximate():
        guess = _log_odds(losses)
        may = (guess >= least) & ~np.isin(ids, seen, assume_unique=True)
        found.append((ids[may], guess[may]))
    return np.concatenate([ids for ids, _ in found]), np.concatenate([guess for _, guess in found])


def _log_odds(losses: Floats) -> Floats:
    """log(exp(loss) - 1), without overflow for large losses; -690 or so for a loss of 0."""
    x = np.maximum(losses, 1e-300)
    return np.asarray(x + np.log(-np.expm1(-x)), dtype=np.float64)
