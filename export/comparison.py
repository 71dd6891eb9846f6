"""Compares a graph with logits that are known to be right, on texts of mixed lengths, each alone and all in one batch.

The reference is PyTorch (`parity.py`) or, for a graph that was given as ONNX, the given graph itself (`adopted.py`).
"""

import numpy as np
from numpy.typing import NDArray

from lossaudit.engine.backends import Runner
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
    """Texts from empty to longer than `max_length` tokens, in several scripts."""
    longer = [" ".join(_SENTENCES[:k]) for k in (3, 5, 8, len(_SENTENCES))]
    return [
        *_SENTENCES,
        *longer,
        " ".join([_SENTENCES[3]] * 6),
        " ".join([_SENTENCES[4]] * (max_length // 8)),
    ]


def texts_with_tokens(encoder: TextEncoder) -> list[str]:
    """The reference texts that can be run: without special tokens an empty text has none, and no model takes that."""
    return [text for text in reference_texts(encoder.max_length) if encoder.encode([text]).lengths[0] > 0]


def logits_alone(runner: Runner, encoder: TextEncoder, texts: list[str]) -> NDArray[np.float32]:
    """(texts, classes) of a graph that is given each text by itself."""
    encoded = encoder.encode(texts)
    return np.concatenate([runner.run(encoded.padded(np.array([row]))) for row in range(len(texts))])


def compare(
    graph: str,
    runner: Runner,
    encoder: TextEncoder,
    texts: list[str],
    reference: str,
    expected: NDArray[np.float32],
    tolerance: float = TOLERANCE,
) -> float:
    """The largest difference of the graph's logits, alone and in a batch, from those expected (texts, classes).

    graph and reference: what they are called in errors. Raises LossAuditError above the tolerance, and if the graph
    can't be run.
    """
    encoded = encoder.encode(texts)
    try:
        alone, together = logits_alone(runner, encoder, texts), runner.run(encoded.padded(np.arange(len(texts))))
    except Exception as error:  # ONNX Runtime's errors share no public base class
        raise LossAuditError(f"{graph} fails: {brief(error)}; no bundle was written") from error
    if together.shape != expected.shape:
        raise LossAuditError(
            f"{graph} gives logits of the shape {together.shape}, not {expected.shape}; no bundle was written"
        )
    ways = {"": alone, " for a text that shares a batch with longer ones (alone, they are the same)": together}
    largest = 0.0
    for how, logits in ways.items():
        difference = float(np.abs(logits - expected).max())
        if not difference <= tolerance:  # NaN fails too
            raise LossAuditError(
                f"{graph} differs from {reference} by {difference:.1e} in its logits{how}; "
                f"{tolerance:.0e} is allowed, so no bundle was written"
            )
        largest = max(largest, difference)
    return largest
