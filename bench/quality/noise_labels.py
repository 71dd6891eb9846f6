"""Wrong labels to be found: clean labels come in, labels go out of which a seeded share was made wrong on purpose."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lossaudit.engine.scores.loss import log_softmax
from lossaudit.export.heads import LabelledStates, fit_head, out_of_fold_logits

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

WEAK_ROWS, WEAK_DIMENSIONS = 200, 48
"""What the weak model of the instance-dependent noise is fitted on."""


def uniform(_: Floats, labels: Ints, share: float, seed: int) -> Ints:
    """Any row is wrong as likely as any other, and any other class as likely its label."""
    rng = np.random.default_rng(seed)
    wrong = rng.choice(len(labels), round(share * len(labels)), replace=False)
    given, classes = labels.copy(), labels.max() + 1
    given[wrong] = (labels[wrong] + rng.integers(1, classes, len(wrong))) % classes
    return given


def class_dependent(features: Floats, labels: Ints, share: float, seed: int) -> Ints:
    """Any row is wrong as likely as any other, and gets a class that its own is taken for.

    How often, say the confusions of heads on clean labels, out of fold, with one of each pair added.
    """
    rng = np.random.default_rng(seed)
    wrong = rng.choice(len(labels), round(share * len(labels)), replace=False)
    classes = int(labels.max()) + 1
    rows = LabelledStates(features, labels, np.arange(len(labels)), classes)
    taken_for = out_of_fold_logits(rows, 5, seed).argmax(axis=1)
    confusions = np.ones((classes, classes))
    np.add.at(confusions, (labels, taken_for), 1)
    np.fill_diagonal(confusions, 0)
    odds = confusions / confusions.sum(axis=1, keepdims=True)
    given = labels.copy()
    given[wrong] = [rng.choice(classes, p=odds[label]) for label in labels[wrong]]
    return given


def instance_dependent(features: Floats, labels: Ints, share: float, seed: int) -> Ints:
    """A weak model's mistakes: the rows whose likeliest wrong class is the likeliest, and that class.

    The model is a head on clean labels of few rows and on few dimensions, both drawn by the seed.
    """
    rng = np.random.default_rng(seed)
    classes = int(labels.max()) + 1
    few = features[:, rng.choice(features.shape[1], WEAK_DIMENSIONS, replace=False)]
    rows = rng.choice(len(labels), WEAK_ROWS, replace=False)
    probabilities = np.exp(log_softmax(fit_head(few[rows], labels[rows], classes).logits(few)))
    probabilities[np.arange(len(labels)), labels] = 0
    wrong = np.argsort(-probabilities.max(axis=1), kind="stable")[: round(share * len(labels))]
    given = labels.copy()
    given[wrong] = probabilities[wrong].argmax(axis=1)
    return given


KINDS: dict[str, Callable[[Floats, Ints, float, int], Ints]] = {
    "uniform": uniform,
    "class-dependent": class_dependent,
    "instance-dependent": instance_dependent,
}
