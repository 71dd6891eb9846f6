"""The one error that a user of lossaudit is meant to read."""


class LossAuditError(Exception):
    """A user's mistake or a bad input.

    The message is one line: what is wrong, where (file, row, column), what to do. The command prints
    it without a traceback and exits with 2.
    """


def brief(error: BaseException, width: int = 200) -> str:
    """The first line of another library's error, shortened to `width` characters, to quote in ours."""
    lines = str(error).strip().splitlines()
    line = lines[0].strip() if lines else type(error).__name__
    return line if len(line) <= width else line[: width - 1] + "…"
