"""The tables of a store of decisions, and how those of older versions become them.

Format 1 knew examples by their row alone; format 2 knew them by their texts and given labels too; format 3 has notes
and tags.
"""

import dataclasses
import sqlite3

from lossaudit.engine.table.losses import LossesTable

from .examples import Example, examples_of

FORMAT = 3
_TABLES = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS examples (
    id INTEGER PRIMARY KEY,
    row INTEGER NOT NULL,
    is_here INTEGER NOT NULL,
    text_key TEXT NOT NULL,
    given TEXT NOT NULL,
    start TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS examples_by_row ON examples (row) WHERE is_here;
CREATE TABLE IF NOT EXISTS decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    step INTEGER NOT NULL,
    example INTEGER NOT NULL REFERENCES examples,
    verdict TEXT NOT NULL,
    label TEXT,
    annotator TEXT NOT NULL,
    origin TEXT NOT NULL,
    made_at TEXT NOT NULL,
    note TEXT NOT NULL DEFAULT '',
    tags TEXT NOT NULL DEFAULT '[]'
);
CREATE INDEX IF NOT EXISTS decisions_by_example ON decisions (example, made_at, id);
CREATE INDEX IF NOT EXISTS decisions_by_annotator ON decisions (annotator, step);
CREATE INDEX IF NOT EXISTS decisions_by_time ON decisions (made_at);
"""
"""`row` is the example's row in the losses file, or, unless `is_here`, the row that it had when it was there last.
`tags` is a JSON list."""


def make_tables(connection: sqlite3.Connection) -> None:
    """Makes those tables that aren't there yet; the caller holds a transaction."""
    for statement in filter(str.strip, _TABLES.split(";")):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {FORMAT}")


def example_number(connection: sqlite3.Connection, example: Example, here: Example | None) -> int:
    """The number of an example, which is added unless it is there.

    here: the same example as the losses file has it; None if it doesn't.
    """
    values = dataclasses.asdict(here or example)
    same = "is_here AND row = :row" if here else "NOT is_here AND (row, text_key, given) = (:row, :text_key, :given)"
    connection.execute(
        f"INSERT INTO examples (row, is_here, text_key, given, start) SELECT :row, {int(here is not None)}, :text_key, "
        f":given, :start WHERE NOT EXISTS (SELECT 1 FROM examples WHERE {same})",
        values,
    )
    (number,) = connection.execute(f"SELECT id FROM examples WHERE {same}", values).fetchone()
    return int(number)


def upgrade(connection: sqlite3.Connection, losses: LossesTable, dataset: str) -> None:
    """Turns the tables of an older format into today's; the caller holds a transaction.

    Those of format 1 are about this losses file, whose dataset has that fingerprint.
    """
    (format_,) = connection.execute("PRAGMA user_version").fetchone()
    if format_ == 1:
        _upgrade_first(connection, losses)
        connection.execute("REPLACE INTO facts VALUES ('dataset', ?)", (dataset,))
    elif format_ == 2:  # else another process has done it
        connection.execute("ALTER TABLE decisions ADD COLUMN note TEXT NOT NULL DEFAULT ''")
        connection.execute("ALTER TABLE decisions ADD COLUMN tags TEXT NOT NULL DEFAULT '[]'")
        make_tables(connection)


def _upgrade_first(connection: sqlite3.Connection, losses: LossesTable) -> None:
    for index in ("decisions_by_row", "decisions_by_annotator"):
        connection.execute(f"DROP INDEX IF EXISTS {index}")
    connection.execute("ALTER TABLE decisions RENAME TO decisions_1")
    make_tables(connection)
    rows = [row for (row,) in connection.execute("SELECT DISTINCT row FROM decisions_1")]
    found = examples_of(losses, rows)
    for row in rows:
        example = found.get(row, Example(row, "", "", ""))
        connection.execute(
            "INSERT INTO examples (row, is_here, text_key, given, start) VALUES (?, ?, ?, ?, ?)",
            (row, row in found, example.text_key, example.given, example.start),
        )
    connection.execute(
        "INSERT INTO decisions SELECT d.id, step, e.id, verdict, label, annotator, origin, made_at, '', '[]' "
        "FROM decisions_1 AS d JOIN examples AS e ON e.row = d.row"
    )
    connection.execute("DROP TABLE decisions_1")
