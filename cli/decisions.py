"""`lossaudit decisions`: shows decisions, and takes them out to a file and in again."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table
from rich.text import Text

from .command import Command
from .console import counted, out, printable, warn_of_unknown

if TYPE_CHECKING:
    from lossaudit.review.agreement import Measure
    from lossaudit.review.store import Decision

_EXAMPLES_SHOW = """
lossaudit decisions show losses.parquet
lossaudit decisions show losses.parquet -n 100
"""
_EXAMPLES_EXPORT = """
lossaudit decisions export losses.parquet -o decisions.jsonl
lossaudit decisions export losses.parquet -o decisions.csv
"""
_EXAMPLES_IMPORT = """
lossaudit decisions import losses.parquet decisions.jsonl
"""
_EXAMPLES_AGREEMENT = """
lossaudit decisions agreement losses.parquet
"""
_EPILOG = f"\b\nExamples:{_EXAMPLES_SHOW}{_EXAMPLES_AGREEMENT}{_EXAMPLES_EXPORT}{_EXAMPLES_IMPORT}".replace(
    "\nlossaudit", "\n  lossaudit"
)
_MOST_PAIRS = 20
_LOSSES = click.argument("losses", type=click.Path(path_type=Path))


@click.group(short_help="Show decisions, or move them out and in.", epilog=_EPILOG.replace("\n\n", "\n"))
@click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks of errors.")
def decisions() -> None:
    """Show the decisions about a losses file, take them out to a file, or bring those of a file in: a backup, or what
    colleagues decided. Decisions belong to texts and given labels, so a file fits any table that has these."""


@decisions.command(cls=Command, examples=_EXAMPLES_SHOW, short_help="Show who decided what.")
@_LOSSES
@click.option("-n", "rows", type=click.IntRange(min=0), default=20, show_default=True, help="How many, latest first.")
def show(losses: Path, rows: int) -> None:
    """Show the decisions about LOSSES that count, and those about texts that it doesn't have now."""
    from lossaudit.engine.table.losses import LossesTable
    from lossaudit.review.store import DecisionStore

    with DecisionStore.open(LossesTable.open(losses), create=False) as store:
        count = store.decisions()
        told = {(example.row, example.text_key): example.start for example, _ in store.all()}
        gone = store.gone()
    latest = sorted(count.values(), key=lambda one: one.made_at, reverse=True)
    if latest[:rows]:
        out.print(_table([(one, told[one.row, one.text_key]) for one in latest[:rows]]))
    verdicts = ", ".join(f"{number:,} {verdict}" for verdict, number in _most(one.verdict for one in latest))
    people = ", ".join(f"{printable(name)} ({number:,})" for name, number in _most(one.annotator for one in latest))
    out.print(f"{counted(len(latest), 'row')} decided{f': {verdicts}; by {people}' if latest else ''}", soft_wrap=True)
    if gone:
        out.print(f"{losses} lacks the texts, or the given labels, of {counted(len(gone), 'more decision')}:")
        out.print(_table([(one.decision, one.start) for one in gone]))


@decisions.command(cls=Command, examples=_EXAMPLES_AGREEMENT, short_help="Show how far people agree.")
@_LOSSES
def agreement(losses: Path) -> None:
    """Show how far people agree about the rows of LOSSES that two or more of them decided.

    Each person's first decision about a row is compared: they may have seen the others' before a later one. Cohen's
    kappa (of two people) and Krippendorff's alpha (of more) are 1 where all agree, and 0 where they agree as often as
    by chance. Intervals are of 95 %.
    """
    from lossaudit.engine.table.losses import LossesTable
    from lossaudit.review.agreement import agreement_of

    found = agreement_of(LossesTable.open(losses))
    if found is None:
        out.print(f"No row of {losses} was decided by two people yet", soft_wrap=True)
        return
    table = Table("given", "predicted", Column("rows", justify="right"), "agreement", box=SIMPLE_HEAD)
    for pair in found.pairs[:_MOST_PAIRS]:
        labels = (Text(printable(name)) for name in (pair.given, pair.predicted))
        table.add_row(*labels, f"{pair.rows:,}", _in_percent(pair.share))
    out.print(table)
    if len(found.pairs) > _MOST_PAIRS:
        out.print(f"and {len(found.pairs) - _MOST_PAIRS:,} more pairs of labels")
    people = ", ".join(map(printable, found.people))
    out.print(f"{counted(found.rows, 'row')} decided by two or more of {people}", soft_wrap=True)
    out.print(f"Agreement: {_in_percent(found.share)}")
    for name, measure in (("Cohen's kappa", found.kappa), ("Krippendorff's alpha", found.alpha)):
        if measure is not None:
            interval = "" if measure.low is None else f" ({measure.low:.2f} to {measure.high:.2f})"
            out.print(f"{name}: {measure.value:.2f}{interval}")


