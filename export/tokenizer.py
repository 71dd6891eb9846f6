"""Writes a bundle's tokenizer from a transformers tokenizer or its file, and finds its limits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tokenizers import Tokenizer

from lossaudit.engine.errors import LossAuditError, brief

if TYPE_CHECKING:
    import transformers

UNLIMITED = 512
"""Maximum length for a model without a limit of its own (relative positions): what most were trained with."""


class Limits(Protocol):
    """The fields that a transformers tokenizer and `config.TokenizerConfig` share."""

    @property
    def model_max_length(self) -> int: ...

    @property
    def pad_token_id(self) -> int | None: ...


class Config(Protocol):
    """The fields that a transformers config and `config.ModelConfig` share."""

    @property
    def model_type(self) -> str: ...

    @property
    def pad_token_id(self) -> int | None: ...


def write_tokenizer(tokenizer: transformers.PreTrainedTokenizerFast, path: Path) -> None:
    """Writes the tokenizer of a checkpoint in a bundle's form."""
    without_padding(Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())).save(str(path))


def read_tokenizer(path: Path) -> Tokenizer:
    """Reads a tokenizer file. Raises LossAuditError if it is missing, or if `tokenizers` can't read it."""
    if not path.is_file():
        raise LossAuditError(
            f"{path.parent} has no {path.name}; write it with transformers: "
            "AutoTokenizer.from_pretrained(MODEL).save_pretrained(FOLDER)"
        )
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exceptions
        raise LossAuditError(f"{path} is not a tokenizer: {brief(error)}") from error


def without_padding(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer without the padding and truncation that some files have built in.

    Built-in padding (all-MiniLM-L6-v2 pads every text to 128 tokens) would give all texts the same length, and length
    buckets would silently gain nothing.
    """
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def max_length(tokenizer: Limits, config: Config) -> int:
    """The most tokens that the model accepts: the tokenizer's limit or the number of positions, whichever is lower."""
    limits = [tokenizer.model_max_length]  # "none" is a number of 30 digits
    positions = getattr(config, "max_position_embeddings", None)
    if positions and positions > 0:
        limits.append(positions - _reserved_positions(config))
    limit = min(limits)
    return int(limit) if limit < 1_000_000 else UNLIMITED


def pad_id(tokenizer: Limits, config: Config) -> int:
    """The token that fills a batch's short rows. The config's comes first, since the graph is made with it: RoBERTa's
    family counts positions from it, and decoders read the last token that isn't padding."""
    for known in (config.pad_token_id, tokenizer.pad_token_id):
        if known is not None and known >= 0:
            return int(known)
    return 0


def _reserved_positions(config: Config) -> int:
    """RoBERTa's family numbers positions from pad_token_id + 1, so 514 positions hold 512 tokens."""
    families = ("roberta", "camembert", "xlm-roberta", "mpnet", "longformer", "ibert", "xlm-roberta-xl")
    return int(config.pad_token_id or 0) + 1 if config.model_type in families else 0
