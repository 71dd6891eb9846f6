"""Audits that are killed, or interrupted, at random moments; the next run must make the whole table."""

import random
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lossaudit.engine.run.kept_parts import folder_for

from .work import Ran, Tried, Work, empty_folder, place_of

_AT_ONCE = 2
_PART, _CHUNK, _TABLE = "part-*", "again-*", "scratch/.*"
_PARTS = 40
"""Fewer than there are, so that an audit is killed while it scores."""


def kill(work: Work, kills: int, seed: int) -> Tried:
    """SIGKILL, once to three times in a row before an audit may finish."""
    tried = Tried("SIGKILL at any moment")
    draw = random.Random(seed)
    series: list[int] = []
    while sum(series) < kills:
        series.append(min(draw.choice([1, 1, 2, 3]), kills - sum(series)))
    _at_once(lambda number: _killed(work, series[number], f"{seed} {number}", tried), len(series))
    return tried


def _killed(work: Work, times: int, seed: str, tried: Tried) -> None:
    draw = random.Random(seed)
    output = empty_folder(work.folder / f"killed {seed}") / "losses.parquet"
    places = []
    for _ in range(times):
        process = work.start(output, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _wait_for_a_moment(process, output, draw)
        process.kill()
        process.wait()
        places.append(place_of(output))
    work.finish(output, tried, *places)


def interrupt(work: Work, times: int, seed: int) -> Tried:
    """SIGINT once it has said that it reads: 130, and it says how to go on."""
    tried = Tried("Ctrl-C at any moment")
    _at_once(lambda number: _interrupted(work, f"{seed} {number}", tried), times)
    return tried


def _interrupted(work: Work, seed: str, tried: Tried) -> None:
    output = empty_folder(work.folder / f"interrupted {seed}") / "losses.parquet"
    process = work.start(output)
    assert process.stderr is not None
    process.stderr.readline()
    _wait_for_a_moment(process, output, random.Random(seed))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    ran = Ran(process.returncode, out, err)
    place = place_of(output)
    # Arrow sends a signal that it caught once more; where Python is gone by then, the shell makes 130 of it.
    code = 130 if ran.code == -signal.SIGINT else ran.code
    finished = code in (0, 130) and output.exists()
    if not finished and (code != 130 or "Traceback" in ran.err or "same command again" not in ran.last):
        tried.judge(f"interrupted {place}: exit {ran.code}: {ran.last[:300]}", place=place)
    else:
        work.finish(output, tried, place)


def _wait_for_a_moment(process: "subprocess.Popen[str]", output: Path, draw: random.Random) -> None:
    """Waits until an audit is somewhere: at its beginning, at some part or chunk, or writing; and a little longer."""
    folder = folder_for(output)
    here = {pattern: len(list(folder.glob(pattern))) for pattern in (_PART, _CHUNK, _TABLE)}
    wanted = draw.choice([None, _PART, _PART, _CHUNK, _TABLE])
    if wanted is None:
        time.sleep(draw.uniform(0, 1.5))
        return
    more = {_PART: draw.randint(1, _PARTS), _CHUNK: draw.randint(1, 4), _TABLE: 1}[wanted]
    while process.poll() is None and len(list(folder.glob(wanted))) < here[wanted] + more:
        time.sleep(0.002)
    time.sleep(draw.uniform(0, 0.05))


def _at_once(step: Callable[[int], None], times: int) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(step, range(times)))


def second_run(work: Work) -> Tried:
    """Two audits of one output at once: the second is told who holds it, and the first's table is whole."""
    tried = Tried("two runs at once")
    output = empty_folder(work.folder / "twice") / "losses.parquet"
    first = work.start(output, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while first.poll() is None and not (folder_for(output) / "run.json").exists():
        time.sleep(0.002)
    second = work.run_here(output)
    first.wait()
    problem = second.clear_error(f"is in use by process {first.pid}")
    if second.code == 0 or first.returncode != 0:
        problem = f"exit {first.returncode} of the first and {second.code} of the second"
    lost = work.wrong_rows(output) if output.exists() else len(work.expected)
    tried.judge(problem, lost)
    return tried
