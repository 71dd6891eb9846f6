"""Brings people's answers back from a sink into the store of decisions, each of them once."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.table.losses import LossesTable

from ..label_names import meant
from ..label_sets import LabelSets
from ..new_labels import checked_new
from ..store import Decision, DecisionStore
from . import Answer, Held, Sink
from .placing import Row, placed


@dataclass
class Pulled:
    """The numbers of what was pulled."""

    records: int = 0
    """Records in the sink."""
    unanswered: int = 0
    """Records without an answer."""
    new: Counter[str] = field(default_factory=Counter)
    """Decisions that are new to the store, by verdict."""
    known: int = 0
    """Answers that were pulled before."""
    strangers: list[int | None] = field(default_factory=list)
    """Rows of answered records that aren't in this losses file; None for a record that lossaudit didn't send."""
    unknown_labels: dict[str, list[int]] = field(default_factory=dict)
    """Labels that the model doesn't have, with the rows whose answers have them."""


def pull(losses: LossesTable, sink: Sink, origin: str, *, new_labels: bool = False) -> Pulled:
    """Adds people's decisions in the sink to the store of the losses file.

    origin: the origin of the decisions. new_labels: whether to take labels that the model doesn't have. Raises
    LossAuditError if the sink can't be read, or if none of its answered records is in this losses file; the store then
    stays unchanged.
    """
    sink.find(create=False)
    pulled = Pulled()
    answered: list[Held] = []
    for held in sink.held():
        pulled.records += 1
        if held.answers:
            answered.append(held)
    pulled.unanswered = pulled.records - len(answered)
    rows = placed(answered, losses)
    pulled.strangers = [held.row for held, row in zip(answered, rows, strict=True) if row is None]
    if answered and len(pulled.strangers) == len(answered):
        raise LossAuditError(
            f"none of the {len(answered):,} answered records of {sink.address} is in {losses.path}: their rows or "
            "texts are different; pull them with the losses file that they were logged from"
        )
    if new_labels and losses.is_multi_label:
        raise LossAuditError("new labels can be taken only where rows have one label each")
    read = _Reader(losses.label_names, losses.is_multi_label, new_labels)
    answers: dict[Row, list[Answer]] = defaultdict(list)
    for held, row in zip(answered, rows, strict=True):
        if row is not None:
            answers[row] += held.answers
    decisions = [
        decision
        for row, said in answers.items()
        for decision in _decisions(row.number, said, row.given, read, origin, pulled)
    ]
    if decisions:
        with DecisionStore.open(losses) as store:
            new = [decision for decision in decisions if not _is_known(decision, store)]
            store.add(new)
        pulled.new = Counter(decision.verdict for decision in new)
        pulled.known = len(decisions) - len(new)
    return pulled


def _decisions(
    row: int, answers: Sequence[Answer], given: str | None, read: "_Reader", origin: str, pulled: Pulled
) -> Iterator[Decision]:
    """Each person's last answer about a row, as decisions; answers with unknown labels are noted instead."""
    in_time = sorted(answers, key=lambda answer: datetime.fromisoformat(answer.made_at))
    for answer in {answer.annotator: answer for answer in in_time}.values():
        try:
            verdict, label = read.verdict(answer, given)
        except _UnknownLabelError as error:
            pulled.unknown_labels.setdefault(str(error), []).append(row)
        else:
            yield Decision(row, verdict, label, answer.annotator, origin, answer.made_at)


class _UnknownLabelError(Exception):
    """An answer has a label that the model doesn't have."""


class _Reader:
    """Reads answers as verdicts, with the labels of a model."""

    def __init__(self, names: Sequence[str], multi_label: bool, new_labels: bool) -> None:
        self._names = names
        self._takes_new = new_labels
        self._sets = LabelSets(names) if multi_label else None

    def verdict(self, answer: Answer, given: str | None) -> tuple[str, str | None]:
        """The verdict, and the new label or set, of an answer about a row with this given label or stored set.

        Raises _UnknownLabelError.
        """
        if answer.label is None:
            assert answer.verdict is not None
            return answer.verdict, None
        label = self._label(answer.label, given)
        return ("keep", None) if label == given else ("relabel", label)

    def _label(self, said: str | tuple[str, ...], given: str | None) -> str:
        """A label, or a set, as decisions store it."""
        if self._sets is None:
            # The model may not have the label that the dataset gives.
            return self._known(str(said), self._names if given is None else [given, *self._names])
        chosen = [said] if isinstance(said, str) else said
        return self._sets.stored(self._known(label, self._names) for label in chosen)

    def _known(self, label: str, names: Sequence[str]) -> str:
        found = meant(label, names)
        if found is None and label.isascii() and label.isdigit() and len(label) < 10 and int(label) < len(self._names):
            found = self._names[int(label)]  # its class index
        if found is None and self._takes_new:
            return checked_new(label.strip(), names)
        if found is None:
            raise _UnknownLabelError(label)
        return found


def _is_known(decision: Decision, store: DecisionStore) -> bool:
    """Whether this is the person's last decision about the row from this origin.

    The verdict and label decide, not the time, which some servers change without a new answer.
    """
    said = [
        earlier
        for earlier in store.history(decision.row)
        if (earlier.annotator, earlier.origin) == (decision.annotator, decision.origin)
    ]
    return bool(said) and (said[-1].verdict, said[-1].label) == (decision.verdict, decision.label)
