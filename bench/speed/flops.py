"""Floating-point operations that a model needs for some rows. A config and token counts come in, FLOP go out.

Only matrix products count, two operations a multiply-add, and only real tokens: padding is waste.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Dimensions:
    """Of a BERT-like encoder with its classification head."""

    hidden: int
    inner: int
    layers: int
    classes: int

    @classmethod
    def of(cls, checkpoint: Path) -> Self:
        config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
        return cls(
            hidden=config.get("dim") or config["hidden_size"],
            inner=config.get("hidden_dim") or config["intermediate_size"],
            layers=config.get("n_layers") or config["num_hidden_layers"],
            classes=len(config.get("id2label", "ab")),
        )

    def whole(self, tokens: NDArray[np.int64]) -> float:
        """FLOP of rows of so many tokens through the model as it is."""
        return float(self.layers * (self._layer(tokens) + self._attention(tokens, tokens)) + self._heads(tokens))

    def pruned(self, tokens: NDArray[np.int64]) -> float:
        """The same with the last layer for one position a row: keys and values of all tokens, the rest of one."""
        before = (self.layers - 1) * (self._layer(tokens) + self._attention(tokens, tokens))
        one = np.ones_like(tokens)
        keys_and_values = 2 * 2 * self.hidden**2 * (int(tokens.sum()) - len(tokens))
        return float(before + self._layer(one) + keys_and_values + self._attention(one, tokens) + self._heads(tokens))

    def _layer(self, tokens: NDArray[np.int64]) -> int:
        return int(2 * (4 * self.hidden**2 + 2 * self.hidden * self.inner) * tokens.sum())

    def _attention(self, queries: NDArray[np.int64], keys: NDArray[np.int64]) -> int:
        return int(2 * 2 * self.hidden * (queries * keys).sum())

    def _heads(self, tokens: NDArray[np.int64]) -> int:
        return 2 * (self.hidden**2 + self.hidden * self.classes) * len(tokens)
