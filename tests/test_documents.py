"""Every `lossaudit` command line in the documents, and in the commands' own examples, parses."""

import contextlib
import re
import shlex
from pathlib import Path

import click
import pytest

from lossaudit.cli.command import Command
from lossaudit.cli.main import main

HOUSE = Path(__file__).parents[1]
DOCUMENTS = sorted([*HOUSE.glob("*.md"), *(HOUSE / "docs").glob("*.md"), *(HOUSE / "bench").rglob("*.md")])
_FENCED = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_ENDS = {"|", "||", "&&", ";", "&"}
_REDIRECTIONS = {">", ">>", "<", "2>", "2>>"}


def command_lines(script):
    """The arguments of each call of lossaudit in a script, without what the shell takes away."""
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = [*lexer, ";"]
        begin = 0
        for place, word in enumerate(words):
            if word in _ENDS:
                if words[begin:place][:1] == ["lossaudit"]:
                    yield without_redirections(words[begin + 1 : place])
                begin = place + 1


def without_redirections(words):
    kept = list(words)
    for place in reversed(range(len(kept))):
        if kept[place] in _REDIRECTIONS:
            del kept[place : place + 2]
    return kept


def parse(arguments):
    """Parses as the command would, and runs nothing. Raises UsageError for what it wouldn't take."""
    command, context = main, None
    while isinstance(command, click.Group):
        context = command.make_context("lossaudit", list(arguments), parent=context)
        _, command, arguments = command.resolve_command(context, [*context._protected_args, *context.args])
    command.make_context(command.name, list(arguments), parent=context)


def of_documents():
    for document in DOCUMENTS:
        for script in _FENCED.findall(document.read_text(encoding="utf-8")):
            for arguments in command_lines(script):
                yield pytest.param(arguments, id=f"{document.relative_to(HOUSE)}: {shlex.join(arguments)}")


def commands(group):
    for command in group.commands.values():
        yield from commands(command) if isinstance(command, click.Group) else [command]


@pytest.mark.parametrize("arguments", list(of_documents()))
def test_a_command_of_the_documents_parses(arguments):
    with contextlib.suppress(click.exceptions.Exit):  # --help and --version
        parse(arguments)


@pytest.mark.parametrize("command", [c for c in commands(main) if isinstance(c, Command)], ids=lambda c: c.name)
def test_the_examples_of_a_command_parse(command):
    for arguments in command_lines(command.examples):
        parse(arguments)


def test_the_documents_are_seen():
    assert len(list(of_documents())) > 10


@pytest.mark.parametrize(
    "line",
    [
        "lossaudit nothing",
        "lossaudit top losses.parquet --no-such-option",
        "lossaudit audit bundle",
        "lossaudit cache mv",
    ],
)
def test_what_does_not_parse_is_seen(line):
    (arguments,) = command_lines(line)
    with pytest.raises(click.UsageError):
        parse(arguments)


def test_a_shell_s_own_words_are_not_the_command_s():
    script = (
        "make x && lossaudit top l.parquet -n 5 --format csv > top.csv # the top\n$ lossaudit audit b 'a b' \\\n -o l\n"
    )
    assert list(command_lines(script)) == [
        ["top", "l.parquet", "-n", "5", "--format", "csv"],
        ["audit", "b", "a b", "-o", "l"],
    ]
