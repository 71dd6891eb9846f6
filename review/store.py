"""The decisions about one losses file, in an SQLite file beside it: decisions come in and stay, whatever dies.

Each `add` is a step that `undo` takes back as a whole. The store knows its losses file by a hash of what was ranked.
"""

import contextlib
import dataclasses
import hashlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from lossaudit.engine.errors import LossAuditError, brief
from lossaudit.engine.files import private_mode
from lossaudit.engine.table.losses import LossesTable

VERDICTS = ("relabel", "keep", "unsure", "discard")
"""What a person can say of an example: the label is wrong and this one is right, the label is right, can't tell, and
the example shouldn't be in the dataset."""
_FORMAT = 1
_WAIT_S = 30.0
_PAUSE_S = 0.02
"""How long a writer waits for another one's transaction, in seconds."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    step INTEGER NOT NULL,
    row INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    label TEXT,
    annotator TEXT NOT NULL,
    origin TEXT NOT NULL,
    made_at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS decisions_by_row ON decisions (row, made_at, id);
CREATE INDEX IF NOT EXISTS decisions_by_annotator ON decisions (annotator, step);
"""
_COLUMNS = "row, verdict, label, annotator, origin, made_at"


@dataclass(frozen=True)
class Decision:
    """What someone said of one row of a losses table."""

    row: int
    """`id` in the losses table."""
    verdict: str
    """One of VERDICTS."""
    label: str | None
    """Name of the new label; given for relabel and for nothing else."""
    annotator: str
    origin: str
    """Where it was made: page, rubrix, argilla, label-studio or jsonl."""
    made_at: str
    """ISO 8601 with a time zone; stored in UTC."""


