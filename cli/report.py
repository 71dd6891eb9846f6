"""`lossaudit report`: writes one page about a losses table, to read and to share."""

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


@click.command(cls=Command, examples=_EXAMPLES, short_help="Write a report about a losses table.")
@click.argument("losses", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="File to write, .html. An existing report is replaced; any other file is refused.",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    help="Rows with the highest loss to highlight.  [default: the audit's exact top, or 500]",
)
def report(losses: Path, output: Path, top: int | None) -> None:
    """Write one HTML page about LOSSES, a table made by `lossaudit audit`.

    It shows how many labels are probably wrong, where they are and how far to trust the model, with charts and
    examples. The page loads nothing from elsewhere. It contains texts of the dataset: share it only where those may go.
    """
    from lossaudit.review.report.page import write_report

    free_memory_at_once()
    with steps("Reporting") as on_step:
        on_step(str(losses))
        written = write_report(losses, output, top)
    print_report(written, output)


def print_report(report: "Report", path: Path) -> None:
    """Prints the report's estimate and where the report is."""
    _print_wrong(report.wrong)
    out.print(f"Wrote {path}. Open it in a browser.", soft_wrap=True)


def print_wrong(losses: Path) -> None:
    """Prints how many labels of a losses file are probably wrong, if the file allows an estimate."""
    from lossaudit.engine.table.losses import LossesTable
    from lossaudit.review.report.confident import wrong_labels

    table = LossesTable.open(losses)
    learnt = "" if table.facts.out_of_sample else "; more if the model was trained on these rows"
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
