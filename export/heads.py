"""Classification heads on an encoder's states: multinomial logistic regression, by scikit-learn.

Turns states and labels into a head that a graph can hold, or into logits per row from a head that never saw the row.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossaudit.engine.arrays import Floats32, Ints
from lossaudit.engine.errors import LossAuditError

C = 0.002
"""scikit-learn's inverse strength of the L2 penalty, on standardised features; the value that finds the most mistakes
(docs/noise.md)."""
_MOST_STEPS = 1000
_CONSTANT = 1e-6
"""Share of the largest deviation below which a feature is constant but for rounding, and so isn't scaled."""


@dataclass(frozen=True)
class Head:
    """A linear layer: logits = features · weightᵀ + bias."""

    weight: Floats32
    """(classes, hidden)"""
    bias: Floats32
    """(classes,)"""

    def logits(self, features: Floats32) -> Floats32:
        """(n, classes) logits of (n, hidden) features."""
        return np.asarray(features @ self.weight.T + self.bias, dtype=np.float32)


@dataclass(frozen=True)
class LabelledStates:
    """Rows to fit heads on and to score out of fold."""

    features: Floats32
    """(n, hidden) states of an encoder"""
    labels: Ints
    """(n,) classes in [0, classes); below 0 for a row without a label"""
    groups: Ints
    """(n,) numbers that rows with the same text share"""
    classes: int
    """Number of classes."""


def fit_head(features: Floats32, labels: Ints, classes: int) -> Head:
    """A head fitted on (n, hidden) features and (n,) labels in [0, classes); rows with a label below 0 are skipped.

    The standardisation of the features is folded into weight and bias. A class without rows gets no weight and a bias
    of −log n: for any text, it is about as likely as one row in n. Raises LossAuditError if no row has a label, or if
    scikit-learn isn't installed.
    """
    labelled = labels >= 0
    present = np.unique(labels[labelled])
    if not len(present):
        raise LossAuditError("no row has a label, so there is nothing to fit a head on")
    weight = np.zeros((classes, features.shape[1]))
    bias = np.full(classes, -np.log(labelled.sum()))
    bias[present] = 0.0
    if len(present) > 1:
        x = features[labelled]
        mean, deviation = (part.astype(np.float32) for part in (x.mean(axis=0, dtype=np.float64), x.std(axis=0)))
        scale = np.where(deviation > _CONSTANT * deviation.max(), deviation, 1.0)
        fitted = _regression().fit((x - mean) / scale, labels[labelled])
        coefficients, intercepts = fitted.coef_, fitted.intercept_
        if len(present) == 2:  # scikit-learn returns only the second class's logit
            coefficients, intercepts = np.outer([-0.5, 0.5], coefficients), np.outer([-0.5, 0.5], intercepts).ravel()
        weight[present] = coefficients / scale
        bias[present] = intercepts - weight[present] @ mean
    return Head(weight.astype(np.float32), bias.astype(np.float32))


def out_of_fold_logits(
    rows: LabelledStates, folds: int, seed: int, on_fold: Callable[[int], None] = lambda fold: None
) -> Floats32:
    """(n, classes) logits; each row's come from a head fitted on the other folds.

    A row without a label gets logits, but no head is fitted on it. Rows of one group stay in one fold. A class that is
    missing from the other folds is treated as in `fit_head`. on_fold: called after each fold with the number of
    finished folds. Raises LossAuditError for fewer than two folds, fewer groups than folds, or what `fit_head` refuses.
    """
    fold_of = assign_folds(rows.labels, rows.groups, folds, seed)
    logits = np.empty((len(rows.features), rows.classes), dtype=np.float32)
    for fold in range(folds):
        held_out = fold_of == fold
        head = fit_head(rows.features[~held_out], rows.labels[~held_out], rows.classes)
        logits[held_out] = head.logits(rows.features[held_out])
        on_fold(fold + 1)
    return logits


def assign_folds(labels: Ints, groups: Ints, folds: int, seed: int) -> Ints:
    """(n,) the fold of each row, in [0, folds): groups in random order, sorted by label, are dealt out like cards.

    Folds therefore differ by at most one group, in total and per class. A group counts under its first row's label.
    Unlike in scikit-learn's StratifiedGroupKFold, a class may have fewer groups than there are folds.
    """
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    if folds < 2:
        raise LossAuditError(f"{folds} folds: each row's head is fitted on the other folds, so use at least 2")
    if len(first) < folds:
        raise LossAuditError(f"{len(first):,} different texts can't be split into {folds} folds; use fewer folds")
    shuffled = np.random.default_rng(seed).permutation(len(first))
    by_label = shuffled[np.argsort(labels[first[shuffled]], kind="stable")]
    fold_of_group = np.empty(len(first), dtype=np.int64)
    fold_of_group[by_label] = np.arange(len(first)) % folds
    return fold_of_group[group]


def check_installed() -> None:
    """Raises LossAuditError if scikit-learn isn't installed; call it before the work."""
    if importlib.util.find_spec("sklearn") is None:
        raise LossAuditError("heads need scikit-learn, which isn't installed: pip install 'lossaudit[fit]'")


def _regression() -> Any:
    check_installed()
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=C, max_iter=_MOST_STEPS)
