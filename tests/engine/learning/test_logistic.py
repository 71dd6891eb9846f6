"""Logistic regression with priors, against scikit-learn and in its limits."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from lossaudit.engine.learning.logistic import Prior, fit_weights, probability


def outcomes_of(design, weights, seed=0):
    return (np.random.default_rng(seed).random(len(design)) < probability(design @ weights)).astype(float)


@pytest.fixture
def design():
    return np.random.default_rng(1).normal(size=(300, 6))


def test_it_is_scikit_learns(design):
    outcomes = outcomes_of(design, np.array([1.0, -2.0, 0.0, 0.5, 0.0, 3.0]))
    counts = np.random.default_rng(2).uniform(0.1, 1, len(design))
    expected = LogisticRegression(C=0.7**2, fit_intercept=False, tol=1e-10, max_iter=1000)
    expected.fit(design, outcomes, sample_weight=counts)
    found = fit_weights(design, outcomes, counts, Prior(np.zeros(6), np.full(6, 0.7)))
    np.testing.assert_allclose(found, expected.coef_[0], atol=1e-5)


def test_without_outcomes_the_weights_are_the_priors(design):
    mean = np.arange(6.0)
    nothing = np.zeros(0)
    np.testing.assert_array_equal(fit_weights(design[:0], nothing, nothing, Prior(mean, np.ones(6))), mean)


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_outcomes_of_one_kind_move_the_weights_a_little(design, outcome):
    few = design[:5]
    found = fit_weights(few, np.full(5, outcome), np.ones(5), Prior(np.zeros(6), np.full(6, 0.3)))
    assert np.abs(found).max() < 0.5
    assert (probability(few @ found).mean() > 0.5) == bool(outcome)


def test_half_an_outcome_is_one_of_each(design):
    twice = np.concatenate([design, design])
    both = np.concatenate([np.zeros(300), np.ones(300)])
    prior = Prior(np.full(6, 0.2), np.ones(6))
    halves = fit_weights(design, np.full(300, 0.5), np.full(300, 2.0), prior)
    np.testing.assert_allclose(halves, fit_weights(twice, both, np.ones(600), prior), atol=1e-6)


def test_extreme_figures_end(design):
    outcomes = outcomes_of(design, np.ones(6))
    found = fit_weights(design * 1e4, outcomes, np.ones(300), Prior(np.full(6, 3.0), np.full(6, 2.0)))
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(probability(np.array([-1e9, 0.0, 1e9])), [probability(np.array([-500.0]))[0], 0.5, 1])
