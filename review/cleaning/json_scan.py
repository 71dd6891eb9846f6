"""Where the values of a JSON text are, so that one can be replaced and every other character stays.

Comes in: a text that `json` reads, and where an object or a list begins in it. Goes out: spans, and edits of them.
"""

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]

DECODER = json.JSONDecoder()
_WHITE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True)
class Span:
    """A member of an object, or an item of a list."""

    start: int
    """Where it begins: a member with its name."""
    value: int
    """Where its value begins."""
    stop: int
    name: str | None
    """The name of a member."""


@dataclass(frozen=True)
class Change:
    """New characters for those from `start` up to `stop`."""

    start: int
    stop: int
    text: str


def after_white(text: str, at: int) -> int:
    """Where the next character is that isn't white."""
    found = _WHITE.match(text, at)
    return found.end() if found else at


def spans_of(text: str, at: int) -> list[Span]:
    """The members of the object, or the items of the list, that begins at `at`."""
    named, found = text[at] == "{", []
    here = after_white(text, at + 1)
    while text[here] not in "]}":
        start, name = here, None
        if named:
            name, here = scanstring(text, here + 1)
            here = after_white(text, after_white(text, here) + 1)  # the colon
        _, stop = DECODER.raw_decode(text, here)
        found.append(Span(start, here, stop, name))
        here = after_white(text, stop)
        if text[here] == ",":
            here = after_white(text, here + 1)
    return found


def by_name(spans: Sequence[Span]) -> dict[str, Span]:
    """The members of an object; of those with the same name the last, as `json` reads it."""
    return {span.name: span for span in spans if span.name is not None}


def without(spans: Sequence[Span], dropped: Collection[int]) -> list[Change]:
    """What takes some members or items out, by their places, each with one of the commas beside it."""
    if not dropped:
        return []
    last = max((place for place in range(len(spans)) if place not in dropped), default=-1)
    changes = [Change(spans[place].start, spans[place + 1].start, "") for place in sorted(dropped) if place < last]
    if last < len(spans) - 1:
        start = spans[last].stop if last >= 0 else spans[0].start
        changes.append(Change(start, spans[-1].stop, ""))
    return changes


def added(text: str, at: int, spans: Sequence[Span], values: Sequence[str], comma: str) -> list[Change]:
    """What puts members or items after the others, in their spacing.

    spans: those of the object or list that begins at `at`. values: the new ones as texts. comma: what is between two of
    them where there is none to learn it from.
    """
    if not values:
        return []
    if not spans:
        return [Change(at + 1, at + 1, comma.join(values))]
    between = comma
    if len(spans) > 1:
        between = text[spans[-2].stop : spans[-1].start]
    elif spans[0].start > at + 1:
        between = "," + text[at + 1 : spans[0].start]
    return [Change(spans[-1].stop, spans[-1].stop, "".join(between + value for value in values))]


def changed(text: str, changes: Sequence[Change]) -> str:
    """The text with the changes made, none of which overlap."""
    pieces, here = [], 0
    for change in sorted(changes, key=lambda change: (change.start, change.stop)):
        pieces += [text[here : change.start], change.text]
        here = change.stop
    return "".join([*pieces, text[here:]])
