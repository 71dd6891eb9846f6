"""Which decision counts for a row about which people differ: one rule for all that reads decisions."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lossaudit.engine.errors import LossAuditError, Option

from .opinions import own_latest
from .store import ADJUDICATION, Decision, DecisionStore

ADJUDICATED, MAJORITY, LATEST = "adjudicated", "majority", "latest"


@dataclass(frozen=True)
class Resolved:
    """The decisions that count."""

    decisions: Mapping[int, Decision]
    """By row."""
    open: tuple[int, ...]
    """Decided rows for which none counts, since as many people decided one way as another."""


def resolved(store: DecisionStore, rule: str = ADJUDICATED) -> Resolved:
    """The decisions that count by a rule.

    "adjudicated": an adjudicator's latest decision, else the latest of all. "latest": the latest, whoever made it.
    "majority": what most people decided last, each with one vote. A person's name: what they decided last. Raises
    LossAuditError if nobody of that name has decided.
    """
    histories = store.histories()
    if rule == ADJUDICATED:
        return Resolved({row: made[-1] for row, made in histories.items()}, ())
    if rule == LATEST:
        return Resolved({row: _latest(made) for row, made in histories.items()}, ())
    if rule == MAJORITY:
        found = {row: majority(made) for row, made in histories.items()}
        none = tuple(sorted(row for row, decision in found.items() if decision is None))
        return Resolved({row: decision for row, decision in found.items() if decision is not None}, none)
    named = {row: [one for one in made if one.annotator == rule] for row, made in histories.items()}
    if not any(named.values()):
        names = ", ".join(store.annotators())
        raise LossAuditError(
            f"{rule!r} has decided nothing; ",
            Option("resolve"),
            f" is adjudicated, majority, latest or a person: {names}",
        )
    return Resolved({row: made[-1] for row, made in named.items() if made}, ())


def majority(made: Sequence[Decision]) -> Decision | None:
    """The latest of the decisions that most people made last; None if as many made another. made: in order."""
    opinions = own_latest(made)
    (most, votes), *others = Counter((one.verdict, one.label) for one in opinions).most_common()
    if others and others[0][1] == votes:
        return None
    return next(one for one in reversed(opinions) if (one.verdict, one.label) == most)


def _latest(made: Sequence[Decision]) -> Decision:
    """The latest by time, of an adjudicator or not; of decisions made at once, the one stored last."""
    final = made[-1]
    before = next((one for one in reversed(made) if one.origin != ADJUDICATION), final)
    return before if before.made_at > final.made_at else final
