"""Keeps the shards that an audit has scored, so that an interrupted one can be resumed.

They are kept in a folder beside the output, which one process holds at a time (holding.py):

    lossaudit-parts              marks the folder as ours
    run.json                     what is audited with what, and the choice of what scores it, with its own hash
    part-START-HASH.parquet      a finished shard: its first row, and the start of the file's SHA-256
    again-NUMBER-HASH.parquet    rows that were scored again for an exact top
    scratch                      temporary files: emptied by the next process that holds the folder
    .lossaudit-scratch-*         the dataset's files as Arrow while they are read (scratch.py)
    lock, owner                  who holds the folder

The parts may be elsewhere, in a folder of their own in any folder or at a URL. All are deleted once the losses table is
written. A part that was cut short or altered no longer has its hash, and is scored again.
"""

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import SAME_AGAIN, Either, LossAuditError, Option, brief
from ..files import write_errors
from ..model.precision import Choice
from ..scratch import Scratch
from .folders import Folder, LocalFolder, folder_at
from .holding import Hold, hold

_RUN = "run.json"
_HALVES = (".run.json.", ".part-", ".again-")
"""Beginnings of the names of files that a killed process was writing."""
_HASH_DIGITS = 32
_PART = re.compile(rf"(part-\d{{12}}|again-\d{{6}})-[0-9a-f]{{{_HASH_DIGITS}}}\.parquet")


class KeptParts:
    """The parts of one audit. Use it in a `with`, which releases them."""

    def __init__(
        self,
        path: Path,
        holds: Sequence[Hold],
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
        self._holds = holds
        self._place = place
        self._open = True
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
        elsewhere: the path or URL of a place for the parts, in which they get a folder of their own. Raises
        LossAuditError if a folder isn't ours, if another process holds it, or if it belongs to another audit, saying
        what differs.
        """
        place: Folder = LocalFolder(folder)
        with contextlib.ExitStack() as releasing, write_errors(folder):
            holds = [hold(place)]
            releasing.callback(holds[0].release)
            if elsewhere is not None:
                place = folder_at(f"{elsewhere.rstrip('/')}/{_own_name(folder)}")
                holds.append(hold(place))
                releasing.callback(holds[1].release)
            _clear(place, all_parts=restart)
            kept = cls(folder, holds, place, identity, _choice_of(place, identity))
            shutil.rmtree(kept.scratch, ignore_errors=True)
            kept.scratch.mkdir()
            releasing.pop_all()
            return kept

    @classmethod
    def in_scratch(cls, identity: Mapping[str, Any]) -> Self:
        """For an audit that writes no file: the parts are deleted with this object."""
        scratch = Scratch()
        kept = cls.open(scratch.path / "parts", identity)
        kept._home = scratch
        return kept

    @property
    def taken_from(self) -> str | None:
        """Who may still use the parts, where a place can't be locked; None if nobody can."""
        return next(filter(None, (held.taken_from for held in self._holds)), None)

    @property
    def stay(self) -> bool:
        """Whether the parts outlive this object."""
        return self._home is None

    def decide(self, choice: Choice) -> None:
        """Records what was chosen, before the first part."""
        self._check_holds()
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
        self._check_holds()
        self._place.write(name, data)
        self._names[stem] = name

    def discard(self) -> None:
        """Deletes everything, once the parts are in the losses table. What isn't ours stays, and the folder with it."""
        self._check_holds()
        _clear(self._place, all_parts=True)
        shutil.rmtree(self.scratch, ignore_errors=True)
        self._open = False
        for held in self._holds[::-1]:
            held.remove()

    def __str__(self) -> str:
        return str(self._place)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._open:
            return
        # The files themselves count: an interruption may come right after a part was written.
        if self._is_held() and not (self._names or any(map(_is_part, self._place.names()))):
            self.discard()
        else:
            for held in self._holds:
                held.release()

    def _is_held(self) -> bool:
        try:
            self._check_holds()
        except LossAuditError:
            return False
        return True

    def _check_holds(self) -> None:
        for held in self._holds:
            held.check()


def part_stem(start: int) -> str:
    """Stem of the part of the shard that starts at a row."""
    return f"part-{start:012d}"


def again_stem(number: int) -> str:
    """Stem of a part with rows that were scored again."""
    return f"again-{number:06d}"


def folder_for(output: Path) -> Path:
    """Where the parts of the audit that writes `output` are kept."""
    return output.with_name(f"{output.name}.parts")


def _own_name(folder: Path) -> str:
    """The name, in a place that others may use too, of a folder for what belongs to a folder on this machine."""
    return f"{folder.name}-{_digest(str(folder.absolute()).encode())[:8]}"


def _is_part(name: str) -> bool:
    return _PART.fullmatch(name) is not None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_HASH_DIGITS]


def _digest_of_run(run: dict[str, Any]) -> str:
    return _digest(json.dumps(run, sort_keys=True).encode())


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
