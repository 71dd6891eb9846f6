"""Texts to token ids: one call of the `tokenizers` library a shard. Texts come in, ragged ids go out."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import Unigram

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
    unknown_id: int | None = None
    """What stands for parts of a text that the tokenizer has no token for; None where it has one for everything."""

    def unknown(self) -> Ids:
        """(n,) unknown tokens of each text."""
        before = np.concatenate([[0], np.cumsum(self.ids == self.unknown_id, dtype=np.int64)])
        return np.asarray(before[self.starts + self.lengths] - before[self.starts])

    def padded(self, rows: Ids) -> "Batch":
        """The batch of some rows, padded to the longest of them."""
        lengths = self.lengths[rows]
        columns = np.arange(int(lengths.max()))
        mask = columns < lengths[:, None]
        positions = np.minimum(self.starts[rows][:, None] + columns, len(self.ids) - 1)
        ids = np.where(mask, self.ids[positions], self.pad_id)
        return Batch(ids, mask.astype(np.int64), np.zeros_like(ids))


@dataclass(frozen=True)
class Batch:
    """What a graph is given at once; each array is (rows, longest of them)."""

    ids: Ids
    """Token ids, padded."""
    mask: Ids
    """1 where a token stands, 0 for padding."""
    types: Ids
    """0 for the tokens of a text, 1 for those of the second text of a pair."""

    def inputs(self, names: Iterable[str]) -> dict[str, Ids]:
        """Those that a graph names."""
        made = {"input_ids": self.ids, "attention_mask": self.mask, "token_type_ids": self.types}
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
        self._unknown_id = _unknown_id(self._tokenizer, tokenizer_file)
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
            unknown_id=self._unknown_id,
        )


def _unknown_id(tokenizer: Tokenizer, tokenizer_file: Path) -> int | None:
    """The id of the unknown token, which a Unigram model tells in its file alone."""
    if isinstance(tokenizer.model, Unigram):
        found = json.loads(tokenizer_file.read_bytes())["model"].get("unk_id")
        return None if found is None else int(found)
    token = tokenizer.model.unk_token
    return None if token is None else tokenizer.token_to_id(token)
