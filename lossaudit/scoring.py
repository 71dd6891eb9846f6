"""`lossaudit.score`: scores texts in memory with their labels, in their order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lossaudit.engine.arrays import Ints
from lossaudit.engine.data.texts import Text
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.model.bundle import MULTI_LABEL, Bundle
from lossaudit.engine.model.precision import Wish, choose
from lossaudit.engine.model.scoring import encode_shard
from lossaudit.engine.run.sharding import Sharding
from lossaudit.engine.run.shards import encoder_of, load_scorer
from lossaudit.engine.scores.loss import Scores
from lossaudit.engine.scores.loss import score as score_logits
from lossaudit.engine.scores.multi_label import MultiLabelScores
from lossaudit.engine.scores.multi_label import score_labels as score_label_logits


def score(
    bundle: Bundle,
    texts: Sequence[str],
    labels: ArrayLike | Sequence[Sequence[str]],
    *,
    text_pairs: Sequence[str] | None = None,
    precision: str = "fp32",
) -> Scores | MultiLabelScores:
    """Scores texts in memory, on one CPU and in their order. For a dataset, use `audit`.

    Args:
        bundle: A classifier's bundle, from `export` or `Bundle.load`.
        texts: The texts.
        labels: The label of each text: its name, or its index in `bundle.manifest.labels`. For a multi-label model,
            the list of names of each text, or an array of 0 and 1 of shape (texts, labels of the model).
        text_pairs: The second text of each, if the model reads pairs.
        precision: "fp32", or "int8", which is faster and approximate.

    Returns:
        Arrays with one entry per text, described below: `Scores`, or `MultiLabelScores` for a multi-label model.

    Raises:
        LossAuditError: Texts and labels differ in number, a label isn't the model's, the bundle is an encoder's or
            can't read pairs, or the model fails on a text.

    Examples:
        >>> scores = la.score(bundle, ["Oil prices rise", "The striker scored"], ["Business", "Sports"])
        >>> scores.loss
    """
    bundle.check_judges()
    classes, multi_label = bundle.manifest.labels, bundle.manifest.task == MULTI_LABEL
    given = (_label_sets if multi_label else _class_indices)(labels, classes, len(texts))
    read: Sequence[Text] = texts
    if text_pairs is not None:
        bundle.check_reads_pairs()
        if len(text_pairs) != len(texts):
            raise LossAuditError(f"there are {len(texts)} texts, but {len(text_pairs)} second texts")
        read = list(zip(texts, text_pairs, strict=True))
    plan = choose(bundle, Wish(precision, provider="cpu"), len(texts)).first
    encoder, sharding = encoder_of(bundle, bundle.manifest.max_length), Sharding(len(texts))
    with load_scorer(bundle, plan) as scorer:
        shards = {
            start: scorer.score(encode_shard(read[start : start + sharding.size], encoder)) for start in sharding.starts
        }
    failed = [(start + row, why) for start, shard in shards.items() for row, why in shard.failed.items()]
    if failed:
        raise LossAuditError(f"the model fails on text {failed[0][0]}: {failed[0][1]}")
    logits = np.concatenate([np.empty((0, len(classes)), np.float32), *(shard.logits for shard in shards.values())])
    return score_label_logits(logits, given) if multi_label else score_logits(logits, given)


def _class_indices(labels: Any, classes: tuple[str, ...], n: int) -> Ints:
    """(n,) class indices from indices or names."""
    given = np.asarray(labels)
    if given.shape != (n,):
        raise LossAuditError(f"there are {n} texts, but the labels have the shape {given.shape}")
    if given.dtype.kind in "UO":
        _check_names({str(name) for name in given}, classes)
        given = np.array([classes.index(str(name)) for name in given], dtype=np.int64)
    if given.size and (given.dtype.kind not in "iu" or given.min() < 0 or given.max() >= len(classes)):
        raise LossAuditError(f"labels must be names, or whole numbers from 0 to {len(classes) - 1}")
    return given.astype(np.int64)


def _label_sets(labels: Any, classes: tuple[str, ...], n: int) -> Ints:
    """(n, classes) of 0 and 1, from such an array or from n lists of names."""
    if len(labels) != n or any(isinstance(cell, str) or not isinstance(cell, Iterable) for cell in labels):
        raise LossAuditError(f"the labels of {n} texts must be {n} lists of names, or {n} rows of 0 and 1")
    names = [list(cell) for cell in labels]
    if all(isinstance(name, str) for cell in names for name in cell):
        _check_names({name for cell in names for name in cell}, classes)
        return np.array([[label in cell for label in classes] for cell in names], dtype=np.int64).reshape(
            n, len(classes)
        )
    if any(len(cell) != len(classes) for cell in names) or not np.isin(names, (0, 1)).all():
        raise LossAuditError(f"labels must be names, or a 0 or 1 for each of the model's {len(classes)} labels")
    return np.array(names, dtype=np.int64)


def _check_names(names: set[str], classes: tuple[str, ...]) -> None:
    unknown = sorted(names - set(classes))
    if unknown:
        raise LossAuditError(f"the label {unknown[0]!r} is not in the model; it has {', '.join(classes)}")
