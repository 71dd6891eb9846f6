"""Sends records to a sink: those that it lacks, so that a second run doubles none and leaves people's answers alone."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lossaudit.engine.errors import LossAuditError
from lossaudit.review.records import Record
from lossaudit.review.sinks import Sink, storable

_TOLERANCE = 1e-6
"""How far a server may round a loss."""


@dataclass(frozen=True)
class Logged:
    """What was sent."""

    sent: int
    there: int
    """Records that were there already."""
    others: int
    """Records there that weren't to be sent: of a longer list, or not lossaudit's."""


def log_records(records: Sequence[Record], sink: Sink, on_stage: Callable[[str, int], Callable[[int], None]]) -> Logged:
    """Sends the records in their order, in bulks, unless they are there.

    on_stage: takes the name of what begins and how many records it has, returns what to tell of records done.
    Raises LossAuditError, which says which records are in, if a bulk fails; and before anything is sent if the
    records there are about another losses file.
    """
    for record in records:
        if not math.isfinite(record.loss):
            raise LossAuditError(f"the loss of row {record.row} is {record.loss}; run `lossaudit audit` again")
    sink.find(create=True)
    there, others = _there(records, sink)
    missing = [record for record in records if record.row not in there]
    tell = on_stage("Sending", len(missing))
    for start in range(0, len(missing), sink.batch_size):
        bulk = missing[start : start + sink.batch_size]
        try:
            sink.send(bulk)
        except LossAuditError as error:
            acknowledged = there | {record.row for record in missing[:start]}
            raise LossAuditError(f"{error}. {_which_are_in(records, sink, acknowledged)}") from error
        tell(len(bulk))
    return Logged(sent=len(missing), there=len(there), others=others)


def _there(records: Sequence[Record], sink: Sink) -> tuple[set[int], int]:
    """The rows of those records that are there, and how many other records are."""
    wanted = {record.row: record for record in records}
    there: set[int] = set()
    others = 0
    for held in sink.held():
        record = wanted.get(held.row) if held.row is not None else None
        if record is None:
            others += 1
            continue
        if not _is_same(record, held.text, held.loss):
            raise LossAuditError(
                f"{sink.address} is about another losses file: its row {record.row} has another text or loss; "
                "give another --name"
            )
        there.add(record.row)
    return there, others


def _is_same(record: Record, text: str | None, loss: float | None) -> bool:
    same_loss = loss is None or math.isclose(loss, record.loss, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    return same_loss and (text is None or storable(text) == storable(record.text))


def _which_are_in(records: Sequence[Record], sink: Sink, acknowledged: set[int]) -> str:
    """A sentence for the user, from what the sink says now, or else from what it has confirmed."""
    try:
        rows, surely = {held.row for held in sink.held()}, True
    except LossAuditError:
        rows, surely = {*acknowledged}, False
    ranks = [record.rank for record in records if record.row in rows]
    which = f"the records of rank {_ranges(ranks)}" if ranks else "none"
    sure = "In" if surely else "Surely in"
    return f"{sure} of {len(records):,}: {which}. The same command, run again, sends the rest"


def _ranges(numbers: Sequence[int]) -> str:
    """`[1, 2, 3, 7]` as `1-3, 7`."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in ranges)
