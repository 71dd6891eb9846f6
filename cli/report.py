"""`lossaudit report`: writes one page about a losses table, to read and to share."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .command import Command
from .console import counted, out, steps
from .process import free_memory_at_once
from .sampled import print_sampled

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

    It shows how many labels the model doubts, where they are and how far to trust the model, with charts and
    examples. The page loads nothing from elsewhere. It contains texts of the dataset: share it only where those may go.
    """
    from lossaudit.review.report.page import write_report

    free_memory_at_once()
    with steps("Reporting") as on_step:
        on_step(str(losses))
        written = write_report(losses, output, top)
    print_report(written, losses, output)


def print_report(report: "Report", losses: Path, path: Path) -> None:
    """Prints how many labels are wrong, or doubted, and where the report is."""
    if report.sampled is not None:
        print_sampled(report.sampled, losses)
    else:
        _print_wrong(report.wrong, losses)
    out.print(f"Wrote {path}. Open it in a browser.", soft_wrap=True)


def print_wrong(losses: Path) -> None:
    """Prints how many labels of a losses file the model doubts, if the file allows to count them."""
    from lossaudit.engine.table.losses import LossesTable
    from lossaudit.review.report.confident import wrong_labels

    _print_wrong(wrong_labels(LossesTable.open(losses)), losses)


def _print_wrong(wrong: "WrongLabels | Missing", losses: Path) -> None:
    from lossaudit.review.report.confident import WrongLabels

    if isinstance(wrong, WrongLabels):
        labels = counted(wrong.total, "label")
        out.print(
            f"The model itself disagrees confidently with about {labels}. Mistakes that it has learned too are not "
            f"among them; 100 random decisions give the true share: lossaudit review {losses} --sample 100",
            soft_wrap=True,
        )
