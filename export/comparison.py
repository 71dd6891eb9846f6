"""Compares a graph with reference logits on texts of mixed lengths, each alone and in a batch with longer ones.

The reference is PyTorch (`parity.py`) or, for a model given as ONNX, the given graph itself (`adopted.py`). Pairs of
texts are compared too, if the exported graph reads them as the reference does (`with_pairs`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lossaudit.engine.arrays import Floats32
from lossaudit.engine.data.texts import Text
from lossaudit.engine.errors import LossAuditError, brief
from lossaudit.engine.model.backends import Runner
from lossaudit.engine.model.bundle import PAIRS, Parity
from lossaudit.engine.model.encoding import TextEncoder

TOLERANCE = 1e-4
"""Largest absolute difference between two fp32 logits; a different order of summation causes about 1e-6."""
MOST_TOKENS = 512
"""Maximum length of texts for comparison and calibration; a batch with one of 8,192 tokens wouldn't fit in memory."""

Check = Callable[[Runner], Parity]
"""Compares a graph with a reference. Raises LossAuditError if it differs."""


@dataclass(frozen=True)
class Shape:
    """The parts of a model's config that rewriting its graph needs."""

    heads: int
    """Number of attention heads; 0 if it must be inferred from the graph."""
    hidden: int
    """Width of the states; 0 if it must be inferred from the graph."""
    classes: int
    task: str
    """A task of `engine/model/bundle.py`."""


@dataclass(frozen=True)
class Exported:
    """A graph as it was exported or given."""

    graph: Path
    shape: Shape
    encoder: TextEncoder
    """Tokenizer of the model."""
    check: Check
    """Comparison of an fp32 form of the graph with the reference."""
    family: str = ""
    """Name of the family whose writer wrote the graph; empty for a graph from elsewhere."""
    applied: tuple[str, ...] | None = None
    """What the writer did to layers that it left nothing to do for; None if they are to be rewritten."""


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


def reference_pairs(max_length: int) -> list[Text]:
    """Pairs of short, long and too long texts, with the longer one first or second."""
    short, middle, long = _SENTENCES[2], " ".join(_SENTENCES[3:6]), " ".join([_SENTENCES[4]] * (max_length // 8))
    texts = (_SENTENCES[0], short, middle, long)
    return [*((a, b) for a in texts for b in texts), (_SENTENCES[7], _SENTENCES[8])]


def texts_with_tokens(encoder: TextEncoder) -> list[str]:
    """The reference texts that have tokens: without special tokens an empty text has none, which no model accepts."""
    return [text for text in reference_texts(encoder.max_length) if encoder.encode([text]).lengths[0] > 0]


def logits_alone(runner: Runner, encoder: TextEncoder, texts: Sequence[Text]) -> Floats32:
    """(texts, classes) logits of a graph that runs each text by itself."""
    encoded = encoder.encode(texts)
    return np.concatenate([runner.run(encoded.padded(np.array([row]))) for row in range(len(texts))])


def logits_in_batches(runner: Runner, encoder: TextEncoder, texts: Sequence[Text]) -> Floats32:
    """The same with padding: the long texts share a batch with two of the shortest, the others share another one. All
    in one batch would take twice as long, most of it for padding."""
    encoded = encoder.encode(texts)
    order = np.argsort(encoded.lengths, kind="stable")
    long = encoded.lengths[order] > encoded.lengths.max() / 4
    long[:2] = True
    groups = [rows for rows in (order[long], order[~long]) if len(rows)]
    found = np.concatenate([runner.run(encoded.padded(rows)) for rows in groups])
    return np.asarray(found[np.argsort(np.concatenate(groups))])


@dataclass(frozen=True)
class Reference:
    """The logits that a graph must reproduce."""

    name: str
    """Name in errors."""
    encoder: TextEncoder
    texts: Sequence[Text]
    logits: Floats32
    """(texts, classes)"""
    tolerance: float = TOLERANCE

    def compare(self, graph: str, runner: Runner) -> float:
        """The largest difference of a graph's logits, alone and in a batch.

        graph: its name in errors. Raises LossAuditError above the tolerance, or if the graph can't be run.
        """
        alone = self._difference(graph, runner, logits_alone, "")
        return max(alone, self.compare_batches(graph, runner))

    def compare_batches(self, graph: str, runner: Runner) -> float:
        """The same in a batch only, for a graph that gave these logits alone."""
        how = " for a text that shares a batch with longer ones (alone, they agree)"
        return self._difference(graph, runner, logits_in_batches, how)

    def _difference(
        self, graph: str, runner: Runner, run: Callable[[Runner, TextEncoder, Sequence[Text]], Floats32], how: str
    ) -> float:
        try:
            logits = run(runner, self.encoder, self.texts)
        except Exception as error:  # ONNX Runtime's errors share no public base class
            raise LossAuditError(f"{graph} fails: {brief(error)}") from error
        if logits.shape != self.logits.shape:
            raise LossAuditError(f"{graph} gives logits of the shape {logits.shape}, not {self.logits.shape}")
        difference = float(np.abs(logits - self.logits).max())
        if not difference <= self.tolerance:  # NaN fails too
            raise LossAuditError(
                f"{graph} differs from {self.name} by {difference:.1e} in its logits{how}; "
                f"{self.tolerance:.0e} is allowed"
            )
        return difference


def with_pairs(check_texts: Check, make_check_of_pairs: Callable[[], Check]) -> tuple[Check, dict[str, str]]:
    """A check of texts and pairs, or of texts only with the reason for the manifest's `left_out`.

    make_check_of_pairs: raises LossAuditError if the graph, as exported or given, can't read pairs (for example,
    because its tokenizer marks the second text and the model ignores that). Such a model isn't refused, but a
    rewritten graph that reads pairs differently is.
    """
    try:
        check_pairs = make_check_of_pairs()
    except LossAuditError as error:
        return check_texts, {PAIRS: str(error)}

    def check(runner: Runner) -> Parity:
        texts, pairs = check_texts(runner), check_pairs(runner)
        largest = max(texts.max_difference, pairs.max_difference)
        return Parity(largest, texts.tolerance, texts.texts + pairs.texts)

    return check, {}
