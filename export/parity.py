"""Compares a bundle's graph with PyTorch. Both come in, the parity figures go out.

PyTorch runs each text, or pair of texts, alone through transformers' own tokenizer; the graph runs each alone and all
of them padded in one batch through the bundle's tokenizer. So a tokenizer, mask or position that differs shows too.
"""

from collections.abc import Sequence

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from lossaudit.engine.backends import Runner
from lossaudit.engine.bundle import Parity
from lossaudit.engine.encoding import Text, TextEncoder
from lossaudit.engine.errors import LossAuditError, brief
from lossaudit.export.comparison import TOLERANCE, compare, reference_pairs, texts_with_tokens


def check_parity(
    model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerFast,
    runner: Runner,
    encoder: TextEncoder,
    tolerance: float = TOLERANCE,
) -> Parity:
    """The largest difference between the two on texts of up to `encoder.max_length` tokens.

    Raises LossAuditError if it is above the tolerance, or the model can't be run.
    """
    return _check(model, tokenizer, runner, encoder, texts_with_tokens(encoder), tolerance)


def check_pairs(
    model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerFast,
    runner: Runner,
    encoder: TextEncoder,
) -> Parity:
    """The same on pairs of texts."""
    return _check(model, tokenizer, runner, encoder, reference_pairs(encoder.max_length), TOLERANCE)


def _check(
    model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerFast,
    runner: Runner,
    encoder: TextEncoder,
    texts: Sequence[Text],
    tolerance: float,
) -> Parity:
    architecture = type(model).__name__
    try:
        expected = np.concatenate([_torch_logits(model, tokenizer, text, encoder.max_length) for text in texts])
    except Exception as error:  # PyTorch raises whatever the model's code does
        raise LossAuditError(f"{architecture} can't be run in PyTorch: {brief(error)}") from error
    graph = f"the exported graph of {architecture}"
    return Parity(compare(graph, runner, encoder, texts, "PyTorch", expected, tolerance), tolerance, len(texts))


def _torch_logits(
    model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerFast,
    text: Text,
    max_length: int,
) -> NDArray[np.float32]:
    pieces = (text,) if isinstance(text, str) else text
    inputs = tokenizer(*pieces, truncation=True, max_length=max_length, padding=False, return_tensors="pt")
    with torch.inference_mode():
        logits: NDArray[np.float32] = model(**inputs).logits.numpy()
    return logits
