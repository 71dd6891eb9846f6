"""An SQLite file that several processes write to, safe from crashes, and from being moved away while it is in use.

SQLite's journal lies beside it only during a change, not until some later time as a `-wal` does. So whoever copies or
moves the file alone has everything. That costs 6 ms more per change.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from lossaudit.engine.errors import LossAuditError, brief
from lossaudit.engine.files import private_mode

_WAIT_S = 5.0
"""Seconds to wait for another process."""
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class Database:
    """A connection to the file. Only one thread at a time may use it."""

    def __init__(self, path: Path) -> None:
        """Creates the file unless it exists. Raises LossAuditError if it can't be used, as all methods do."""
        self.path = path
        with contextlib.suppress(OSError):  # it exists, or SQLite says below why it can't
            # SQLite would leave the permissions to the umask. Its files beside this one get the same permissions.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL, private_mode(path)))
        with _said(path):
            self._file = _identity(path)
            self._connection = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
        try:
            with self.reading() as connection:
                _leave_wal(connection)
                connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            self._connection.close()
            raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with _said(self.path):
            self._check_file()
            yield self._connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all changes are on disk at its end, or none if it fails."""
        with self.reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            self._check_file()

    def close(self) -> None:
        self._connection.close()

    def _check_file(self) -> None:
        """SQLite would go on writing to a file that has no name any more."""
        now = _identity(self.path)
        if now != self._file:
            what = "was deleted or moved" if now is None else "was replaced by another file"
            raise LossAuditError(
                f"{self.path} {what} while it was in use, so nothing can be stored in it; put it back, or end this "
                "command and start it again to begin with what is there"
            )


def _leave_wal(connection: sqlite3.Connection) -> None:
    """Older versions wrote a `-wal`. While another process has the file open, it stays so."""
    if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = DELETE")


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file has this name; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


@contextlib.contextmanager
def _said(path: Path) -> Iterator[None]:
    """Turns SQLite's errors into one line that names the file and says what to do."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if (error.sqlite_errorcode & 0xFF) in _BUSY:
            raise LossAuditError(
                f"{path} is locked by another program for longer than {_WAIT_S:.0f} s; close what else has it open, "
                "such as a database browser, and try again"
            ) from error
        raise LossAuditError(
            f"can't use {path}: {brief(error)}; check the folder's permissions and free space, and try again"
        ) from error
    except sqlite3.DatabaseError as error:
        raise LossAuditError(f"{path} isn't a decision store, or is damaged: {brief(error)}; move it away") from error
