"""Finds the line of a text file that its reader failed on: readers count from wherever they were, or not at all."""

from collections.abc import Sequence

from .containers import UNPACKING_ERRORS, DataFile
from .first_bytes import TEXT_FORMATS

NOT_UTF8 = "is not UTF-8; convert the file first, for example with iconv --from-code latin1 --to-code utf-8"


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
