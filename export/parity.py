"""Compares a bundle's graph with PyTorch. Both come in, the parity figures go out.

PyTorch runs each text alone through transformers' own tokenizer; the graph runs each alone and all of them
padded in one batch through the bundle's tokenizer. So a tokenizer, mask or position that differs shows too.
"""

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from lossaudit.engine.backends import Runner
from lossaudit.engine.bundle import Parity
from lossaudit.engine.encoding import TextEncoder
from lossaudit.engine.errors import LossAuditError, brief
from lossaudit.export.comparison import TOLERANCE, compare, texts_with_tokens


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
    texts, architecture = texts_with_tokens(encoder), type(model).__name__
    try:
        expected = np.concatenate([_torch_logits(model, tokenizer, text, encoder.max_length) for text in texts])
    except Exception as error:  # PyTorch raises whatever the model's code does
        raise LossAuditError(
            f"{architecture} can't be run in PyTorch: {brief(error)}; no bundle was written"
        ) from error
    graph = f"the exported graph of {architecture}"
    return Parity(compare(graph, runner, encoder, texts, "PyTorch", expected, tolerance), tolerance, len(texts))


def _torch_logits(
    model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerFast,
    text: str,
    max_length: int,
) -> NDArray[np.float32]:
    inputs = tokenizer(text, truncation=True, max_length=max_length, padding=False, return_tensors="pt")
    with torch.inference_mode():
        logits: NDArray[np.float32] = model(**inputs).logits.numpy()
    return logits
