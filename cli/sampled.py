"""What a random sample says of all labels, in one line."""

from pathlib import Path
from typing import TYPE_CHECKING

from .console import out

if TYPE_CHECKING:
    from lossaudit.review.sampling import SampledShare


def print_sampled(found: "SampledShare", losses: Path) -> None:
    """Prints the share and number of wrong labels, or how many decisions are missing."""
    share = found.share
    if share is None:
        out.print(
            f"{found.judged:,} of {found.drawn:,} random rows are decided as wrong or right; the share of wrong labels "
            f"needs more: lossaudit review {losses} --sample {found.drawn}",
            soft_wrap=True,
        )
        return
    low, high = (round(each * found.rows) for each in (share.low, share.high))
    out.print(
        f"Of all {found.rows:,} labels, {share.share:.1%} are wrong (95 % interval: {share.low:.1%} to "
        f"{share.high:.1%}, or {low:,} to {high:,} labels), by {found.judged:,} random rows",
        soft_wrap=True,
    )
