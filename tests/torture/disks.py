"""Disks that fill up or become read-only: one clear line, and once there is room the audit goes on."""

import resource
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lossaudit.engine.run.kept_parts import folder_for

from .work import Tried, Work, empty_folder, place_of, tmpfs

_ROOM = 1 << 30
SHARES = (0.02, 0.2, 0.5, 0.8, 1.1, 1.4, 1.7, 2.0, 2.2, 2.4, 2.6, 2.8)
"""Sizes of the disk as shares of the losses table's: an audit needs up to three times as much."""


def fill(work: Work, shares: Sequence[float] = SHARES) -> Tried:
    """An audit on a disk that is too small, and again when it is larger."""
    tried = Tried("disk full")
    size = (work.folder / "expected.parquet").stat().st_size
    for share in shares:
        disk = work.folder / "disk"
        try:
            with tmpfs(disk, int(share * size)) as remount:
                output = disk / "losses.parquet"
                ran = work.run_here(output)
                place = place_of(output, ran.last) if ran.code else "not at all"
                problem = ran.clear_error("No space left on device") if ran.code else None
                if problem is not None or (ran.code and output.exists()):
                    tried.judge(f"at {share} × the table, {place}: {problem}", place=place)
                    continue
                remount(f"size={_ROOM}")
                work.finish(output, tried, place, here=True)
        except OSError as error:
            tried.notes.append(f"not tried: {error}")
            break
    return tried


def limit_files(work: Work) -> Tried:
    """The same by a limit on the size of a file, which needs no rights: a quota."""
    tried = Tried("file too large (quota)")
    size = (work.folder / "expected.parquet").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for share in (0.0005, 0.005, 0.02, 0.1, 0.5, 0.9):
        output = empty_folder(work.folder / "quota") / "losses.parquet"
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(share * size), hard))
        try:
            ran = work.run_here(output)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        place = place_of(output, ran.last) if ran.code else "not at all"
        problem = ran.clear_error("File too large") if ran.code else None
        if problem is not None:
            tried.judge(f"at {share} × the table, {place}: {problem}", place=place)
        else:
            work.finish(output, tried, place, here=True)
    return tried


def make_read_only(work: Work) -> Tried:
    """A disk that is read-only from the start, between two runs, and under a running audit."""
    tried = Tried("read-only folder")
    for place in ("from the start", "between two runs", "under a running audit"):
        disk = work.folder / "disk"
        try:
            with tmpfs(disk, _ROOM) as remount:
                output = disk / "losses.parquet"
                if place == "under a running audit":
                    process = work.start(output)
                    while process.poll() is None and not _made_read_only(remount, output):
                        time.sleep(0.01)
                    _, err = process.communicate()
                    problem = None if process.returncode in (0, 2) and "Traceback" not in err else err[-300:]
                else:
                    if place == "between two runs":
                        shutil.copytree(work.folder / "interrupted.parts", folder_for(output))
                    remount("ro")
                    problem = work.run_here(output).clear_error("Read-only file system")
                remount("rw")
                if problem is not None:
                    tried.judge(f"{place}: {problem}", place=place)
                else:
                    work.finish(output, tried, place, here=True)
        except OSError as error:
            tried.notes.append(f"not tried: {error}")
            break
    return tried


def _made_read_only(remount: Callable[[str], None], output: Path) -> bool:
    """Whether the disk could be made so: the kernel refuses while a file is being written."""
    if not any(folder_for(output).glob("part-*")):
        return False
    try:
        remount("ro")
    except OSError:
        return False
    return True