@decisions.command(cls=Command, examples=_EXAMPLES_EXPORT, short_help="Write all decisions to a file.")
@_LOSSES
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="File to write: .jsonl or .csv.")
def export(losses: Path, output: Path) -> None:
    """Write all decisions about LOSSES to a file, also earlier ones and those about texts that it doesn't have now."""
    from lossaudit.engine.table.losses import LossesTable
    from lossaudit.review.exchange import export_decisions

    written = export_decisions(LossesTable.open(losses), output)
    out.print(f"Wrote {counted(written, 'decision')} to {output}", soft_wrap=True)


@decisions.command("import", cls=Command, examples=_EXAMPLES_IMPORT, short_help="Add the decisions in files.")
@_LOSSES
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True)
def import_(losses: Path, files: tuple[Path, ...]) -> None:
    """Add the decisions in FILES, which `lossaudit decisions export` wrote, to those about LOSSES.

    They are found by text and given label. Of decisions about a row, the latest counts, whoever made it. Run again, the
    command adds nothing.
    """
    from lossaudit.engine.table.losses import LossesTable
    from lossaudit.review.exchange import import_decisions

    found = import_decisions(LossesTable.open(losses), files)
    verdicts = ", ".join(f"{number:,} {verdict}" for verdict, number in found.new.most_common())
    known = f"; {found.known:,} were already here" if found.known else ""
    out.print(f"{counted(found.new.total(), 'new decision')}{f': {verdicts}' if verdicts else ''}{known}")
    if found.gone:
        out.print(
            f"{losses} lacks the texts, or the given labels, of {found.gone:,}; they are kept until it has them",
            soft_wrap=True,
        )
    warn_of_unknown(found.unknown)


def _in_percent(share: "Measure") -> str:
    interval = "" if share.low is None or share.high is None else f" ({share.low:.0%} to {share.high:.0%})"
    return f"{share.value:.0%}{interval}"


def _most(names: Iterable[str]) -> list[tuple[str, int]]:
    return Counter(names).most_common()


def _table(made: "list[tuple[Decision, str]]") -> Table:
    has_remarks = any(one.note or one.tags for one, _ in made)
    table = Table(
        Column("row", justify="right", no_wrap=True),
        Column("given", no_wrap=True, max_width=24),
        Column("decided", no_wrap=True, max_width=24),
        Column("by", no_wrap=True, max_width=16),
        Column("at", no_wrap=True),
        *([Column("tags and note", no_wrap=True, max_width=32, overflow="ellipsis")] if has_remarks else []),
        Column("text", no_wrap=True, overflow="ellipsis", ratio=1),
        box=SIMPLE_HEAD,
        expand=True,
        pad_edge=False,
    )
    for one, text in made:
        remarks = [": ".join(filter(None, (", ".join(one.tags), one.note)))] if has_remarks else []
        decided = one.label or one.verdict
        cells = (one.given, decided, one.annotator, one.made_at[:16].replace("T", " "), *remarks, text)
        table.add_row(str(one.row), *(Text(printable(cell)) for cell in cells))
    return table
