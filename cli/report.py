"""`lossaudit report`: what a losses table tells, as one page to look at and to hand on."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .command import Command
from .console import out, steps
from .process import free_memory_at_once

if TYPE_CHECKING:
    from lossaudit.review.report.confident import WrongLabels
    from lossaudit.review.report.figures import Missing
    from lossaudit.review.report.page import Report

_EXAMPLES = """
lossaudit report losses.parquet -o report.html
lossaudit report losses.parquet -o report.html --top 200
"""


@click.command(cls=Command, examples=_EXAMPLES, short_help="Write a page with what a losses table tells.")
@click.argument("losses", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="File to write, .html. A report that is there is replaced, another file is not.",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    help="Rows of highest loss to set apart.  [default: the audit's exact top, or 500]",
)
def report(losses: Path, output: Path, top: int | None) -> None:
    """Write one HTML page about LOSSES, a table made by `lossaudit audit`.

    It shows how many labels are probably wrong, where they are and what the model is like, with charts and examples.
    The page loads nothing from elsewhere. It holds texts of the dataset: hand it on only where they may go.
    """
    from lossaudit.review.report.page import write_report

    free_memory_at_once()
    with steps("Reporting") as on_step:
        on_step(str(losses))
        written = write_report(losses, output, top)
    print_report(written, output)


def print_report(report: "Report", path: Path) -> None:
    """Says the report's answer, and where it is."""
    _print_wrong(report.wrong)
    out.print(f"Wrote {path}. Open it in a browser.", soft_wrap=True)


def print_wrong(losses: Path) -> None:
    """Says how many labels of a losses file are probably wrong, where it holds what tells that."""
    from lossaudit.engine.table.losses import LossesTable
    from lossaudit.review.report.confident import wrong_labels

    table = LossesTable.open(losses)
    learnt = "" if table.facts.out_of_sample else ", and more if the model was trained on these rows"
    _print_wrong(wrong_labels(table), learnt)


def _print_wrong(wrong: "WrongLabels | Missing", learnt: str = "") -> None:
    from lossaudit.review.report.confident import WrongLabels

    if isinstance(wrong, WrongLabels):
        total = wrong.total
        most = f"; the top {wrong.to_review:,} should hold most of them" if total.rows else ""
        out.print(
            f"About {total.rows:,} labels are probably wrong "
            f"(95 % interval: {total.low:,.0f} to {total.high:,.0f}{learnt}){most}",
            soft_wrap=True,
        )
