"""Claims a folder for parts, so that nothing in it is another program's, and holds it for one process at a time.

A local folder has a lock, which ends with its process. A place at a URL can't be locked: whoever opens it last has it,
and the one before finds that out before it writes or deletes anything more.
"""

import contextlib
import os
import re
import socket
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import filelock

from ..errors import LossAuditError, brief
from ..files import write_errors
from ..scratch import is_scratch
from .folders import Folder, LocalFolder

MARKER = "lossaudit-parts"
"""A file that marks a folder of ours."""
_MARK = b"Finished shards of an interrupted audit or fit. The same command resumes it; you may delete this folder.\n"
_OWNER, _LOCK = "owner", "lock"
_HALF = re.compile(rf"\.({MARKER}|{_OWNER})\..*")
"""Files that a killed process was writing."""


class Hold(Protocol):
    """A claimed folder that this process holds."""

    taken_from: str | None
    """Who may have it still, where that can't be known."""

    def check(self) -> None:
        """Raises LossAuditError if another process has the folder now."""

    def release(self) -> None: ...

    def remove(self) -> None:
        """Releases the folder, and deletes it if nothing else is in it."""


def hold(place: Folder) -> Hold:
    """Claims and holds a folder.

    Raises LossAuditError if it holds files that aren't ours, if another process has it, or if it can't be written.
    """
    _claim(place)
    held = _Locked(place.path) if isinstance(place, LocalFolder) else _Leased(place)
    if MARKER not in place.names():  # the process that had it before has deleted it since
        place.write(MARKER, _MARK)
    return held


def _claim(place: Folder) -> None:
    names = [name for name in place.names() if not (_HALF.fullmatch(name) or is_scratch(name))]
    if MARKER in names:
        return
    if names:
        raise LossAuditError(
            f"{place} holds files that this version of lossaudit didn't write, such as {min(names)}; move the folder "
            "away (parts of an older version can't be resumed), or write to another output"
        )
    place.write(MARKER, _MARK)


class _Locked:
    """A folder on this machine, or mounted on it."""

    taken_from: str | None = None

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = filelock.FileLock(path / _LOCK)
        with write_errors(path):
            try:
                self._lock.acquire(timeout=0)
            except filelock.Timeout as error:
                raise LossAuditError(
                    f"{path} is in use by {self._owner()}; wait for it, or write to another output"
                ) from error
            except NotImplementedError as error:
                raise LossAuditError(f"{path} can't be locked: {brief(error)}; name another folder") from error
            (path / _OWNER).write_text(_this_process(), encoding="utf-8")

    def check(self) -> None:
        pass

    def release(self) -> None:
        self._lock.release()

    def remove(self) -> None:
        self.release()
        with contextlib.suppress(OSError):
            for name in (_OWNER, _LOCK):
                (self._path / name).unlink(missing_ok=True)
            if {file.name for file in self._path.iterdir() if not is_scratch(file.name)} == {MARKER}:
                (self._path / MARKER).unlink()
                self._path.rmdir()  # fails if a scratch folder is there, which deletes it in the end

    def _owner(self) -> str:
        try:
            return (self._path / _OWNER).read_text(encoding="utf-8") or "another process"
        except OSError:
            return "another process"


class _Leased:
    """A place that can't be locked."""

    def __init__(self, place: Folder) -> None:
        self._place = place
        self.taken_from = self._owner() or None
        self._own = f"{_this_process()} since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, {uuid.uuid4()}"
        place.write(_OWNER, self._own.encode())

    def check(self) -> None:
        owner = self._owner()
        if owner != self._own:
            raise LossAuditError(
                f"{self._place} was taken over by {owner or 'another process, which is done'}, so this run ends here; "
                "let only one process at a time write an output"
            )

    def release(self) -> None:
        if self._owner() == self._own:
            self._place.delete(_OWNER)

    def remove(self) -> None:
        self.release()
        if self._place.names() == [MARKER]:
            self._place.delete(MARKER)
            self._place.remove()

    def _owner(self) -> str:
        try:
            return self._place.read(_OWNER).decode(errors="replace")
        except FileNotFoundError:
            return ""


def _this_process() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"
