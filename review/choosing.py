"""Chooses the records of a review: the rows with the highest loss, the first of a learned order, or a random sample."""

from dataclasses import dataclass

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.table.learned import read_learned
from lossaudit.engine.table.losses import LossesTable

from .records import Records
from .sampling import Sample, sampled

ORDERS = LOSS, LEARNED, SAMPLE = "loss", "learned", "sample"


@dataclass(frozen=True)
class Choice:
    """The records to review."""

    records: Records
    order: str
    """One of ORDERS."""
    sample: Sample | None = None
    """The sample that the records are, if they are one."""


def chosen_records(losses: LossesTable, n: int, order: str | None = None) -> Choice:
    """n records (fewer if fewer rows have a loss) in one of ORDERS; by default LEARNED, if there is one, else LOSS.

    Raises LossAuditError if there is nothing to sample or no learned order, or a file can't be used.
    """
    if order == SAMPLE:
        sample = sampled(losses, n)
        if not len(sample.drawn):
            raise LossAuditError(f"no row of {losses.path} with a loss is undecided, so there is nothing to sample")
        return Choice(Records(losses, n, sample.drawn), SAMPLE, sample)
    learned = read_learned(losses.path) if order != LOSS else None
    if learned is None and order == LEARNED:
        raise LossAuditError(
            f"no order has been learned for {losses.path} yet; learn one with `lossaudit rerank {losses.path}`"
        )
    return Choice(Records(losses, n, learned.ids if learned else None), LEARNED if learned else LOSS)
