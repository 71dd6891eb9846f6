"""`lossaudit cache`: lists and deletes what lossaudit keeps in its cache folder."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.filesize import decimal
from rich.table import Column, Table
from rich.text import Text

from lossaudit.engine.errors import LossAuditError
from lossaudit.version import __version__

from .command import Command
from .console import out

if TYPE_CHECKING:
    from lossaudit.engine.model.caches import Kept

_EXAMPLES_LS = """
lossaudit cache ls
"""
_EXAMPLES_CLEAR = """
lossaudit cache clear
lossaudit cache clear plans
lossaudit cache clear bundles --yes
"""
_EPILOG = f"\b\nExamples:{_EXAMPLES_LS}{_EXAMPLES_CLEAR}".replace("\nlossaudit", "\n  lossaudit").replace("\n\n", "\n")


@click.group(short_help="Show or clear what lossaudit keeps in its cache.", epilog=_EPILOG)
@click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks of errors.")
def cache() -> None:
    """Show or clear what lossaudit keeps in its cache: the bundles that `audit` made from checkpoints, and plans, which
    record what is fastest for a bundle on this machine. Anything that is deleted is made again when it is needed."""


@cache.command(cls=Command, examples=_EXAMPLES_LS, short_help="List what is in the cache.")
def ls() -> None:
    """List the bundles and plans in the cache, with their sizes.

    The caches of `datasets` and of the hub are listed too; lossaudit doesn't clear them.
    """
    from lossaudit.engine.files import cache_folder
    from lossaudit.engine.model.caches import BUNDLES, PLANS, caches, kept

    entries = kept()
    bundles = [entry for entry in entries if entry.kind == BUNDLES]
    plans = [entry for entry in entries if entry.kind == PLANS]
    if bundles:
        out.print(_bundles(bundles))
    if plans:
        out.print(f"{len(plans)} plans, last used {_day(plans[0].last_used)}")
    if not entries:
        out.print(f"The cache is empty: {cache_folder()}")
    folders = Table("cache", Column("size", justify="right"), Column("folder", overflow="fold"), box=SIMPLE_HEAD)
    for folder in caches():
        name = f"lossaudit: {folder.name}" if folder.name in (BUNDLES, PLANS) else f"{folder.name} (not cleared)"
        folders.add_row(name, decimal(folder.bytes), Text(str(folder.folder)))
    out.print(folders)


@cache.command(cls=Command, examples=_EXAMPLES_CLEAR, short_help="Delete what is in the cache.")
@click.argument("what", type=click.Choice(["bundles", "plans"]), required=False)
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
def clear(what: str | None, yes: bool) -> None:
    """Delete the bundles or the plans in the cache, or both. WHAT is bundles or plans; without it, both.

    Only what lossaudit wrote there is deleted, and links aren't followed.
    """
    from lossaudit.engine.files import cache_folder
    from lossaudit.engine.model.caches import BUNDLES, KINDS, clear, kept

    entries = [entry for entry in kept() if what in (None, entry.kind)]
    if not entries:
        out.print(f"Nothing to clear in {cache_folder()}", soft_wrap=True)
        return
    counts = [f"{sum(entry.kind == kind for entry in entries)} {kind}" for kind in KINDS if what in (None, kind)]
    size = decimal(sum(entry.bytes for entry in entries))
    if not yes:
        if any(entry.kind == BUNDLES for entry in entries):
            out.print(_bundles([entry for entry in entries if entry.kind == BUNDLES]))
        if not _agreed(f"Delete {' and '.join(counts)} ({size}) in {cache_folder()}?"):
            out.print("Nothing was deleted")
            return
    out.print(f"Cleared {decimal(clear(entries))} in {cache_folder()}", soft_wrap=True)


def _agreed(question: str) -> bool:
    try:
        return click.confirm(question)
    except click.Abort as error:  # there is nobody to ask
        raise LossAuditError("nothing was deleted, since nobody answered the question; use --yes to skip it") from error


def _bundles(entries: "list[Kept]") -> Table:
    table = Table(
        Column("bundle of", overflow="fold", ratio=1),
        Column("made by", no_wrap=True),
        Column("size", justify="right", no_wrap=True),
        Column("last used", no_wrap=True),
        Column("folder", overflow="fold"),
        box=SIMPLE_HEAD,
    )
    for entry in entries:
        made_by = entry.made_by or "–"
        unused = "" if made_by in ("–", __version__) else ", no longer used"
        folder = Path(entry.path).name
        table.add_row(Text(entry.what), made_by + unused, decimal(entry.bytes), _day(entry.last_used), Text(folder))
    return table


def _day(time: float) -> str:
    return datetime.fromtimestamp(time).date().isoformat()
