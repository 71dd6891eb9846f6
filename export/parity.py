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
from lossaudit.engine.errors import LossAuditError

TOLERANCE = 1e-4
"""Absolute difference of two fp32 logits; the operators' order of summing gives about 1e-6."""

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
    """The largest difference between the two. Raises LossAuditError if it is above the tolerance."""
    texts = reference_texts(encoder.max_length)
    expected = np.concatenate([_torch_logits(model, tokenizer, text, encoder.max_length) for text in texts])
    encoded = encoder.encode(texts)
    everything = np.arange(len(texts))
    alone = np.concatenate([runner.run(*encoded.padded(everything[i : i + 1])) for i in everything])
    together = runner.run(*encoded.padded(everything))
    difference = float(max(np.abs(alone - expected).max(), np.abs(together - expected).max()))
    if not difference <= tolerance:  # NaN fails too
        raise LossAuditError(
            f"the exported graph differs from PyTorch by {difference:.1e} in its logits (allowed: {tolerance:.0e}); "
            "no bundle was written"
        )
    return Parity(difference, tolerance, len(texts))


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
