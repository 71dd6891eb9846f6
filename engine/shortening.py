"""Shortens a text to a number of characters, with "…" for what was left out."""

from typing import Literal


def shortened(text: str, most: int, keep: Literal["start", "end", "both"] = "start") -> str:
    """The text in at most `most` characters. keep: the part of a longer text that stays.

    The end says most in a path, both ends among names that begin alike.
    """
    if len(text) <= most:
        return text
    start = {"start": most - 1, "end": 0, "both": (most - 1) // 2}[keep]
    end = most - 1 - start
    return f"{text[:start].rstrip()}…{text[len(text) - end :].lstrip()}"
