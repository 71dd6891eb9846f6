"""Runs one contender in this process and prints one line of JSON as the last of its output.

    python -m bench.speed.contenders NAME --model CHECKPOINT --data FILE --rows N --out FILE --work DIR [--prepare]

With --prepare it makes and keeps in --work what is made once a model, and finds the contender's best settings; without,
it does the job and prints its seconds: after the imports, from opening the rows to the written file, loading included.
A contender that can't run prints the reason instead and exits with 0.
"""

import contextlib
import importlib.metadata
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from . import NAMES, contender, tuning
from .job import Clock, Contender, Job, UnavailableError


@click.command()
@click.argument("name", type=click.Choice(NAMES))
@click.option("--model", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--rows", type=int, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--work", type=click.Path(path_type=Path), required=True, help="Folder of this model and data.")
@click.option("--calibration", type=click.Path(path_type=Path), help="Rows to calibrate on.  [default: DATA]")
@click.option("--top", type=int, default=500, help="Places of the ranking that are wanted.")
@click.option("--prepare", is_flag=True)
def main(
    name: str,
    model: Path,
    data: Path,
    rows: int,
    out: Path,
    work: Path,
    calibration: Path | None,
    top: int,
    prepare: bool,
) -> None:
    """Run the contender NAME."""
    work.mkdir(parents=True, exist_ok=True)
    job = Job(model, data, rows, out, work, calibration or data, top)
    with _own_caches(work):
        try:
            found = contender(name)
            facts = _prepare(name, found, job) if prepare else _run(name, found, job)
        except (UnavailableError, ImportError) as error:
            facts = {"reason": f"{type(error).__name__}: {error}" if isinstance(error, ImportError) else str(error)}
    print(json.dumps({"name": name, **facts}))


def _prepare(name: str, found: Contender, job: Job) -> dict[str, Any]:
    kept = job.work / f"{name}.json"
    # Ours knows by itself what is still good: its own source may have changed.
    if kept.is_file() and found.axes:
        settings, seconds = tuning.kept(kept)
        return {"seconds": seconds, "settings": str(settings)}
    begun = time.perf_counter()
    found.prepare(job)
    settings = tuning.tuned(found, job)
    seconds = time.perf_counter() - begun
    tuning.keep(settings, seconds, kept)
    return {"seconds": seconds, "settings": str(settings) if found.axes else ""}


def _run(name: str, found: Contender, job: Job) -> dict[str, Any]:
    kept = job.work / f"{name}.json"
    if not kept.is_file():
        raise UnavailableError("it isn't prepared; run it with --prepare")
    settings, _ = tuning.kept(kept)
    clock, begun = Clock(), time.perf_counter()
    found.run(job, settings, clock)
    return {
        "seconds": time.perf_counter() - begun,
        "load_seconds": clock.load_seconds,
        "run_seconds": clock.run_seconds,
        "tokens": clock.tokens,
        "padded_tokens": clock.padded_tokens,
        "settings": str(settings) if found.axes else "",
        "precision": found.precision,
        "needs": found.needs,
        "versions": {need: importlib.metadata.version(need) for need in found.needs},
    }


@contextlib.contextmanager
def _own_caches(work: Path) -> Iterator[None]:
    """No hub, nobody's cache, and none of an earlier job's converted rows: each job reads its file itself.

    What the engine measured when it was prepared is kept in `work`.
    """
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_CACHE": folder,
            "XDG_CACHE_HOME": str(work / "cache"),
            "TOKENIZERS_PARALLELISM": "true",
        }
        yield


if __name__ == "__main__":
    sys.exit(main())
