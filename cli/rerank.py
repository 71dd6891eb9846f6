"""`lossaudit rerank`: learns from decisions which of the other rows to look at first."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .command import Command
from .console import counted, out, warn

if TYPE_CHECKING:
    from lossaudit.engine.table.learned import Learned
    from lossaudit.engine.table.losses import LossesTable

_EXAMPLES = """
lossaudit rerank losses.parquet
"""
_FEW = 20
"""Decisions of which fewer say little about the rest."""


@click.command(cls=Command, examples=_EXAMPLES, short_help="Learn from decisions which rows to look at first.")
@click.argument("losses", type=click.Path(path_type=Path))
def rerank(losses: Path) -> None:
    """Learn from the decisions about LOSSES which of the other rows have a wrong label.

    Decisions come from `lossaudit review` or `lossaudit pull`. The order, and each row's probability that its label is
    wrong, go into a small file beside LOSSES, which `lossaudit top` follows. The losses stay as they are.
    """
    from lossaudit.engine.table.losses import LossesTable
    from lossaudit.review.relearning import rerank as learn

    found = learn(LossesTable.open(losses))
    unclear = f", {found.unclear:,} unclear" if found.unclear else ""
    decided = counted(found.wrong + found.right + found.unclear, "decision")
    states = ", with the states that fit kept" if found.states else ""
    out.print(
        f"Order learned from {decided} ({found.wrong:,} wrong, {found.right:,} right{unclear}){states}", soft_wrap=True
    )
    if found.undecided:
        of_next = "the next one" if found.shown == 1 else f"the next {found.shown:,}"
        guess = " (a guess: few rows are decided)" if found.wrong + found.right < _FEW else ""
        out.print(
            f"Of {of_next}, about {found.expected:,} are expected to be wrong{guess}: lossaudit top {losses}",
            soft_wrap=True,
        )
    else:
        out.print("All rows with a loss are decided.")


def learned_order(table: "LossesTable", required: bool = False) -> "Learned | None":
    """The learned order of a losses file, with a warning if decisions were made since; None where there is none.

    Raises LossAuditError if there is none but it is required, or it can't be read.
    """
    from lossaudit.engine.errors import LossAuditError
    from lossaudit.engine.table.learned import learned_path, read_learned
    from lossaudit.review.relearning import is_current

    learned = read_learned(table.path)
    again = f"lossaudit rerank {table.path}"
    if learned is None and required:
        raise LossAuditError(f"no order has been learned for {table.path} yet: {again}")
    if learned is None and learned_path(table.path).is_file():
        warn(f"the learned order is of the table that was there before: {again}")
    elif learned is not None and not is_current(learned, table):
        warn(f"decisions were made or taken back since this order was learned: {again}")
    return learned
