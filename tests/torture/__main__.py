"""The whole campaign, in about five minutes on two CPUs; out comes one table.

    python -m tests.torture

Exits with 1 if a row was lost, or anything else went wrong.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from .apply_kills import kill_apply
from .fuzz_apply import fuzz_apply
from .work import Tried, Work

_ROWS, _FEWER_ROWS = 8000, 2000
"""For audits in processes of their own, which need a time to be struck in, and for those in this one."""
_WORKERS = 2
_RAM_DISK = Path("/dev/shm")
_SHOWN = 20


@click.command()
@click.option("--kills", default=60, show_default=True, help="Audits to kill.")
@click.option("--interruptions", default=12, show_default=True, help="Audits to press Ctrl-C on.")
@click.option("--damages", default=6, show_default=True, help="Times to try each way of spoiling a file.")
@click.option("--applies", default=30, show_default=True, help="Runs of apply to kill.")
@click.option("--cases", default=10_000, show_default=True, help="Generated datasets and bundles.")
@click.option("--seed", default=0, show_default=True, help="Another seed tries other moments and cases.")
@click.option(
    "--bundle", type=click.Path(path_type=Path), help="A bundle of four labels.  [default: a tiny one is made]"
)
def main(
    kills: int, interruptions: int, damages: int, applies: int, cases: int, seed: int, bundle: Path | None
) -> None:
    """Torture audits and count what they lose."""
    # A shell's job in the background ignores it, and all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Before anything imports the libraries of Hugging Face: no network, and caches of its own.
    home = tempfile.TemporaryDirectory(prefix="torture-")
    fast = tempfile.TemporaryDirectory(prefix="torture-", dir=_RAM_DISK if os.access(_RAM_DISK, os.W_OK) else None)
    os.environ |= {
        "HF_HOME": f"{home.name}/huggingface",
        "XDG_CACHE_HOME": f"{home.name}/cache",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "200",
    }
    with home, fast:
        work = Work.make(Path(home.name) / "work", bundle or _tiny_bundle(Path(home.name)), _ROWS)
        short = Work.make(Path(fast.name) / "short", work.bundle, _FEWER_ROWS)
        results = _campaign(work, short, kills, interruptions, damages, seed)
        results += _said(lambda: [kill_apply(work, applies, seed), fuzz_apply(cases // 10, seed, Path(fast.name))])
        results += _said(lambda: [fuzz(work.bundle, cases, seed, Path(fast.name))])
    _show(results)
    sys.exit(any(tried.survived < tried.tried or tried.lost for tried in results))


def _campaign(work: Work, short: Work, kills: int, interruptions: int, damages: int, seed: int) -> list[Tried]:
    from . import damage, disks
    from . import kills as killing

    damage.interrupt_at_the_end(short)
    steps = [
        lambda: [killing.kill(work, kills, seed)],
        lambda: [killing.interrupt(work, interruptions, seed)],
        lambda: [killing.second_run(work)],
        lambda: [disks.fill(short), disks.limit_files(short), disks.make_read_only(short)],
        lambda: damage.spoil_parts(short, damages, seed),
        lambda: [damage.spoil_while_merging(short, damages, seed), damage.spoil_bundle(short, 4 * damages, seed)],
    ]
    return [tried for step in steps for tried in _said(step)]


def _said(step: Callable[[], list[Tried]]) -> list[Tried]:
    begun = time.monotonic()
    results = step()
    for tried in results:
        click.echo(f"{tried.fault}: {tried.survived:,} of {tried.tried:,} survived", err=True)
    click.echo(f"{time.monotonic() - begun:.0f} s", err=True)
    return results


def fuzz(bundle: Path, cases: int, seed: int, folder: Path) -> Tried:
    """Generated datasets and bundles, in several processes."""
    tried = Tried("generated datasets and bundles")
    share = -(-cases // _WORKERS)
    firsts = [seed * 10_000_000 + worker * share for worker in range(_WORKERS)]
    with ThreadPoolExecutor(_WORKERS) as pool:
        list(pool.map(lambda first: _fuzz(bundle, first, min(share, cases), folder / str(first), tried), firsts))
    return tried


def _fuzz(bundle: Path, first: int, cases: int, folder: Path, tried: Tried) -> None:
    """The cases from a seed on; a crash of the process is its case's, and the next go on."""
    end = first + cases
    environment = os.environ | {"HF_HOME": str(folder / "huggingface")}
    while first < end:
        command = [sys.executable, "-m", "tests.torture.fuzz", "--bundle", str(bundle), "--work", str(folder / "work")]
        command += ["--first", str(first), "--cases", str(end - first)]
        with tempfile.TemporaryFile("w+") as errors:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
            assert process.stdout is not None
            for line in process.stdout:
                said = json.loads(line)
                first = said["seed"]
                if "code" in said:
                    problem = said["problem"] and f"seed {first}: {said['problem']}"
                    tried.judge(problem, place="finished" if said["code"] == 0 else "refused in one line")
            if process.wait():
                errors.seek(0)
                tried.judge(f"seed {first}: the process ended with {process.returncode}: {errors.read()[-300:]}")
        first += 1


def _tiny_bundle(folder: Path) -> Path:
    from bench.cost.memory import tiny_checkpoint
    from lossaudit.export.exporter import export_bundle

    from .fuzz_data import LABELS

    return export_bundle(str(tiny_checkpoint(folder / "checkpoint", LABELS)), folder / "bundle").folder


def _show(results: list[Tried]) -> None:
    numbers = [Column(name, justify="right") for name in ("tried", "survived", "rows lost")]
    table = Table("fault", *numbers, "where it struck, how it ended", box=SIMPLE_HEAD)
    for tried in results:
        places = ", ".join(f"{times:,} {place}" for place, times in sorted(tried.places.items(), key=lambda p: -p[1]))
        skipped = "" if tried.tried else "; ".join(tried.notes)
        table.add_row(tried.fault, f"{tried.tried:,}", f"{tried.survived:,}", f"{tried.lost:,}", places or skipped)
    total = [sum(getattr(tried, name) for tried in results) for name in ("tried", "survived", "lost")]
    table.add_section()
    table.add_row("all", *(f"{number:,}" for number in total))
    console = Console(width=150, highlight=False, markup=False)
    console.print(table)
    for tried in results:
        for note in tried.notes[:_SHOWN]:
            console.print(f"{tried.fault}: {note}", soft_wrap=True)


if __name__ == "__main__":
    main()
