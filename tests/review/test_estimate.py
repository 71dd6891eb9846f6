"""The share of wrong labels and its interval."""

import pytest

from lossaudit.review.estimate import wrong_share


@pytest.mark.parametrize(
    ("wrong", "judged", "low", "high"), [(0, 10, 0, 0.2775), (10, 10, 0.7225, 1), (50, 100, 0.4038, 0.5962)]
)
def test_the_interval_is_wilsons(wrong, judged, low, high):
    estimate = wrong_share(wrong, judged)
    assert estimate is not None
    assert (estimate.low, estimate.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))
    assert 0 <= estimate.low <= estimate.share <= estimate.high <= 1


def test_no_verdict_no_estimate():
    assert wrong_share(0, 0) is None
