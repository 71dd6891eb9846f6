"""Stores the decisions about one losses file in an SQLite file beside it, safe from crashes.

Each `add` is a step that `undo` takes back as a whole. The store identifies its losses file by a hash of the ranking,
and the examples that were decided by their texts and given labels (examples.py). store_format.py has the tables.
"""

import contextlib
import dataclasses
import hashlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from lossaudit.engine.errors import LossAuditError, brief
from lossaudit.engine.files import private_mode
from lossaudit.engine.table.losses import LossesTable

from .examples import Example, examples_of
from .store_format import FORMAT, make_tables, upgrade

VERDICTS = ("relabel", "keep", "unsure", "discard")
"""Possible verdicts: the label is wrong and another one is right; the label is right; can't tell; the example shouldn't
be in the dataset."""
_WAIT_S = 30.0
_PAUSE_S = 0.02
"""Seconds that a writer waits for another process, and between attempts where SQLite doesn't wait by itself."""
_SELECT = (
    "SELECT row, verdict, label, annotator, origin, made_at, text_key, given "
    "FROM decisions JOIN examples ON examples.id = example"
)
_IN_ORDER = "ORDER BY made_at, decisions.id"


@dataclass(frozen=True)
class Decision:
    """One person's decision about one row of a losses table."""

    row: int
    """`id` in the losses table."""
    verdict: str
    """One of VERDICTS."""
    label: str | None
    """Name of the new label for relabel; None for other verdicts."""
    annotator: str
    origin: str
    """Place where it was made: page, rubrix, argilla, label-studio or jsonl."""
    made_at: str
    """Time in ISO 8601 with a time zone; stored in UTC."""
    text_key: str = field(default="", compare=False)
    given: str = field(default="", compare=False)
    """Hash of the row's texts, and its given label (`engine/table/identity.py`); the store fills both in."""


class DecisionStore:
    """The decisions about one losses file. Only one thread at a time may use it; other processes may have it open too.

    Where annotators differ, the latest decision counts.
    """

    def __init__(self, losses: LossesTable, connection: sqlite3.Connection) -> None:
        self.path = store_path(losses.path)
        self._losses = losses
        self._connection = connection

    @classmethod
    def open(cls, losses: LossesTable, *, create: bool = True) -> Self:
        """The store beside a losses file; it is created if it doesn't exist and `create` is set.

        Raises LossAuditError if there is no store and none may be created, if the file there isn't a store, or if its
        decisions are about another losses file.
        """
        ranked = _hash_of_ranking(losses)
        path = store_path(losses.path)
        if not create and not path.is_file():
            raise LossAuditError(
                f"there are no decisions about {losses.path} yet (no file {path}); "
                f"make some with `lossaudit review {losses.path}`"
            )
        with contextlib.suppress(OSError):  # it exists, or SQLite says below why it can't
            # SQLite would leave the permissions to the umask. Its files beside this one get the same permissions.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL, private_mode(path)))
        with _said(path):
            connection = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
        try:
            store = cls(losses, connection)
            store._prepare(ranked)
        except BaseException:
            connection.close()
            raise
        return store

    def add(self, decisions: Iterable[Decision], examples: Mapping[int, Example] | None = None) -> None:
        """Stores decisions as one step of each annotator. All of them are on disk when it returns, or none.

        A decision that is already there, with the same time, isn't stored again. A time in the future becomes the
        present. examples: those of the decided rows, if the caller has them at hand; else the losses file is read.
        Raises LossAuditError for an invalid decision, for a row that the losses file doesn't have, and if the store
        can't be written.
        """
        now = utc_now()
        checked = [_checked(decision, now) for decision in decisions]
        if not checked:
            return
        rows = {decision.row for decision in checked}
        found = examples_of(self._losses, rows) if examples is None else examples
        if missing := sorted(rows - found.keys()):
            raise LossAuditError(f"{self._losses.path} has no row {missing[0]}, so there can be no decision about it")
        with self._transaction() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO examples (row, is_here, text_key, given, start) VALUES (?, 1, ?, ?, ?)",
                (dataclasses.astuple(found[row]) for row in sorted(rows)),
            )
            step = self._bump("version")
            connection.executemany(
                "INSERT INTO decisions (step, example, verdict, label, annotator, origin, made_at) "
                f"SELECT {step}, id, ?2, ?3, ?4, ?5, ?6 FROM examples WHERE is_here AND row = ?1 AND NOT EXISTS ("
                "SELECT 1 FROM decisions WHERE example = examples.id AND made_at = ?6 AND verdict = ?2 "
                "AND label IS ?3 AND annotator = ?4 AND origin = ?5)",
                (dataclasses.astuple(decision)[:6] for decision in checked),
            )

    def undo(self, annotator: str) -> list[Decision]:
        """Takes back an annotator's last step and returns its decisions, by row; [] if there is none."""
        with self._transaction() as connection:
            (step,) = connection.execute("SELECT max(step) FROM decisions WHERE annotator = ?", (annotator,)).fetchone()
            if step is None:
                return []
            which = "WHERE annotator = ? AND step = ?"
            undone = self._read(f"{which} ORDER BY row, decisions.id", annotator, step)
            connection.execute(f"DELETE FROM decisions {which}", (annotator, step))
            self._bump("version")
        return undone

    def decisions(self) -> dict[int, Decision]:
        """The decision that counts for each decided row: the latest of all annotators."""
        with _said(self.path):
            return {decision.row: decision for decision in self._read(f"WHERE is_here {_IN_ORDER}")}

    def history(self, row: int) -> list[Decision]:
        """All decisions about a row, the one that counts last; those taken back aren't included."""
        with _said(self.path):
            return self._read(f"WHERE is_here AND row = ? {_IN_ORDER}", row)

    def annotators(self) -> list[str]:
        """Names of those who have decisions here, sorted."""
        with _said(self.path):
            return [name for (name,) in self._connection.execute("SELECT DISTINCT annotator FROM decisions ORDER BY 1")]

    def version(self) -> int:
        """A number that rises with every change by any process."""
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

    def _read(self, which: str, *values: object) -> list[Decision]:
        """The decisions that a clause of SQL picks and orders."""
        return [Decision(*row) for row in self._connection.execute(f"{_SELECT} {which}", values)]

    def _prepare(self, ranked: str) -> None:
        with _said(self.path):
            self._switch_to_wal()
            self._connection.execute("PRAGMA synchronous = FULL")
            (format_,) = self._connection.execute("PRAGMA user_version").fetchone()
            if not format_:
                self._begin_new(ranked)
            elif format_ > FORMAT:
                raise LossAuditError(f"{self.path} was written by a newer lossaudit; upgrade to read it")
            facts = dict(self._connection.execute("SELECT name, value FROM facts"))
        if facts.get("ranking") != ranked:
            raise LossAuditError(
                f"{self.path} holds decisions about another losses file ({facts.get('losses')}, since "
                f"{facts.get('begun_at')}); move it away, or put that losses file back"
            )
        if 0 < format_ < FORMAT:
            with self._transaction() as connection:
                upgrade(connection, self._losses)

    def _switch_to_wal(self) -> None:
        """Tries until it succeeds: while another process creates the store, SQLite says "locked" without waiting."""
        end = time.monotonic() + _WAIT_S
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                    raise
                time.sleep(_PAUSE_S)

    def _begin_new(self, ranked: str) -> None:
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables:
            raise LossAuditError(f"{self.path} is another program's database; move it away")
        facts = {"ranking": ranked, "losses": self._losses.path.name, "begun_at": utc_now(), "version": 0}
        with self._transaction() as connection:
            make_tables(connection)
            # Another process may have created it since; what that wrote stays.
            connection.executemany("INSERT OR IGNORE INTO facts VALUES (?, ?)", facts.items())

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
    """The path of the decisions about a losses file: beside it, with its whole name."""
    return losses_path.with_name(f"{losses_path.name}.reviews.sqlite")


