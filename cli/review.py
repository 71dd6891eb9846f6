"""`lossaudit review`: opens a page on which a person reviews the top of a ranking."""

import contextlib
import shlex
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lossaudit.engine.errors import LossAuditError

from .command import Command
from .console import err, out

if TYPE_CHECKING:
    from lossaudit.review.listening import Listener

_EXAMPLES = """
lossaudit review losses.parquet
lossaudit review losses.parquet -n 2000 --annotator Ada
lossaudit review losses.parquet --no-open --port 9000
"""


@click.command(cls=Command, examples=_EXAMPLES, short_help="Review the most suspicious rows on a page.")
@click.argument("losses", type=click.Path(path_type=Path))
@click.option("-n", "--n", "rows", type=click.IntRange(min=1), default=500, show_default=True, help="How many rows.")
@click.option("--annotator", metavar="NAME", help="Name stored with each decision.  [default: the page asks]")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8765,
    show_default=True,
    help="Port of the page; if it is taken, the next free one.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--no-open", is_flag=True, help="Only print the link; don't open a browser.")
def review(losses: Path, rows: int, annotator: str | None, port: int, host: str, no_open: bool) -> None:
    """Open a page with the rows with the highest loss in LOSSES, a table made by `lossaudit audit`.

    Each decision is stored at once, beside the table in LOSSES.reviews.sqlite. Ctrl-C ends the review.
    """
    import secrets

    from lossaudit.review.listening import listen, serve
    from lossaudit.review.reviewing import Review
    from lossaudit.review.server import make_app

    if annotator is not None and not annotator.strip():
        raise LossAuditError("--annotator is empty; give a name, or leave it out to be asked on the page")
    opened = Review.open(losses, rows)
    try:
        if gone := opened.gone():
            out.print(
                f"{losses} lacks the texts, or the given labels, of {gone:,} decided rows; their decisions are kept "
                "until they come back",
                soft_wrap=True,
            )
        place = listen(host, port)
        token = secrets.token_urlsafe(24)
        app = make_app(opened, token, place.host, place.port, annotator)

        def on_ready() -> None:
            _say_where(place, token, port, f"{len(opened.records):,} records, {opened.decided():,} decided")
            if not no_open:
                # Some browsers block until they are closed.
                threading.Thread(target=webbrowser.open, args=(place.link(token),), daemon=True).start()

        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how it ends
            serve(app, place, on_ready)
        decided = opened.decided()
    finally:
        opened.close()
    rows_are = "row is" if decided == 1 else "rows are"
    out.print(f"\n{decided:,} {rows_are} decided; the decisions are in {opened.store_path}", soft_wrap=True)
    if decided:
        out.print(f"Next: lossaudit apply {shlex.quote(str(losses))} -o cleaned.csv", soft_wrap=True)


def _say_where(place: "Listener", token: str, asked: int, what: str) -> None:
    if asked not in (0, place.port):
        err.print(f"Port {asked} is taken; using {place.port}.")
    if not place.is_private:
        err.print(
            f"Warning: {place.host} can be reached from other machines: anyone with the link can read the texts and "
            "decide, and nothing is encrypted.",
            style="yellow",
        )
    out.print(f"{what}. Ctrl-C ends the review.")
    out.print(place.link(token), style="bold", soft_wrap=True)
    if elsewhere := place.link_from_elsewhere(token):
        out.print(f"From other machines: {elsewhere}", soft_wrap=True)