class DecisionStore:
    """The decisions about one losses file. One thread at a time may use it; other processes may have it open too.

    Where several annotators differ, the decision made last counts.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    def open(cls, losses: LossesTable, *, create: bool = True) -> Self:
        """The store beside a losses file, which is made if it isn't there and `create` is set.

        Raises LossAuditError if there is none and none may be made, if the file there is no store, or if its
        decisions are about another losses file.
        """
        ranked = _hash_of_ranking(losses)
        path = store_path(losses.path)
        if not create and not path.is_file():
            raise LossAuditError(
                f"there are no decisions about {losses.path} yet (no file {path}); "
                f"make some with `lossaudit review {losses.path}`"
            )
        with contextlib.suppress(OSError):  # it is there, or SQLite says below why it can't be
            # SQLite would leave the permissions to the umask; its files beside this one get the same.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL, private_mode(path)))
        with _said(path):
            connection = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
        try:
            store = cls(path, connection)
            store._prepare(losses.path, ranked)
        except BaseException:
            connection.close()
            raise
        return store

    def add(self, decisions: Iterable[Decision]) -> None:
        """Stores decisions as one step of each of their annotators; they are on disk when it returns, or none is.

        A decision that is there already, its time included, isn't stored again. A time that lies in the future is
        taken as now. Raises LossAuditError for a decision that makes no sense, and when the disk says no.
        """
        now = utc_now()
        checked = [_checked(decision, now) for decision in decisions]
        if not checked:
            return
        with self._transaction() as connection:
            step = self._bump("version")
            connection.executemany(
                f"INSERT INTO decisions (step, {_COLUMNS}) SELECT {step}, ?1, ?2, ?3, ?4, ?5, ?6 WHERE NOT EXISTS ("
                "SELECT 1 FROM decisions WHERE row = ?1 AND made_at = ?6 AND verdict = ?2 AND label IS ?3 "
                "AND annotator = ?4 AND origin = ?5)",
                (dataclasses.astuple(decision) for decision in checked),
            )

    def undo(self, annotator: str) -> list[Decision]:
        """Takes back an annotator's last step and returns it, by row; [] if there is none."""
        with self._transaction() as connection:
            (step,) = connection.execute("SELECT max(step) FROM decisions WHERE annotator = ?", (annotator,)).fetchone()
            if step is None:
                return []
            which = "FROM decisions WHERE annotator = ? AND step = ?"
            undone = _decisions(connection.execute(f"SELECT {_COLUMNS} {which} ORDER BY row, id", (annotator, step)))
            connection.execute(f"DELETE {which}", (annotator, step))
            self._bump("version")
        return undone

    def decisions(self) -> dict[int, Decision]:
        """The decision that counts for each row that has one: the latest over all annotators."""
        with _said(self.path):
            found = self._connection.execute(f"SELECT {_COLUMNS} FROM decisions ORDER BY made_at, id")
            return {decision.row: decision for decision in _decisions(found)}

    def history(self, row: int) -> list[Decision]:
        """All decisions about a row, the one that counts last; those taken back are gone."""
        with _said(self.path):
            found = self._connection.execute(
                f"SELECT {_COLUMNS} FROM decisions WHERE row = ? ORDER BY made_at, id", (row,)
            )
            return _decisions(found)

    def annotators(self) -> list[str]:
        """Who has decisions here, by name."""
        with _said(self.path):
            return [name for (name,) in self._connection.execute("SELECT DISTINCT annotator FROM decisions ORDER BY 1")]

    def version(self) -> int:
        """A number that rises with every change, by whichever process."""
        with _said(self.path):
            found = self._connection.execute("SELECT value FROM facts WHERE name = 'version'").fetchone()
        return int(found[0]) if found else 0

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _prepare(self, losses_path: Path, ranked: str) -> None:
        with _said(self.path):
            self._switch_to_wal()
            self._connection.execute("PRAGMA synchronous = FULL")
            (format_,) = self._connection.execute("PRAGMA user_version").fetchone()
            if not format_:
                self._begin_new(losses_path, ranked)
            elif format_ > _FORMAT:
                raise LossAuditError(f"{self.path} was written by a newer lossaudit; upgrade to read it")
            facts = dict(self._connection.execute("SELECT name, value FROM facts"))
        if facts.get("ranking") != ranked:
            raise LossAuditError(
                f"{self.path} holds decisions about another losses file ({facts.get('losses')} of "
                f"{facts.get('begun_at')}); move it away, or put that losses file back"
            )

    def _switch_to_wal(self) -> None:
        """Where another process begins the store at the same moment, SQLite says "locked" at once, without the wait."""
        end = time.monotonic() + _WAIT_S
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                    raise
                time.sleep(_PAUSE_S)

    def _begin_new(self, losses_path: Path, ranked: str) -> None:
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables:
            raise LossAuditError(f"{self.path} is a database of something else; move it away")
        facts = {"ranking": ranked, "losses": losses_path.name, "begun_at": utc_now(), "version": 0}
        with self._transaction() as connection:
            for statement in filter(str.strip, _SCHEMA.split(";")):
                connection.execute(statement)
            # Another process may have begun it since: what it wrote stays.
            connection.executemany("INSERT OR IGNORE INTO facts VALUES (?, ?)", facts.items())
            connection.execute(f"PRAGMA user_version = {_FORMAT}")

    def _bump(self, name: str) -> int:
        self._connection.execute("UPDATE facts SET value = value + 1 WHERE name = ?", (name,))
        (value,) = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return int(value)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _said(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


def store_path(losses_path: Path) -> Path:
    """Where the decisions about a losses file are: beside it, with its whole name."""
    return losses_path.with_name(f"{losses_path.name}.reviews.sqlite")


def utc_now() -> str:
    """The time as decisions carry it."""
    return _as_stored(datetime.now(UTC))


def _as_stored(time: datetime) -> str:
    """In one form, to the microsecond, so that times sort as text."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def _checked(decision: Decision, now: str) -> Decision:
    where = f"decision about row {decision.row}"
    if decision.row < 0:
        raise LossAuditError(f"{where}: rows are numbered from 0")
    if decision.verdict not in VERDICTS:
        raise LossAuditError(f"{where}: there is no verdict {decision.verdict!r}; there are {', '.join(VERDICTS)}")
    if (decision.label is None) == (decision.verdict == "relabel"):
        raise LossAuditError(f"{where}: a new label goes with the verdict relabel, and with no other")
    if not decision.annotator.strip():
        raise LossAuditError(f"{where}: it has no annotator")
    try:
        made_at = datetime.fromisoformat(decision.made_at)
    except ValueError as error:
        raise LossAuditError(f"{where}: {decision.made_at!r} is no ISO 8601 time") from error
    if made_at.tzinfo is None:
        raise LossAuditError(f"{where}: its time {decision.made_at} has no time zone")
    return dataclasses.replace(decision, made_at=min(_as_stored(made_at), now))


def _decisions(rows: Iterable[tuple[int, str, str | None, str, str, str]]) -> list[Decision]:
    return [Decision(*row) for row in rows]


def _hash_of_ranking(losses: LossesTable) -> str:
    """A hash of ids, losses and given labels, each column hashed by itself so that batches' bounds don't matter."""
    columns = {name: hashlib.sha256() for name in ("id", "loss", "label_name")}
    for batch in losses.batches(list(columns)):
        columns["id"].update(batch["id"].to_numpy(zero_copy_only=False).astype("<i8").tobytes())
        columns["loss"].update(batch["loss"].to_numpy(zero_copy_only=False).astype("<f8").tobytes())
        columns["label_name"].update("".join(f"{name}\0" for name in batch["label_name"].to_pylist()).encode())
    return hashlib.sha256("".join(column.hexdigest() for column in columns.values()).encode()).hexdigest()


@contextlib.contextmanager
def _said(path: Path) -> Iterator[None]:
    """Makes SQLite's errors one line that says which file and what to do."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise LossAuditError(
            f"can't use {path}: {brief(error)}; see to the folder's rights and room, and try again"
        ) from error
    except sqlite3.DatabaseError as error:
        raise LossAuditError(f"{path} is no store of decisions, or damaged: {brief(error)}; move it away") from error
