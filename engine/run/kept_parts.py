"""Keeps the shards that an audit has scored, so that an interrupted one can be resumed.

They are kept in a folder beside the output, which one process holds at a time:

    run.json                     what is audited with what, and the choice of what scores it, with its own hash
    part-START-HASH.parquet      a finished shard: its first row, and the start of the file's SHA-256
    again-NUMBER-HASH.parquet    rows that were scored again for an exact top
    scratch                      temporary files: emptied by the next process that holds the folder
    .lossaudit-scratch-*         the dataset's files as Arrow while they are read (scratch.py)
    lock, owner                  who holds the folder

The parts may be elsewhere, at a URL. All are deleted once the losses table is written. A part that was cut short or
altered no longer has its hash, and is scored again.
"""

import contextlib
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import filelock
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import SAME_AGAIN, Either, LossAuditError, Option, brief
from ..files import write_errors
from ..model.precision import Choice
from ..scratch import Scratch
from .folders import Folder, LocalFolder, folder_at

_RUN = "run.json"
_HALVES = (".run.json.", ".part-", ".again-")
"""Beginnings of the names of files that a killed process was writing."""
_HASH_DIGITS = 32


class KeptParts:
    """The parts of one audit. Use it in a `with`, which releases them."""

    def __init__(
        self,
        path: Path,
        lock: filelock.BaseFileLock,
        place: Folder,
        identity: Mapping[str, Any],
        choice: Choice | None,
    ):
        self.path = path
        """The folder on this machine."""
        self.scratch = path / "scratch"
        """A folder for what isn't kept."""
        self._home: Scratch | None = None
        """The scratch folder that the folder is deleted with; None if it stays."""
        self._lock = lock
        self._place = place
        self._identity = dict(identity)
        self.choice = choice
        """The choice made when the audit began; None for a new audit."""
        self._names = {name.rpartition("-")[0]: name for name in place.names() if _is_part(name)}

    @classmethod
    def open(
        cls, folder: Path, identity: Mapping[str, Any], restart: bool = False, elsewhere: str | None = None
    ) -> Self:
        """Locks the folder, and makes it or resumes from it.

        identity: what must be the same for the parts to be reused, as JSON. restart: start over whatever is there.
        elsewhere: the path or URL of another folder for the parts. Raises LossAuditError if another process holds the
        folder, or if it belongs to another audit, saying what differs.
        """
        local = LocalFolder(folder)
        lock = filelock.FileLock(folder / "lock")
        with write_errors(folder):
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout as error:
                raise LossAuditError(
                    f"{folder} is in use by {_owner(folder)}; wait for it, or write to another output"
                ) from error
            try:
                (folder / "owner").write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
                place = local if elsewhere is None else folder_at(elsewhere)
                _clear(place, all_parts=restart)
                kept = cls(folder, lock, place, identity, _choice_of(place, identity))
                shutil.rmtree(kept.scratch, ignore_errors=True)
                kept.scratch.mkdir()
                return kept
            except BaseException:
                lock.release()
                raise

    @classmethod
    def in_scratch(cls, identity: Mapping[str, Any]) -> Self:
        """For an audit that writes no file: the parts are deleted with this object."""
        scratch = Scratch()
        kept = cls.open(scratch.path / "parts", identity)
        kept._home = scratch
        return kept

    @property
    def stay(self) -> bool:
        """Whether the parts outlive this object."""
        return self._home is None

    def decide(self, choice: Choice) -> None:
        """Records what was chosen, before the first part."""
        self.choice = choice
        run = {"identity": self._identity, "choice": choice.to_dict()}
        self._place.write(_RUN, json.dumps({**run, "sha256": _digest_of_run(run)}, indent=2).encode())

    def read(self, stem: str, columns: Sequence[str] | None = None) -> pa.Table | None:
        """A part by its stem (`part_stem`, `again_stem`); None if it isn't there or isn't sound."""
        name = self._names.get(stem)
        if name is None:
            return None
        try:
            data = self._place.read(name)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LossAuditError(f"{name} in {self._place} can't be read: {brief(error)}") from error
        if not name.endswith(f"-{_digest(data)}.parquet"):
            self._place.delete(name)
            del self._names[stem]
            return None
        # In this thread: if one of Arrow's releases `data` while the interpreter exits, the process crashes.
        return pq.ParquetFile(pa.BufferReader(data)).read(columns, use_threads=False)

    def sound(self, stem: str, columns: Sequence[str] | None = None) -> pa.Table:
        """A part that must be there. Raises LossAuditError if it was damaged since it was written or last read."""
        part = self.read(stem, columns)
        if part is None:
            raise LossAuditError(f"{stem} in {self._place} was damaged; ", SAME_AGAIN, " to score it again")
        return part

    def write(self, stem: str, part: pa.Table) -> None:
        """Keeps a part. Raises LossAuditError if it can't be written; those before it stay."""
        sink = pa.BufferOutputStream()
        pq.write_table(part, sink, compression="zstd")
        data = sink.getvalue().to_pybytes()
        name = f"{stem}-{_digest(data)}.parquet"
        self._place.write(name, data)
        self._names[stem] = name

    def discard(self) -> None:
        """Deletes everything, once the parts are in the losses table. What isn't ours stays, and the folder with it."""
        _clear(self._place, all_parts=True)
        shutil.rmtree(self.scratch, ignore_errors=True)
        self._lock.release()
        with contextlib.suppress(OSError):
            for name in ("owner", "lock"):
                (self.path / name).unlink(missing_ok=True)
            self.path.rmdir()

    def __str__(self) -> str:
        return str(self._place)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # The files themselves count: an interruption may come right after a part was written.
        if not self._lock.is_locked or self._names or any(map(_is_part, self._place.names())):
            self._lock.release()
        else:
            self.discard()


