"""A folder for working copies of texts, which is deleted with the process that made it.

A killed process can't delete its own; the next one that works in the same place does. Nobody but the user who runs
the command may read it.
"""

import contextlib
import os
import re
import shutil
import tempfile
import weakref
from itertools import takewhile
from pathlib import Path

import filelock

from .files import make_private_folder, write_errors

_PREFIX = ".lossaudit-scratch-"
_NAME = re.compile(rf"{re.escape(_PREFIX)}\w{{8}}")
_LOCK = "lock"


def is_scratch(name: str) -> bool:
    """Whether a folder of this name is a scratch folder."""
    return _NAME.fullmatch(name) is not None


class Scratch:
    """A folder that is deleted with this object, at the latest when the process ends."""

    def __init__(self, place: Path | None = None) -> None:
        """place: a folder of lossaudit's to make it in, deleted too once it is empty, with the folders that were made
        for it; None for the system's temporary folder. Raises LossAuditError if nothing can be written there.
        """
        parent, made = place or Path(tempfile.gettempdir()), []
        with write_errors(parent):
            if place is not None:
                made = [place, *takewhile(lambda folder: not folder.exists(), place.parents)]
                make_private_folder(place)
            _clear_abandoned(parent)
            self.path, lock = _new_folder(parent)
        self.close = weakref.finalize(self, _remove, self.path, lock, made)
        """Deletes the folder now."""


def _new_folder(parent: Path) -> tuple[Path, filelock.BaseFileLock]:
    """A new folder, and the lock on it."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        lock = filelock.FileLock(path / _LOCK)
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            lock.acquire()
            path.chmod(0o700)  # in a folder that has gone, it makes one that others may read
            if (path / _LOCK).is_file():
                return path, lock
        # Before it was locked, another process took it for abandoned.
        lock.release()


def _remove(path: Path, lock: filelock.BaseFileLock, made: list[Path]) -> None:
    _empty(path)
    lock.release()
    with contextlib.suppress(OSError):  # stops at the first that isn't empty
        for folder in made:
            folder.rmdir()


def _empty(path: Path) -> None:
    """Deletes a folder, its lock last, so that what a killed process leaves of it is still known for ours."""
    with contextlib.suppress(OSError):
        for entry in path.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name != _LOCK:
                entry.unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)


def _clear_abandoned(parent: Path) -> None:
    """Deletes what this user's killed processes left there: folders with our name and a lock that nobody holds."""
    for path in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError, filelock.Timeout):
            if not is_scratch(path.name) or not _is_own_folder(path):
                continue
            if not (path / _LOCK).is_file():
                path.rmdir()  # if it is empty, as when it was just made, or almost deleted
            else:
                with filelock.FileLock(path / _LOCK).acquire(timeout=0):
                    _empty(path)


def _is_own_folder(path: Path) -> bool:
    own = not hasattr(os, "getuid") or path.lstat().st_uid == os.getuid()
    return own and path.is_dir() and not path.is_symlink()
