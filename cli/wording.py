"""Errors in the command's words: flags that can be pasted into a shell, and nothing that controls the terminal.

Their exit codes too (docs/exit-codes.md).
"""

import errno
import shlex
import unicodedata
from collections.abc import Iterable, Mapping

import click

from lossaudit.engine.errors import Either, Function, LossAuditError, Option, Part

_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}  # Windows has no quotas
_JOINERS = "\u200c\u200d"
"""Joiners of letters and of emoji, the only harmless characters of their kind."""


def exit_code_of(error: BaseException) -> int:
    """2 for what the user can mend: a mistake, bad input, a full disk; else 1, a fault of ours."""
    theirs = isinstance(error, (LossAuditError, click.ClickException)) or is_full(error) or has_no_scratch(error)
    return 2 if theirs else 1


def is_full(error: BaseException) -> bool:
    """Whether a disk, or one behind standard output, has no room left."""
    return isinstance(error, OSError) and error.errno in _FULL


def has_no_scratch(error: BaseException) -> bool:
    """Whether Python, which some libraries ask as they are imported, found no folder for temporary files."""
    return isinstance(error, FileNotFoundError) and "temporary directory" in str(error)


def message_of(error: BaseException) -> str:
    """An error's message; a LossAuditError's in the command's words."""
    return in_command(error.parts) if isinstance(error, LossAuditError) else str(error)


def in_command(parts: Iterable[Part]) -> str:
    """A message in the command's words."""
    return "".join(map(_worded, parts))


def _worded(part: Part) -> str:
    if isinstance(part, Either):
        return _worded(part.command)
    if isinstance(part, Function):
        return f"lossaudit {part.name}"
    return _flags(part) if isinstance(part, Option) else part


def _flags(option: Option) -> str:
    flag, value = f"--{option.name.replace('_', '-')}", option.value
    if value is None or value is True:
        return flag
    values = [f"{key}={item}" for key, item in value.items()] if isinstance(value, Mapping) else [str(value)]
    # After a space, a parser may take a value that begins with a dash for another flag.
    return " ".join(f"{flag}{'=' if one.startswith('-') else ' '}{_quoted(one)}" for one in values)


def _quoted(value: str) -> str:
    """Quotes a value as one word of a shell; line ends and other control characters are escaped for bash."""
    if value.isprintable():
        return shlex.quote(value)
    return "$'" + "".join(c if c.isprintable() and c not in "'\\" else f"\\U{ord(c):08x}" for c in value) + "'"


def harmless(text: str) -> str:
    """A text with a dot for every character that controls the terminal or the direction of others."""
    if text.isprintable():
        return text
    return "".join(
        "·" if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c not in f"\n\t{_JOINERS}" else c
        for c in text
    )
