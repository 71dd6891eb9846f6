"""Finds a contender's best settings, once, on a sample of the rows it will score. Axes come in, `Settings` go out.

One axis after the other, each value a whole small job in this process, the fastest kept (loading not counted).
"""

import dataclasses
import gzip
import json
import sys
import time
from pathlib import Path
from typing import Any

from .job import Batch, Clock, Contender, Job, Settings

SAMPLE_ROWS = 192


def tuned(contender: Contender, job: Job) -> Settings:
    """The fastest of the settings that the contender's axes span, found by coordinate descent."""
    best = Settings(**{name: values[0] for name, values in contender.axes.items()})
    if all(len(values) == 1 for values in contender.axes.values()):
        return best
    sample = dataclasses.replace(job, data=_sample(job), rows=SAMPLE_ROWS, out=job.work / "tuning.parquet")
    measured: dict[Settings, float] = {}
    for name, values in contender.axes.items():
        for value in values:
            settings = dataclasses.replace(best, **{name: value})
            if settings not in measured:
                measured[settings] = _seconds(contender, sample, settings)
        best = min(measured, key=lambda settings: measured[settings])
    for settings, seconds in sorted(measured.items(), key=lambda item: item[1]):
        print(f"{seconds:8.2f} s  {settings}", file=sys.stderr)
    return best


def _seconds(contender: Contender, job: Job, settings: Settings) -> float:
    clock, begun = Clock(), time.perf_counter()
    contender.run(job, settings, clock)
    return time.perf_counter() - begun - clock.load_seconds


def _sample(job: Job) -> Path:
    """A file of rows evenly taken from the job's own, so that their lengths are its lengths."""
    path = job.work / f"tuning-{job.rows}.jsonl"
    with gzip.open(job.data, "rt", encoding="utf-8") as file:
        lines = file.readlines()[: job.rows]
    step = max(1, len(lines) // SAMPLE_ROWS)
    path.write_text("".join(lines[::step][:SAMPLE_ROWS]), encoding="utf-8")
    return path


def keep(settings: Settings, seconds: float, path: Path) -> None:
    """Writes settings, and the seconds that preparing took, to a file."""
    path.write_text(json.dumps({**dataclasses.asdict(settings), "seconds": seconds}), encoding="utf-8")


def kept(path: Path) -> tuple[Settings, float]:
    """What `keep` wrote."""
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    seconds = data.pop("seconds")
    return Settings(**{**data, "batch": Batch(**data["batch"])}), seconds
