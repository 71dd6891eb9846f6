"""Learns the order of a losses file anew, in the background, after every so many decisions of a review.

A review has more records at hand than it shows, so that those which a learned order puts first can come in.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lossaudit.engine.arrays import Bools, Ints
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.table.learned import Learned, read_learned
from lossaudit.engine.table.losses import LossesTable

from .relearning import NEXT, rerank


@dataclass(frozen=True)
class LearnedMeanwhile:
    """An order that was learned during the review."""

    lessons: int
    """Decisions that it was learned from."""
    expected: int
    """How many labels of the following undecided records are expected to be wrong."""
    following: int
    """How many records that is about."""


class Listing:
    """Which of the n records at hand are shown, and in which order. One thread at a time may use it."""

    def __init__(self, ids: Ints, shown: int) -> None:
        """ids: (n,) of the records at hand, in the order in which they are shown at first. shown: how many are."""
        self._ids, self._shown = ids, min(shown, len(ids))
        self._order: Ints = np.arange(len(ids))
        self.listed: Bools = self._order < self._shown
        """(n,) whether each record is shown. It is replaced, never changed."""
        self.meanwhile: LearnedMeanwhile | None = None

    def follow(self, learned: Learned, decided: Bools) -> None:
        """Takes over a learned order for the undecided records, behind the decided ones that were shown."""
        places = np.arange(len(self._ids))
        first, rest = places[decided & self.listed], places[~decided]
        rest = rest[np.argsort(-learned.urgency(self._ids[rest]), kind="stable")]
        self._order = np.concatenate([first, rest, places[decided & ~self.listed]])
        self.listed = np.zeros(len(places), dtype=np.bool_)
        self.listed[self._order[: max(self._shown, len(first))]] = True
        following = rest[: max(0, min(NEXT, self._shown - len(first)))]
        likely = learned.p_wrong_of(self._ids[following]).to_numpy(zero_copy_only=False)
        self.meanwhile = LearnedMeanwhile(learned.lessons, round(float(np.nansum(likely))), len(following))

    def admit(self, place: int, decided: Bools) -> None:
        """Shows a record that left the list while it was on a screen, in place of the last undecided one."""
        listed = self.listed.copy()
        rest = self._order[(listed & ~decided)[self._order]]
        listed[rest[-1:]] = False
        listed[place] = True
        self.listed = listed

    def of(self, places: Ints, own_order: bool) -> Ints:
        """Those of the places that are shown. own_order: whether in the listing's order, or as they are."""
        if not own_order:
            return places[self.listed[places]]
        found = np.zeros(len(self._ids), dtype=np.bool_)
        found[places] = True
        return self._order[(found & self.listed)[self._order]]


class Reranker:
    """Learns in a thread of its own, one order at a time. Threads may share it."""

    def __init__(self, losses_path: Path, every: int, on_learned: Callable[[Learned], None]) -> None:
        """every: decisions after which to learn again, at least 1. on_learned: called in the thread with the order."""
        self._path, self._every, self._on_learned = losses_path, every, on_learned
        learned = read_learned(losses_path)
        self._learned_at = learned.lessons if learned else 0
        """Number of decisions that the latest order was learned from, or that learning failed at."""
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def note(self, decisions: int) -> None:
        """Begins to learn if enough decisions have been made or taken back. decisions: how many there are."""
        with self._lock:
            busy = self._thread is not None and self._thread.is_alive()
            if busy or not decisions or abs(decisions - self._learned_at) < self._every:
                return
            self._learned_at = decisions
            self._thread = threading.Thread(target=self._learn, daemon=True)
            self._thread.start()

    def wait(self) -> None:
        """Returns once no order is being learned."""
        if self._thread is not None:
            self._thread.join()

    def _learn(self) -> None:
        try:
            rerank(LossesTable.open(self._path))
            learned = read_learned(self._path)
        except LossAuditError:
            return  # the decisions are safe, and the page keeps the order that it has
        if learned is not None:
            self._on_learned(learned)
