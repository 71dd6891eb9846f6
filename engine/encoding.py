"""Texts to token ids: one call of the `tokenizers` library a shard. Texts come in, ragged ids go out."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from lossaudit.engine.errors import LossAuditError, brief

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Encoded:
    """The tokens of n texts, unpadded and one behind the other."""

    ids: Ids
    """(total tokens,)"""
    starts: Ids
    """(n,) where each text begins in `ids`."""
    lengths: Ids
    """(n,) tokens of each text, special tokens included, at most the model's maximum."""
    truncated: NDArray[np.bool_]
    """(n,) whether the text had more tokens than the maximum."""
    pad_id: int

    def padded(self, rows: Ids) -> tuple[Ids, Ids]:
        """Token ids and attention mask of some rows, each (len(rows), longest of them)."""
        lengths = self.lengths[rows]
        columns = np.arange(int(lengths.max()))
        mask = columns < lengths[:, None]
        positions = np.minimum(self.starts[rows][:, None] + columns, len(self.ids) - 1)
        return np.where(mask, self.ids[positions], self.pad_id), mask.astype(np.int64)


def graph_inputs(ids: Ids, mask: Ids, names: Iterable[str]) -> dict[str, Ids]:
    """The inputs that a graph names, of padded token ids and attention mask; a text alone is all of type 0."""
    made = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    return {name: made[name] for name in names}


class TextEncoder:
    """A bundle's tokenizer, which cuts at `max_length` tokens, at one side, and never pads."""

    def __init__(self, tokenizer_file: Path, max_length: int, pad_id: int, truncation_side: str = "right") -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(tokenizer_file))
            self._tokenizer.no_padding()
            self._tokenizer.enable_truncation(max_length, direction=truncation_side)
        except Exception as error:  # the library raises bare Exceptions
            raise LossAuditError(
                f"{tokenizer_file} is not a tokenizer: {brief(error)}; export the model again"
            ) from error
        self.max_length = max_length
        self.pad_id = pad_id

    def encode(self, texts: list[str]) -> Encoded:
        """Tokenises texts in one call, on all threads that the library takes."""
        encodings = self._tokenizer.encode_batch_fast(texts)
        lengths = np.fromiter((len(e) for e in encodings), dtype=np.int64, count=len(encodings))
        ids = np.concatenate([np.asarray(e.ids, dtype=np.int64) for e in encodings] or [np.empty(0, np.int64)])
        return Encoded(
            ids=ids,
            starts=np.cumsum(lengths) - lengths,
            lengths=lengths,
            truncated=np.fromiter((bool(e.overflowing) for e in encodings), dtype=np.bool_, count=len(encodings)),
            pad_id=self.pad_id,
        )
