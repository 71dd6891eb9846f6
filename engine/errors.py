"""The one error that a user of lossaudit is meant to read."""

from .shortening import shortened


class LossAuditError(Exception):
    """A user's mistake or a bad input.

    The message is one line: what is wrong, where (file, row, column), what to do. The command prints
    it without a traceback and exits with 2.
    """


def brief(error: BaseException, width: int = 200) -> str:
    """Another library's error in one line, shortened to `width` characters, to quote in ours."""
    line = " ".join(str(error).split()) or type(error).__name__
    return shortened(line, width)
