"""The benchmark: all contenders in one run on the same rows, taking turns. Names come in, a report goes out.

    python -m bench.speed.run --model distilbert-base --data ag_news --rows 1000 --repeats 3 -o bench/results

Each contender is prepared once, then each repeat runs every one of them in a process of its own, the loop first.
"""

import datetime
import json
import subprocess
import sys
from pathlib import Path

import click
import numpy as np

from ..machine import Machine, folder_megabytes, install_megabytes, top_seconds, version_seconds
from . import child, shapes
from .child import Ran
from .contenders import NAMES
from .contenders.batches import encode
from .contenders.job import Job, read_rows
from .figures import Figures, Work, compare, figures
from .flops import Dimensions
from .report import Command, Report

LOOP = NAMES[0]
TOP_SHARE = 500 / 7600
"""The top that is wanted: 500 of AG News' 7,600 test rows, and as many in proportion of others."""


@click.command()
@click.option("--model", type=click.Choice(list(shapes.MODELS)), default="distilbert-base", show_default=True)
@click.option("--data", type=click.Choice(list(shapes.DATA)), default="ag_news", show_default=True)
@click.option("--rows", type=click.IntRange(min=16), default=1000, show_default=True)
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--only", help="Some contenders, by comma; the loop runs always.")
@click.option("--inputs", type=click.Path(path_type=Path), default=Path("../shared"), show_default=True)
@click.option("--work", type=click.Path(path_type=Path), default=Path(".build/bench"), show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("bench/results"), show_default=True)
def main(
    model: str, data: str, rows: int, repeats: int, only: str | None, inputs: Path, work: Path, output: Path
) -> None:
    """Measure every contender with MODEL on DATA."""
    names = _names(only)
    shape = shapes.make(model, data, rows, inputs.absolute(), work.absolute())
    folder = work.absolute() / f"{model}-{data}"
    top = max(1, round(shape.rows * TOP_SHARE))

    def job(name: str) -> Job:
        out = folder / f"{name}.parquet"
        return Job(shape.model, shape.data, shape.rows, out, folder, shape.calibration, top)

    prepared = {name: _told(f"prepare {name}", child.run(name, job(name), prepare=True)) for name in names}
    peaks = _peaks()
    runs: dict[str, list[Ran]] = {name: [] for name in names if prepared[name].reason is None}
    for repeat in range(repeats):
        for name in runs:
            if all(run.reason is None for run in runs[name]):
                runs[name].append(_told(f"repeat {repeat + 1} of {repeats}: {name}", child.run(name, job(name))))
    reasons = {name: ran.reason for name, ran in prepared.items() if ran.reason}
    reasons |= {name: ran.reason for name, rans in runs.items() for ran in rans if ran.reason}
    if LOOP in reasons:
        raise click.ClickException(f"the loop didn't run, so there are no ratios: {reasons[LOOP]}")
    # The machine may have been busier when it was measured first.
    peaks = {name: max(peak, again, key=lambda found: found["gflops"]) for (name, peak), again in _pairs(peaks)}
    tokens = np.array([len(ids) for ids in encode(shape.model, read_rows(shape.data, shape.rows).texts)])
    work_done = Work(tokens, Dimensions.of(shape.model), peaks, top)

    def sum_up(name: str) -> Figures:
        parity = compare(job(name).out, job(LOOP).out, top)
        install = install_megabytes(tuple(runs[name][0].facts["needs"]))
        return figures(name, runs[name], runs[LOOP], prepared[name], work_done, parity, install)

    report = Report(
        model=model,
        data=data,
        rows=shape.rows,
        tokens=int(tokens.sum()),
        repeats=repeats,
        top=top,
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        machine=Machine.here(),
        peaks=peaks,
        command=_command(folder, work.absolute()),
        contenders=[sum_up(name) for name in runs if name not in reasons],
        reasons=reasons,
    )
    page = report.write(output)
    click.echo(page.read_text(encoding="utf-8"))


def _names(only: str | None) -> list[str]:
    wanted = {LOOP, *only.split(",")} if only else set(NAMES)
    if unknown := sorted(wanted - set(NAMES)):
        raise click.BadParameter(f"no contender is called {', '.join(unknown)}; there are {', '.join(NAMES)}")
    return [name for name in NAMES if name in wanted]


def _told(what: str, ran: Ran) -> Ran:
    said = ran.reason or f"{ran.facts['seconds']:.2f} s {ran.facts.get('settings', '')}"
    click.echo(f"{what}: {said}", err=True)
    return ran


def _peaks() -> dict[str, dict[str, float]]:
    # In a process of its own, since this one should hold no libraries that compute.
    done = subprocess.run([sys.executable, "-m", "bench.speed.peak"], check=True, capture_output=True, text=True)
    found: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def _pairs(peaks: dict[str, dict[str, float]]) -> list[tuple[tuple[str, dict[str, float]], dict[str, float]]]:
    return list(zip(peaks.items(), _peaks().values(), strict=True))


def _command(folder: Path, work: Path) -> Command:
    bundles = list(folder.glob("bundle-*"))
    return Command(
        version_seconds(),
        top_seconds(work),
        folder_megabytes(bundles[0]) if bundles else None,
        folder_megabytes(Path(sys.prefix)),
    )


if __name__ == "__main__":
    main()
