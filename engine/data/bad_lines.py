"""The error for a text file that can't be read, which names the line that is to blame."""

from pathlib import Path

from ..errors import Part

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


def is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
