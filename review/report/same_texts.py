"""What a report says of identical texts with different labels or in several splits: from a losses table to figures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lossaudit.engine.arrays import Ints
from lossaudit.engine.table.losses import LossesTable
from lossaudit.engine.table.repeats import SameTexts

from .examples import LONGEST_BRIEF, Example, examples_at

_TEXTS, _EXAMPLES = 12, 4
"""Texts that are shown, and rows of each."""


@dataclass(frozen=True)
class SharedText:
    """A text that several rows have."""

    rows: int
    labels: int
    """How many different labels the rows have."""
    splits: Sequence[str]
    """Those that they are in; () of a table of a single one."""
    examples: list[Example]
    """The row of highest loss of each label, or of each split; or of some."""


@dataclass(frozen=True)
class SharedTexts:
    """The texts with different labels, or those in several splits."""

    texts: int
    rows: int
    shown: list[SharedText]
    """Those of highest loss."""


@dataclass(frozen=True)
class RepeatFigures:
    """The texts that several rows have, where these rows differ in something."""

    conflicts: SharedTexts
    leaks: SharedTexts | None
    """None in a table of a single split."""
    conflicting_leaks: int
    """How many texts are in several splits and have different labels."""


def gather_repeats(losses: LossesTable) -> RepeatFigures:
    """Finds them; none in a table without texts."""
    found = losses.repeats()
    return RepeatFigures(
        _gathered(losses, found.conflicts, of_each_split=False),
        _gathered(losses, found.leaks, of_each_split=True) if losses.has_splits else None,
        found.conflicting_leaks.different_texts,
    )


def _gathered(losses: LossesTable, same: SameTexts, of_each_split: bool) -> SharedTexts:
    places = losses.ranked_together(same)
    texts, labels, splits = same.of(places)
    firsts = _first_of_each(texts, splits.astype(np.int64) if of_each_split else labels)
    shown = list(dict.fromkeys(texts[firsts].tolist()))[:_TEXTS]
    names = same.split_names

    def shared(text: int) -> SharedText:
        rows, found = texts == text, firsts[texts[firsts] == text]
        return SharedText(
            int(rows.sum()),
            len(np.unique(labels[rows])),
            [names[split] for split in dict.fromkeys(splits[rows].tolist())] if names else (),
            examples_at(losses, places[found[:_EXAMPLES]], longest=LONGEST_BRIEF),
        )

    return SharedTexts(same.different_texts, len(places), [shared(text) for text in shown])


def _first_of_each(texts: Ints, values: Ints) -> Ints:
    """Where each value of each text is first, rising."""
    return np.sort(np.unique(np.stack([texts, values]), axis=1, return_index=True)[1])
