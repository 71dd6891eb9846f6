"""Compares a bundle's graph with PyTorch.

PyTorch runs each text, or pair of texts, alone with transformers' own tokenizer; the graph runs each alone, and padded
in a batch with longer ones, with the bundle's tokenizer. So a difference in a tokenizer, mask or position shows too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import transformers

from lossaudit.engine.arrays import Floats32
from lossaudit.engine.data.texts import Text
from lossaudit.engine.errors import LossAuditError, brief
from lossaudit.engine.model.backends import Runner
from lossaudit.engine.model.bundle import Parity
from lossaudit.engine.model.encoding import TextEncoder

from .comparison import TOLERANCE, Reference, reference_pairs, texts_with_tokens


@dataclass(frozen=True)
class TorchModel:
    """A model as PyTorch runs it."""

    model: transformers.PreTrainedModel
    tokenizer: transformers.PreTrainedTokenizerFast
    output: Callable[[Mapping[str, torch.Tensor]], torch.Tensor]
    """Function from a text's inputs to the output, (1, classes or hidden)."""

    @classmethod
    def classifier(
        cls, model: transformers.PreTrainedModel, tokenizer: transformers.PreTrainedTokenizerFast
    ) -> "TorchModel":
        """A model that returns logits."""
        return cls(model, tokenizer, lambda inputs: model(**inputs).logits)

    def run(self, text: Text, max_length: int) -> Floats32:
        """The output for one text, cut to `max_length` tokens."""
        pieces = (text,) if isinstance(text, str) else text
        inputs = self.tokenizer(*pieces, truncation=True, max_length=max_length, padding=False, return_tensors="pt")
        with torch.inference_mode():
            found: Floats32 = self.output(inputs).numpy()
        return found


def check_parity(
    model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerFast,
    runner: Runner,
    encoder: TextEncoder,
    tolerance: float = TOLERANCE,
) -> Parity:
    """The largest difference between model and graph on texts of up to `encoder.max_length` tokens.

    Raises LossAuditError if it exceeds the tolerance, or if the model can't be run.
    """
    torch_model, texts = TorchModel.classifier(model, tokenizer), texts_with_tokens(encoder)
    return compare_with_torch(torch_model, runner, encoder, texts, lambda expected: tolerance)


def check_pairs(
    model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerFast,
    runner: Runner,
    encoder: TextEncoder,
) -> Parity:
    """The same on pairs of texts."""
    pairs = reference_pairs(encoder.max_length)
    torch_model = TorchModel.classifier(model, tokenizer)
    return compare_with_torch(torch_model, runner, encoder, pairs, lambda expected: TOLERANCE)


def compare_with_torch(
    torch_model: TorchModel,
    runner: Runner,
    encoder: TextEncoder,
    texts: Sequence[Text],
    tolerance: Callable[[Floats32], float],
) -> Parity:
    """The largest difference of the graph's output from PyTorch's.

    tolerance: the allowed difference, given PyTorch's output for all texts. Raises LossAuditError if it is exceeded, or
    if the model can't be run.
    """
    architecture = type(torch_model.model).__name__
    try:
        expected = np.concatenate([torch_model.run(text, encoder.max_length) for text in texts])
    except Exception as error:  # the model's code may raise anything
        raise LossAuditError(f"{architecture} can't be run in PyTorch: {brief(error)}") from error
    allowed = tolerance(expected)
    reference = Reference("PyTorch", encoder, texts, expected, allowed)
    return Parity(reference.compare(f"the exported graph of {architecture}", runner), allowed, len(texts))
