"""Every `lossaudit` command line in the documents, and in the commands' own examples, parses."""

import contextlib
import shlex

import click
import pytest

from lossaudit.cli.main import main
from tests.documents import command_lines, examples, scripts


def parse(arguments):
    """Parses as the command would, and runs nothing. Raises UsageError for what it wouldn't take."""
    command, context = main, None
    while isinstance(command, click.Group):
        context = command.make_context("lossaudit", list(arguments), parent=context)
        _, command, arguments = command.resolve_command(context, [*context._protected_args, *context.args])
    command.make_context(command.name, list(arguments), parent=context)


LINES = [(where, line) for where, script in [*scripts(), *examples(main)] for line in command_lines(script)]


@pytest.mark.parametrize(
    "arguments", [line for _, line in LINES], ids=[f"{w}: {shlex.join(line)}" for w, line in LINES]
)
def test_a_command_of_the_documents_parses(arguments):
    with contextlib.suppress(click.exceptions.Exit):  # --help and --version
        parse(arguments)


def test_the_documents_are_seen():
    assert sum(where.endswith("md 1") for where, _ in scripts()) > 5
    assert len(LINES) > 40


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
