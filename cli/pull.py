"""`lossaudit pull`: stores decisions from an annotation server, or a file of records, beside the losses."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lossaudit.review.sinks import SINKS, Place

from .command import Command
from .console import counted, out, steps, warn, warn_of_unknown
from .log import checked_place

if TYPE_CHECKING:
    from lossaudit.review.sinks.pull import Pulled

_SHOWN = 10
_EXAMPLES = """
lossaudit pull losses.parquet --from rubrix --name ag_news_error_analysis
lossaudit pull losses.parquet --from label-studio --name "AG News errors" --url https://labels.example
lossaudit pull losses.parquet --from jsonl records.jsonl
lossaudit pull losses.parquet --from jsonl labelled.csv
"""


@click.command(cls=Command, examples=_EXAMPLES, short_help="Bring decisions back from an annotation server.")
@click.argument("losses", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--from", "kind", type=click.Choice(list(SINKS)), required=True, help="Where the records are.")
@click.option("--name", help="Dataset or project there.  [default: the dataset's name]")
@click.option("--url", help="Address of the server.  [default: its environment variable, else localhost]")
@click.option("--key", help="Key for the server; safer in its environment variable, where other users can't see it.")
@click.option("--workspace", help="Workspace of Rubrix or Argilla.")
@click.option("--new-labels", is_flag=True, help="Take answers that aren't labels of the model, as new labels.")
def pull(
    losses: Path,
    file: Path | None,
    kind: str,
    name: str | None,
    url: str | None,
    key: str | None,
    workspace: str | None,
    new_labels: bool,
) -> None:
    """Bring back what people decided about the rows of LOSSES, from where `lossaudit log` sent them.

    An answer with the given label means keep, one with another label relabel. Decisions are stored beside LOSSES,
    where `lossaudit review` and `lossaudit apply` find them. Run again, the command adds only new decisions. FILE is
    for --from jsonl: records of `lossaudit log`, or what doccano, Prodigy, Label Studio, Rubrix or Argilla exported as
    JSON Lines, JSON or CSV; rows are found by their texts.

    \b
    Environment: RUBRIX_API_URL, RUBRIX_API_KEY, RUBRIX_WORKSPACE
                 ARGILLA_API_URL, ARGILLA_API_KEY
                 LABEL_STUDIO_URL, LABEL_STUDIO_API_KEY
    """
    from lossaudit.engine.table.losses import LossesTable
    from lossaudit.review.sinks import About, connect
    from lossaudit.review.sinks.pull import pull as pull_decisions

    place = checked_place(kind, Place(name, url, key, workspace, file), "FILE")
    table = LossesTable.open(losses)
    with contextlib.closing(connect(kind, place, About.of(table))) as sink:
        with steps("Pulling") as on_step:
            on_step(sink.address)
            pulled = pull_decisions(table, sink, kind, new_labels=new_labels)
        unknown = getattr(sink, "unknown", ())
        address = sink.address
    _print_pulled(pulled, address)
    warn_of_unknown(unknown)


def _print_pulled(pulled: "Pulled", address: str) -> None:
    verdicts = ", ".join(f"{count:,} {verdict}" for verdict, count in pulled.new.most_common())
    known = f"; {pulled.known:,} were already here" if pulled.known else ""
    out.print(
        f"Pulled {counted(pulled.new.total(), 'new decision')} from {address}"
        f"{f': {verdicts}' if verdicts else ''}{known}",
        soft_wrap=True,
    )
    out.print(f"Not yet answered: {pulled.unanswered:,} of {counted(pulled.records, 'record')}.")
    if pulled.strangers:
        rows = [row for row in pulled.strangers if row is not None]
        _warn_of_rows(
            f"skipped {counted(len(pulled.strangers), 'answered record')} that this losses file doesn't have", rows
        )
    for label, rows in pulled.unknown_labels.items():
        what = f"skipped {counted(len(rows), 'answer')} {label!r}, which isn't a label of the model"
        _warn_of_rows(f"{what}; --new-labels takes it as one", rows)


def _warn_of_rows(what: str, rows: list[int]) -> None:
    shown = ", ".join(map(str, rows[:_SHOWN])) + (" …" if len(rows) > _SHOWN else "")
    warn(f"{what}{f' (rows {shown})' if rows else ''}")
