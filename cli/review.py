"""`lossaudit review`: opens a page on which a person reviews the top of a ranking."""

import contextlib
import getpass
import os
import re
import shlex
import socket
import sys
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lossaudit.engine.errors import LossAuditError, brief

from .command import Command
from .console import err, out
from .sampled import print_sampled

if TYPE_CHECKING:
    from lossaudit.review.listening import Listener
    from lossaudit.review.server import Site

_EXAMPLES = """
lossaudit review losses.parquet
lossaudit review losses.parquet -n 2000 --annotator Ada
lossaudit review losses.parquet --overlap 20 --guidelines labels.md
lossaudit review losses.parquet --adjudicator --annotator Grace
lossaudit review losses.parquet --sample 100
lossaudit review losses.parquet --no-open --port 9000
"""
_ROWS = 500


@click.command(cls=Command, examples=_EXAMPLES, short_help="Review the most suspicious rows on a page.")
@click.argument("losses", type=click.Path(path_type=Path))
@click.option("-n", "--n", "rows", type=click.IntRange(min=1), help="How many rows.  [default: 500]")
@click.option(
    "--by",
    type=click.Choice(["learned", "loss"]),
    help="Which rows come first.  [default: learned, once `lossaudit rerank` has learned an order]",
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="N",
    help="N random rows instead, whose decisions give the share of wrong labels among all rows.",
)
@click.option(
    "--rerank-every",
    type=click.IntRange(min=0),
    default=50,
    show_default=True,
    metavar="N",
    help="Learn the order of the undecided rows again after N decisions; 0 for never.",
)
@click.option("--annotator", metavar="NAME", help="Name stored with each decision.  [default: the page asks]")
@click.option(
    "--overlap",
    type=click.IntRange(0, 100),
    default=0,
    metavar="PERCENT",
    help="Share of the records that two people decide, neither of whom sees the other's decision.",
)
@click.option(
    "--guidelines", type=click.Path(path_type=Path), metavar="FILE", help="Text for the annotators, in Markdown: key G."
)
@click.option("--adjudicator", is_flag=True, help="Settle disagreements: what is decided on this page is final.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8765,
    show_default=True,
    help="Port of the page; if it is taken, the next free one.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--no-open", is_flag=True, help="Only print the link; don't open a browser.")
@click.option("--share", is_flag=True, help="Print the ssh command that brings the page to another machine.")
@click.option("--base-path", default="", metavar="/PATH", help="Path of the page behind a proxy, such as /lossaudit.")
@click.option(
    "--trust-proxy", is_flag=True, help="Take host and scheme from the X-Forwarded headers of a proxy that sets them."
)
def review(
    losses: Path,
    rows: int | None,
    by: str | None,
    sample: int | None,
    rerank_every: int,
    annotator: str | None,
    overlap: int,
    guidelines: Path | None,
    adjudicator: bool,
    port: int,
    host: str,
    no_open: bool,
    share: bool,
    base_path: str,
    trust_proxy: bool,
) -> None:
    """Open a page with the most suspicious rows of LOSSES, a table made by `lossaudit audit`.

    Each decision is stored at once, beside the table in LOSSES.reviews.sqlite. Ctrl-C ends the review.
    """
    import secrets

    from lossaudit.review.choosing import SAMPLE
    from lossaudit.review.listening import listen, serve
    from lossaudit.review.opinions import People
    from lossaudit.review.reviewing import Review
    from lossaudit.review.server import Site, make_app

    path = _path(base_path)
    if annotator is not None and not annotator.strip():
        raise LossAuditError("--annotator is empty; give a name, or leave it out to be asked on the page")
    if sample is not None and (rows is not None or by is not None):
        raise click.UsageError("--sample draws its own rows; leave -n and --by out")
    order = SAMPLE if sample else by
    told = None if guidelines is None else _text(guidelines)
    opened = Review.open(losses, sample or rows or _ROWS, People(overlap, adjudicator), order, rerank_every)
    try:
        if gone := opened.gone():
            out.print(
                f"{losses} lacks the texts, or the given labels, of {gone:,} decided rows; their decisions are kept "
                "until they come back",
                soft_wrap=True,
            )
        place = listen(host, port)
        token = secrets.token_urlsafe(24)
        site = Site(place.host, place.port, token, path, trust_proxy)
        app = make_app(opened, site, annotator, told)

        def on_ready() -> None:
            _say_where(place, site, port, f"{int(opened.listing.listed.sum()):,} records, {opened.decided():,} decided")
            if share:
                out.print(f"On the other machine: {_tunnel(place)}, then open the link there", soft_wrap=True)
            if not no_open and _has_display():
                # Some browsers block until they are closed.
                threading.Thread(target=webbrowser.open, args=(place.link(token, path),), daemon=True).start()

        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how it ends
            serve(app, place, on_ready)
        decided, sampled = opened.decided(), opened.sampled()
    finally:
        opened.close()
    rows_are = "row is" if decided == 1 else "rows are"
    out.print(f"\n{decided:,} {rows_are} decided; the decisions are in {opened.store_path}", soft_wrap=True)
    if sampled is not None:
        print_sampled(sampled, losses)
    if decided:
        out.print(f"Next: lossaudit apply {shlex.quote(str(losses))} -o cleaned.csv", soft_wrap=True)


def _text(guidelines: Path) -> str:
    try:
        return guidelines.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise LossAuditError(f"--guidelines {guidelines} can't be read: {brief(error)}") from error


def _path(base_path: str) -> str:
    """The page's path, with a slash before it and none behind. Raises LossAuditError if it isn't one."""
    path = f"/{base_path.strip('/')}" if base_path.strip("/") else ""
    if not re.fullmatch(r"(/[\w.~-]+)*", path, re.ASCII) or "/." in path:
        raise LossAuditError(f"--base-path {base_path!r} isn't a path such as /lossaudit")
    return path


def _has_display() -> bool:
    """Whether a browser would open in a window; over SSH it may be one in text, which takes over the terminal."""
    if sys.platform in ("win32", "darwin"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))


def _tunnel(place: "Listener") -> str:
    who = f"{getpass.getuser()}@{socket.gethostname()}"
    return f"ssh -N -L {place.port}:127.0.0.1:{place.port} {shlex.quote(who)}"


def _say_where(place: "Listener", site: "Site", asked: int, what: str) -> None:
    if asked not in (0, place.port):
        err.print(f"Port {asked} is taken; using {place.port}.")
    if not place.is_private:
        err.print(
            f"Warning: {place.host} can be reached from other machines: anyone with the link can read the texts and "
            "decide, and nothing is encrypted.",
            style="yellow",
        )
    out.print(f"{what}. Ctrl-C ends the review.")
    out.print(place.link(site.token, site.base_path), style="bold", soft_wrap=True)
    if elsewhere := place.link_from_elsewhere(site.token, site.base_path):
        out.print(f"From other machines: {elsewhere}", soft_wrap=True)
