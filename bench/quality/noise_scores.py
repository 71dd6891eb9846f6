"""The scores that the noise bench compares: given labels come in, the suspicion of each row by each score goes out."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lossaudit.engine.scores.loss import cross_entropy, log_softmax
from lossaudit.export.heads import LabelledStates, assign_folds, fit_head, out_of_fold_logits
from lossaudit.export.neighbours import Settings, blend

from .noise_data import Data

FOLDS = 5
SHIPPED = "blend"

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def heads(data: Data, given: Ints, seed: int) -> dict[str, Floats]:
    """(n, classes) log-probabilities: in sample, out of sample, and blended with neighbours."""
    in_sample = fit_head(data.features, given, data.classes).logits(data.features)
    rows = LabelledStates(data.features, given, data.groups, data.classes)
    apart = out_of_fold_logits(rows, FOLDS, seed)
    blended = {k: blend(apart, rows, seed, Settings(k=k)).logits for k in (10, 20, 30)}
    return {
        "in sample": log_softmax(in_sample),
        "out of sample": log_softmax(apart),
        "blend, k = 10": log_softmax(blended[10]),
        SHIPPED: log_softmax(blended[20]),
        "blend, k = 30": log_softmax(blended[30]),
    }


def suspicions(data: Data, given: Ints, log_p: dict[str, Floats]) -> dict[str, Floats]:
    """(n,) of each score, the more suspicious the higher."""
    apart = log_p["out of sample"]
    p = np.exp(apart)
    rows = np.arange(len(given))
    others = np.where(np.arange(data.classes) == given[:, None], -np.inf, apart).max(axis=1)
    found = {
        "loss, in sample": cross_entropy(log_p["in sample"], given),
        "loss": cross_entropy(apart, given),
        "margin": np.exp(others) - p[rows, given],
        "log margin": others - apart[rows, given],
        # cleanlab's confidence-weighted entropy, the other way round.
        "entropy-weighted": -apart[rows, given] / np.maximum(-(p * apart).sum(axis=1), 1e-12),
    }
    votes = np.eye(data.classes)[given]
    for k in (10, 20, 30):
        nearest = data.nearest[:, :k]
        labels = (votes[nearest].sum(axis=1) + votes.mean(axis=0)) / (k + 1)
        found[f"½ labels, k = {k}"] = cross_entropy(apart + np.log(labels), given)
        found[f"½ probabilities, k = {k}"] = cross_entropy(apart + np.log(p[nearest].mean(axis=1)), given)
    for name, pooled in log_p.items():
        if name.startswith("blend"):
            found[name] = cross_entropy(pooled, given)
    return found | _of_cleanlab(given, p)


def network(data: Data, given: Ints, seed: int) -> tuple[Floats, Floats, float]:
    """The losses, in and out of sample, of a network with one hidden layer that is trained until it knows its labels.

    The third is the share of given labels that it predicts in sample.
    """
    from sklearn.neural_network import MLPClassifier

    def logits(rows: NDArray[np.bool_], asked: NDArray[np.bool_]) -> Floats:
        layers = MLPClassifier((128,), alpha=0, learning_rate_init=3e-3, max_iter=200, tol=1e-3, random_state=seed)
        fitted = layers.fit(standard[rows], given[rows])
        full = np.full((int(asked.sum()), data.classes), 1e-12)
        full[:, fitted.classes_] = np.maximum(fitted.predict_proba(standard[asked]), 1e-12)
        return np.log(full)

    deviation = data.features.std(axis=0)
    scale = np.where(deviation > 1e-6, deviation, np.inf)
    standard = (data.features - data.features.mean(axis=0)) / scale
    fold_of = assign_folds(given, data.groups, FOLDS, seed)
    everyone = np.ones(len(given), dtype=np.bool_)
    inside, apart = logits(everyone, everyone), np.empty((len(given), data.classes))
    for fold in range(FOLDS):
        apart[fold_of == fold] = logits(fold_of != fold, fold_of == fold)
    known = float((inside.argmax(axis=1) == given).mean())
    return cross_entropy(inside, given), cross_entropy(apart, given), known


def _of_cleanlab(given: Ints, p: Floats) -> dict[str, Floats]:
    scores = cleanlab_scores()
    if scores is None:
        return {}
    methods = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
    plain = {f"cleanlab {method}": -scores(given, p, method=method) for method in methods}
    adjusted = {
        f"cleanlab {method}, adjusted": -scores(given, p, method=method, adjust_pred_probs=True)
        for method in methods[:2]
    }
    return plain | adjusted


def cleanlab_scores() -> Callable[..., Floats] | None:
    """cleanlab's `get_label_quality_scores`, where it is installed. Its licence is the AGPL: never a dependency."""
    try:
        from cleanlab.rank import get_label_quality_scores
    except ImportError:
        return None
    return get_label_quality_scores


def cleanlab_filter(given: Ints, p: Floats) -> NDArray[np.bool_] | None:
    """(n,) the rows that cleanlab's default filter takes for mislabelled, where it is installed."""
    try:
        from cleanlab.filter import find_label_issues
    except ImportError:
        return None
    return np.asarray(find_label_issues(given, p, n_jobs=1), dtype=np.bool_)
