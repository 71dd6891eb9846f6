"""What each person decided about the records under review, and how much of it another person sees.

A share of the records is for two people, who decide blind: until both have, each sees only their own decisions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .examples import Example
from .queries import UNDECIDED, Codes, Passes
from .store import ADJUDICATION, VERDICTS, Decision

_BOTH = 2
"""People who decide a record of the share."""
_HASHED = 8
"""Hexadecimal digits of a text's hash that tell whether it is in the share."""


@dataclass(frozen=True)
class Viewer:
    """A person, and what counts as decided for them."""

    name: str
    mine: bool = False
    """Whether only their own decisions count."""
    sees_all: bool = False
    """Whether nothing is hidden from them."""


@dataclass(frozen=True)
class People:
    """How several people share a review."""

    overlap: int = 0
    """Percentage of the records that two people decide blind."""
    adjudicating: bool = False
    """Whether decisions made here are final, and nothing is hidden."""


@dataclass(frozen=True)
class Remark:
    """What a person adds to a decision."""

    note: str = ""
    tags: tuple[str, ...] = ()


def is_shared(example: Example, percent: int) -> bool:
    """Whether an example is in the share of those that two people decide; its texts alone tell."""
    hashed = int(example.text_key[:_HASHED], 16)
    return bool(hashed * 100 < percent * 16**_HASHED)


class Opinions:
    """All decisions about the records under review, and those about other rows."""

    def __init__(self, rows: Sequence[int], shared: Passes) -> None:
        """rows: by place; shared: (n,) whether two people decide each of them."""
        self._places = {row: place for place, row in enumerate(rows)}
        self._shared = shared
        self._made: dict[int, list[Decision]] = {}
        self._joint: set[int] = set()
        self._codes: dict[Viewer, Codes] = {}

    def replace(self, made: Mapping[int, list[Decision]]) -> None:
        """Takes over all decisions by row; of each row, the one that counts is last."""
        self._made = dict(made)
        self._joint = {row for row in made.keys() & self._places.keys() if len(_people(made[row])) > 1}
        self._codes.clear()

    def learn(self, row: int, made: list[Decision]) -> None:
        """Takes over all decisions about one row under review."""
        self._made[row] = made
        if len(_people(made)) > 1:
            self._joint.add(row)
        for viewer, codes in self._codes.items():
            codes[self._places[row]] = self._code(row, viewer)

    @property
    def made(self) -> Mapping[int, Sequence[Decision]]:
        """All decisions by row; of each row, the one that counts is last."""
        return self._made

    def joint(self) -> int:
        """Number of records that two or more people have decided."""
        return len(self._joint)

    def __len__(self) -> int:
        """Number of decided rows, by anyone."""
        return len(self._made)

    def seen(self, row: int, viewer: Viewer) -> list[Decision]:
        """The decisions about a row that a person sees, the one that counts last."""
        made = self._made.get(row, [])
        if viewer.sees_all or not self._is_blind(row, made):
            return made
        return [one for one in made if one.annotator == viewer.name]

    def counting(self, row: int, viewer: Viewer) -> Decision | None:
        """The decision that counts for a person."""
        seen = self.seen(row, viewer)
        if viewer.mine:
            seen = [one for one in seen if one.annotator == viewer.name]
        return seen[-1] if seen else None

    def latest(self) -> dict[int, Decision]:
        """The decision that counts for each decided row."""
        return {row: made[-1] for row, made in self._made.items()}

    def codes(self, viewer: Viewer) -> Codes:
        """(n,) the code of each record's decision, as a person sees it; the caller doesn't change it."""
        if viewer not in self._codes:
            codes = np.full(len(self._places), UNDECIDED, dtype=np.int8)
            for row in self._made.keys() & self._places.keys():
                codes[self._places[row]] = self._code(row, viewer)
            self._codes[viewer] = codes
        return self._codes[viewer]

    def disputed(self, viewer: Viewer) -> Passes:
        """(n,) whether people differ about each record, as far as a person sees it, and no adjudicator has decided."""
        found = np.zeros(len(self._places), dtype=bool)
        for row in self._made.keys() & self._places.keys():
            found[self._places[row]] = is_disputed(self.seen(row, viewer))
        return found

    def _code(self, row: int, viewer: Viewer) -> int:
        decision = self.counting(row, viewer)
        return UNDECIDED if decision is None else VERDICTS.index(decision.verdict) + 1

    def _is_blind(self, row: int, made: Sequence[Decision]) -> bool:
        place = self._places.get(row)
        return place is not None and bool(self._shared[place]) and len(_people(made)) < _BOTH


def _people(made: Sequence[Decision]) -> set[str]:
    return {one.annotator for one in made}


def own_latest(made: Sequence[Decision]) -> list[Decision]:
    """Each person's own latest decision about a row, the latest of all last."""
    latest: dict[str, Decision] = {}
    for one in made:
        latest.pop(one.annotator, None)
        latest[one.annotator] = one
    return list(latest.values())


def is_disputed(made: Sequence[Decision]) -> bool:
    """Whether people differ about a row, and no adjudicator has decided it. made: the decisions about it, in order."""
    if not made or made[-1].origin == ADJUDICATION:
        return False
    return len({(one.verdict, one.label) for one in own_latest(made)}) > 1
