"""The one error meant for users of lossaudit, and the parts of its message that depend on the reader.

Callers of the library read about arguments, such as `text_column='body'`; users of the command about flags
(cli/wording.py).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .shortening import shortened


@dataclass(frozen=True)
class Option:
    """An argument of the library and the command's flag of the same name."""

    name: str
    """The library's spelling, such as `text_column`."""
    value: object = None
    """The value that it has or should have; None to name the option alone."""

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}={self.value!r}"


@dataclass(frozen=True)
class Function:
    """A function of the library and the command of the same name."""

    name: str
    """audit, export or fit."""

    def __str__(self) -> str:
        return f"la.{self.name}"


@dataclass(frozen=True)
class Either:
    """Words for what the library and the command do differently, such as an option that only the command has."""

    library: str
    command: str | Option

    def __str__(self) -> str:
        return self.library


Part = str | Option | Function | Either
"""A piece of a message; pieces are joined without spaces."""
Note = tuple[Part, ...]
"""A message in pieces that is no error."""
Wording = Callable[[Iterable[Part]], str]
"""A function that turns the pieces of a message into text for its readers."""
SAME_AGAIN = Either("make the same call again", "run the same command again")
"""How to resume interrupted work."""


def in_library(parts: Iterable[Part]) -> str:
    """A message in the library's words."""
    return "".join(map(str, parts))


class LossAuditError(Exception):
    """A user's mistake or a bad input.

    The message is one line: what is wrong, where (file, row, column), what to do. `str` gives it in the words of the
    library; the command prints it in its own, without a traceback, and exits with 2.
    """

    def __init__(self, *parts: Part) -> None:
        super().__init__(*parts)
        self.parts = parts
        """The message in pieces."""

    def __str__(self) -> str:
        return in_library(self.parts)


def brief(error: BaseException, width: int = 200) -> str:
    """Another library's error in one line, shortened to `width` characters, to quote in ours."""
    line = " ".join(str(error).split()) or type(error).__name__
    return shortened(line, width)
