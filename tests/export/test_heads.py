"""Heads: what they learn, that no row's logits come from a head that saw it, and classes with few rows."""

import numpy as np
import pytest

from lossaudit.engine.scores.loss import cross_entropy, log_softmax
from lossaudit.export.heads import LabelledStates, assign_folds, fit_head, out_of_fold_logits

HIDDEN = 12


def clusters(rows_of_class, seed=0):
    """Features around one centre a class, far from zero and in different units, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(rows_of_class)), rows_of_class)
    centres = rng.normal(size=(len(rows_of_class), HIDDEN))
    features = (centres[labels] + rng.normal(scale=0.3, size=(len(labels), HIDDEN))) * np.logspace(-2, 2, HIDDEN) + 50
    return features.astype(np.float32), labels


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_a_head_tells_clusters_apart(classes):
    features, labels = clusters([40] * classes)
    head = fit_head(features, labels, classes)
    assert head.weight.shape == (classes, HIDDEN)
    assert head.weight.dtype == head.bias.dtype == head.logits(features).dtype == np.float32
    assert (head.logits(features).argmax(axis=1) == labels).all()


@pytest.mark.parametrize("classes", [2, 4])
def test_a_head_is_scikit_learns_on_standardised_features(classes):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from lossaudit.export.heads import C

    features, labels = clusters([30] * classes)
    theirs = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000)).fit(features, labels)
    ours = np.exp(log_softmax(fit_head(features, labels, classes).logits(features)))
    np.testing.assert_allclose(ours, theirs.predict_proba(features), atol=1e-3)


def test_a_constant_feature_does_no_harm():
    features, labels = clusters([20, 20])
    features[:, 3] = 7
    assert (fit_head(features, labels, 2).logits(features).argmax(axis=1) == labels).all()


def test_a_class_without_rows_is_as_likely_as_one_row_in_n():
    features, labels = clusters([40, 40, 40])
    probabilities = np.exp(log_softmax(fit_head(features, labels, 4).logits(features)))
    assert (probabilities[:, 3] <= 1 / 120).all()
    assert (probabilities[:, 3] > 1e-6).all()


def test_one_class_alone_is_certain_of_it():
    features, labels = clusters([10])
    probabilities = np.exp(log_softmax(fit_head(features, labels, 2).logits(features)))
    np.testing.assert_allclose(probabilities, [[10 / 11, 1 / 11]] * 10, rtol=1e-5)


def test_rows_without_a_label_fit_nothing():
    features, labels = clusters([30, 30])
    spoilt = np.concatenate([features, features + 1e3])
    without = np.concatenate([labels, np.full(60, -1)])
    np.testing.assert_array_equal(fit_head(spoilt, without, 2).weight, fit_head(features, labels, 2).weight)


def test_no_label_at_all_is_refused(refused):
    features, labels = clusters([5, 5])
    with refused("no row has a label"):
        fit_head(features, np.full_like(labels, -1), 2)


def test_no_head_sees_the_label_that_it_is_asked_about():
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(200, 300)).astype(np.float32), rng.integers(0, 2, 200)
    apart = out_of_fold_logits(LabelledStates(features, labels, np.arange(200), 2), folds=5, seed=0)
    together = fit_head(features, labels, 2).logits(features)
    assert (together.argmax(axis=1) == labels).mean() > 0.9
    assert 0.35 < (apart.argmax(axis=1) == labels).mean() < 0.65


def test_the_same_text_gives_no_label_away():
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(100, 300)).astype(np.float32), rng.integers(0, 2, 100)
    twice, given = np.concatenate([features, features]), np.concatenate([labels, labels])
    apart = out_of_fold_logits(LabelledStates(twice, given, np.tile(np.arange(100), 2), 2), folds=5, seed=0)
    leaked = out_of_fold_logits(LabelledStates(twice, given, np.arange(200), 2), folds=5, seed=0)
    assert (leaked.argmax(axis=1) == given).mean() > 0.7
    assert (apart.argmax(axis=1) == given).mean() < 0.65


def test_the_same_seed_gives_the_same_logits_and_another_others():
    features, labels = clusters([20, 20])
    rows = LabelledStates(features, labels, np.arange(40), 2)
    first, again, other = (out_of_fold_logits(rows, 4, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_folds_are_dealt_evenly_in_each_class():
    labels = np.repeat([0, 1, 2], [50, 23, 4])
    folds = assign_folds(labels, np.arange(len(labels)), 5, seed=0)
    for label in range(3):
        counts = np.bincount(folds[labels == label], minlength=5)
        assert counts.max() - counts.min() <= 1
    assert np.ptp(np.bincount(folds)) <= 1


def test_rows_of_a_group_stay_in_one_fold():
    rng = np.random.default_rng(0)
    groups, labels = rng.integers(0, 30, 200) * 7 - 3, rng.integers(0, 3, 200)
    folds = assign_folds(labels, groups, 5, seed=0)
    assert len(set(folds)) == 5
    for group in set(groups):
        assert len(set(folds[groups == group])) == 1


def test_a_class_with_fewer_rows_than_folds_works():
    features, labels = clusters([30, 30, 2, 1])
    logits = out_of_fold_logits(LabelledStates(features, labels, np.arange(63), 4), folds=5, seed=0)
    assert np.isfinite(logits).all()
    assert cross_entropy(logits, labels)[62] > np.log(40)


def test_rows_without_a_label_get_logits():
    features, labels = clusters([30, 30])
    labels[:5] = -1
    logits = out_of_fold_logits(LabelledStates(features, labels, np.arange(60), 2), folds=5, seed=0)
    assert (logits[:5].argmax(axis=1) == 0).all()


def test_each_fold_is_told():
    features, labels = clusters([10, 10])
    told = []
    out_of_fold_logits(LabelledStates(features, labels, np.arange(20), 2), 3, 0, on_fold=told.append)
    assert told == [1, 2, 3]


def test_fewer_than_two_folds_are_refused(refused):
    with refused("at least 2"):
        assign_folds(np.array([0, 1]), np.array([0, 1]), 1, seed=0)


def test_fewer_texts_than_folds_are_refused(refused):
    with refused("3 different texts", "5 folds", "fewer folds"):
        assign_folds(np.zeros(6, dtype=np.int64), np.array([4, 4, 5, 5, 6, 6]), 5, seed=0)
