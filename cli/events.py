"""Progress events as JSON Lines, for schedulers and log collectors: one object per event.

docs/events.md lists the events and their fields.
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from lossaudit.engine.files import write_errors

from . import signals
from .wording import exit_code_of, message_of

_EVERY = 1.0
"""Seconds between `progress` events of a stage."""


class Events:
    """Writes events to a file, or nowhere."""

    def __init__(self, file: TextIO | None) -> None:
        self._file = file

    def say(self, event: str, **fields: Any) -> None:
        """Writes one event with the time."""
        if self._file is not None:
            line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **fields}
            self._file.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")
            self._file.flush()

    def stage(self, name: str, rows: int) -> Callable[[int], None]:
        """Logs that a stage of so many rows begins; returns the function that reports rows as done."""
        self.say("stage", stage=name, rows=rows)
        begun = said = time.monotonic()
        done = 0

        def progress(more: int) -> None:
            nonlocal said, done
            done += more
            now = time.monotonic()
            if now - said >= _EVERY or (done >= rows and more):
                said = now
                speed = round(done / (now - begun), 1) if now > begun else None
                self.say("progress", stage=name, done=done, rows=rows, rows_per_second=speed)

        return progress


@contextlib.contextmanager
def events_to(target: str | None) -> Iterator[Events]:
    """Events of a command's run, appended to a file; "-" writes them to standard error, None discards them.

    An error that ends the run is the last event, with the exit code.
    """
    with contextlib.ExitStack() as stack:
        file: TextIO | None = sys.stderr if target == "-" else None
        if target not in (None, "-"):
            with write_errors(path := Path(str(target))):
                path.parent.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(path.open("a", encoding="utf-8"))
        events = Events(file)
        try:
            yield events
        except KeyboardInterrupt as error:
            events.say("interrupted", exit_code=signals.exit_code(error))
            raise
        except Exception as error:
            events.say("failed", exit_code=exit_code_of(error), message=message_of(error))
            raise
