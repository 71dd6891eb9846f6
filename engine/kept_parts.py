"""Keeps the shards that an audit has scored, so that an interrupted one goes on where it stopped.

What identifies the audit comes in; out comes a folder beside its output, held by one process at a time:

    run.json                     what is audited with what, and the plan that scores it
    part-START-HASH.parquet      a finished shard: its first row, and the start of the file's SHA-256
    lock, owner                  who holds the folder

It is deleted once the losses table is written. A part that was cut short or altered doesn't have its hash any more and
is scored again.
"""

import json
import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import filelock
import pyarrow as pa
import pyarrow.parquet as pq

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.files import file_beside, sha256_of, write_errors

_RUN = "run.json"
_HASH_DIGITS = 32


class KeptParts:
    """The folder of one audit. Use it in a `with`, which lets go of it."""

    def __init__(self, folder: Path, lock: filelock.BaseFileLock, identity: Mapping[str, Any], facts: dict[str, Any]):
        self._folder = folder
        self._lock = lock
        self._identity = dict(identity)
        self.facts = facts
        """What was decided when the audit began ({} for a new one)."""

    @classmethod
    def open(cls, folder: Path, identity: Mapping[str, Any], restart: bool = False) -> Self:
        """Takes the folder, makes it or goes on with it.

        identity: what must be the same for the parts to be of use, as JSON. restart: begin anew whatever is there.
        Raises LossAuditError if another process holds it, or if it is of another audit: then it says what differs.
        """
        lock = filelock.FileLock(folder / "lock")
        with write_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout as error:
                raise LossAuditError(
                    f"{folder} is in use by {_owner(folder)}; wait for it, or write to another output"
                ) from error
            try:
                (folder / "owner").write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
                if restart:
                    _clear(folder)
                facts = _facts_of(folder, identity)
            except BaseException:
                lock.release()
                raise
        return cls(folder, lock, identity, facts)

    def decide(self, facts: dict[str, Any]) -> None:
        """Writes down what was decided, before the first part."""
        self.facts = facts
        with file_beside(self._folder / _RUN) as temporary:
            temporary.write_text(json.dumps({"identity": self._identity, "facts": facts}, indent=2), encoding="utf-8")

    def read(self, start: int) -> pa.Table | None:
        """The part that begins with this row; None if it isn't there or isn't sound."""
        for path in self._folder.glob(f"{_stem(start)}-*.parquet"):
            if path.stem.endswith(sha256_of(path)[:_HASH_DIGITS]):
                return pq.read_table(path)
            path.unlink()
        return None

    def write(self, start: int, part: pa.Table) -> None:
        """Keeps a part. Raises LossAuditError if it can't be written; those before it stay."""
        unnamed = self._folder / f"{_stem(start)}.new.parquet"
        with file_beside(unnamed) as temporary:
            pq.write_table(part, temporary, compression="zstd")
        unnamed.rename(self._folder / f"{_stem(start)}-{sha256_of(unnamed)[:_HASH_DIGITS]}.parquet")

    def discard(self) -> None:
        """Deletes the folder, once its parts are in the losses table."""
        self._lock.release()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def folder_for(output: Path) -> Path:
    """Where the parts of the audit that writes `output` are kept."""
    return output.with_name(f"{output.name}.parts")


def _stem(start: int) -> str:
    return f"part-{start:012d}"


def _owner(folder: Path) -> str:
    try:
        return (folder / "owner").read_text(encoding="utf-8") or "another process"
    except OSError:
        return "another process"


def _clear(folder: Path) -> None:
    for path in [folder / _RUN, *folder.glob("part-*")]:
        path.unlink(missing_ok=True)


def _facts_of(folder: Path, identity: Mapping[str, Any]) -> dict[str, Any]:
    """What the audit decided whose parts are in the folder. A folder without a sound run.json is begun anew."""
    try:
        run = json.loads((folder / _RUN).read_text(encoding="utf-8"))
        found, facts = dict(run["identity"]), dict(run["facts"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        _clear(folder)
        return {}
    differing = [key for key in {**found, **identity} if found.get(key) != identity.get(key)]
    if differing:
        what = "; ".join(f"{key} was {found.get(key)} and is {identity.get(key)}" for key in differing)
        raise LossAuditError(
            f"{folder} holds parts of another audit ({what}); run that one again to finish it, "
            "or begin anew with --restart"
        )
    return facts
