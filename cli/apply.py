"""`lossaudit apply`: writes the whole dataset with the corrected labels."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from .command import Command
from .console import counted, out, steps
from .decided import print_gone

if TYPE_CHECKING:
    from lossaudit.review.apply import Cleaned

_EXAMPLES = """
lossaudit apply losses.parquet -o cleaned.csv
lossaudit apply losses.parquet -o cleaned.parquet --discarded flag --review-columns
lossaudit apply losses.parquet -o cleaned.csv --resolve majority
"""
_MOST = 5
"""Rows that are listed."""


@click.command(cls=Command, examples=_EXAMPLES, short_help="Write the dataset with corrected labels.")
@click.argument("losses", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="File to write (.csv, .tsv, .jsonl or .json, each with .gz, .bz2, .xz or .zip too; .parquet, .arrow or "
    ".feather), or a folder for a saved dataset.",
)
@click.option("--dataset", help="Where the dataset is now, if not where it was audited.")
@click.option(
    "--discarded",
    type=click.Choice(["drop", "flag"]),
    default="drop",
    show_default=True,
    help="Leave discarded rows out, or keep them and flag them in a column.",
)
@click.option(
    "--review-columns",
    is_flag=True,
    help="Add the columns label_original and review, and those of notes and tags if there are any.",
)
@click.option(
    "--resolve",
    default="adjudicated",
    show_default=True,
    metavar="adjudicated|majority|latest|NAME",
    help="Which decision counts where people differ: an adjudicator's, else the latest; what most people decided; the "
    "latest, whoever made it; or one person's.",
)
@click.option("--strict", is_flag=True, help="Refuse a dataset that lacks a decided text now.")
@click.option(
    "--check", is_flag=True, help="Write nothing: compare an OUTPUT that is there with the dataset and decisions."
)
def apply(
    losses: Path,
    output: Path,
    dataset: str | None,
    discarded: str,
    review_columns: bool,
    resolve: str,
    strict: bool,
    check: bool,
) -> None:
    """Write the whole dataset that LOSSES was made from, with the labels that you decided.

    Where OUTPUT has the dataset's format, it differs from it in the decided labels alone. The dataset itself isn't
    changed. A list of the changes is written to OUTPUT.changes.json.
    """
    from lossaudit.review.apply import apply_decisions

    with steps("Checking" if check else "Applying") as on_step:
        on_step(f"the decisions about {losses}")
        cleaned = apply_decisions(
            losses,
            output,
            dataset=dataset,
            flag_discarded=discarded == "flag",
            review_columns=review_columns,
            strict=strict,
            check=check,
            resolve=resolve,
        )
    if cleaned.changes:
        out.print(_changes(cleaned))
    _print_gone(cleaned)
    if cleaned.unresolved:
        few = ", ".join(map(str, cleaned.unresolved[:_MOST])) + (", …" if len(cleaned.unresolved) > _MOST else "")
        rows = counted(len(cleaned.unresolved), "decided row")
        out.print(f"{rows} stayed without a majority, and as given (row {few})", soft_wrap=True)
    if cleaned.lost:
        out.print(f"{output} has another format than {cleaned.source}; it can't hold {cleaned.lost}", soft_wrap=True)
    what = "flagged" if discarded == "flag" else "left out"
    out.print(
        f"{cleaned.rows:,} rows: {cleaned.relabelled:,} relabelled, {cleaned.discarded:,} discarded ({what}), "
        f"{cleaned.kept:,} kept, {cleaned.unsure:,} unsure",
        soft_wrap=True,
    )
    if check:
        out.print(f"{output} is {cleaned.source} with these decisions ({cleaned.written:,} rows)", soft_wrap=True)
    else:
        out.print(f"Wrote {output} ({cleaned.written:,} rows) and {output}.changes.json", soft_wrap=True)


def _print_gone(cleaned: "Cleaned") -> None:
    """Prints which decisions weren't applied to a dataset that has changed."""
    if cleaned.is_as_audited:
        return
    out.print(f"{cleaned.source} has changed since the audit; decisions are applied by text and label", soft_wrap=True)
    if not cleaned.gone:
        return
    out.print(f"It lacks the texts, or their labels are others now, of {counted(len(cleaned.gone), 'decided row')}:")
    print_gone(cleaned.gone)


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
