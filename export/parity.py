"""Compares a bundle's graph with PyTorch. Both come in, the parity figures go out.

PyTorch runs each text, or pair of texts, alone through transformers' own tokenizer; the graph runs each alone and all
of them padded in one batch through the bundle's tokenizer. So a tokenizer, mask or position that differs shows too.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from lossaudit.engine.data.texts import Text
from lossaudit.engine.errors import LossAuditError, brief
from lossaudit.engine.model.backends import Runner
from lossaudit.engine.model.bundle import Parity
from lossaudit.engine.model.encoding import TextEncoder

from .comparison import TOLERANCE, compare, reference_pairs, texts_with_tokens

Output = Callable[[Mapping[str, torch.Tensor]], torch.Tensor]


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
    return compare_with_torch(
        model, tokenizer, runner, encoder, texts_with_tokens(encoder), _logits_of(model), lambda expected: tolerance
    )


def check_pairs(
    model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerFast,
    runner: Runner,
    encoder: TextEncoder,
) -> Parity:
    """The same on pairs of texts."""
    pairs = reference_pairs(encoder.max_length)
    return compare_with_torch(model, tokenizer, runner, encoder, pairs, _logits_of(model), lambda expected: TOLERANCE)


def compare_with_torch(
    model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerFast,
    runner: Runner,
    encoder: TextEncoder,
    texts: Sequence[Text],
    output: Output,
    tolerance: Callable[[NDArray[np.float32]], float],
) -> Parity:
    """The largest difference of the graph's output from PyTorch's.

    output: what the model gives for a text's inputs, (1, classes or hidden). tolerance: what is allowed, by PyTorch's
    output of all texts. Raises LossAuditError above it, and if the model can't be run.
    """
    architecture = type(model).__name__
    try:
        expected = np.concatenate([_torch_output(tokenizer, text, encoder.max_length, output) for text in texts])
    except Exception as error:  # PyTorch raises whatever the model's code does
        raise LossAuditError(f"{architecture} can't be run in PyTorch: {brief(error)}") from error
    graph = f"the exported graph of {architecture}"
    allowed = tolerance(expected)
    return Parity(compare(graph, runner, encoder, texts, "PyTorch", expected, allowed), allowed, len(texts))


def _logits_of(model: transformers.PreTrainedModel) -> Output:
    return lambda inputs: model(**inputs).logits


def _torch_output(
    tokenizer: transformers.PreTrainedTokenizerFast, text: Text, max_length: int, output: Output
) -> NDArray[np.float32]:
    pieces = (text,) if isinstance(text, str) else text
    inputs = tokenizer(*pieces, truncation=True, max_length=max_length, padding=False, return_tensors="pt")
    with torch.inference_mode():
        found: NDArray[np.float32] = output(inputs).numpy()
    return found
