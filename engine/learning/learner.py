"""Is the label wrong? A small model of the decided rows gives every row a probability, and the others an order.

Evidence of a losses table (`evidence.py`) and decisions come in; without decisions, the order is that of the losses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Bools, Floats, Floats32, Ints
from .evidence import Evidence
from .logistic import Prior, fit_weights, probability

EXPLORED = 50
"""One row in so many is drawn at random, so that mistakes of another kind are seen too (docs/noise.md)."""
_LEVEL, _SLOPE = 2.0, 0.5
"""Prior deviations of what the loss says: a constant, and the slope, which is 1 ± this."""
_WEIGHT, _OF_HEADS = 0.25, 0.5
"""Prior deviations of all other weights, of figures with deviation 1, and of those that refitted heads give."""
_MOST_MATRIX_ROWS = 20_000
"""Decided rows that are weighed, the latest; more would take long and teach little."""


@dataclass(frozen=True)
class Lessons:
    """What people found of m rows."""

    places: Ints
    """(m,) places of the rows in the evidence."""
    wrong: Floats
    """(m,) 1 where the label is wrong, 0 where it is right."""
    counts: Floats
    """(m,) how much each row counts, from 0 to 1; less where people differ."""
    labels: Sequence[str]
    """(m,) right labels, as far as people say."""


def wrong_probabilities(evidence: Evidence, lessons: Lessons, of_heads: Floats32 | None = None) -> Floats:
    """(n,) the probability that each row's label is wrong.

    of_heads: (n, k) further figures with deviation 1, from heads that are fitted on corrected labels.
    """
    design = _Design(evidence, of_heads)
    latest = slice(-_MOST_MATRIX_ROWS, None)
    weights = fit_weights(
        design.matrix(lessons.places[latest]), lessons.wrong[latest], lessons.counts[latest], design.prior
    )
    return probability(design.log_odds(weights))


def learned_order(wrong: Floats, decided: Bools, seed: int) -> Ints:
    """(n,) the places of all rows, those to look at first: undecided ones by falling probability, then decided ones.

    Every EXPLORED-th undecided row is one drawn at random, by the seed. Among equals, the first comes first.
    """
    undecided = np.flatnonzero(~decided)
    drawn = np.random.default_rng(seed).permutation(undecided)[: len(undecided) // EXPLORED]
    is_drawn = np.zeros(len(wrong), dtype=np.bool_)
    is_drawn[drawn] = True
    chosen = undecided[~is_drawn[undecided]]
    order = np.empty(len(undecided), dtype=np.int64)
    exploring = np.arange(1, len(undecided) + 1) % EXPLORED == 0
    order[exploring] = drawn
    order[~exploring] = chosen[np.argsort(-wrong[chosen], kind="stable")]
    return np.concatenate([order, np.flatnonzero(decided)])


class _Design:
    """The columns of the model: what the loss says, figures, and one column for each kind of row."""

    def __init__(self, evidence: Evidence, of_heads: Floats32 | None) -> None:
        self._evidence = evidence
        self._figures = [evidence.figures] if of_heads is None else [evidence.figures, of_heads]
        self._sizes = [int(codes.max(initial=-1)) + 1 for codes in evidence.kinds]
        self._mean = float(evidence.log_odds.mean())
        self._scale = float(evidence.log_odds.std()) or 1.0
        others = [figures.shape[1] for figures in self._figures]
        weights = sum(others) + sum(self._sizes)
        mean, deviation = np.zeros(2 + weights), np.full(2 + weights, _WEIGHT)
        mean[:2], deviation[:2] = (self._mean, self._scale), (_LEVEL, _SLOPE * self._scale)
        if of_heads is not None:
            deviation[2 + others[0] : 2 + sum(others)] = _OF_HEADS
        self.prior = Prior(mean, deviation)

    def matrix(self, places: Ints) -> Floats:
        """(places, weights)"""
        evidence = self._evidence
        standard = (evidence.log_odds[places] - self._mean) / self._scale
        kinds = [
            codes[places, None] == np.arange(size) for codes, size in zip(evidence.kinds, self._sizes, strict=True)
        ]
        figures = [figures[places] for figures in self._figures]
        return np.column_stack([np.ones(len(places)), standard, *figures, *kinds]).astype(np.float64)

    def log_odds(self, weights: Floats) -> Floats:
        """(n,) of all rows, without a matrix of all kinds."""
        found = weights[0] + weights[1] / self._scale * (self._evidence.log_odds - self._mean)
        start = 2
        for figures in self._figures:
            stop = start + figures.shape[1]
            found += figures @ weights[start:stop].astype(np.float32)
            start = stop
        for codes, size in zip(self._evidence.kinds, self._sizes, strict=True):
            of_kinds = np.append(weights[start : start + size], 0.0)  # the last one is for rare kinds, of code −1
            found += of_kinds[codes]
            start += size
        return np.asarray(found, dtype=np.float64)
