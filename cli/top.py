"""`lossaudit top`: shows the most suspicious rows of a losses table."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table
from rich.text import Text

from .command import Command
from .console import counted, out, printable
from .rerank import learned_order
from .sampled import print_sampled

if TYPE_CHECKING:
    import pyarrow as pa

_EXAMPLES = """
lossaudit top losses.parquet -n 50
lossaudit top losses.parquet --given Business --predicted World
lossaudit top losses.parquet --conflicts
lossaudit top splits.parquet --leaks
lossaudit top losses.parquet -n 500 --format jsonl > suspicious.jsonl
"""


@click.command(cls=Command, examples=_EXAMPLES, short_help="Show the most suspicious rows of a losses table.")
@click.argument("losses", type=click.Path(path_type=Path))
@click.option("-n", "rows", type=click.IntRange(min=1), default=20, show_default=True, help="How many rows.")
@click.option("--given", metavar="LABEL", help="Only rows with this given label.")
@click.option("--predicted", metavar="LABEL", help="Only rows with this predicted label.")
@click.option("--min-loss", type=float, help="Only rows with at least this loss.")
@click.option("--truncated", is_flag=True, help="Only texts that were cut at the model's maximum length.")
@click.option(
    "--conflicts", is_flag=True, help="Only texts with different given labels in several rows, the same texts together."
)
@click.option(
    "--leaks", is_flag=True, help="Only texts that are in several of the audited splits, the same texts together."
)
@click.option(
    "--by",
    type=click.Choice(["learned", "loss"]),
    help="The order of the rows.  [default: learned, once `lossaudit rerank` has learned one]",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "jsonl", "csv"]),
    default="table",
    show_default=True,
    help="A table to read, or whole rows for other programs.",
)
def top(
    losses: Path,
    rows: int,
    given: str | None,
    predicted: str | None,
    min_loss: float | None,
    truncated: bool,
    conflicts: bool,
    leaks: bool,
    by: str | None,
    format_: str,
) -> None:
    """Show the most suspicious rows of LOSSES, a table made by `lossaudit audit`: those with the highest loss.

    Once `lossaudit rerank` has learned an order from decisions, it is theirs, and each row has its probability of being
    wrong; --by loss shows the highest losses again.
    """
    from lossaudit.engine.table.formats import write_text
    from lossaudit.engine.table.losses import LossesTable
    from lossaudit.engine.table.ranking import Filters
    from lossaudit.review.sampling import read_decided_sample

    table = LossesTable.open(losses)
    learned = None if by == "loss" or conflicts or leaks else learned_order(table, required=by == "learned")
    found = table.top(rows, Filters(given, predicted, min_loss, truncated, conflicts, leaks), learned)
    if format_ in ("jsonl", "csv"):
        write_text([found], found.schema, f".{format_}", sys.stdout)
    else:
        print_rows(found, table.text_columns)
        if len(found) < rows:
            out.print(f"{len(found)} of {len(table):,} rows match.")
        if (sample := read_decided_sample(table)) is not None:
            print_sampled(sample, losses)
        if learned is not None:
            out.print(
                f"Order learned from {counted(learned.lessons, 'decision')}; p(wrong) is the probability that the "
                "label is wrong. Every 50th row is drawn at random. --by loss shows the highest losses.",
                soft_wrap=True,
            )


def print_rows(rows: "pa.Table", texts: list[str]) -> None:
    """Prints a table as wide as the terminal, with one line per row."""
    from lossaudit.engine.table.learned import P_WRONG
    from lossaudit.engine.table.schema import SPLITS, is_multi_label, own_schema

    learned, multi_label = P_WRONG in rows.column_names, is_multi_label(rows.column_names)
    own = own_schema(rows.column_names).names
    splits = [name for name in SPLITS.names if name in own and rows[name].null_count < len(rows)]
    shown = Table(
        Column("id", justify="right", no_wrap=True),
        *(Column(name.replace("_", " "), no_wrap=True, max_width=16) for name in splits),
        *([Column("p(wrong)", justify="right", no_wrap=True)] if learned else []),
        Column("loss", justify="right", no_wrap=True),
        Column("given", no_wrap=True, max_width=24),
        Column("the model would" if multi_label else "predicted", no_wrap=True, max_width=24),
        Column("prob.", justify="right", no_wrap=True),
        Column("text", no_wrap=True, overflow="ellipsis", ratio=1),
        box=SIMPLE_HEAD,
        expand=True,
        pad_edge=False,
    )
    columns = ["id", *splits, "loss", "label_name", "prediction_name", "probability", *texts]
    more = [*(["labels", "worst_label"] if multi_label else []), *([P_WRONG] if learned else [])]
    for row in rows.select([*columns, *more]).to_pylist():
        shown.add_row(
            str(row["id"]),
            *(Text(row[name] or "") for name in splits),
            *([f"{row[P_WRONG]:.0%}"] if learned else []),
            f"{row['loss']:.2f}",
            Text(str(row["label_name"])),
            Text(_change(row) if multi_label else str(row["prediction_name"])),
            f"{row['probability']:.0%}",
            Text(" | ".join(printable(str(row[name])) for name in texts) or "–"),
        )
    out.print(shown)


def _change(row: dict[str, Any]) -> str:
    """What a multi-label model would change about a row's worst label."""
    given, likely = row["worst_label"] in row["labels"], row["probability"] >= 0.5
    if given == likely:
        return "–"
    return f"{'drop' if given else 'add'} {row['worst_label']}"
