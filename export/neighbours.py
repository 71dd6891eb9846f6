"""A second opinion on each row: the given labels of the texts whose encoder states are nearest.

Pools the heads' out-of-fold logits with the neighbours' labels (docs/noise.md measures the gain).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lossaudit.engine.arrays import Floats, Floats32, Ints
from lossaudit.engine.scores.loss import log_softmax

from .heads import LabelledStates

_AT_ONCE = 4096
"""Number of texts per search for neighbours."""
_MOST_CELLS = 10_000_000
"""Largest number of rows times classes on which the two weights are fitted."""
_LEAST_OWN = 0.1
"""Smallest weight of the heads, so that rows keep an order even if heads know nothing."""


@dataclass(frozen=True)
class Settings:
    """How neighbours are searched and weighed."""

    k: int = 20
    """Number of neighbours; 10 to 50 find about as many mistakes."""
    most_texts: int = 100_000
    """Largest number of texts that can be neighbours, drawn at random, so that time grows linearly with the rows."""
    most_fitted: int = 20_000
    """Largest number of rows on which the two weights are fitted."""


SETTINGS = Settings()


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
    rows: LabelledStates,
    seed: int,
    settings: Settings = SETTINGS,
    on_texts: Callable[[int], None] = lambda done: None,
) -> Blend:
    """Pools out-of-fold logits (n, classes) with the neighbours' labels, weighted to make the given labels likeliest.

    rows: all of them with a label; similarity is the cosine of centred states. Rows of one group count as one
    neighbour, and never of each other. A row's own label isn't used. on_texts: called with the number of different
    texts of each finished search.
    """
    heads = log_softmax(logits)
    neighbours = np.log(votes(rows, seed, settings, on_texts))
    some = _to_fit_on(rows, seed, settings)
    own, other = _weights(heads[some], neighbours[some], rows.labels[some])
    return Blend((own * heads + other * neighbours).astype(np.float32), own, other)


def votes(rows: LabelledStates, seed: int, settings: Settings, on_texts: Callable[[int], None]) -> Floats:
    """(n, classes) the share of each class among a row's neighbours and one more voter, who votes like all rows."""
    from sklearn.neighbors import NearestNeighbors  # from the extra that heads need

    _, first, text = np.unique(rows.groups, return_index=True, return_inverse=True)
    ballots = np.zeros((len(first), rows.classes), dtype=np.float32)
    np.add.at(ballots, (text, rows.labels), 1)
    ballots /= ballots.sum(axis=1, keepdims=True)
    prior = (np.bincount(rows.labels, minlength=rows.classes) + 1) / (len(rows.labels) + rows.classes)
    states = rows.features[first] - rows.features[first].mean(axis=0)
    states /= np.maximum(np.linalg.norm(states, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    voters = np.arange(len(first))
    if len(first) > settings.most_texts:
        voters = np.sort(np.random.default_rng(seed).choice(len(first), settings.most_texts, replace=False))
    k = min(settings.k, len(voters) - 1)
    # Among unit vectors, the nearest have the highest cosine.
    search = NearestNeighbors(n_neighbors=k + 1, algorithm="brute").fit(states[voters])
    found = []
    for start in range(0, len(states), _AT_ONCE):
        found.append(search.kneighbors(states[start : start + _AT_ONCE], return_distance=False))
        on_texts(len(found[-1]))
    nearest = voters[np.concatenate(found)]
    strangers = nearest != np.arange(len(first))[:, None]
    strangers[strangers.all(axis=1), k] = False  # a text that isn't among its own nearest has one too many
    cast = np.zeros((len(first), rows.classes))
    for place in range(k + 1):
        cast += ballots[nearest[:, place]] * strangers[:, place, None]
    return np.asarray(((cast + prior) / (k + 1))[text], dtype=np.float64)


def _to_fit_on(rows: LabelledStates, seed: int, settings: Settings) -> Ints:
    """The rows on which the weights are fitted: all of them, or as many as are allowed at random."""
    places = np.arange(len(rows.labels))
    most = min(settings.most_fitted, _MOST_CELLS // rows.classes)
    return places if len(places) <= most else np.sort(np.random.default_rng(seed).choice(places, most, replace=False))


def _weights(heads: Floats, neighbours: Floats, labels: Ints) -> tuple[float, float]:
    """The two weights of a logarithmic pool under which the given labels are the likeliest."""
    from scipy.optimize import minimize

    rows, opinions = np.arange(len(labels)), np.stack([heads, neighbours])
    of_given = opinions[:, rows, labels]

    def loss(weights: Floats) -> tuple[float, Floats]:
        pooled = log_softmax(np.tensordot(weights, opinions, axes=1))
        expected = (np.exp(pooled) * opinions).sum(axis=2)
        return float(-pooled[rows, labels].mean()), (expected - of_given).mean(axis=1)

    found = minimize(loss, [1.0, 0.0], jac=True, method="L-BFGS-B", bounds=[(_LEAST_OWN, None), (0, None)])
    own, other = found.x.tolist()
    return own, other
