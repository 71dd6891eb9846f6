"""Brings people's answers back from a sink into the store of decisions; those that are there already stay single."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.losses import Losses
from lossaudit.review.records import label_names
from lossaudit.review.sinks import Answer, Held, Sink, storable
from lossaudit.review.store import Decision, DecisionStore


@dataclass
class Pulled:
    """What came back."""

    records: int = 0
    """Records that the sink holds."""
    unanswered: int = 0
    """Records of these without an answer."""
    new: Counter[str] = field(default_factory=Counter)
    """Decisions that the store hadn't, by verdict."""
    known: int = 0
    """Answers that were pulled before."""
    strangers: list[int | None] = field(default_factory=list)
    """The rows of answered records that aren't of this losses file; None for one that lossaudit didn't send."""
    unknown_labels: dict[str, list[int]] = field(default_factory=dict)
    """Labels that aren't the model's, with the rows that were given them."""


@dataclass(frozen=True)
class _Row:
    label: str
    text: str | None


def pull(losses: Losses, sink: Sink, origin: str) -> Pulled:
    """Adds to the losses file's store what people decided in the sink.

    origin: what the decisions' origin says. Raises LossAuditError if the sink can't be read, or if no answered
    record of it is of this losses file; the store is untouched then.
    """
    sink.find(create=False)
    pulled = Pulled()
    answered: list[Held] = []
    for held in sink.held():
        pulled.records += 1
        if held.answers:
            answered.append(held)
    pulled.unanswered = pulled.records - len(answered)
    rows = _rows(losses, {held.row for held in answered if held.row is not None})
    for held in answered:
        if not _is_ours(held, rows):
            pulled.strangers.append(held.row)
    if answered and len(pulled.strangers) == len(answered):
        raise LossAuditError(
            f"none of the {len(answered):,} answered records of {sink.address} is of {losses.path}: they have other "
            "rows or texts; pull them with the losses file that they were logged from"
        )
    names = label_names(losses)
    decisions = [
        decision
        for held in answered
        if held.row is not None and _is_ours(held, rows)
        for decision in _decisions(held.row, held.answers, rows[held.row].label, names, origin, pulled)
    ]
    if decisions:
        with DecisionStore.open(losses.path) as store:
            new = [decision for decision in decisions if not _is_known(decision, store)]
            store.add(new)
        pulled.new = Counter(decision.verdict for decision in new)
        pulled.known = len(decisions) - len(new)
    return pulled


def _rows(losses: Losses, wanted: set[int]) -> dict[int, _Row]:
    """The given labels and texts of these rows, as far as the losses file has them."""
    text = losses.text_column
    columns = ["id", "label_name", *([text] if text else [])]
    ids = pa.array(sorted(wanted), type=pa.int64())
    found: dict[int, _Row] = {}
    for batch in losses.batches(columns):
        for row in batch.filter(pc.is_in(batch["id"].cast(pa.int64()), value_set=ids)).to_pylist():
            found[row["id"]] = _Row(str(row["label_name"]), str(row[text] or "") if text else None)
    return found


def _is_ours(held: Held, rows: dict[int, _Row]) -> bool:
    row = rows.get(held.row) if held.row is not None else None
    if row is None:
        return False
    return held.text is None or row.text is None or storable(held.text) == storable(row.text)


def _decisions(
    row: int, answers: Sequence[Answer], given: str, names: Sequence[str], origin: str, pulled: Pulled
) -> Iterator[Decision]:
    """The last answer of each person about a row, as decisions; those with strange labels are noted instead."""
    in_time = sorted(answers, key=lambda answer: datetime.fromisoformat(answer.made_at))
    for answer in {answer.annotator: answer for answer in in_time}.values():
        verdict, label = _verdict(answer, given, names)
        if verdict is None:
            pulled.unknown_labels.setdefault(str(answer.label), []).append(row)
        else:
            yield Decision(row, verdict, label, answer.annotator, origin, answer.made_at)


def _verdict(answer: Answer, given: str, names: Sequence[str]) -> tuple[str | None, str | None]:
    """What an answer means for a row with this given label; (None, None) if its label isn't one of the model's."""
    if answer.label is None:
        return answer.verdict, None
    label = _match(answer.label, [given, *names])
    if label is None:
        return None, None
    return ("keep", None) if label == given else ("relabel", label)


def _match(label: str, names: Sequence[str]) -> str | None:
    """The name that is meant: the same one, or the only one that is the same but for blanks around it."""
    if label in names:
        return label
    close = {name for name in names if name.strip() == label.strip()}
    return close.pop() if len(close) == 1 else None


def _is_known(decision: Decision, store: DecisionStore) -> bool:
    """Whether this is the last that this person said of the row through this origin.

    Told by what was said, not by its time, which some servers move without a new answer.
    """
    said = [
        earlier
        for earlier in store.history(decision.row)
        if (earlier.annotator, earlier.origin) == (decision.annotator, decision.origin)
    ]
    return bool(said) and (said[-1].verdict, said[-1].label) == (decision.verdict, decision.label)
