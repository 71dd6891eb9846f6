"""A second opinion on each row: the given labels of the texts whose encoder states are nearest.

Pools the heads' out-of-fold logits with the neighbours' labels (docs/noise.md measures the gain).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lossaudit.engine.arrays import Floats, Floats32, Ints
from lossaudit.engine.scores.loss import log_softmax

K = 20
"""Number of neighbours; 10 to 50 find about as many mistakes."""
_MOST_TEXTS = 100_000
"""Largest number of texts that can be neighbours, drawn at random, so that time grows linearly with the rows."""
_AT_ONCE = 4096
"""Number of texts per search for neighbours."""
_MOST_FITTED, _MOST_CELLS = 20_000, 10_000_000
"""Largest number of rows, and of rows times classes, on which the two weights are fitted."""
_LEAST_OWN = 0.1
"""Smallest weight of the heads, so that rows keep an order even if heads know nothing."""


@dataclass(frozen=True)
class Blend:
    """Pooled logits: own · log p of the head + neighbours · log p of the neighbours."""

    logits: Floats32
    """(n, classes)"""
    own: float
    neighbours: float
    """Weight of the neighbours; 0 if they don't help to predict the given labels."""


def blend(
    logits: Floats32,
    features: Floats32,
    labels: Ints,
    groups: Ints,
    seed: int,
    k: int = K,
    on_texts: Callable[[int], None] = lambda done: None,
) -> Blend:
    """Pools out-of-fold logits (n, classes) with the neighbours' labels, weighted to make the given labels likeliest.

    features: (n, hidden); similarity is the cosine of centred states. labels: (n,), all in [0, classes). groups: (n,);
    rows with the same number (the same text) count as one neighbour, and never of each other. A row's own label isn't
    used. on_texts: called with the number of different texts of each finished search.
    """
    heads = log_softmax(logits)
    neighbours = np.log(_votes(features, labels, groups, logits.shape[1], seed, k, on_texts))
    own, other = _weights(heads, neighbours, labels, seed)
    return Blend((own * heads + other * neighbours).astype(np.float32), own, other)


def _votes(
    features: Floats32,
    labels: Ints,
    groups: Ints,
    classes: int,
    seed: int,
    k: int,
    on_texts: Callable[[int], None],
) -> Floats:
    """(n, classes) the share of each class among a row's neighbours and one more voter, who votes like all rows."""
    from sklearn.neighbors import NearestNeighbors  # from the extra that heads need

    _, first, text = np.unique(groups, return_index=True, return_inverse=True)
    ballots = np.zeros((len(first), classes), dtype=np.float32)
    np.add.at(ballots, (text, labels), 1)
    ballots /= ballots.sum(axis=1, keepdims=True)
    prior = (np.bincount(labels, minlength=classes) + 1) / (len(labels) + classes)
    states = features[first] - features[first].mean(axis=0)
    states /= np.maximum(np.linalg.norm(states, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    voters = np.arange(len(first))
    if len(first) > _MOST_TEXTS:
        voters = np.sort(np.random.default_rng(seed).choice(len(first), _MOST_TEXTS, replace=False))
    k = min(k, len(voters) - 1)
    # Among unit vectors, the nearest have the highest cosine.
    search = NearestNeighbors(n_neighbors=k + 1, algorithm="brute").fit(states[voters])
    found = []
    for start in range(0, len(states), _AT_ONCE):
        found.append(search.kneighbors(states[start : start + _AT_ONCE], return_distance=False))
        on_texts(len(found[-1]))
    nearest = voters[np.concatenate(found)]
    strangers = nearest != np.arange(len(first))[:, None]
    strangers[strangers.all(axis=1), k] = False  # a text that isn't among its own nearest has one too many
    votes = np.zeros((len(first), classes))
    for place in range(k + 1):
        votes += ballots[nearest[:, place]] * strangers[:, place, None]
    return np.asarray(((votes + prior) / (k + 1))[text], dtype=np.float64)


def _weights(heads: Floats, neighbours: Floats, labels: Ints, seed: int) -> tuple[float, float]:
    """The two weights of a logarithmic pool under which the given labels are the likeliest."""
    from scipy.optimize import minimize

    rows = np.arange(len(labels))
    most = min(_MOST_FITTED, _MOST_CELLS // heads.shape[1])
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
    opinions, given = np.stack([heads[rows], neighbours[rows]]), labels[rows]
    of_given = opinions[:, np.arange(len(rows)), given]

    def loss(weights: Floats) -> tuple[float, Floats]:
        pooled = log_softmax(np.tensordot(weights, opinions, axes=1))
        expected = (np.exp(pooled) * opinions).sum(axis=2)
        return float(-pooled[np.arange(len(rows)), given].mean()), (expected - of_given).mean(axis=1)

    found = minimize(loss, [1.0, 0.0], jac=True, method="L-BFGS-B", bounds=[(_LEAST_OWN, None), (0, None)])
    own, other = found.x.tolist()
    return own, other
