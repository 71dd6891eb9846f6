"""What a report says of identical texts with different labels: a losses table comes in, figures and rows go out."""

from dataclasses import dataclass

import numpy as np

from lossaudit.engine.table.losses import LossesTable

from .examples import LONGEST_BRIEF, Example, examples_at

_TEXTS, _LABELS = 12, 4
"""Texts that are shown, and labels of each."""


@dataclass(frozen=True)
class ConflictingText:
    """A text with different given labels."""

    rows: int
    """Those with the text."""
    labels: int
    """How many different ones they have."""
    examples: list[Example]
    """The row of highest loss of each label, or of some."""


@dataclass(frozen=True)
class ConflictFigures:
    """The texts with different given labels in several rows."""

    texts: int
    rows: int
    shown: list[ConflictingText]
    """Those of highest loss."""


def gather_conflicts(losses: LossesTable) -> ConflictFigures:
    """Finds them; none in a table without texts."""
    conflicts = losses.conflicts()
    places = losses.ranked_conflicts(conflicts)
    texts, labels = conflicts.of(places)
    firsts = np.sort(np.unique(np.stack([texts, labels]), axis=1, return_index=True)[1])
    shown = list(dict.fromkeys(texts[firsts].tolist()))[:_TEXTS]
    of_each = [firsts[texts[firsts] == text] for text in shown]
    return ConflictFigures(
        conflicts.different_texts,
        len(places),
        [
            ConflictingText(
                int((texts == text).sum()),
                len(found),
                examples_at(losses, places[found[:_LABELS]], longest=LONGEST_BRIEF),
            )
            for text, found in zip(shown, of_each, strict=True)
        ],
    )
