"""Shortens a text to a width: a text comes in, at most so many characters go out, "…" for what was left out."""

from typing import Literal


def shortened(text: str, most: int, keep: Literal["start", "end", "both"] = "start") -> str:
    """A text in at most `most` characters. keep: which of its parts stays where it is longer.

    The end tells most in a path; both ends do among names that begin alike.
    """
    if len(text) <= most:
        return text
    start = {"start": most - 1, "end": 0, "both": (most - 1) // 2}[keep]
    end = most - 1 - start
    return f"{text[:start].rstrip()}…{text[len(text) - end :].lstrip()}"
