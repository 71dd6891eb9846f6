"""Logistic regression with a normal prior for each weight, by Newton's method, in numpy alone.

The prior keeps few decisions from spoiling an order: a weight stays at its prior mean until rows speak for
another.
"""

from dataclasses import dataclass

import numpy as np

from ..arrays import Floats

_MOST_STEPS, _MOST_HALVINGS = 50, 40
_CONVERGED = 1e-9
"""Relative change of the objective that ends the search."""
_STEEPEST = 500.0
"""Log-odds beyond which exp would overflow."""


@dataclass(frozen=True)
class Prior:
    """Independent normal distributions of d weights."""

    mean: Floats
    """(d,)"""
    deviation: Floats
    """(d,), above 0."""


def fit_weights(design: Floats, outcomes: Floats, counts: Floats, prior: Prior) -> Floats:
    """The likeliest weights (d,) after n outcomes; the prior mean without any.

    design: (n, d). outcomes: (n,), from 0 to 1. counts: (n,), how much each row counts, 0 or more.
    """
    precision = prior.deviation**-2.0
    weights = prior.mean.copy()

    def objective(weights: Floats) -> float:
        odds = design @ weights
        misfit = float((counts * (np.logaddexp(0, odds) - outcomes * odds)).sum())
        return misfit + 0.5 * float((precision * (weights - prior.mean) ** 2).sum())

    reached = objective(weights)
    for _ in range(_MOST_STEPS):
        p = probability(design @ weights)
        gradient = design.T @ (counts * (p - outcomes)) + precision * (weights - prior.mean)
        curvature = (design * (counts * p * (1 - p))[:, None]).T @ design
        curvature[np.diag_indices_from(curvature)] += precision
        step = np.linalg.solve(curvature, gradient)
        for _ in range(_MOST_HALVINGS):
            following = objective(weights - step)
            if following <= reached:
                break
            step /= 2
        else:
            return weights  # no step improves on rounding
        weights = weights - step
        gained, reached = reached - following, following
        if gained <= _CONVERGED * (1 + abs(reached)):
            break
    return weights


def probability(log_odds: Floats) -> Floats:
    """(n,) probabilities of log-odds."""
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -_STEEPEST, _STEEPEST))), dtype=np.float64)
