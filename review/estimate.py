"""How many labels are wrong, from what a person said so far: two counts come in, a share and its interval go out."""

import math
from dataclasses import dataclass

_Z = 1.959964
"""The normal quantile of a 95 % interval."""


@dataclass(frozen=True)
class Estimate:
    """The share of wrong labels, from 0 to 1, with a 95 % interval."""

    wrong: int
    judged: int
    """Records of which a person said that the label is wrong or right; unsure and discarded ones aren't counted."""
    share: float
    low: float
    high: float


def wrong_share(wrong: int, judged: int) -> Estimate | None:
    """The estimate after `judged` verdicts of which `wrong` were wrong labels; None before the first.

    The interval is Wilson's (1927), which stays within 0 and 1 and holds for few verdicts. It speaks of records like
    those that were looked at, which are the suspicious ones, and not of the dataset.
    """
    if not judged:
        return None
    share = wrong / judged
    middle = (share + _Z**2 / (2 * judged)) / (1 + _Z**2 / judged)
    half = _Z / (1 + _Z**2 / judged) * math.sqrt(share * (1 - share) / judged + _Z**2 / (4 * judged**2))
    # At 0 and 1 rounding may leave the share a hair outside.
    return Estimate(wrong, judged, share, max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half)))
