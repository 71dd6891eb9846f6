"""From logits to losses where any of the labels may be right: numpy kernels in float64, as in `loss.py`.

Each label is a separate yes or no, so everything is a function of one logit and the yes or no given for its label; an
example's score is that of its worst label.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Floats, Ints
from .loss import checked_logits


@dataclass(frozen=True)
class MultiLabelScores:
    """What the model says of n examples; every array has shape (n,) unless stated otherwise."""

    worst: Ints
    """The label with the highest binary cross-entropy, the lowest index among equals."""
    probability: Floats
    """The model's probability of the worst label, in [0, 1]."""
    label_probability: Floats
    """The model's probability that the worst label is as given (there, or not there), in [0, 1]."""
    loss: Floats
    """Binary cross-entropy of the worst label in nats, ≥ 0."""
    margin: Floats
    """`label_probability` minus that of the opposite, in [-1, 1]; < 0 where the model disagrees."""
    predictions: NDArray[np.bool_]
    """(n, classes): the labels of probability ≥ 0.5."""
    probabilities: Floats
    """(n, classes): the probability of each label."""


def binary_cross_entropy(logits: ArrayLike, labels: ArrayLike) -> Floats:
    """The loss of each label of each example: -log p(the label is as given), in nats.

    logits: (n, classes), any float type. labels: (n, classes), 1 where the label is given and 0 where it isn't.
    Returns (n, classes) float64, each ≥ 0. Raises ValueError for other shapes, labels other than 0 and 1, or logits
    that aren't finite.

    >>> binary_cross_entropy([[0.0, 9.0]], [[1, 0]]).round(4).tolist()
    [[0.6931, 9.0001]]
    """
    return _softplus(_against(checked_logits(logits), labels))


def score_labels(logits: ArrayLike, labels: ArrayLike) -> MultiLabelScores:
    """Everything that the losses table says of n examples; arguments and errors as in `binary_cross_entropy`."""
    z = checked_logits(logits)
    against = _against(z, labels)
    worst = against.argmax(axis=1)  # the loss rises with it, also where the losses are the same in float64
    rows = np.arange(len(z))
    probabilities = sigmoid(z)
    of_worst = against[rows, worst]
    label_probability = sigmoid(-of_worst)
    return MultiLabelScores(
        worst=worst,
        probability=probabilities[rows, worst],
        label_probability=label_probability,
        loss=_softplus(of_worst),
        margin=label_probability - sigmoid(of_worst),
        predictions=probabilities >= 0.5,
        probabilities=probabilities,
    )


def sigmoid(logits: ArrayLike) -> Floats:
    """Probabilities of any shape, in float64; exp(log-sigmoid), which neither overflows nor loses small ones."""
    return np.asarray(np.exp(-_softplus(-np.asarray(logits, dtype=np.float64))), dtype=np.float64)


def _softplus(z: Floats) -> Floats:
    """log(1 + exp(z)), the negated log-sigmoid of -z."""
    return np.asarray(np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z))), dtype=np.float64)


def _against(z: Floats, labels: ArrayLike) -> Floats:
    """(n, classes) the log-odds of the opposite of what is given."""
    given = np.asarray(labels)
    if given.shape != z.shape:
        raise ValueError(f"labels must have the shape {z.shape} of the logits, not {given.shape}")
    outside = ~np.isin(given, (0, 1)).all(axis=1)
    if outside.any():
        raise ValueError(f"labels of row {int(np.argmax(outside))} are not 0 and 1")
    return np.where(given == 1, -z, z)
