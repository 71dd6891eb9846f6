"""What `audit` and `fit` print about decisions on a losses file that they make anew."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.shortening import shortened

from .console import out, printable, warn
from .wording import message_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lossaudit.review.store import Gone

_MOST = 5
"""Examples that are listed."""
_WIDTH = 60


def print_decided_before(losses: Path) -> int:
    """Prints, before the work, what becomes of the decisions, and returns how many there are."""
    from lossaudit.review.remaking import decided_before

    try:
        decided = decided_before(losses)
    except LossAuditError as error:
        warn(f"the decisions about {losses}: {message_of(error)}")
        return 0
    if decided:
        rows = "1 row is" if decided == 1 else f"{decided:,} rows are"
        out.print(f"{rows} decided in {losses}: the decisions are kept, by text and given label", soft_wrap=True)
    return decided


def print_decided_after(losses: Path, before: int) -> None:
    """Prints, after the work, which of the decisions are about rows of the new table."""
    if not before:
        return
    from lossaudit.review.remaking import decided_after

    try:
        still, gone = decided_after(losses)
    except LossAuditError as error:
        warn(f"the decisions about {losses}: {message_of(error)}")
        return
    if not gone:
        out.print(f"Decisions: all {still:,} are about rows of the new table")
        return
    out.print(
        f"Decisions: {still:,} of {still + len(gone):,} are about rows of the new table. It lacks the texts, or the "
        f"given labels, of {len(gone):,}, which are kept until they come back:",
        soft_wrap=True,
    )
    print_gone(gone, more=f": `lossaudit decisions show {losses}`")


def print_gone(gone: "Sequence[Gone]", more: str = "") -> None:
    """Lists decisions whose texts aren't there. more: what follows the number of those that aren't listed."""
    for one in gone[:_MOST]:
        given, text = printable(one.decision.given), shortened(printable(one.start), _WIDTH)
        out.print(Text(f"  row {one.decision.row} ({given}): {text}"), soft_wrap=True)
    if len(gone) > _MOST:
        out.print(f"  and {len(gone) - _MOST:,} more{more}", soft_wrap=True)
