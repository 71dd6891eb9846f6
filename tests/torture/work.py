"""What all faults share: a tiny bundle, a dataset, the table that must come out, and how a run is judged."""

import contextlib
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from click.testing import CliRunner

from lossaudit.engine.run.kept_parts import folder_for
from lossaudit.engine.table.formats import read_table

from .small_shards import small_shards

SHARD_ROWS = 128
OPTIONS = ("--precision", "exact-top", "--top", "400", "--no-tune", "--threads", "1")
_WORDS = ("bank", "shares", "rose", "oil", "talks", "peace", "army", "city", "team", "cup", "season", "water", "chip")


@dataclass
class Tried:
    """What came of one kind of fault."""

    fault: str
    tried: int = 0
    survived: int = 0
    lost: int = 0
    """Rows that aren't in a finished table as they should be."""
    notes: list[str] = field(default_factory=list)
    """What went wrong, or what it couldn't be tried for."""
    places: dict[str, int] = field(default_factory=dict)
    """Where the audits were when it struck."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def judge(self, problem: str | None, lost: int = 0, place: str | None = None) -> None:
        """Counts one try. problem: what went wrong, None if it was survived."""
        with self._lock:
            self.tried += 1
            self.survived += problem is None
            self.lost += lost
            if problem is not None:
                self.notes.append(problem)
            if place is not None:
                self.places[place] = self.places.get(place, 0) + 1


@dataclass(frozen=True)
class Ran:
    """A finished process, or a command that ran in this one."""

    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        return (self.err.strip().splitlines() or [""])[-1]

    def clear_error(self, *parts: str) -> str | None:
        """None if it ended with 2 and one clear line that has one of the parts; else what it did instead."""
        lines = [line for line in self.err.splitlines() if line.startswith("Error")]
        one_line = self.code == 2 and "Traceback" not in self.err and lines == [self.last]
        if one_line and (not parts or any(part in self.last for part in parts)):
            return None
        return f"exit {self.code}: {self.last[:300]}"


@dataclass(frozen=True)
class Work:
    """A bundle, rows and the table that an undisturbed audit makes of them."""

    folder: Path
    bundle: Path
    data: Path
    expected: pa.Table

    @classmethod
    def make(cls, folder: Path, bundle: Path, rows: int) -> "Work":
        """Writes the rows and audits them once."""
        folder.mkdir(parents=True, exist_ok=True)
        data = folder / "rows.csv"
        draw = random.Random(7)
        lines = (f"{' '.join(draw.choices(_WORDS, k=draw.randint(1, 60)))} {n},{_label(draw)}\n" for n in range(rows))
        data.write_text("text,label\n" + "".join(lines))
        work = cls(folder, bundle, data, pa.table({}))
        output = folder / "expected.parquet"
        ran = work.run_here(output)
        if ran.code:
            raise RuntimeError(f"the undisturbed audit failed: {ran.err}")
        return cls(folder, bundle, data, read_table(output))

    def arguments(self, output: Path, *more: str, bundle: Path | None = None) -> list[str]:
        return ["audit", str(bundle or self.bundle), str(self.data), "-o", str(output), *OPTIONS, *more]

    def start(self, output: Path, **options: Any) -> "subprocess.Popen[str]":
        """Begins an audit in a process of its own."""
        command = [sys.executable, "-m", "tests.torture.small_shards", str(SHARD_ROWS), *self.arguments(output)]
        return subprocess.Popen(command, text=True, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options)

    def run(self, output: Path) -> Ran:
        """An audit in a process of its own, to its end."""
        process = self.start(output)
        out, err = process.communicate()
        return Ran(process.returncode, out, err)

    def run_here(self, output: Path, *more: str, bundle: Path | None = None) -> Ran:
        """An audit in this process."""
        with small_shards(SHARD_ROWS):
            return run_here(self.arguments(output, *more, bundle=bundle))

    def wrong_rows(self, output: Path) -> int:
        """Rows that a finished table lacks, or has otherwise than an undisturbed audit."""
        found = read_table(output)
        if found.equals(self.expected):
            return 0
        same = {row["id"]: row for row in found.to_pylist()}
        return max(1, sum(same.get(row["id"]) != row for row in self.expected.to_pylist()))

    def finish(self, output: Path, tried: Tried, *places: str, here: bool = False) -> None:
        """Runs the audit to its end and judges by what comes out all that struck before, at some places."""
        ran = self.run_here(output) if here else self.run(output)
        lost, problem = len(self.expected), f"the next run: exit {ran.code}: {ran.last[:300]}"
        if ran.code == 0:
            lost = self.wrong_rows(output)
            left = sorted(path.name for path in output.parent.iterdir() if path != output)
            problem = f"{lost} rows are wrong" if lost else f"{', '.join(left)} left behind" if left else ""
        for number, place in enumerate(places or (None,)):
            tried.judge(problem or None, 0 if number else lost, place)


def run_here(arguments: Sequence[str]) -> Ran:
    """A command in this process."""
    from lossaudit.cli.main import main

    result = CliRunner().invoke(main, list(arguments))
    crash = result.exception if not isinstance(result.exception, SystemExit) else None
    return Ran(result.exit_code, result.stdout, result.stderr + (f"\nTraceback: {crash!r}" if crash else ""))


def place_of(output: Path, said: str = "") -> str:
    """How far an interrupted audit had come, by what it left, and said."""
    folder = folder_for(output)
    if f"cannot write {output}:" in said or f"cannot write {folder / 'scratch'}:" in said:
        return "merging and writing"
    if output.exists():
        return "after the table"
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    scratch = [path.name for path in (folder / "scratch").iterdir()] if "scratch" in names else []
    if any(name.startswith(".") for name in scratch):
        return "merging and writing"
    if any(name.startswith("again-") for name in names):
        return "scoring again"
    if any(name.startswith("part-") for name in names):
        return "scoring"
    return "before the first part"


def empty_folder(folder: Path) -> Path:
    """The folder, emptied."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@contextlib.contextmanager
def tmpfs(folder: Path, size: int) -> Iterator[Callable[[str], None]]:
    """A small disk at `folder`; gives the function that changes its options. Raises OSError without the rights."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    try:
        yield lambda options: _mount("-o", f"remount,{options}", str(folder))
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)


def _mount(*arguments: str) -> None:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        raise OSError("mounting a small disk needs root")
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"mount: {done.stderr.strip()}")


def _label(draw: random.Random) -> str:
    """Mostly one of the four; some are missing or unknown."""
    return draw.choice(["0", "1", "2", "3"] * 10 + ["", "7"])
