"""The error for a text file that can't be read, and the line that is to blame, which readers count wrongly or not."""

from collections.abc import Sequence
from pathlib import Path

from ..errors import Part
from .containers import UNPACKING_ERRORS, DataFile
from .first_bytes import TEXT_FORMATS

NOT_UTF8 = "is not UTF-8; convert the file first, for example with iconv --from-code latin1 --to-code utf-8"


class BadLineError(ValueError):
    """What is wrong with a file, and in which line, if one is to blame."""

    def __init__(
        self, why: str, line: int | None = None, file: Path | None = None, advice: tuple[Part, ...] = ()
    ) -> None:
        """advice: what to do, in pieces of a message."""
        of_file = f" of {file}" if file else ""
        super().__init__(f"line {line}{of_file} {why}" if line else f"{file or 'it'} {why}")
        self.why, self.line = why, line
        self.advice = advice

    def of(self, file: Path) -> "BadLineError":
        """The same with the name of the file."""
        return BadLineError(self.why, self.line, file, self.advice)


def first_bad_line(files: Sequence[DataFile]) -> str | None:
    """Which line of some files is the first that can't be read, and why; None if no single line is to blame.

    Lines must be UTF-8.
    """
    for file in files:
        if file.format in TEXT_FORMATS:
            try:
                with file.open() as lines:
                    for number, line in enumerate(lines, 1):
                        if not is_utf8(line):
                            return f"line {number}{f' of {file.path}' if len(files) > 1 else ''} {NOT_UTF8}"
            except UNPACKING_ERRORS:  # no single line
                return None
    return None


def is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
