"""Kills `apply` at random moments: the dataset must stay as it was, and the output be whole or absent."""

import hashlib
import itertools
import random
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lossaudit.engine.run.kept_parts import folder_for
from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.store import Decision, DecisionStore, utc_now

from .work import Ran, Tried, Work, empty_folder, run_here

_OUTPUTS = ("cleaned.csv", "cleaned.csv.gz", "cleaned.parquet", "cleaned")
_AT_ONCE = 2
_LONGEST = 60.0
"""Seconds until an apply that doesn't begin to write counts as hung."""


def kill_apply(work: Work, kills: int, seed: int) -> Tried:
    """SIGKILL, once for each output, which half of the times is there already."""
    tried = Tried("SIGKILL in the middle of apply")
    losses = empty_folder(work.folder / "decided") / "losses.parquet"
    shutil.copy(work.folder / "expected.parquet", losses)
    table = LossesTable.open(losses)
    with DecisionStore.open(table) as store:
        rows = random.Random(seed).sample(range(len(work.expected)), 40)
        new = zip(rows, itertools.cycle(table.label_names), strict=False)
        store.add(Decision(row, "relabel", label, "ada", "page", utc_now()) for row, label in new)
    expected = {}
    for name in _OUTPUTS:
        ran = run_here(["apply", str(losses), "-o", str(losses.with_name(name))])
        if ran.code:
            raise RuntimeError(f"the undisturbed apply failed: {ran.err}")
        expected[name] = _digest(losses.with_name(name))
    before = _digest(work.data)

    def one(number: int) -> None:
        name = _OUTPUTS[number % len(_OUTPUTS)]
        output = empty_folder(work.folder / f"applied {seed} {number}") / name
        problem, place = _killed(losses, output, random.Random(f"{seed} {number}"), expected[name])
        if _digest(work.data) != before:
            problem = "the dataset changed"
        tried.judge(problem, place=place)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(one, range(kills)))
    return tried


def _killed(losses: Path, output: Path, draw: random.Random, expected: str) -> tuple[str | None, str]:
    """What went wrong, and where it was killed."""
    replaces = draw.random() < 0.5
    if replaces:
        for name in _made(output):
            _copy(losses.with_name(name), output.with_name(name))
    command = [sys.executable, "-m", "lossaudit", "apply", str(losses), "-o", str(output)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    place = _wait_for_a_moment(process, output, draw)
    process.kill()
    process.wait()
    if output.exists() and _digest(output) != expected:
        return f"{output.name} is neither whole nor absent, {place}", place
    if replaces and not output.exists() and output.suffix:
        return f"{output.name} that was there is gone, {place}", place
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    ran = Ran(done.returncode, done.stdout, done.stderr)
    if ran.code or _digest(output) != expected:
        return f"the next run: exit {ran.code}: {ran.last[:300]}", place
    left = sorted(path.name for path in output.parent.iterdir() if path.name not in _made(output))
    return (f"{', '.join(left)} left behind, {place}" if left else None), place


def _wait_for_a_moment(process: "subprocess.Popen[bytes]", output: Path, draw: random.Random) -> str:
    """Waits until an apply reads, or writes, or a little longer."""
    wanted = draw.choice(["reading", "writing", "writing", "writing"])
    pattern = {"reading": "*", "writing": f"*/.{output.name}.*"}[wanted]
    end = time.monotonic() + _LONGEST
    while process.poll() is None and not list(folder_for(output).glob(pattern)) and time.monotonic() < end:
        time.sleep(0.002)
    time.sleep(draw.choice([0, 0, draw.uniform(0, 0.05), draw.uniform(0, 0.3)]))
    return "after the end" if process.poll() is not None else wanted


def _made(output: Path) -> tuple[str, ...]:
    return output.name, f"{output.name}.changes.json"


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)


def _digest(path: Path) -> str:
    """Of the rows of a file or a saved dataset."""
    from lossaudit.engine.data.containers import open_bytes

    # A fingerprint in state.json is another one each time.
    files = sorted(path.glob("*.arrow")) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        if file.suffix == ".gz":  # whose header has the time
            with open_bytes(file) as opened:
                digest.update(opened.read())
        else:
            digest.update(file.read_bytes())
    return digest.hexdigest()
