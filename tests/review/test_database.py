"""The file of a store under hard conditions: locked, deleted, replaced, moved without what SQLite keeps beside it."""

import shutil
import signal
import sqlite3
import subprocess
import sys

import pytest

from lossaudit.review.database import Database

WRITE = (
    "import os, sys; from pathlib import Path; from lossaudit.review.database import Database\n"
    "database = Database(Path(sys.argv[1]))\n"
    "with database.writing() as connection: connection.execute('CREATE TABLE t (n)')\n"
    "for n in range(20):\n"
    "    with database.writing() as connection: connection.execute('INSERT INTO t VALUES (?)', (n,))\n"
    "os.kill(os.getpid(), 9)\n"
)


@pytest.fixture
def database(tmp_path):
    opened = Database(tmp_path / "a.sqlite")
    with opened.writing() as connection:
        connection.execute("CREATE TABLE t (n)")
    yield opened
    opened.close()


def write(database, n):
    with database.writing() as connection:
        connection.execute("INSERT INTO t VALUES (?)", (n,))


def held(path):
    with sqlite3.connect(path) as connection:
        found = [n for (n,) in connection.execute("SELECT n FROM t ORDER BY n")]
    connection.close()
    return found


def test_the_file_alone_is_whole_after_each_change(database, tmp_path):
    for n in range(3):
        write(database, n)
        shutil.copy(database.path, tmp_path / "copy.sqlite")  # without what SQLite keeps beside it
        assert held(tmp_path / "copy.sqlite") == [*range(n + 1)]


def test_what_a_killed_process_wrote_is_in_the_file_alone(tmp_path):
    path = tmp_path / "a.sqlite"
    died = subprocess.run([sys.executable, "-c", WRITE, path], check=False)
    assert died.returncode == -signal.SIGKILL
    path.rename(tmp_path / "moved.sqlite")
    assert held(tmp_path / "moved.sqlite") == [*range(20)]


def test_a_file_begun_anew_beside_what_was_left_of_the_old_one(tmp_path):
    path = tmp_path / "a.sqlite"
    subprocess.run([sys.executable, "-c", WRITE, path], check=False)
    path.unlink()
    database = Database(path)
    with database.writing() as connection:
        connection.execute("CREATE TABLE t (n)")
    write(database, 1)
    database.close()
    assert held(path) == [1]


def test_a_file_of_an_older_version_is_used_by_two_and_then_has_no_wal(tmp_path):
    path = tmp_path / "a.sqlite"
    older = sqlite3.connect(path, isolation_level=None)
    older.execute("PRAGMA journal_mode = WAL")
    older.execute("CREATE TABLE t (n)")
    for n in range(2):
        database = Database(path)
        write(database, n)
        database.close()
        older.close()
        assert held(path) == [*range(n + 1)]
    assert [file.name for file in tmp_path.iterdir()] == ["a.sqlite"]


def test_a_file_that_another_program_locks_is_said_soon(database, refused, monkeypatch):
    monkeypatch.setattr("lossaudit.review.database._WAIT_S", 0.1)
    impatient = Database(database.path)
    with sqlite3.connect(database.path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with refused("a.sqlite is locked by another program", "close what else has it open"):
            write(impatient, 1)
        other.execute("ROLLBACK")
    other.close()
    write(impatient, 2)
    assert held(database.path) == [2]
    impatient.close()


def test_a_deleted_file_takes_nothing(database, refused):
    write(database, 1)
    database.path.unlink()
    with refused("was deleted or moved while it was in use"):
        write(database, 2)
    assert not database.path.exists()


def test_a_replaced_file_takes_nothing(database, refused, tmp_path):
    write(database, 1)
    shutil.copy(database.path, tmp_path / "other.sqlite")
    (tmp_path / "other.sqlite").replace(database.path)
    with refused("was replaced by another file while it was in use"):
        write(database, 2)
    assert held(database.path) == [1]


def test_a_file_that_goes_while_it_is_written_is_not_acknowledged(database, refused):
    with refused("was deleted or moved"), database.writing() as connection:
        connection.execute("INSERT INTO t VALUES (1)")
        database.path.unlink()
