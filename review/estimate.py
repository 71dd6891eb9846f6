"""Estimates the share of wrong labels, with an interval, from the verdicts so far."""

import math
from dataclasses import dataclass

from .store import Decision

_Z = 1.959964
"""Normal quantile of a 95 % interval."""


@dataclass(frozen=True)
class Estimate:
    """The share of wrong labels, from 0 to 1, with a 95 % interval."""

    wrong: int
    judged: int
    """Records whose label a person found wrong or right; unsure and discarded ones don't count."""
    share: float
    low: float
    high: float


def is_wrong(decision: Decision) -> bool:
    """Whether a decision says that the given label is wrong."""
    return decision.verdict == "relabel" and decision.label != decision.given


def wrong_share(wrong: int, judged: int) -> Estimate | None:
    """The estimate after `judged` verdicts, `wrong` of which were wrong labels; None before the first.

    The interval is Wilson's (1927), which stays within 0 and 1 and is valid for few verdicts. It describes records as
    suspicious as the reviewed ones, not the whole dataset.
    """
    if not judged:
        return None
    share = wrong / judged
    middle = (share + _Z**2 / (2 * judged)) / (1 + _Z**2 / judged)
    half = _Z / (1 + _Z**2 / judged) * math.sqrt(share * (1 - share) / judged + _Z**2 / (4 * judged**2))
    # At 0 and 1, rounding may put the share just outside the interval.
    return Estimate(wrong, judged, share, max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half)))
