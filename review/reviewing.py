"""A review: joins the records and the store of decisions; everything that the page shows and decides goes through it.

Decisions are also kept as an array beside the records, which is read again if another process has changed the store.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow.compute as pc

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.table.losses import LossesTable

from .estimate import Estimate, wrong_share
from .label_sets import LabelSets, names_of
from .queries import UNDECIDED, Places, Query, RecordColumns
from .records import DoubtedSet, Record, Records
from .store import VERDICTS, Decision, DecisionStore, utc_now

ACCEPT, ADD, REMOVE = "accept", "add", "remove"
"""Verdicts of a bulk decision: each record gets its prediction, or its given labels with or without one label."""
NewLabel = str | Sequence[str]
"""New label of a record, or set of labels where records have sets."""
_SNIPPET = 160
"""Characters of a text in the list."""


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


@dataclass(frozen=True)
class View:
    """The result of a query."""

    ranks: list[int]
    decided: int
    first_undecided: int | None
    """Place in `ranks`."""


class MovedError(LossAuditError):
    """A bulk decision would apply to other records than the confirmed ones."""


class Review:
    """A review of the n rows with the highest loss. Threads may share it."""

    def __init__(self, losses: LossesTable, records: Records, store: DecisionStore) -> None:
        """See `open`."""
        self.losses_path = losses.path
        self.store_path = store.path
        self.records = records
        self.labels = losses.label_names
        self.columns = RecordColumns(records, self.labels)
        self._sets = LabelSets(self.labels) if records.is_multi_label else None
        self._store = store
        self._lock = threading.Lock()
        self._place_of = {row: place for place, row in enumerate(self.columns.ids.tolist())}
        self._read_decisions()

    @classmethod
    def open(cls, losses_path: Path, n: int) -> Self:
        """Opens the review of a losses file, and the store beside it. Raises LossAuditError if either can't be used."""
        losses = LossesTable.open(losses_path)
        records = Records(losses, n)
        if not records:
            raise LossAuditError(f"{losses_path} has no row with a loss, so there is nothing to review")
        store = DecisionStore.open(losses)
        try:
            return cls(losses, records, store)
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        with self._lock:
            self._store.close()

    def version(self) -> int:
        """A number that rises with every change of the decisions by any process."""
        with self._lock:
            return self._store.version()

    def annotators(self) -> list[str]:
        with self._lock:
            return self._store.annotators()

    def decided(self) -> int:
        """Number of rows of the losses file with a decision, including those below the top n."""
        with self._lock:
            self._catch_up()
            return len(self._decisions)

    def gone(self) -> int:
        """Number of decided examples that the losses file doesn't have now."""
        with self._lock:
            return len(self._store.gone())

    def progress(self) -> Progress:
        with self._lock:
            self._catch_up()
            counts = np.bincount(self._codes, minlength=len(VERDICTS) + 1)[1:].tolist()
        by_verdict = dict(zip(VERDICTS, counts, strict=True))
        judged = by_verdict["relabel"] + by_verdict["keep"]
        return Progress(len(self.records), by_verdict, wrong_share(by_verdict["relabel"], judged))

    def view(self, query: Query) -> View:
        with self._lock:
            places = self._places(query)
            codes = self._codes[places]
        undecided = np.flatnonzero(codes == UNDECIDED)
        first = int(undecided[0]) if len(undecided) else None
        return View((places + 1).tolist(), len(places) - len(undecided), first)

    def items(self, ranks: Sequence[int]) -> list[Item]:
        """Records as the list shows them. Raises LossAuditError for ranks that don't exist."""
        records = self.records
        table = records.table.take(self._checked(ranks) - 1)
        starts = [pc.utf8_slice_codeunits(table[name], 0, 2 * _SNIPPET).to_pylist() for name in records.text_columns]
        rows = table.select(records.required).to_pylist()
        with self._lock:
            self._catch_up()
            return [
                Item(
                    rank=rank,
                    row=row["id"],
                    label=row["label_name"],
                    prediction=row["prediction_name"],
                    loss=row["loss"],
                    snippets=[" ".join((start or "").split())[:_SNIPPET] for start in texts],
                    decision=self._decisions.get(row["id"]),
                    doubt=records.doubt(row),
                )
                for rank, row, texts in zip(ranks, rows, zip(*starts, strict=True), strict=True)
            ]

    def shown(self, ranks: Sequence[int]) -> list[Shown]:
        """Records as the page shows them. Raises LossAuditError for ranks that don't exist."""
        return [self._shown(int(rank) - 1) for rank in self._checked(ranks)]

    def decide(self, row: int, verdict: str, choice: NewLabel | None, annotator: str) -> Shown:
        """Stores a decision; it is on disk when this returns. Relabelling with the given label counts as keeping it.

        Raises LossAuditError if the row isn't under review, there is no such label, or it can't be stored.
        """
        place = self._place_of.get(row)
        if place is None:
            raise LossAuditError(f"row {row} isn't among the {len(self.records)} under review")
        decision = self._decision(place, verdict, self._checked_choice(verdict, choice), annotator, utc_now())
        with self._lock:
            self._catch_up()
            self._store.add([decision], self.records.examples([place]), now=True)
            if self._store.version() == self._version + 1:
                self._version += 1
                self._decisions[row] = latest = self._store.history(row)[-1]
                self._codes[place] = _code(latest)
        return self._shown(place)

    def decide_all(self, query: Query, verdict: str, choice: NewLabel | None, annotator: str, expected: int) -> int:
        """Decides all records that match a query, as one step; returns how many.

        verdict: also "accept" and, for sets, "add" and "remove", whose label is the choice. Raises MovedError if the
        query no longer finds `expected` records, and LossAuditError like `decide`.
        """
        label = self._checked_choice(verdict, choice)
        with self._lock:
            places = self._places(query).tolist()
            if len(places) != expected:
                raise MovedError(f"the filters now find {len(places):,} records, not {expected:,}; look again")
            now = utc_now()
            decisions = [self._decision(place, verdict, label, annotator, now) for place in places]
            self._store.add(decisions, self.records.examples(places), now=True)
            self._read_decisions()
        return len(places)

    def undo(self, annotator: str) -> list[Decision]:
        """Takes back an annotator's last step; see `DecisionStore.undo`."""
        with self._lock:
            undone = self._store.undo(annotator)
            self._read_decisions()
        return undone

    def ranks_of(self, rows: Sequence[int]) -> list[int | None]:
        """The rows' ranks, None for those that aren't under review."""
        places = [self._place_of.get(row) for row in rows]
        return [None if place is None else place + 1 for place in places]

    def decided_labels(self, decision: Decision) -> str | list[str] | None:
        """The new label of a record, or its new set where records have sets."""
        if self._sets is None or decision.label is None:
            return decision.label
        return list(names_of(decision.label))

    def _decision(self, place: int, verdict: str, label: str | None, annotator: str, made_at: str) -> Decision:
        """label: as it is stored; for "add" and "remove", the label to add or remove."""
        columns = self.columns
        if verdict == ACCEPT:
            verdict, label = "relabel", columns.predicted.at(place)
        elif verdict in (ADD, REMOVE):
            verdict, label = "relabel", self._changed(columns.given.at(place), label, verdict)
        if verdict == "relabel" and label == columns.given.at(place):
            verdict, label = "keep", None
        return Decision(int(columns.ids[place]), verdict, label, annotator, "page", made_at)

    def _changed(self, given: str, label: str | None, verdict: str) -> str:
        """A stored set with a label added or removed."""
        if self._sets is None or label is None:
            raise LossAuditError(f"to {verdict} a label, records must have sets of labels, and the label must be given")
        names = names_of(given)
        return self._sets.stored([*names, label] if verdict == ADD else [name for name in names if name != label])

    def _checked_choice(self, verdict: str, choice: NewLabel | None) -> str | None:
        """A choice as a decision stores it; for "add" and "remove", the label to add or remove."""
        if choice is None or self._sets is None or verdict in (ADD, REMOVE):
            return self._known(choice)
        if isinstance(choice, str):
            raise LossAuditError(f"records here have sets of labels, and {choice!r} isn't a set")
        return self._sets.stored(name for label in choice if (name := self._known(label)) is not None)

    def _known(self, label: NewLabel | None) -> str | None:
        if label is None:
            return None
        if not isinstance(label, str) or label not in self.labels:
            raise LossAuditError(f"there is no label {label!r}")
        return label

    def _shown(self, place: int) -> Shown:
        record = self.records[place]
        names = self.records.table.column_names
        truncated = "truncated" in names and bool(self.records.table["truncated"][place].as_py())
        with self._lock:
            return Shown(record, truncated, self._store.history(record.row))

    def _checked(self, ranks: Sequence[int]) -> Places:
        wanted = np.asarray(ranks, dtype=np.int64)
        if len(wanted) and not (wanted.min() >= 1 and wanted.max() <= len(self.records)):
            raise LossAuditError(f"ranks go from 1 to {len(self.records)}")
        return wanted

    def _places(self, query: Query) -> Places:
        self._catch_up()
        return self.columns.places(query, self._codes)

    def _catch_up(self) -> None:
        if self._store.version() != self._version:
            self._read_decisions()

    def _read_decisions(self) -> None:
        self._version = self._store.version()
        self._decisions = self._store.decisions()
        self._codes = np.zeros(len(self.records), dtype=np.int8)
        for row, decision in self._decisions.items():
            place = self._place_of.get(row)
            if place is not None:
                self._codes[place] = _code(decision)


def _code(decision: Decision) -> int:
    return VERDICTS.index(decision.verdict) + 1
