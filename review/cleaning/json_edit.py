"""Changes the cells of one JSON row in its text: the decided values are replaced, the rest stays as it is written."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from lossaudit.engine.data.containers import open_bytes
from lossaudit.engine.table.text_rows import Row

from .json_scan import Change, Span, added, by_name, spans_of, without

_READ = 1 << 20


@dataclass(frozen=True)
class Spelling:
    """How a file writes values: its texts as it has them elsewhere, new ones in its manner."""

    known: Mapping[str, str] = field(default_factory=dict)
    ascii: bool = False
    """Whether other characters than ASCII are escaped."""
    slashes: bool = False
    r"""Whether slashes are escaped, `\/`, as PHP does."""

    def of(self, value: Any, comma: str = ", ") -> str:
        """A value as JSON text. comma: what is between two items or members."""
        if isinstance(value, str) and value in self.known:
            return self.known[value]
        colon = ": " if comma.endswith(" ") else ":"
        text = json.dumps(value, ensure_ascii=self.ascii, separators=(comma, colon))
        return text.replace("/", r"\/") if self.slashes else text

    @classmethod
    def of_file(cls, file: Path, texts: Iterable[str]) -> "Spelling":
        """The spelling of a file. texts: those that it is asked for."""
        forms = {text: _forms(text) for text in texts}
        wanted = {form.encode(errors="surrogateescape") for found in forms.values() for form in found}
        signs = (b"\\u", b"\\/")
        longest = max(map(len, (*wanted, *signs)))
        counts = dict.fromkeys((*wanted, *signs), 0)
        is_ascii, rest = True, b""
        with open_bytes(file) as opened:
            while piece := opened.read(_READ):
                is_ascii = is_ascii and piece.removeprefix(b"\xef\xbb\xbf").isascii()
                block = rest + piece
                rest = block[-(longest - 1) :]
                for sought in counts:
                    counts[sought] += block.count(sought) - rest.count(sought)
        for sought in counts:
            counts[sought] += rest.count(sought)
        usual = cls({}, is_ascii and counts[b"\\u"] > 0, counts[b"\\/"] > 0)
        known = {}
        for text, found in forms.items():
            best = max(found, key=lambda form: counts[form.encode(errors="surrogateescape")])
            if counts[best.encode(errors="surrogateescape")]:
                known[text] = best
        return cls(known, usual.ascii, usual.slashes)


def _forms(text: str) -> list[str]:
    """The usual ways to write a text."""
    plain = [json.dumps(text, ensure_ascii=False), json.dumps(text)]
    return list(dict.fromkeys([*plain, *(form.replace("/", r"\/") for form in plain)]))


def edited_object(text: str, at: int, old: Row, new: Row, spelling: Spelling) -> list[Change]:
    """What makes the object that begins at `at` say `new`, where it says `old` now."""
    spans = spans_of(text, at)
    here, comma = by_name(spans), _comma(text, spans)
    changes: list[Change] = []
    more = []
    for name, value in new.items():
        if name in here:
            changes += edited_value(text, here[name], old[name], value, spelling, comma)
        else:
            colon = ": " if comma.endswith(" ") else ":"
            if spans:
                last = spans[-1]
                colon = text[last.start : last.value].removeprefix(json.dumps(last.name, ensure_ascii=False))
                colon = colon if colon.strip(" \t\r\n") == ":" else ": "
            more.append(f"{spelling.of(name)}{colon}{spelling.of(value, comma)}")
    return changes + added(text, at, spans, more, comma)


def edited_value(text: str, span: Span, old: Any, new: Any, spelling: Spelling, comma: str = ", ") -> list[Change]:
    """What makes a member or an item say `new`, where it says `old` now."""
    if _same(old, new):
        return []
    if type(old) is list and type(new) is list and old:
        return _edited_list(text, span.value, old, new, spelling, comma)
    if type(old) is dict and type(new) is dict and old.keys() <= new.keys():
        return edited_object(text, span.value, old, new, spelling)
    return [Change(span.value, span.stop, spelling.of(new, comma))]


def _edited_list(text: str, at: int, old: list[Any], new: list[Any], spelling: Spelling, comma: str) -> list[Change]:
    spans = spans_of(text, at)
    if len(old) == len(new):
        pairs = zip(spans, old, new, strict=True)
        return [change for span, was, now in pairs for change in edited_value(text, span, was, now, spelling, comma)]
    kept = [place for place, item in enumerate(old) if any(_same(item, one) for one in new)]
    stay = [old[place] for place in kept]
    if not kept or not _same(stay, new[: len(kept)]):
        return [Change(spans[0].start, spans[-1].stop, comma.join(spelling.of(item, comma) for item in new))]
    more = [spelling.of(item, comma) for item in new[len(kept) :]]
    return without(spans, set(range(len(old))) - {*kept}) + added(text, at, spans, more, comma)


def _comma(text: str, spans: list[Span]) -> str:
    """What is between two values on one line, as far as an object shows it."""
    gaps = [text[one.stop : other.start] for one, other in pairwise(spans)]
    if gaps:
        return gaps[-1] if "\n" not in gaps[-1] and "\r" not in gaps[-1] else ", "
    return ", " if any(text[span.value - 1] == " " for span in spans) or not spans else ","


def _same(one: Any, other: Any) -> bool:
    """Whether two values are the same as JSON, where 1, 1.0 and true differ."""
    if type(one) is not type(other):
        return False
    if type(one) is list:
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other) or json.dumps(one) == json.dumps(other)
