"""Runs a contender in a process of its own. A job comes in; what it printed, its wall time and peak memory go out."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import Any

from .contenders.job import Job

ROW_SECONDS, REST_SECONDS = 1.5, 600.0
"""A process that takes longer than this for each row, and that beside, is taken to hang and is killed."""


@dataclass(frozen=True)
class Ran:
    """One process of a contender."""

    facts: dict[str, Any]
    """The JSON that it printed, `reason` in it if it couldn't run."""
    wall_seconds: float
    """From its start to its end, imports and all."""
    peak_megabytes: float
    """The most memory that it held (resident)."""

    @property
    def reason(self) -> str | None:
        """Why it didn't run; None if it did."""
        return self.facts.get("reason")


def run(name: str, job: Job, prepare: bool = False) -> Ran:
    """Runs `python -m bench.speed.contenders NAME` and waits."""
    options = {"model": job.model, "data": job.data, "rows": job.rows, "out": job.out, "work": job.work}
    options |= {"calibration": job.calibration, "top": job.top}
    command = [sys.executable, "-m", "bench.speed.contenders", name]
    command += [f"--{option}={value}" for option, value in options.items()]
    if prepare:
        command.append("--prepare")
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        begun = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=errors)
        limit = threading.Timer(REST_SECONDS + ROW_SECONDS * job.rows, process.kill)
        limit.start()
        # Popen.wait gives no resource usage.
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
        limit.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        lines, complaints = (_lines(file) for file in (out, errors))
    if process.returncode != 0 or not lines:
        last = complaints[-1] if complaints else "nothing said"
        facts = {"name": name, "reason": f"it ended with {process.returncode}: {last}"}
    else:
        facts = json.loads(lines[-1])
    unit = 1 if sys.platform == "darwin" else 1024
    return Ran(facts, wall, usage.ru_maxrss * unit / 1e6)


def _lines(file: Any) -> list[str]:
    file.seek(0)
    return [line for line in file.read().splitlines() if line.strip()]
