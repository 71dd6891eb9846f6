"""Writes docs/api.md, the reference of the Python API, from the docstrings of the public names.

    python -m tests.api_reference    writes the page (make docs)

griffe reads the sources, so types and defaults appear as written there.
"""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import griffe

HOUSE = Path(__file__).parents[1]
PAGE = HOUSE / "docs" / "api.md"
FUNCTIONS = {
    "export": "api.export",
    "audit": "api.audit",
    "fit": "api.fit",
    "score": "scoring.score",
    "load": "api.load",
    "apply": "api.apply",
    "cross_entropy": "engine.scores.loss.cross_entropy",
}
CLASSES = {"Losses": "losses.Losses", "Bundle": "engine.model.bundle.Bundle"}
RESULTS = (
    "engine.scores.loss.Scores",
    "engine.scores.multi_label.MultiLabelScores",
    "engine.table.summary.Summary",
    "engine.table.summary.Pair",
    "engine.table.summary.Doubt",
    "engine.labels.given.Seen",
    "review.relearning.Reranking",
    "review.apply.Cleaned",
    "review.apply.Change",
    "review.apply.LabelChange",
    "review.store.Gone",
    "review.store.Decision",
)
"""What functions and methods return beside the public classes."""
ENGINES_OWN = {"check_judges", "check_reads_pairs", "graph", "file_of", "tokenizer"}
"""Members of `Bundle` that nobody else needs."""
_HEAD = """# Python API

This page describes every public name of the package. `make docs` writes it from the docstrings, which
`help(la.audit)` shows as well. The [tutorial](tutorial.md) covers the whole workflow.

```python
import lossaudit as la
```

- `la.LossAuditError` is raised for a mistake or a bad input. Its message is one line: what is wrong, where, what to do.
  It names an argument as the command does: `--max-length` for `max_length`.
- `la.__version__` is the version, a string.
- Of the types below, `datasets` is the library of that name, `pd` is pandas and `pa` is pyarrow. `Floats` and `Ints`
  are numpy arrays of float64 and int64. `ArrayLike` is numpy's: an array, or nested lists of numbers.
"""


_DOCUMENT = re.compile(r"\bdocs/(\w+\.md)")
_OPTIONS = {"returns_multiple_items": False, "returns_named_value": False}


def page() -> str:
    """All of docs/api.md."""
    package = griffe.load("lossaudit", search_paths=[HOUSE], docstring_parser="google", docstring_options=_OPTIONS)
    parts = [_HEAD]
    for name, place in FUNCTIONS.items():
        parts += _function(package[place], f"la.{name}", "##")
    for name, place in CLASSES.items():
        parts += _class(package[place], f"la.{name}")
    parts.append("## What else comes back\n")
    for place in RESULTS:
        parts += _fields(package[place])
    return _DOCUMENT.sub(r"[\1](\1)", "\n".join(parts))


def _function(function: griffe.Function, name: str, heading: str) -> Iterator[str]:
    """A heading, the call, the arguments, what it returns and raises, and an example."""
    parameters = [one for one in function.parameters if one.name not in ("self", "cls")]
    yield f"{heading} {name}\n"
    yield f"```text\n{_call(name, parameters, function)}\n```\n"
    described = {}
    for section in function.docstring.parsed:
        match section.kind.value:
            case "text":
                yield f"{section.value}\n"
            case "parameters":
                described = {one.name: one.description for one in section.value}
                yield _table(parameters, described)
            case "returns":
                yield _paragraph(f"**Returns** {_begun(section.value[0].description)}")
            case "raises":
                yield from (_paragraph(f"**Raises** `{one.annotation}`: {one.description}") for one in section.value)
            case "examples":
                yield f"```python\n{_example(section.value)}\n```\n"
    missing = {one.name for one in parameters} ^ described.keys()
    if missing:
        raise ValueError(f"{name}: its docstring and its signature differ in {', '.join(sorted(missing))}")


def _class(cls: griffe.Class, name: str) -> Iterator[str]:
    yield f"## {name}\n"
    yield f"{cls.docstring.value}\n"
    members = [member for key, member in cls.members.items() if not key.startswith("_") and key not in ENGINES_OWN]
    for member in members:
        if member.is_attribute and not member.docstring.parsed[1:]:
            yield _paragraph(f"**`{member.name}`** (`{member.annotation}`): {member.docstring.value}")
        elif member.is_attribute:
            yield from _property(member, f"losses.{member.name}")
        else:
            of = name if "classmethod" in member.labels else name.removeprefix("la.").lower()
            yield from _function(member, f"{of}.{member.name}", "###")


def _property(member: griffe.Attribute, name: str) -> Iterator[str]:
    text, *others = member.docstring.parsed
    yield f"### {name}\n"
    yield f"A property of type `{member.annotation}`.\n"
    yield f"{text.value}\n"
    for section in others:
        yield f"```python\n{_example(section.value)}\n```\n"


def _fields(cls: griffe.Class) -> Iterator[str]:
    """The table of a dataclass's fields and properties."""
    yield f"### {cls.name}\n"
    yield f"{cls.docstring.value}\n"
    rows = [
        f"| `{member.name}` | {_code(member.annotation)} | {_line(member.docstring.value)} |"
        for member in cls.members.values()
        if member.is_attribute
    ]
    yield "\n".join(["| field | type | meaning |", "|---|---|---|", *rows, ""])


def _table(parameters: list[griffe.Parameter], described: dict[str, str]) -> str:
    rows = [
        f"| `{one.name}` | {_code(one.annotation)} | {_default(one)} | {_line(described.get(one.name, ''))} |"
        for one in parameters
    ]
    return "\n".join(["| argument | type | default | meaning |", "|---|---|---|---|", *rows, ""])


def _call(name: str, parameters: list[griffe.Parameter], function: griffe.Function) -> str:
    """How it is called, in one line or one line per argument."""
    words = []
    for one in parameters:
        if one.kind is griffe.ParameterKind.keyword_only and "*" not in words:
            words.append("*")
        words.append(one.name if one.default is None else f"{one.name}={_value(one)}")
    end = f" -> {function.returns}"
    line = f"{name}({', '.join(words)}){end}"
    if len(line) <= 100:
        return line
    return "\n".join([f"{name}(", *(f"    {word}," for word in words), f"){end}"])


def _value(parameter: griffe.Parameter) -> str:
    return {"_SHOWN": "20"}.get(str(parameter.default), str(parameter.default).replace("'", '"'))


def _default(parameter: griffe.Parameter) -> str:
    return "required" if parameter.default is None else f"`{_value(parameter)}`"


def _code(annotation: object) -> str:
    return f"`{annotation!s}`".replace("|", "\\|")


def _paragraph(text: str) -> str:
    return textwrap.fill(_line(text), 120, break_long_words=False, break_on_hyphens=False) + "\n"


def _line(text: str) -> str:
    return " ".join(text.split())


def _begun(text: str) -> str:
    """The text as it goes on after a word."""
    line = _line(text)
    return line[:1].lower() + line[1:]


def _example(parts: list[tuple[griffe.DocstringSectionKind, str]]) -> str:
    """The code without prompts; what it prints as a comment."""
    lines = [line for _, text in parts for line in text.splitlines()]
    return "\n".join(line[4:] if line.startswith((">>> ", "... ")) else f"# {line}" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
