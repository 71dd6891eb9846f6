"""Learns an order from the decisions about a losses file, and keeps it beside the file (`engine/learning/`)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lossaudit.engine.arrays import Ints
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.learning.evidence import Evidence, gather_evidence
from lossaudit.engine.learning.learner import Lessons
from lossaudit.engine.learning.order import learn_order
from lossaudit.engine.table.learned import Learned, write_learned
from lossaudit.engine.table.losses import LossesTable
from lossaudit.engine.table.states import read_states

from .estimate import is_wrong
from .opinions import own_latest
from .store import ADJUDICATION, Decision, DecisionStore, store_path

NEXT = 50
"""Rows of the order that are looked ahead at."""


@dataclass(frozen=True)
class Reranking:
    """What was learned from the decisions about a losses file."""

    wrong: int
    """Number of rows whose label people found wrong; where they differ, most of them did."""
    right: int
    """Number of rows whose label people found right."""
    unclear: int
    """Number of decided rows that teach nothing: unsure, discarded, or as many people against the label as for it."""
    undecided: int
    """Number of rows that are left."""
    expected: int
    """How many labels of the next 50 rows of the order are expected to be wrong; of fewer, where fewer are left."""
    states: bool
    """Whether the states that `fit` kept were used."""
    path: Path
    """The file with the order and with each row's probability that its label is wrong."""

    @property
    def shown(self) -> int:
        """The rows that `expected` is about."""
        return min(NEXT, self.undecided)


def rerank(losses: LossesTable) -> Reranking:
    """Learns the order of the undecided rows from all decisions so far, and writes it beside the losses file.

    The same decisions give the same file. Raises LossAuditError if there are no decisions, the table is only in memory,
    or a file can't be read or written.
    """
    if not losses.path.is_file():
        raise LossAuditError("the losses are only in memory, where no decisions are stored; save and load them first")
    with DecisionStore.open(losses, create=False) as store:
        decisions = _of_rows(store)
    if not decisions:
        raise LossAuditError(
            f"there are no decisions about {losses.path} yet; make some with `lossaudit review {losses.path}`"
        )
    evidence = gather_evidence(losses)
    lessons, unclear = _lessons(evidence, decisions)
    states = None if losses.is_multi_label else read_states(losses.path, evidence.ids)
    order = learn_order(evidence, lessons, unclear, states)
    decided = np.zeros(len(evidence), dtype=np.bool_)
    decided[lessons.places] = decided[unclear] = True
    places = order.places
    learned = Learned(
        evidence.ids[places], order.wrong[places], decided[places], len(lessons.places), _hash_of(decisions)
    )
    wrong = int((lessons.wrong > 0.5).sum())
    return Reranking(
        wrong=wrong,
        right=len(lessons.places) - wrong,
        unclear=len(unclear),
        undecided=int((~decided).sum()),
        expected=learned.expected(NEXT),
        states=states is not None,
        path=write_learned(learned, losses.path),
    )


def is_current(learned: Learned, losses: LossesTable) -> bool:
    """Whether an order was learned from the decisions as they are now. Raises LossAuditError as the store does."""
    if not store_path(losses.path).is_file():
        return False
    with DecisionStore.open(losses, create=False) as store:
        return _hash_of(_of_rows(store)) == learned.decisions


def _of_rows(store: DecisionStore) -> dict[int, list[Decision]]:
    """Of each decided row, each person's latest decision, the one that counts last; an adjudicator's is alone."""
    made = store.histories()
    return {
        row: made[row][-1:] if made[row][-1].origin == ADJUDICATION else own_latest(made[row]) for row in sorted(made)
    }


def _lessons(evidence: Evidence, decisions: dict[int, list[Decision]]) -> tuple[Lessons, Ints]:
    """What people found, and the places of the rows of which they couldn't tell. Rows without a loss teach nothing."""
    rising = np.argsort(evidence.ids)
    places, wrong, counts, labels, unclear = [], [], [], [], []
    for row, opinions in decisions.items():
        found = int(np.searchsorted(evidence.ids, row, sorter=rising))
        if found == len(rising) or evidence.ids[rising[found]] != row:
            continue
        place = int(rising[found])
        votes = [is_wrong(opinion) for opinion in opinions if opinion.verdict in ("relabel", "keep")]
        ahead = 2 * sum(votes) - len(votes)
        if not ahead:
            unclear.append(place)
            continue
        places.append(place)
        wrong.append(float(ahead > 0))
        counts.append(abs(ahead) / len(votes))
        labels.append(_label(opinions) if ahead > 0 else evidence.labels[evidence.given[place]])
    return Lessons(_ints(places), np.array(wrong), np.array(counts), labels), _ints(unclear)


def _label(opinions: Sequence[Decision]) -> str:
    """The latest label of those who say that the given one is wrong."""
    return next(str(one.label) for one in reversed(opinions) if is_wrong(one))


def _ints(numbers: list[int]) -> Ints:
    return np.array(numbers, dtype=np.int64)


def _hash_of(decisions: dict[int, list[Decision]]) -> str:
    """The same for the same decisions, whenever they were made."""
    told = [(row, one.annotator, one.verdict, one.label) for row, opinions in decisions.items() for one in opinions]
    return hashlib.sha256(repr(told).encode()).hexdigest()
