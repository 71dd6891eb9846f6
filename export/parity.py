"""Compares a bundle's graph with PyTorch on texts of mixed lengths. Both come in, the parity figures go out.

PyTorch runs each text alone through transformers' own tokenizer; the graph runs each alone and all of them
padded in one batch through the bundle's tokenizer. So a tokenizer, mask or position that differs shows too.
"""

import numpy as np
import torch
import transformers

from lossaudit.engine.backends import Runner
from lossaudit.engine.bundle import Parity
from lossaudit.engine.encoding import TextEncoder
from lossaudit.engine.errors import LossAuditError, brief

TOLERANCE = 1e-4
"""Absolute difference of two fp32 logits; the operators' order of summing gives about 1e-6."""
MOST_TOKENS = 512
"""Of a text that is compared or calibrated on: a batch with one of 8,192 wouldn't fit most machines."""

_SENTENCES = (
    "Ok.",
    "",
    "Shares rose 3 % on Tuesday after the bank's results beat forecasts.",
    "The striker scored twice in the last five minutes, and the visitors went home with nothing.",
    "Researchers say the probe has found water ice below the surface of the crater.",
    "Die Regierung hat am Montag ein neues Gesetz vorgelegt; die Opposition kündigt Widerstand an.",
    "Je ne recommanderais ce film à personne 😞 – deux heures perdues !!!",
    "価格は安いですが、品質はとても良いと思います。",
    "الخدمة كانت ممتازة والتوصيل سريع",
    "How do I cancel my order #4711 and get my money back? a@b.example",
    "UPPER lower MiXeD    spaces\ttabs\nlines -- “quotes” … <b>tags</b> &amp; C++/C#",
)


def reference_texts(max_length: int) -> list[str]:
    """Texts from empty to longer than the model's maximum, in several scripts."""
    longer = [" ".join(_SENTENCES[:k]) for k in (3, 5, 8, len(_SENTENCES))]
    return [
        *_SENTENCES,
        *longer,
        " ".join([_SENTENCES[3]] * 6),
        " ".join([_SENTENCES[4]] * (max_length // 8)),
    ]


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
    # A tokenizer without special tokens gives none for an empty text, and no model takes that.
    texts = [text for text in reference_texts(encoder.max_length) if encoder.encode([text]).lengths[0] > 0]
    architecture = type(model).__name__
    try:
        expected = np.concatenate([_torch_logits(model, tokenizer, text, encoder.max_length) for text in texts])
    except Exception as error:  # PyTorch raises whatever the model's code does
        raise LossAuditError(
            f"{architecture} can't be run in PyTorch: {brief(error)}; no bundle was written"
        ) from error
    encoded = encoder.encode(texts)
    everything = np.arange(len(texts))
    try:
        alone = np.concatenate([runner.run(*encoded.padded(everything[i : i + 1])) for i in everything])
        together = runner.run(*encoded.padded(everything))
    except LossAuditError:
        raise
    except Exception as error:  # ONNX Runtime's errors share no public base class
        raise LossAuditError(
            f"the exported graph of {architecture} fails: {brief(error)}; no bundle was written"
        ) from error
    if together.shape != expected.shape:
        raise LossAuditError(
            f"the exported graph of {architecture} gives logits of the shape {together.shape}, "
            f"PyTorch {expected.shape}; no bundle was written"
        )
    ways = {"": alone, " for a text that shares a batch with longer ones (alone, they are the same)": together}
    for how, logits in ways.items():
        difference = float(np.abs(logits - expected).max())
        if not difference <= tolerance:  # NaN fails too
            raise LossAuditError(
                f"the exported graph of {architecture} differs from PyTorch by {difference:.1e} in its logits{how}; "
                f"{tolerance:.0e} is allowed, so no bundle was written"
            )
    return Parity(float(max(np.abs(logits - expected).max() for logits in ways.values())), tolerance, len(texts))


def _torch_logits(
    model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerFast,
    text: str,
    max_length: int,
) -> np.ndarray:
    inputs = tokenizer(text, truncation=True, max_length=max_length, padding=False, return_tensors="pt")
    with torch.inference_mode():
        logits: np.ndarray = model(**inputs).logits.numpy()
    return logits
