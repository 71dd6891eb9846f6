"""Chooses the records of a review: the rows with the highest loss, the first of a learned order, or a random sample."""

from dataclasses import dataclass

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.table.learned import read_learned
from lossaudit.engine.table.losses import LossesTable

from .records import Records
from .sampling import Sample, sampled

_POOL = 10_000
"""Records among which a review finds those that an order learned meanwhile puts first."""
ORDERS = LOSS, LEARNED, SAMPLE = "loss", "learned", "sample"


@dataclass(frozen=True)
class Choice:
    """The records to review."""

    records: Records
    shown: int
    """How many of them are shown; others may come in once an order is learned."""
    order: str
    """One of ORDERS."""
    sample: Sample | None = None
    """The sample that the records are, if they are one."""


def chosen_records(losses: LossesTable, n: int, order: str | None = None, pool: bool = False) -> Choice:
    """n records (fewer if fewer rows have a loss) in one of ORDERS; by default LEARNED, if there is one, else LOSS.

    pool: whether to have more at hand than are shown.
    Raises LossAuditError if there is nothing to sample or no learned order, or a file can't be used.
    """
    if order == SAMPLE:
        sample = sampled(losses, n)
        if not len(sample.drawn):
            raise LossAuditError(f"no row of {losses.path} with a loss is undecided, so there is nothing to sample")
        return Choice(Records(losses, n, sample.drawn), n, SAMPLE, sample)
    learned = read_learned(losses.path) if order != LOSS else None
    if learned is None and order == LEARNED:
        raise LossAuditError(
            f"no order has been learned for {losses.path} yet; learn one with `lossaudit rerank {losses.path}`"
        )
    records = Records(losses, max(n, _POOL) if pool else n, learned.ids if learned else None)
    return Choice(records, n, LEARNED if learned else LOSS)
