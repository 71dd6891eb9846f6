"""A review: joins the records and the store of decisions; everything that the page shows and decides goes through it.

Decisions are also kept as an array beside the records, which is read again if another process has changed the store.
"""

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow.compute as pc

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.table.learned import Learned
from lossaudit.engine.table.losses import LossesTable

from .agreement import Agreement, agreement_among
from .choosing import Choice, chosen_records
from .estimate import wrong_share
from .label_sets import LabelSets, names_of, shown
from .new_labels import checked_new, new_labels
from .opinions import Opinions, People, Remark, Viewer, is_shared
from .queries import OWN_ORDER, UNDECIDED, Passes, Places, Query, RecordColumns, place_in
from .reranking import Listing, Reranker
from .sampling import SampledShare
from .store import ADJUDICATION, VERDICTS, Decision, DecisionStore, utc_now
from .views import ConflictError, Item, MovedError, Progress, Shown, View

ACCEPT, ADD, REMOVE = "accept", "add", "remove"
"""Verdicts of a bulk decision: each record gets its prediction, or its given labels with or without one label."""
NewLabel = str | Sequence[str]
"""New label of a record, or set of labels where records have sets."""
_SNIPPET = 160
"""Characters of a text in the list."""


class Review:
    """A review of the n rows with the highest loss, or of others. Threads may share it."""

    def __init__(self, losses: LossesTable, choice: Choice, store: DecisionStore, people: People) -> None:
        """See `open`."""
        self.people, records = people, choice.records
        self.losses_path = losses.path
        self.store_path = store.path
        self.records = records
        self.labels = losses.label_names
        self.columns = RecordColumns(records, self.labels)
        self.order, self._sample = choice.order, choice.sample
        self._sets = LabelSets(self.labels) if records.is_multi_label else None
        self._store = store
        self._lock = threading.Lock()
        self.listing = Listing(self.columns.ids, choice.shown)
        self._reranker: Reranker | None = None
        ids = self.columns.ids.tolist()
        self._place_of = {row: place for place, row in enumerate(ids)}
        examples = records.examples(range(len(ids))) if people.overlap else {}
        shared = [row in examples and is_shared(examples[row], people.overlap) for row in ids]
        self._opinions = Opinions(ids, np.array(shared, dtype=bool))
        self._read_decisions()

    @classmethod
    def open(
        cls, losses_path: Path, n: int, people: People | None = None, order: str | None = None, rerank_every: int = 0
    ) -> Self:
        """Opens the review of n rows of a losses file, and the store beside it.

        order: one of ORDERS; by default the learned one, if there is one, else LOSS. rerank_every: decisions after
        which the order of the undecided rows is learned again; 0 for never, and in a sample it never is. Raises
        LossAuditError if a file can't be used.
        """
        losses = LossesTable.open(losses_path)
        choice = chosen_records(losses, n, order, pool=rerank_every > 0)
        if not choice.records:
            raise LossAuditError(f"{losses_path} has no row with a loss, so there is nothing to review")
        store = DecisionStore.open(losses)
        try:
            review = cls(losses, choice, store, people or People())
            if rerank_every and choice.sample is None:
                review._reranker = Reranker(losses_path, rerank_every, review.follow)
            return review
        except BaseException:
            store.close()
            raise

    def follow(self, learned: Learned) -> None:
        """Shows the undecided records in a learned order, behind the decided ones; others at hand may come in."""
        with self._lock:
            self._catch_up()
            self.listing.follow(learned, self._decided())

    def wait(self) -> None:
        """Returns once no order is being learned."""
        if self._reranker is not None:
            self._reranker.wait()

    def _decided(self) -> Passes:
        """(records,) whether anybody has decided each record at hand."""
        return np.isin(self.columns.ids, list(self._opinions.latest()))

    def close(self) -> None:
        self.wait()
        with self._lock:
            self._store.close()

    def version(self) -> int:
        """A number that rises with every change of the decisions by any process."""
        with self._lock:
            return self._store.version()

    def annotators(self) -> list[str]:
        with self._lock:
            return self._store.annotators()

    def new_labels(self) -> list[str]:
        """Labels that people added to the model's; none where records have sets."""
        return [] if self._sets is not None else new_labels(self._all(), self.labels)

    def _added(self, label: NewLabel | None) -> str:
        if self._sets is not None or not isinstance(label, str):
            raise LossAuditError("a label can be added to the model's only where records have one label each")
        return checked_new(label, [*self.labels, *self.new_labels()])

    def tags(self) -> list[str]:
        """Tags of decisions so far, sorted."""
        return sorted({tag for one in self._all() for tag in one.tags})

    def _all(self) -> list[Decision]:
        with self._lock:
            self._catch_up()
            return [one for made in self._opinions.made.values() for one in made]

    def decided(self) -> int:
        """Number of rows of the losses file with a decision, including those below the top n."""
        with self._lock:
            self._catch_up()
            return len(self._opinions)

    def gone(self) -> int:
        """Number of decided examples that the losses file doesn't have now."""
        with self._lock:
            return len(self._store.gone())

    def viewer(self, name: str, mine: bool) -> Viewer:
        """A person at this page; mine: whether only their own decisions count."""
        return Viewer(name, mine, self.people.adjudicating)

    def sampled(self) -> SampledShare | None:
        """What the decisions say of all rows; None where the records are no random sample."""
        if self._sample is None:
            return None
        with self._lock:
            self._catch_up()
            return self._sample.estimate(self._opinions.latest())

    def progress(self, viewer: Viewer) -> Progress:
        sampled = self.sampled()
        with self._lock:
            self._catch_up()
            listing, decided = self.listing, len(self._opinions)
            codes = self._opinions.codes(viewer)[listing.listed]
            joint = self._opinions.joint()
        if self._reranker is not None:
            self._reranker.note(decided)
        counts = np.bincount(codes, minlength=len(VERDICTS) + 1)[1:].tolist()
        by_verdict = dict(zip(VERDICTS, counts, strict=True))
        if sampled is not None:
            return Progress(len(codes), by_verdict, sampled.share, joint, sampled.rows)
        judged = by_verdict["relabel"] + by_verdict["keep"]
        share = wrong_share(by_verdict["relabel"], judged)
        return Progress(len(codes), by_verdict, share, joint, order=listing.meanwhile)

    def agreement(self) -> Agreement | None:
        """How far people agree about the records under review; None if no two have decided the same one."""
        with self._lock:
            self._catch_up()
            made = {row: list(decisions) for row, decisions in self._opinions.made.items() if row in self._place_of}
        return agreement_among(made, self._pair, self._sets is not None)

    def _pair(self, row: int) -> tuple[str, str]:
        """The given and the predicted label of a row, as people see them."""
        at = self._place_of[row]
        both = (self.columns.given.at(at), self.columns.predicted.at(at))
        given, predicted = both if self._sets is None else (shown(names_of(label)) for label in both)
        return given, predicted

    def view(self, query: Query, viewer: Viewer, after: int | None = None) -> View:
        """after: rank of a record, behind which the first undecided one is looked for before the others."""
        with self._lock:
            places = self._places(query, viewer)
            codes = self._opinions.codes(viewer)[places]
        undecided = np.flatnonzero(codes == UNDECIDED)
        behind = undecided[undecided > place_in(places, after)]
        first = int(next(iter([*behind[:1], *undecided[:1]]))) if len(undecided) else None
        return View((places + 1).tolist(), len(places) - len(undecided), first)

    def next_undecided(self, ranks: Sequence[int], viewer: Viewer) -> int | None:
        """The first of some ranks whose record is undecided; None if none is."""
        wanted = self._checked(ranks)
        with self._lock:
            self._catch_up()
            undecided = np.flatnonzero(self._opinions.codes(viewer)[wanted - 1] == UNDECIDED)
        return int(wanted[undecided[0]]) if len(undecided) else None

    def items(self, ranks: Sequence[int], viewer: Viewer) -> list[Item]:
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
                    decision=self._opinions.counting(row["id"], viewer),
                    doubt=records.doubt(row),
                )
                for rank, row, texts in zip(ranks, rows, zip(*starts, strict=True), strict=True)
            ]

    def shown(self, ranks: Sequence[int], viewer: Viewer) -> list[Shown]:
        """Records as the page shows them. Raises LossAuditError for ranks that don't exist."""
        return [self._shown(int(rank) - 1, viewer) for rank in self._checked(ranks)]

    def shown_row(self, row: int, viewer: Viewer) -> Shown:
        """The record of a row. Raises LossAuditError if it isn't under review."""
        return self._shown(self._checked_place(row), viewer)

    def decide(
        self,
        row: int,
        verdict: str,
        choice: NewLabel | None,
        viewer: Viewer,
        seen: str | None,
        remark: Remark,
        is_new: bool,
    ) -> Shown:
        """Stores a decision; it is on disk when this returns. Relabelling with the given label counts as keeping it.

        seen: time of the decision that the person saw; None for none. is_new: whether the choice may be a label that
        the model doesn't have. Raises ConflictError if they haven't seen another person's decision, and LossAuditError
        if the row isn't under review, there is no such label, or it can't be stored.
        """
        place = self._checked_place(row)
        label = self._added(choice) if is_new else self._checked_choice(verdict, choice)
        decision = self._decision(place, verdict, label, viewer.name, utc_now())
        decision = replace(decision, note=remark.note, tags=remark.tags)

        def check() -> None:
            self._catch_up()
            before = self._opinions.seen(row, viewer)
            if before and before[-1].annotator != viewer.name and before[-1].made_at != seen:
                raise ConflictError(f"{before[-1].annotator} has decided row {row} meanwhile")

        with self._lock:
            self._store.add([decision], self.records.examples([place]), now=True, before=check)
            if self._store.version() == self._version + 1:
                self._version += 1
                self._opinions.learn(row, self._store.history(row))
            if not self.listing.listed[place]:
                self.listing.admit(place, self._decided())
        return self._shown(place, viewer)

    def decide_all(self, query: Query, verdict: str, choice: NewLabel | None, viewer: Viewer, expected: int) -> int:
        """Decides all records that match a query, as one step; returns how many.

        verdict: also "accept" and, for sets, "add" and "remove", whose label is the choice. Raises MovedError if the
        query no longer finds `expected` records, and LossAuditError like `decide`.
        """
        label = self._checked_choice(verdict, choice)
        with self._lock:
            places = self._places(query, viewer).tolist()
            if len(places) != expected:
                raise MovedError(f"the filters now find {len(places):,} records, not {expected:,}; look again")
            now = utc_now()
            decisions = [self._decision(place, verdict, label, viewer.name, now) for place in places]
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
        origin = ADJUDICATION if self.people.adjudicating else "page"
        return Decision(int(columns.ids[place]), verdict, label, annotator, origin, made_at)

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
        if not isinstance(label, str) or (label not in self.labels and label not in self.new_labels()):
            raise LossAuditError(f"there is no label {label!r}")
        return label

    def _checked_place(self, row: int) -> int:
        if row not in self._place_of:
            raise LossAuditError(f"row {row} isn't among the {len(self.records)} under review")
        return self._place_of[row]

    def _shown(self, place: int, viewer: Viewer) -> Shown:
        record = self.records[place]
        names = self.records.table.column_names
        truncated = "truncated" in names and bool(self.records.table["truncated"][place].as_py())
        with self._lock:
            self._catch_up()
            return Shown(record, truncated, self._opinions.seen(record.row, viewer))

    def _checked(self, ranks: Sequence[int]) -> Places:
        wanted = np.asarray(ranks, dtype=np.int64)
        if len(wanted) and not (wanted.min() >= 1 and wanted.max() <= len(self.records)):
            raise LossAuditError(f"ranks go from 1 to {len(self.records)}")
        return wanted

    def _places(self, query: Query, viewer: Viewer) -> Places:
        self._catch_up()
        opinions = self._opinions
        places = self.columns.places(query, opinions.codes(viewer), lambda: opinions.disputed(viewer))
        return self.listing.of(places, query.sort == OWN_ORDER)

    def _catch_up(self) -> None:
        if self._store.version() != self._version:
            self._read_decisions()

    def _read_decisions(self) -> None:
        self._version = self._store.version()
        self._opinions.replace(self._store.histories())
