"""Extracts the command lines that users are told to type from the documents and the commands' own examples."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click

from lossaudit.cli.command import Command

HOUSE = Path(__file__).parents[1]
DOCUMENTS = sorted([*HOUSE.glob("*.md"), *(HOUSE / "docs").glob("*.md"), *(HOUSE / "bench").rglob("*.md")])
_FENCED = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_ENDS = {"|", "||", "&&", ";", "&"}
_REDIRECTIONS = {">", ">>", "<", "2>", "2>>"}


def scripts() -> Iterator[tuple[str, str]]:
    """Every piece of shell in the documents, with the document's name and a number."""
    for document in DOCUMENTS:
        for number, script in enumerate(_FENCED.findall(document.read_text(encoding="utf-8")), start=1):
            yield f"{document.relative_to(HOUSE)} {number}", script


def examples(group: click.Group) -> Iterator[tuple[str, str]]:
    """The examples in the help of each command, with the command's name."""
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from examples(command)
        elif isinstance(command, Command):
            yield f"{group.name} {command.name}", command.examples


def command_lines(script: str) -> Iterator[list[str]]:
    """The arguments of each call of lossaudit in a script, without what the shell takes away."""
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = [*lexer, ";"]
        begin = 0
        for place, word in enumerate(words):
            if word in _ENDS:
                if words[begin:place][:1] == ["lossaudit"]:
                    yield _without_redirections(words[begin + 1 : place])
                begin = place + 1


def _without_redirections(words: list[str]) -> list[str]:
    kept = list(words)
    for place in reversed(range(len(kept))):
        if kept[place] in _REDIRECTIONS:
            del kept[place : place + 2]
    return kept
