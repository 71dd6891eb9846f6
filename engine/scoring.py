"""Scores a shard: tokenise in one call, cut into batches of like length, run, put back in order."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lossaudit.engine.batching import batches_by_token_budget
from lossaudit.engine.encoding import TextEncoder
from lossaudit.engine.session import Session

TOKEN_BUDGET = 1024
"""Tokens of a padded batch. What fits the caches is fastest: 512 to 1024 on the CPUs of docs/design.md."""


@dataclass(frozen=True)
class ShardLogits:
    """What the model gave for the n texts of a shard, in their order."""

    logits: NDArray[np.float32]
    """(n, classes)"""
    tokens: NDArray[np.int64]
    """(n,) tokens that went through the model."""
    truncated: NDArray[np.bool_]
    """(n,) whether the text was longer than the maximum."""


def score_texts(
    texts: list[str],
    encoder: TextEncoder,
    session: Session,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> ShardLogits:
    """Logits of n ≥ 1 texts. `on_rows` is told of each batch's rows when they are done."""
    encoded = encoder.encode(texts)
    logits: NDArray[np.float32] | None = None
    for rows in batches_by_token_budget(encoded.lengths, TOKEN_BUDGET):
        batch = session.run(*encoded.padded(rows))
        if logits is None:
            logits = np.empty((len(texts), batch.shape[1]), dtype=np.float32)
        logits[rows] = batch
        on_rows(len(rows))
    if logits is None:
        raise ValueError("there are no texts to score")
    return ShardLogits(logits, encoded.lengths, encoded.truncated)
