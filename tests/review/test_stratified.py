"""The share of wrong labels from a stratified sample, against scipy and in simulated samples."""

import numpy as np
import pytest
from scipy.stats import beta

from lossaudit.review.sampling import STRATA, drawn_places, strata_of
from lossaudit.review.stratified import Stratum, clopper_pearson, stratified_share


@pytest.mark.parametrize("judged", [1, 7, 100, 12.5, 3000, 99999.9])
@pytest.mark.parametrize("share", [0, 0.001, 0.03, 0.5, 0.97, 1])
def test_the_exact_interval_is_scipys(judged, share):
    wrong = share * judged
    low, high = clopper_pearson(wrong, judged)
    assert low == pytest.approx(beta.ppf(0.025, wrong, judged - wrong + 1) if wrong else 0, abs=1e-9)
    assert high == pytest.approx(beta.ppf(0.975, wrong + 1, judged - wrong) if wrong < judged else 1, abs=1e-9)


def test_one_stratum_is_a_simple_sample():
    found = stratified_share([Stratum(10**9, 100, 20)])
    low, high = clopper_pearson(20, 100)
    assert found.share == pytest.approx(0.2)
    assert (found.low, found.high) == (pytest.approx(low, abs=2e-3), pytest.approx(high, abs=2e-3))


def test_strata_that_differ_make_it_narrower():
    apart = stratified_share([Stratum(1000, 20, 19), *[Stratum(1000, 20, 0)] * 4])
    mixed = stratified_share([Stratum(1000, 20, 4)] * 5)
    assert apart.high - apart.low < 0.7 * (mixed.high - mixed.low)


def test_known_rows_have_no_error():
    found = stratified_share([Stratum(100, 20, 10)], 900, 90)
    assert found.share == pytest.approx(0.14)
    assert (found.wrong, found.judged) == (100, 920)
    assert 0.09 < found.low < found.share < found.high < 0.19
    everything = stratified_share([], 900, 90)
    assert (everything.low, everything.share, everything.high) == (0.1, 0.1, 0.1)


def test_all_rows_judged_leave_little_doubt():
    found = stratified_share([Stratum(20, 20, 5)] * 5)
    assert found.high - found.low < 0.05


def test_nothing_judged_is_no_estimate():
    assert stratified_share([]) is None
    assert stratified_share([Stratum(10, 0, 0)]) is None
    assert stratified_share([Stratum(10, 0, 0)], 5, 1) is None


@pytest.mark.parametrize("wrong", [0, 10])
def test_one_verdict_alone_is_no_certainty(wrong):
    found = stratified_share([Stratum(100, 10, wrong)] * 5)
    assert found.share == wrong / 10
    assert found.high - found.low > 0.05


def test_a_stratum_without_a_judged_row_makes_it_wider():
    whole = stratified_share([Stratum(100, 10, 3)] * 5)
    partly = stratified_share([*[Stratum(100, 10, 3)] * 4, Stratum(100, 0, 0)])
    assert partly.share == pytest.approx(0.3)
    assert partly.high - partly.low > whole.high - whole.low


@pytest.mark.parametrize("shares", [(0.9, 0.5, 0.2, 0.1, 0.02), (0.1, 0.02, 0.01, 0, 0), (0.6, 0.5, 0.5, 0.4, 0.4)])
@pytest.mark.parametrize("n", [40, 100])
def test_intervals_hold_the_truth(shares, n):
    rng = np.random.default_rng(0)
    wrong = np.concatenate([rng.random(400) < share for share in shares])
    strata = strata_of(np.zeros(len(wrong), dtype=bool))
    held = 0
    for draw in range(300):
        drawn = drawn_places(strata, n, draw)
        rows, judged, off = (
            np.bincount(strata[some], minlength=STRATA) for some in (slice(None), drawn, drawn[wrong[drawn]])
        )
        found = stratified_share(
            [Stratum(*one) for one in zip(rows.tolist(), judged.tolist(), off.tolist(), strict=True)]
        )
        held += found.low <= wrong.mean() <= found.high
    assert held / 300 >= 0.93


def test_a_sample_has_as_many_of_each_stratum():
    known = np.zeros(1000, dtype=bool)
    known[:300] = True
    strata = strata_of(known)
    drawn = drawn_places(strata, 101, 0)
    assert len(set(drawn.tolist())) == 101
    assert not known[drawn].any()
    counts = np.bincount(strata[drawn])
    assert set(counts.tolist()) == {20, 21}
    assert len(drawn_places(strata, 5000, 0)) == 700
    assert len(drawn_places(strata_of(np.ones(9, dtype=bool)), 5, 0)) == 0
    first = np.bincount(strata[drawn[:50]], minlength=STRATA)
    assert first.min() > 3