def utc_now() -> str:
    """The present time in the form of decisions."""
    return _as_stored(datetime.now(UTC))


def _as_stored(time: datetime) -> str:
    """A time in one form, to the microsecond, so that times sort as text."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def _checked(decision: Decision, now: str) -> Decision:
    where = f"decision about row {decision.row}"
    if decision.row < 0:
        raise LossAuditError(f"{where}: rows are numbered from 0")
    if decision.verdict not in VERDICTS:
        raise LossAuditError(f"{where}: there is no verdict {decision.verdict!r}; use one of {', '.join(VERDICTS)}")
    if (decision.label is None) == (decision.verdict == "relabel"):
        raise LossAuditError(f"{where}: the verdict relabel needs a new label, and no other verdict has one")
    if not decision.annotator.strip():
        raise LossAuditError(f"{where}: the annotator is missing")
    try:
        made_at = datetime.fromisoformat(decision.made_at)
    except ValueError as error:
        raise LossAuditError(f"{where}: {decision.made_at!r} isn't an ISO 8601 time") from error
    if made_at.tzinfo is None:
        raise LossAuditError(f"{where}: the time {decision.made_at} has no time zone")
    return dataclasses.replace(decision, made_at=min(_as_stored(made_at), now))


def _hash_of_ranking(losses: LossesTable) -> str:
    """A hash of ids, losses and given labels; each column has its own, so that the bounds of batches don't matter."""
    columns = {name: hashlib.sha256() for name in ("id", "loss", "label_name")}
    for batch in losses.batches(list(columns)):
        columns["id"].update(batch["id"].to_numpy(zero_copy_only=False).astype("<i8").tobytes())
        columns["loss"].update(batch["loss"].to_numpy(zero_copy_only=False).astype("<f8").tobytes())
        columns["label_name"].update("".join(f"{name}\0" for name in batch["label_name"].to_pylist()).encode())
    return hashlib.sha256("".join(column.hexdigest() for column in columns.values()).encode()).hexdigest()


@contextlib.contextmanager
def _said(path: Path) -> Iterator[None]:
    """Turns SQLite's errors into one line that names the file and says what to do."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise LossAuditError(
            f"can't use {path}: {brief(error)}; check the folder's permissions and free space, and try again"
        ) from error
    except sqlite3.DatabaseError as error:
        raise LossAuditError(f"{path} isn't a decision store, or is damaged: {brief(error)}; move it away") from error
