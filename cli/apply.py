"""`lossaudit apply`: writes the whole dataset with the corrected labels."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from .command import Command
from .console import out, steps

if TYPE_CHECKING:
    from lossaudit.review.apply import Cleaned

_EXAMPLES = """
lossaudit apply losses.parquet -o cleaned.csv
lossaudit apply losses.parquet -o cleaned.parquet --discarded flag --review-columns
"""


@click.command(cls=Command, examples=_EXAMPLES, short_help="Write the dataset with corrected labels.")
@click.argument("losses", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="File to write (.csv, .tsv, .jsonl, .json, .parquet; text also .gz, .bz2, .xz, .zip), or a folder for a saved "
    "dataset.",
)
@click.option(
    "--discarded",
    type=click.Choice(["drop", "flag"]),
    default="drop",
    show_default=True,
    help="Leave discarded rows out, or keep them and flag them in a column.",
)
@click.option("--review-columns", is_flag=True, help="Add the columns label_original and review.")
def apply(losses: Path, output: Path, discarded: str, review_columns: bool) -> None:
    """Write the whole dataset that LOSSES was made from, with the labels that you decided.

    The dataset itself isn't changed. A list of the changes is written to OUTPUT.changes.json.
    """
    from lossaudit.review.apply import apply_decisions

    with steps("Applying") as on_step:
        on_step(f"the decisions about {losses}")
        cleaned = apply_decisions(losses, output, flag_discarded=discarded == "flag", review_columns=review_columns)
    if cleaned.changes:
        out.print(_changes(cleaned))
    if cleaned.lost:
        out.print(f"{output} has another form than {cleaned.source}; it can't hold {cleaned.lost}", soft_wrap=True)
    what = "flagged" if discarded == "flag" else "left out"
    out.print(
        f"{cleaned.rows:,} rows: {cleaned.relabelled:,} relabelled, {cleaned.discarded:,} discarded ({what}), "
        f"{cleaned.kept:,} kept, {cleaned.unsure:,} unsure",
        soft_wrap=True,
    )
    out.print(f"Wrote {output} ({cleaned.written:,} rows) and {output}.changes.json", soft_wrap=True)


def _changes(cleaned: "Cleaned") -> Table:
    """A table of the changes; label by label where rows have several."""
    numbers = [Column(name, justify="right") for name in ("rows", "added to", "removed from")]
    if cleaned.labels is None:
        table = Table("given", "now", numbers[0], box=SIMPLE_HEAD)
        for change in cleaned.changes:
            table.add_row(change.given, change.new, f"{change.rows:,}")
        return table
    table = Table("label", *numbers[1:], box=SIMPLE_HEAD)
    for label in cleaned.labels:
        table.add_row(label.label, f"{label.added:,}", f"{label.removed:,}")
    return table
