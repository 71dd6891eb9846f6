"""Sends a sink the records that it lacks, so that a second run duplicates none and doesn't touch people's answers."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from lossaudit.engine.errors import Function, LossAuditError, Option

from ..records import Record
from . import Held, Sink

_TOLERANCE = 1e-6
"""Largest difference by which a server may round a loss."""


@dataclass(frozen=True)
class Logged:
    """The numbers of records."""

    sent: int
    there: int
    """Records that were already there."""
    others: int
    """Other records there: from a longer list, or not from lossaudit."""


def log_records(records: Sequence[Record], sink: Sink, on_stage: Callable[[str, int], Callable[[int], None]]) -> Logged:
    """Sends the records that aren't there yet, in order and in bulks.

    on_stage: takes a stage's name and number of records, and returns the function that reports records as done.
    Raises LossAuditError if a bulk fails, with the records that are stored; and before anything is sent, if the
    records there are about another losses file.
    """
    wanted = {record.row: _Wanted.of(record) for record in records}
    sink.find(create=True)
    there, others = _there(wanted, sink)
    tell = on_stage("Sending", len(wanted) - len(there))
    # Made only when they are sent: a hundred thousand records with a thousand classes don't fit into memory.
    missing = (record for record in records if record.row not in there)
    acknowledged = set(there)
    while bulk := list(itertools.islice(missing, sink.batch_size)):
        try:
            sink.send(bulk)
        except LossAuditError as error:
            raise LossAuditError(*error.parts, f". {_which_are_in(wanted, sink, acknowledged)}") from error
        acknowledged.update(record.row for record in bulk)
        tell(len(bulk))
    return Logged(sent=len(acknowledged) - len(there), there=len(there), others=others)


@dataclass(frozen=True)
class _Wanted:
    """The values by which a record to send is compared with one that is there."""

    rank: int
    text: str
    text_pair: str | None
    loss: float

    @classmethod
    def of(cls, record: Record) -> Self:
        if not math.isfinite(record.loss):
            raise LossAuditError(f"the loss of row {record.row} is {record.loss}; run `", Function("audit"), "` again")
        return cls(record.rank, record.text, record.text_pair, record.loss)

    def is_it(self, held: Held) -> bool:
        """Whether a record of the same row is this one, as far as it has values."""
        same_loss = held.loss is None or math.isclose(held.loss, self.loss, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
        return same_loss and held.has_texts(self.text, self.text_pair)


def _there(wanted: Mapping[int, _Wanted], sink: Sink) -> tuple[set[int], int]:
    """The rows of the wanted records that are there, and the number of other records."""
    there: set[int] = set()
    others = 0
    for held in sink.held():
        if held.row is None or held.row not in wanted:
            others += 1
        elif wanted[held.row].is_it(held):
            there.add(held.row)
        else:
            raise LossAuditError(
                f"{sink.address} is about another losses file: its row {held.row} has another text or loss; "
                "give another ",
                Option("name"),
            )
    return there, others


def _which_are_in(wanted: Mapping[int, _Wanted], sink: Sink, acknowledged: set[int]) -> str:
    """A sentence for the user, based on what the sink holds now, or else on what it has confirmed."""
    try:
        rows, surely = {held.row for held in sink.held()}, True
    except LossAuditError:
        rows, surely = {*acknowledged}, False
    ranks = [record.rank for row, record in wanted.items() if row in rows]
    which = f"those of rank {_ranges(ranks)}" if ranks else "none"
    sure = "stored" if surely else "known to be stored"
    return f"Of {len(wanted):,} records, {which} are {sure}. Run the same command again to send the rest"


def _ranges(numbers: Sequence[int]) -> str:
    """`[1, 2, 3, 7]` as `1-3, 7`."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in ranges)
