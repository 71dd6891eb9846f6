"""The share of wrong labels among all rows, with an interval, from decisions about a stratified random sample.

Korn and Graubard (1998), Confidence Intervals for Proportions With Small Expected Number of Positive Counts Estimated
From Survey Data, Survey Methodology 24: Clopper and Pearson's interval for the effective size of the sample.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .estimate import Estimate

_LEAST_EFFECT = 0.05
"""Least design effect, so that strata which look pure don't make an interval of nothing."""
_TAIL = 0.025
_HALVINGS = 60
_MOST_FRACTIONS, _TINY = 500, 1e-300


@dataclass(frozen=True)
class Stratum:
    """Rows of which some were drawn at random and judged."""

    rows: int
    judged: int
    wrong: int


def stratified_share(strata: Sequence[Stratum], known_rows: int = 0, known_wrong: int = 0) -> Estimate | None:
    """The share of wrong labels among all rows, with a 95 % interval; None if nothing was judged.

    known_rows, known_wrong: rows that were all judged, however they were chosen, and how many of them are wrong. In a
    stratum without a judged row, the others' share is assumed.
    """
    judged, rows = sum(one.judged for one in strata), sum(one.rows for one in strata)
    total = rows + known_rows
    if not total or (rows and not judged):
        return None
    share, low, high = _interval(strata, rows, judged) if rows else (0.0, 0.0, 0.0)
    of_all = [(known_wrong + rows * each) / total for each in (share, low, high)]
    return Estimate(sum(one.wrong for one in strata) + known_wrong, judged + known_rows, *of_all)


def _interval(strata: Sequence[Stratum], rows: int, judged: int) -> tuple[float, float, float]:
    """The share among the strata's rows, and the bounds of its interval."""
    there = [one for one in strata if one.judged]
    covered = sum(one.rows for one in there)
    share = sum(one.rows / covered * one.wrong / one.judged for one in there)
    variance = sum((one.rows / covered) ** 2 * _variance(one, share) for one in there)
    simple = share * (1 - share) / judged
    effect = max(_LEAST_EFFECT, variance / simple) if simple else 1.0
    effective = judged / effect * min(1.0, covered / rows)
    low, high = clopper_pearson(share * effective, effective)
    return share, low, high


def _variance(one: Stratum, share: float) -> float:
    """Of a stratum's share. Its own is drawn towards the share of all by one row, for it may look pure by chance."""
    smoothed = (one.wrong + share) / (one.judged + 1)
    unseen = 1 - one.judged / one.rows
    return smoothed * (1 - smoothed) / max(1, one.judged - 1) * unseen


def clopper_pearson(wrong: float, judged: float) -> tuple[float, float]:
    """The exact 95 % interval of a share; both numbers may have fractions."""
    low = _beta_quantile(_TAIL, wrong, judged - wrong + 1) if wrong > 0 else 0.0
    high = _beta_quantile(1 - _TAIL, wrong + 1, judged - wrong) if wrong < judged else 1.0
    return low, high


def _beta_quantile(share: float, a: float, b: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _beta_cdf(middle, a, b) < share else (low, middle)
    return (low + high) / 2


def _beta_cdf(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (Abramowitz and Stegun 26.5.8)."""
    if not 0 < x < 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # where the other one converges faster
        return 1 - _beta_cdf(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    # Lentz's method.
    d = 1 / (1 - (a + b) * x / (a + 1) or _TINY)
    c, fraction = 1.0, d
    for m in range(1, _MOST_FRACTIONS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        before = fraction
        for step in (even, odd):
            d = 1 / (1 + step * d or _TINY)
            c = 1 + step / c or _TINY
            fraction *= c * d
        if abs(fraction - before) < 1e-14 * abs(fraction):
            break
    return front * fraction
