"""`lossaudit log`: sends the most suspicious rows to an annotation server, or to a file of records."""

import contextlib
import shlex
import webbrowser
from pathlib import Path

import click

from lossaudit.review.sinks import SINKS, Place

from .command import Command
from .console import counted, out, rows_bar

_EXAMPLES = """
lossaudit log losses.parquet --to rubrix --name ag_news_error_analysis -n 500
lossaudit log losses.parquet --to argilla --name ag_news_errors --url https://my-argilla.example --workspace team
lossaudit log losses.parquet --to label-studio --name "AG News errors" -n 200
lossaudit log losses.parquet --to jsonl -o records.jsonl -n 500
"""


@click.command(cls=Command, examples=_EXAMPLES, short_help="Send the most suspicious rows to an annotation server.")
@click.argument("losses", type=click.Path(path_type=Path))
@click.option("--to", "kind", type=click.Choice(list(SINKS)), required=True, help="Where the records go.")
@click.option("--name", help="Dataset or project there; created if it doesn't exist.  [default: the dataset's name]")
@click.option("-n", "rows", type=click.IntRange(min=1), default=500, show_default=True, help="How many records.")
@click.option(
    "--by",
    type=click.Choice(["learned", "loss"]),
    help="Which rows come first.  [default: learned, once `lossaudit rerank` has learned an order]",
)
@click.option("--url", help="Address of the server.  [default: its environment variable, else localhost]")
@click.option("--key", help="Key for the server; safer in its environment variable, where other users can't see it.")
@click.option("--workspace", help="Workspace of Rubrix or Argilla.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File for jsonl.  [default: NAME.jsonl]")
@click.option("--open", "opens", is_flag=True, help="Open the server's page in a browser.")
def log(
    losses: Path,
    kind: str,
    name: str | None,
    rows: int,
    by: str | None,
    url: str | None,
    key: str | None,
    workspace: str | None,
    output: Path | None,
    opens: bool,
) -> None:
    """Send the rows of LOSSES with the highest loss to an annotation server, as records to check.

    Each record has the text, the given label, the model's prediction, the loss and the rank. Existing records stay as
    they are, with their annotations, so the command may be run again. `lossaudit pull` brings the decisions back.

    \b
    Environment: RUBRIX_API_URL, RUBRIX_API_KEY, RUBRIX_WORKSPACE
                 ARGILLA_API_URL, ARGILLA_API_KEY
                 LABEL_STUDIO_URL, LABEL_STUDIO_API_KEY
    """
    from lossaudit.engine.table.losses import LossesTable
    from lossaudit.review.choosing import chosen_records
    from lossaudit.review.sinks import About, connect
    from lossaudit.review.sinks.log import log_records

    place = checked_place(kind, Place(name, url, key, workspace, output), "-o")
    if opens and kind == "jsonl":
        raise click.UsageError("--open is for servers, not for jsonl")
    if place.file is not None and place.file.exists() and losses.exists() and place.file.samefile(losses):
        raise click.UsageError(f"{place.file} is the losses file itself; name another with -o")
    table = LossesTable.open(losses)
    records = chosen_records(table, rows, by).records
    with contextlib.closing(connect(kind, place, About.of(table))) as sink:
        with rows_bar() as on_stage:
            logged = log_records(records, sink, on_stage)
        address, page = sink.address, sink.page
    there = f"; {logged.there:,} were already there" if logged.there else ""
    others = f"; {logged.others:,} other records are there too" if logged.others else ""
    out.print(f"Sent {counted(logged.sent, 'record')} to {address}{there}{others}", soft_wrap=True)
    if len(records) < rows:
        out.print(f"{losses} has only {counted(len(records), 'row')} with a loss, not {rows:,}.", soft_wrap=True)
    if page:
        out.print(f"To check them, highest loss first: {page}", soft_wrap=True)
        if opens:
            webbrowser.open(page)
    out.print(f"To bring the decisions back: {pull_command(losses, kind, place)}", soft_wrap=True)


def pull_command(losses: Path, kind: str, place: Place) -> str:
    """The command that pulls from there, without the key, which isn't printed."""
    given = {"--name": place.name, "--url": place.url, "--workspace": place.workspace}
    options = [word for option, value in given.items() if value for word in (option, value)]
    where = [str(place.file)] if kind == "jsonl" else options
    return shlex.join(["lossaudit", "pull", str(losses), "--from", kind, *where])


def checked_place(kind: str, place: Place, file: str) -> Place:
    """The place, with NAME.jsonl as the default file for jsonl. Raises UsageError for options that don't fit it.

    file: what the command calls its file argument.
    """
    if kind == "jsonl":
        if place.url or place.key or place.workspace:
            raise click.UsageError("--url, --key and --workspace are for servers, not for jsonl")
        if place.file is None and not place.name:
            raise click.UsageError(f"jsonl needs {file}, or --name for NAME.jsonl")
        return Place(place.name, file=place.file or Path(f"{place.name}.jsonl"))
    if place.file is not None:
        raise click.UsageError(f"{file} is for jsonl, not for {kind}")
    if place.workspace and kind == "label-studio":
        raise click.UsageError("--workspace is for rubrix and argilla, not for label-studio")
    return place
