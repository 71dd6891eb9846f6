"""Tokens and sorted, padded batches for the peers that want arrays. Texts come in, `PaddedBatch`es go out."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from .job import Batch, Ids


@dataclass(frozen=True)
class PaddedBatch:
    """Some rows of a job."""

    rows: Ids
    """(b,) their positions."""
    ids: Ids
    """(b, longest)"""
    mask: Ids
    """(b, longest)"""

    def feed(self, names: set[str]) -> dict[str, Ids]:
        """The inputs of a graph by name."""
        made = {"input_ids": self.ids, "attention_mask": self.mask}
        return made | ({"token_type_ids": np.zeros_like(self.ids)} if "token_type_ids" in names else {})


def encode(checkpoint: Path, texts: list[str]) -> list[list[int]]:
    """Token ids of each text, cut at the model's maximum."""
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(512)
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(texts)]


def sorted_batches(ids: list[list[int]], batch: Batch, pad_id: int = 0) -> Iterator[PaddedBatch]:
    """Batches of rows of like length, the longest first."""
    lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = -int(-lengths[order[start]] // batch.multiple) * batch.multiple
        count = batch.rows or max(1, (batch.tokens or 0) // longest)
        rows = order[start : start + count]
        start += count
        padded = np.full((len(rows), longest), pad_id, dtype=np.int64)
        for place, row in enumerate(rows):
            padded[place, : lengths[row]] = ids[row]
        yield PaddedBatch(rows, padded, (np.arange(longest) < lengths[rows, None]).astype(np.int64))
