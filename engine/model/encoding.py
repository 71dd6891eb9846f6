"""Turns texts, or pairs of them, into ragged token ids with the `tokenizers` library.

A window is what the model reads at once: a whole text, cut at the maximum, or with a stride a part of it.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer
from tokenizers.models import Unigram

from ..data.texts import Text
from ..errors import LossAuditError, Option, brief

Ids = NDArray[np.int64]
_CHARACTERS = 1_000_000
"""Characters tokenised in one call, whose results take some hundred bytes per token until they are arrays; fewer with
a stride, since a token is in several windows."""


@dataclass(frozen=True)
class Encoded:
    """The tokens of n texts in w ≥ n windows, unpadded and one after the other."""

    ids: NDArray[np.int32]
    """(total tokens,)"""
    types: NDArray[np.uint8]
    """(total tokens,) 0, and 1 for the second text of a pair, where the tokenizer marks it so."""
    starts: Ids
    """(w,) where each window begins in `ids`."""
    lengths: Ids
    """(w,) tokens of each window, special tokens included, at most the model's maximum."""
    text_of: Ids
    """(w,) the text that each window is of, in ascending order; each text has at least one."""
    truncated: NDArray[np.bool_]
    """(n,) whether the text has tokens that are in no window."""
    pad_id: int
    unknown_id: int | None = None
    """The token for parts of a text that the tokenizer doesn't know; None if it has one for everything."""

    @property
    def firsts(self) -> Ids:
        """(n,) the first window of each text."""
        return np.searchsorted(self.text_of, np.arange(len(self.truncated)))

    def unknown(self) -> Ids:
        """(w,) unknown tokens of each window."""
        before = np.concatenate([[0], np.cumsum(self.ids == self.unknown_id, dtype=np.int64)])
        return np.asarray(before[self.starts + self.lengths] - before[self.starts])

    def padded(self, windows: Ids) -> "Batch":
        """The batch of some windows, padded to the longest of them."""
        lengths = self.lengths[windows]
        columns = np.arange(int(lengths.max()))
        mask = columns < lengths[:, None]
        positions = np.minimum(self.starts[windows][:, None] + columns, len(self.ids) - 1)
        ids = np.where(mask, self.ids[positions], self.pad_id).astype(np.int64)
        types = np.where(mask, self.types[positions], 0).astype(np.int64)
        return Batch(ids, mask.astype(np.int64), types)


@dataclass(frozen=True)
class Batch:
    """The input of one run of a graph; each array is (rows, tokens of the longest)."""

    ids: Ids
    """Token ids, padded."""
    mask: Ids
    """1 for a token, 0 for padding."""
    types: Ids
    """0 for the tokens of a text, 1 for those of the second text of a pair."""

    def inputs(self, names: Iterable[str]) -> dict[str, Ids]:
        """The inputs that a graph names."""
        made = {"input_ids": self.ids, "attention_mask": self.mask, "token_type_ids": self.types}
        return {name: made[name] for name in names}


class TextEncoder:
    """A bundle's tokenizer, which cuts at `max_length` tokens, at one side, and never pads."""

    def __init__(
        self,
        tokenizer_file: Path,
        max_length: int,
        pad_id: int,
        truncation_side: str = "right",
        stride: int | None = None,
    ) -> None:
        """stride: the tokens that a window of a long text shares with the one before it; None cuts the text instead.

        In a pair, the longer text is cut first, token by token, as transformers does. Raises LossAuditError if the
        file is not a tokenizer, or the stride leaves a window no token of its own.
        """
        try:
            self._tokenizer = Tokenizer.from_file(str(tokenizer_file))
            self._tokenizer.no_padding()
            room = max_length - self._tokenizer.num_special_tokens_to_add(False)
            if stride is not None and not 0 <= stride < room:
                raise LossAuditError(
                    Option("stride", stride),
                    f" must be from 0 to {room - 1}: a window of {max_length} tokens holds {room} of the "
                    "text, and some of them must be new ones",
                )
            self._tokenizer.enable_truncation(max_length, stride=stride or 0, direction=truncation_side)
        except LossAuditError:
            raise
        except Exception as error:  # the library raises bare Exceptions
            raise LossAuditError(
                f"{tokenizer_file} is not a tokenizer: {brief(error)}; export the model again"
            ) from error
        self._unknown_id = _unknown_id(self._tokenizer, tokenizer_file)
        self._windowed = stride is not None
        self._most_characters = _CHARACTERS if stride is None else _CHARACTERS * (room - stride) // room
        self.max_length = max_length
        self.pad_id = pad_id

    @property
    def separates_pairs(self) -> bool:
        """Whether a special token stands between the texts of a pair; some tokenizers have no template for pairs."""
        count = self._tokenizer.num_special_tokens_to_add
        return bool(count(True) > count(False))

    def encode(self, texts: Sequence[Text]) -> Encoded:
        """Tokenises texts, on all threads that the library uses."""
        ids: list[NDArray[np.int32]] = []
        types: list[NDArray[np.uint8]] = []
        text_of: list[int] = []
        truncated: list[bool] = []
        for encoding in self._encodings(texts):
            rest = encoding.overflowing
            for window in [encoding, *(rest if self._windowed else ())]:
                ids.append(np.asarray(window.ids, dtype=np.int32))
                types.append(np.asarray(window.type_ids, dtype=np.uint8))
                text_of.append(len(truncated))
            truncated.append(bool(rest) and not self._windowed)
        lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
        return Encoded(
            ids=np.concatenate([np.empty(0, np.int32), *ids]),
            types=np.concatenate([np.empty(0, np.uint8), *types]),
            starts=np.cumsum(lengths) - lengths,
            lengths=lengths,
            text_of=np.array(text_of, dtype=np.int64),
            truncated=np.array(truncated, dtype=np.bool_),
            pad_id=self.pad_id,
            unknown_id=self._unknown_id,
        )

    def _encodings(self, texts: Sequence[Text]) -> Iterator[Encoding]:
        group: list[Text] = []
        characters = 0
        for text in texts:
            group.append(text)
            characters += len(text) if isinstance(text, str) else len(text[0]) + len(text[1])
            if characters >= self._most_characters:
                yield from self._tokenizer.encode_batch_fast(group)
                group, characters = [], 0
        yield from self._tokenizer.encode_batch_fast(group)


def _unknown_id(tokenizer: Tokenizer, tokenizer_file: Path) -> int | None:
    """The id of the unknown token, which for a Unigram model is only in its file."""
    if isinstance(tokenizer.model, Unigram):
        found = json.loads(tokenizer_file.read_bytes())["model"].get("unk_id")
        return None if found is None else int(found)
    token = tokenizer.model.unk_token
    return None if token is None else tokenizer.token_to_id(token)
