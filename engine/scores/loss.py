"""From logits and labels to losses: numpy kernels in float64, with one figure per example.

Everything is a function of the log-probabilities over the *classes* of one row (axis 1), so a row's loss
doesn't depend on the rows that happened to be in its batch.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Floats, Ints


@dataclass(frozen=True)
class Scores:
    """What the model says of n examples; every array has shape (n,) unless stated otherwise."""

    prediction: Ints
    """The class with the highest logit, the lowest index among equals."""
    probability: Floats
    """The probability of the prediction, in [0, 1]."""
    label_probability: Floats
    """The probability of the given label, in [0, 1]."""
    loss: Floats
    """Cross-entropy of the given label in nats, ≥ 0."""
    margin: Floats
    """Probability of the given label less the highest other one, in [-1, 1]; < 0 where the model disagrees."""
    probabilities: Floats
    """(n, classes): the probability of each class."""


def log_softmax(logits: ArrayLike) -> Floats:
    """Log-probabilities over axis 1 of an (n, classes) array, in float64.

    The row's maximum is subtracted first, so that large logits neither overflow nor lose the small ones
    (Blanchard, Higham and Higham, "Accurately computing the log-sum-exp and softmax functions", 2021).
    """
    z = np.asarray(logits, dtype=np.float64)
    z = z - z.max(axis=1, keepdims=True)
    return np.asarray(z - np.log(np.exp(z).sum(axis=1, keepdims=True)), dtype=np.float64)


def cross_entropy(logits: ArrayLike, labels: ArrayLike) -> Floats:
    """The loss of each example: −log p(label), in nats, in float64.

    Args:
        logits: An array of shape (examples, classes), of any float type.
        labels: The class index of each example, of shape (examples,).

    Returns:
        An array of shape (examples,), of values ≥ 0.

    Raises:
        ValueError: The shapes don't fit, a label is out of range, or a logit isn't finite.

    Examples:
        >>> la.cross_entropy([[0.0, 0.0], [9.0, 0.0]], [0, 1]).round(4).tolist()
        [0.6931, 9.0001]
    """
    return score(logits, labels).loss


def score(logits: ArrayLike, labels: ArrayLike) -> Scores:
    """Everything that the losses table says of n examples; arguments and errors as in `cross_entropy`."""
    log_p = log_softmax(checked_logits(logits))
    given = _checked_labels(labels, log_p.shape)
    rows = np.arange(len(log_p))
    prediction = log_p.argmax(axis=1)
    label_log_p = log_p[rows, given]
    probabilities = np.exp(log_p)
    label_probability = probabilities[rows, given]
    others = probabilities.copy()
    others[rows, given] = 0.0
    highest_other = others.max(axis=1, initial=0.0)
    return Scores(
        prediction=prediction,
        probability=probabilities[rows, prediction],
        label_probability=label_probability,
        loss=0.0 - label_log_p,
        margin=label_probability - highest_other,
        probabilities=probabilities,
    )


def checked_logits(logits: ArrayLike) -> Floats:
    """The logits as float64. Raises ValueError unless their shape is (n, classes) and they are finite."""
    z = np.asarray(logits, dtype=np.float64)
    if z.ndim != 2 or z.shape[1] == 0:
        raise ValueError(f"logits must have the shape (examples, classes), not {z.shape}")
    finite = np.isfinite(z).all(axis=1)
    if not finite.all():
        raise ValueError(f"logits of row {int(np.argmin(finite))} are not finite")
    return z


def _checked_labels(labels: ArrayLike, shape: tuple[int, ...]) -> Ints:
    given = np.asarray(labels)
    if given.shape != shape[:1]:
        raise ValueError(f"labels must have the shape ({shape[0]},) of the logits' rows, not {given.shape}")
    if given.size and not np.issubdtype(given.dtype, np.integer):
        raise ValueError(f"labels must be integers, not {given.dtype}")
    outside = (given < 0) | (given >= shape[1])
    if outside.any():
        row = int(np.argmax(outside))
        raise ValueError(f"label {given[row]} of row {row} is not in 0…{shape[1] - 1}")
    return given.astype(np.int64)
