"""Ctrl-C, SIGTERM and SIGHUP: each ends the command with one line and its exit code, whatever is under way.

It is loaded before all others, so that they start a few milliseconds after Python; it imports next to nothing.
"""

import contextlib
import os
import signal
from types import FrameType
from typing import NoReturn

_WORDS = {"SIGINT": "Interrupted", "SIGTERM": "Terminated", "SIGHUP": "Hung up"}
_IMPORTING = "<frozen importlib._bootstrap>"
_AGAIN_S = 0.05
_STAGE = {"working": False, "asked": False}


class Ended(KeyboardInterrupt):
    """A signal that ends the command; it is handled as Ctrl-C is."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
        """The signal's."""


def listen() -> None:
    """From now on, signals end this process; at once, as long as it hasn't begun to work."""
    process = os.getpid()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if os.getpid() != process:  # a fork of ours, which somebody ends
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        elif not _STAGE["working"]:
            _end(number)
        elif _imports(frame):
            _ask_again(number)
        else:
            raise Ended(number)

    for name in _WORDS:
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        # A job of `nohup`, or in the background of a script, is to ignore them.
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, on_signal)


def work() -> None:
    """From now on, a signal raises Ended, so that nothing is left half-written."""
    _STAGE["working"] = True


def rest() -> None:
    """From now on, a signal ends the process at once again: the work is done, or was given up."""
    _STAGE["working"] = False


def word(error: KeyboardInterrupt) -> str:
    """What ended the command, for its last line."""
    return _WORDS[signal.Signals(_number(error)).name]


def exit_code(error: KeyboardInterrupt) -> int:
    """128 and the signal's number, as shells count."""
    return 128 + _number(error)


def _number(error: KeyboardInterrupt) -> int:
    return error.number if isinstance(error, Ended) else signal.SIGINT


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTING:
            return True
        frame = frame.f_back
    return False


def _ask_again(number: int) -> None:
    """Repeats the signal soon: an import that is broken off may abort, or swallow it and print a traceback."""
    import threading  # loaded long ago

    if _STAGE["asked"]:
        return
    _STAGE["asked"] = True

    def again() -> None:
        _STAGE["asked"] = False
        main = threading.main_thread().ident
        if main is not None and hasattr(signal, "pthread_kill"):  # a signal for this thread wouldn't wake the main one
            signal.pthread_kill(main, number)
        else:
            signal.raise_signal(number)

    timer = threading.Timer(_AGAIN_S, again)
    timer.daemon = True
    timer.start()


def _end(number: int) -> NoReturn:
    line = f"{_WORDS[signal.Signals(number).name]}.\n"
    with contextlib.suppress(OSError):  # standard error may be closed
        os.write(2, line.encode())
    os._exit(128 + number)
