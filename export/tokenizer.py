"""The tokenizer of a bundle. A transformers tokenizer comes in; a `tokenizers` file and its limits go out."""

from pathlib import Path

import transformers
from tokenizers import Tokenizer

UNLIMITED = 512
"""Tokens for a model that names no limit of its own (relative positions): what most were trained with."""


def write_tokenizer(tokenizer: transformers.PreTrainedTokenizerFast, path: Path) -> None:
    """Writes the tokenizer without the padding and truncation that some files carry.

    A baked-in padding (all-MiniLM-L6-v2's pads every text to 128) would give all texts one length and so
    undo the length buckets, silently.
    """
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_padding()
    backend.no_truncation()
    backend.save(str(path))


def max_length(tokenizer: transformers.PreTrainedTokenizerFast, config: transformers.PretrainedConfig) -> int:
    """The most tokens that the model takes: the tokenizer's limit and the positions, whichever is less."""
    limits = [tokenizer.model_max_length]  # "none" is a number of 30 digits
    positions = getattr(config, "max_position_embeddings", None)
    if positions and positions > 0:
        limits.append(positions - _reserved_positions(config))
    limit = min(limits)
    return int(limit) if limit < 1_000_000 else UNLIMITED


def pad_id(tokenizer: transformers.PreTrainedTokenizerFast, config: transformers.PretrainedConfig) -> int:
    """The token that fills a batch's short rows. The config's goes first, since the graph is made with it: RoBERTa's
    family counts positions by it, and decoders take the last token that is another one."""
    for known in (config.pad_token_id, tokenizer.pad_token_id):
        if known is not None and known >= 0:
            return int(known)
    return 0


def _reserved_positions(config: transformers.PretrainedConfig) -> int:
    """RoBERTa's family numbers positions from pad_token_id + 1, so 514 of them hold 512 tokens."""
    families = ("roberta", "camembert", "xlm-roberta", "mpnet", "longformer", "ibert", "xlm-roberta-xl")
    return int(config.pad_token_id or 0) + 1 if config.model_type in families else 0