def part_stem(start: int) -> str:
    """Stem of the part of the shard that starts at a row."""
    return f"part-{start:012d}"


def again_stem(number: int) -> str:
    """Stem of a part with rows that were scored again."""
    return f"again-{number:06d}"


def folder_for(output: Path) -> Path:
    """Where the parts of the audit that writes `output` are kept."""
    return output.with_name(f"{output.name}.parts")


def _is_part(name: str) -> bool:
    return name.startswith(("part-", "again-")) and name.endswith(".parquet")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_HASH_DIGITS]


def _digest_of_run(run: dict[str, Any]) -> str:
    return _digest(json.dumps(run, sort_keys=True).encode())


def _owner(folder: Path) -> str:
    try:
        return (folder / "owner").read_text(encoding="utf-8") or "another process"
    except OSError:
        return "another process"


def _clear(place: Folder, all_parts: bool) -> None:
    """Deletes what was half written and, with `all_parts`, what was kept."""
    for name in place.names():
        if name.startswith(_HALVES) or (all_parts and (name == _RUN or _is_part(name))):
            place.delete(name)


def _choice_of(place: Folder, identity: Mapping[str, Any]) -> Choice | None:
    """What was chosen for the parts in the folder. A folder without a sound run.json is cleared."""
    try:
        run = json.loads(place.read(_RUN))
        found, choice = dict(run["identity"]), Choice.from_dict(run["choice"])
        if run["sha256"] != _digest_of_run({"identity": found, "choice": run["choice"]}):
            raise ValueError("it was altered")
    except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
        _clear(place, all_parts=True)
        return None
    differing = [key for key in {**found, **identity} if found.get(key) != identity.get(key)]
    if differing:
        what = "; ".join(f"{key} was {found.get(key)} and is {identity.get(key)}" for key in differing)
        raise LossAuditError(
            f"{place} holds parts of another audit ({what}); run that one again to finish it, or start over (",
            Either("delete that folder first", Option("restart")),
            ")",
        )
    return choice
