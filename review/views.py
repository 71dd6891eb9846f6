"""What a review tells the page: records, the list, the progress, and what it refuses."""

from dataclasses import dataclass

from lossaudit.engine.errors import LossAuditError

from .estimate import Estimate
from .records import DoubtedSet, Record
from .reranking import LearnedMeanwhile
from .store import Decision


@dataclass(frozen=True)
class Item:
    """A record as the list shows it."""

    rank: int
    row: int
    label: str
    prediction: str
    loss: float
    snippets: list[str]
    """Beginning of each text."""
    decision: Decision | None
    doubt: DoubtedSet | None
    """Sets of a multi-label record."""


@dataclass(frozen=True)
class Shown:
    """A record as the page shows it: with its decisions, and whether the model saw the whole text."""

    record: Record
    truncated: bool
    history: list[Decision]
    """Decisions about the record; the one that counts is last."""


@dataclass(frozen=True)
class Progress:
    """The progress of the review."""

    total: int
    counts: dict[str, int]
    """Records by verdict."""
    estimate: Estimate | None
    joint: int
    """Records that two or more people have decided."""
    rows: int | None = None
    """Number of rows that the estimate is about, if it is all rows with a loss."""
    order: LearnedMeanwhile | None = None
    """What was learned during the review; None before the first time."""


@dataclass(frozen=True)
class View:
    """The result of a query."""

    ranks: list[int]
    decided: int
    first_undecided: int | None
    """Place in `ranks`."""


class ConflictError(LossAuditError):
    """Somebody else has decided a record since it was shown."""


class MovedError(LossAuditError):
    """A bulk decision would apply to other records than the confirmed ones."""
