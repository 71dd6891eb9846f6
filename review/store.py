"""Stores the decisions about one losses file in an SQLite file beside it (database.py, store_format.py).

Each `add` is a step that `undo` takes back as a whole. Decisions are about examples (examples.py); if the losses file
was made anew, which a hash of its ranking shows, they are found in it again (matching.py).
"""

import contextlib
import dataclasses
import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lossaudit.engine.errors import Either, LossAuditError
from lossaudit.engine.table.losses import LossesTable

from .database import Database
from .examples import Example, examples_of, hash_of_ranking
from .matching import Known, found_again
from .store_format import FORMAT, example_number, make_tables, upgrade
from .times import after, as_stored, in_utc

VERDICTS = ("relabel", "keep", "unsure", "discard")
"""Possible verdicts: the label is wrong and another one is right; the label is right; can't tell; the example shouldn't
be in the dataset."""
_COLUMNS = "row, verdict, label, annotator, origin, made_at, text_key, given, note, tags"
_FROM = "FROM decisions JOIN examples ON examples.id = example"
_DECIDED = "decisions (step, example, verdict, label, annotator, origin, made_at, note, tags)"
_UNLESS_KNOWN = (
    "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 WHERE NOT EXISTS (SELECT 1 FROM decisions WHERE example = ?1 AND verdict = ?2 "
    "AND label IS ?3 AND annotator = ?4 AND origin = ?5 AND (made_at = ?6 OR ?9))"
)
"""Not stored twice: one that is the same. ?9: whether its time isn't the one that was told, since it was to come."""
ADJUDICATION = "adjudication"
"""Origin of an adjudicator's decision, which is final."""
_IN_ORDER = f"ORDER BY origin = '{ADJUDICATION}', made_at, decisions.id"


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
    """Name of the person."""
    origin: str
    """Place where it was made: page, adjudication, python, rubrix, argilla, label-studio, jsonl or import."""
    made_at: str
    """Time in ISO 8601 with a time zone; stored in UTC."""
    text_key: str = field(default="", compare=False)
    """Hash of the row's texts (`engine/table/identity.py`); the store fills it in."""
    given: str = field(default="", compare=False)
    """Given label of the row, or its set as a JSON list of sorted names; the store fills it in."""
    note: str = ""
    """The annotator's own words about it; "" for none."""
    tags: tuple[str, ...] = ()
    """What kind of example it is, in words of the annotators' own."""


@dataclass(frozen=True)
class Gone:
    """A decision about an example that the losses file doesn't have now."""

    decision: Decision
    """Its row is the one that the example had."""
    start: str
    """Beginning of the text."""


@dataclass(frozen=True)
class Merged:
    """The result of merging decisions into the store."""

    new: list[Decision]
    gone: int
    """How many of them are about examples that the losses file doesn't have."""


