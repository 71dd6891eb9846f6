"""A learned order of a losses table: the evidence, what people decided and, where they are kept, states come in."""

from dataclasses import dataclass

import numpy as np

from ..arrays import Floats, Ints
from ..table.states import Bytes
from .evidence import Evidence
from .heads import doubts_of_heads
from .learner import Lessons, learned_order, wrong_probabilities


@dataclass(frozen=True)
class LearnedOrder:
    """What decisions teach about the n rows of some evidence."""

    places: Ints
    """(n,) places in the evidence, those to look at first; decided rows come last."""
    wrong: Floats
    """(n,) by place in the evidence, the probability that the label is wrong."""


def learn_order(evidence: Evidence, lessons: Lessons, unclear: Ints, states: Bytes | None = None) -> LearnedOrder:
    """The order after some decisions; the same for the same decisions.

    unclear: places of the rows that are decided, but neither as wrong nor as right. states: (n, hidden), as
    `table.states` keeps them.
    """
    decided = np.zeros(len(evidence), dtype=np.bool_)
    decided[lessons.places] = True
    of_heads = None
    if states is not None and len(lessons.places):
        of_heads = doubts_of_heads(states, evidence.given, _corrected(evidence, lessons), decided, len(lessons.places))
    wrong = wrong_probabilities(evidence, lessons, of_heads)
    decided[unclear] = True
    return LearnedOrder(learned_order(wrong, decided, int(decided.sum())), wrong)


def _corrected(evidence: Evidence, lessons: Lessons) -> Ints:
    """(n,) the labels as corrected so far; those that are nobody's given label are numbered after the others."""
    number_of = {label: number for number, label in enumerate(evidence.labels)}
    corrected = evidence.given.copy()
    corrected[lessons.places] = [number_of.setdefault(label, len(number_of)) for label in lessons.labels]
    return corrected
