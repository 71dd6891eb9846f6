"""Standard input, output and error of a command's process, made such that any text can be printed.

A scheduler may close them, and a locale without UTF-8 can't hold the texts of a dataset.
"""

import io
import os
import sys


def prepare() -> None:
    """Opens what is closed; makes what isn't a terminal UTF-8, and lets what a terminal can't show be shown escaped."""
    # Else the next file that is opened, such as a losses table, would take the number of the closed stream, and with it
    # what native code prints.
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")