class DecisionStore:
    """The decisions about one losses file. Only one thread at a time may use it; other processes may have it open too.

    Where annotators differ, an adjudicator's latest decision counts, else the latest of all.
    """

    def __init__(self, losses: LossesTable, database: Database) -> None:
        """See `open`."""
        self.path = database.path
        self._losses = losses
        self._database = database
        self._table = {"ranking": hash_of_ranking(losses), "dataset": losses.facts.source.fingerprint or ""}
        """What tells whether it is the table whose rows the store has."""

    @classmethod
    def open(cls, losses: LossesTable, *, create: bool = True) -> Self:
        """The store beside a losses file; it is created if it doesn't exist and `create` is set.

        Raises LossAuditError if there is no store and none may be created, or if the file there isn't a store.
        """
        path = store_path(losses.path)
        if not create and not path.is_file():
            raise LossAuditError(
                f"there are no decisions about {losses.path} yet (no file {path}); "
                f"make some with `lossaudit review {losses.path}`"
            )
        store = cls(losses, Database(path))
        try:
            store._prepare()
        except BaseException:
            store.close()
            raise
        return store

    def add(
        self,
        decisions: Iterable[Decision],
        examples: Mapping[int, Example] | None = None,
        *,
        now: bool = False,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        """Stores decisions as one step of each annotator. All of them are on disk when it returns, or none.

        A decision that is already there, with the same time, isn't stored again. A time in the future becomes the
        present. examples: those of the decided rows, if the caller has them at hand; else the losses file is read.
        now: whether they are made at this moment; each then counts after all others about its row, even if the clock
        was set back. before: called once no other process can add any more; if it raises an error, nothing is stored.
        Raises LossAuditError for an invalid decision, for a row that the losses file doesn't have, and if
        the store can't be written.
        """
        present = utc_now()
        checked = [_checked(decision, present) for decision in decisions]
        if not checked:
            return
        rows = {decision.row for decision in checked}
        found = examples_of(self._losses, rows) if examples is None else examples
        if missing := sorted(rows - found.keys()):
            raise LossAuditError(f"{self._losses.path} has no row {missing[0]}, so there can be no decision about it")
        with self._writing() as connection:
            before()
            numbers = {row: example_number(connection, found[row], found[row]) for row in sorted(rows)}
            if now and _newest(connection) >= present:  # the clock was set back
                checked = [
                    dataclasses.replace(one, made_at=after(one.made_at, self._latest(one.row))) for one in checked
                ]
            step = _bump(connection)
            connection.executemany(
                f"INSERT INTO {_DECIDED} SELECT {step}, {_UNLESS_KNOWN}",
                ((numbers[decision.row], *_values(decision), False) for decision in checked),
            )

    def merge(self, told: Sequence[tuple[Example, Decision]]) -> Merged:
        """Stores decisions that were made elsewhere, about examples that are found by text and given label.

        Those that are here already aren't stored again. Examples that the losses file lacks are kept until it has them.
        Raises LossAuditError as `add` does.
        """
        present = utc_now()
        checked = [(example, _checked(decision, present), decision.made_at) for example, decision in told]
        examples = list(dict.fromkeys(example for example, _ in told))
        found = found_again([Known(number, example) for number, example in enumerate(examples)], self._losses)
        new = []
        with self._writing() as connection:
            numbers = {
                example: example_number(connection, example, found.get(number))
                for number, example in enumerate(examples)
            }
            step = _bump(connection)
            for example, decision, made_at in checked:
                values = (numbers[example], *_values(decision), in_utc(made_at) > present)
                if connection.execute(f"INSERT INTO {_DECIDED} SELECT {step}, {_UNLESS_KNOWN}", values).rowcount:
                    new.append((example, decision))
        there = {examples[number] for number in found}
        return Merged([decision for _, decision in new], sum(example not in there for example, _ in new))

    def undo(self, annotator: str) -> list[Decision]:
        """Takes back an annotator's last step and returns its decisions, by row; [] if there is none."""
        with self._writing() as connection:
            (step,) = connection.execute("SELECT max(step) FROM decisions WHERE annotator = ?", (annotator,)).fetchone()
            if step is None:
                return []
            which = "WHERE annotator = ? AND step = ?"
            undone = _read(connection, f"{which} ORDER BY row, decisions.id", annotator, step)
            connection.execute(f"DELETE FROM decisions {which}", (annotator, step))
            _bump(connection)
        return undone

    def decisions(self) -> dict[int, Decision]:
        """The decision that counts for each decided row: the latest of an adjudicator, else of all annotators."""
        return {row: made[-1] for row, made in self.histories().items()}

    def histories(self) -> dict[int, list[Decision]]:
        """All decisions about each decided row, the one that counts last."""
        made = defaultdict(list)
        with self._reading() as connection:
            for decision in _read(connection, f"WHERE is_here {_IN_ORDER}"):
                made[decision.row].append(decision)
        return dict(made)

    def gone(self) -> list[Gone]:
        """The decisions that count for examples which the losses file doesn't have now, by their old rows.

        They apply again once it has them.
        """
        with self._reading() as connection:
            found = connection.execute(
                f"SELECT example, start, {_COLUMNS} {_FROM} WHERE NOT is_here {_IN_ORDER}"
            ).fetchall()
        latest = {number: Gone(_decision(values), start) for number, start, *values in found}
        return sorted(latest.values(), key=lambda gone: gone.decision.row)

    def all(self) -> list[tuple[Example, Decision]]:
        """All decisions, also about examples that the losses file lacks, in the order in which they count."""
        with self._reading() as connection:
            found = connection.execute(f"SELECT start, {_COLUMNS} {_FROM} {_IN_ORDER}").fetchall()
        made = [(start, _decision(values)) for start, *values in found]
        return [(Example(one.row, one.text_key, one.given, start), one) for start, one in made]

    def history(self, row: int) -> list[Decision]:
        """All decisions about a row, the one that counts last; those taken back aren't included."""
        with self._reading() as connection:
            return _read(connection, f"WHERE is_here AND row = ? {_IN_ORDER}", row)

    def annotators(self) -> list[str]:
        """Names of those who have decisions here, sorted."""
        with self._reading() as connection:
            return [name for (name,) in connection.execute("SELECT DISTINCT annotator FROM decisions ORDER BY 1")]

    def version(self) -> int:
        """A number that rises with every change by any process."""
        with self._reading() as connection:
            return _version(connection)

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._database.reading() as connection:
            self._check_table(connection)
            yield connection

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._database.writing() as connection:
            self._check_table(connection)
            yield connection

    def _is_about(self, facts: Mapping[str, object]) -> bool:
        return all(facts.get(name) == value for name, value in self._table.items())

    def _check_table(self, connection: sqlite3.Connection) -> None:
        """The rows of the store are those of one losses table, which may have been made anew meanwhile."""
        if not self._is_about(_facts(connection)):
            raise LossAuditError(
                f"{self._losses.path} was made anew since it was opened, and {self.path} follows it now; ",
                Either("open it again", "end this command and start it again"),
            )

    def _prepare(self) -> None:
        with self._database.reading() as connection:
            (format_,) = connection.execute("PRAGMA user_version").fetchone()
            if not format_:
                self._begin_new()
            elif format_ > FORMAT:
                raise LossAuditError(f"{self.path} was written by a newer lossaudit; upgrade to read it")
            facts = _facts(connection)
        if 0 < format_ < FORMAT:
            if format_ == 1 and facts.get("ranking") != self._table["ranking"]:
                raise LossAuditError(
                    f"{self.path} was written by an older lossaudit, about another losses file ({facts.get('losses')}, "
                    f"since {facts.get('begun_at')}); put that losses file back for one `lossaudit decisions show`, or "
                    "move the store away"
                )
            with self._database.writing() as connection:
                upgrade(connection, self._losses, self._table["dataset"])
                facts = _facts(connection)
        if format_ and not self._is_about(facts):
            while not self._match():
                pass

    def _begin_new(self) -> None:
        facts = self._table | {"losses": self._losses.path.name, "begun_at": utc_now(), "version": 0}
        with self._database.writing() as connection:
            (format_,) = connection.execute("PRAGMA user_version").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if tables and not format_:
                raise LossAuditError(f"{self.path} is another program's database; move it away")
            if not tables:  # else another process has created it since
                make_tables(connection)
                connection.executemany("INSERT INTO facts VALUES (?, ?)", facts.items())

    def _match(self) -> bool:
        """Finds the store's examples in a losses table that was made anew; False if they have changed meanwhile."""
        with self._database.reading() as connection:
            before = _version(connection)
            found = connection.execute(
                "SELECT id, row, text_key, given, start FROM examples ORDER BY is_here DESC, row, id"
            ).fetchall()
        again = found_again([Known(number, Example(*values)) for number, *values in found], self._losses)
        with self._database.writing() as connection:
            if _version(connection) != before:
                return False
            connection.execute("UPDATE examples SET is_here = 0")
            connection.executemany(
                "UPDATE examples SET row = ?, is_here = 1, given = ?, "
                "text_key = coalesce(nullif(?, ''), text_key), start = coalesce(nullif(?, ''), start) WHERE id = ?",
                ((now.row, now.given, now.text_key, now.start, number) for number, now in again.items()),
            )
            told = self._table | {"losses": self._losses.path.name}
            connection.executemany("REPLACE INTO facts VALUES (?, ?)", told.items())
            _bump(connection)
        return True

    def _latest(self, row: int) -> str | None:
        """The time of the latest decision about a row; the caller holds a transaction."""
        return max((decision.made_at for decision in self.history(row)), default=None)


def _read(connection: sqlite3.Connection, which: str, *values: object) -> list[Decision]:
    """The decisions that a clause of SQL picks and orders."""
    return [_decision(row) for row in connection.execute(f"SELECT {_COLUMNS} {_FROM} {which}", values)]


def _facts(connection: sqlite3.Connection) -> dict[str, object]:
    return dict(connection.execute("SELECT name, value FROM facts"))


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("SELECT value FROM facts WHERE name = 'version'").fetchone()
    return int(version)


def _newest(connection: sqlite3.Connection) -> str:
    (newest,) = connection.execute("SELECT max(made_at) FROM decisions").fetchone()
    return newest or ""


def _bump(connection: sqlite3.Connection) -> int:
    """Raises the version, and returns it."""
    connection.execute("UPDATE facts SET value = value + 1 WHERE name = 'version'")
    return _version(connection)


def store_path(losses_path: Path) -> Path:
    """The path of the decisions about a losses file: beside it, with its whole name."""
    return losses_path.with_name(f"{losses_path.name}.reviews.sqlite")


def utc_now() -> str:
    """The present time in the form of decisions."""
    return as_stored(datetime.now(UTC))


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
    return dataclasses.replace(decision, made_at=min(as_stored(made_at), now))


def _values(decision: Decision) -> tuple[object, ...]:
    """The values of the columns that follow a decision's example."""
    tags = json.dumps(decision.tags, ensure_ascii=False)
    return (*dataclasses.astuple(decision)[1:6], decision.note, tags)


def _decision(row: Sequence[Any]) -> Decision:
    """The decision in the values of _COLUMNS."""
    return dataclasses.replace(Decision(*row[:-1]), tags=tuple(json.loads(row[-1])))
