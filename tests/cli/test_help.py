"""The help texts: each command shows examples."""

import pytest

from lossaudit.cli.main import main
from lossaudit.version import __version__


def test_the_group_shows_examples_and_all_commands(run):
    said = run("--help").stdout
    assert "lossaudit audit" in said
    for name in main.commands:
        assert f"  {name} " in said


@pytest.mark.parametrize("name", main.commands)
def test_each_command_shows_examples(name, run):
    result = run(name, "--help")
    assert result.exit_code == 0
    assert f"lossaudit {name} " in result.stdout.partition("Examples:")[2] + " "
    assert "--debug" in result.stdout


def test_the_version(run):
    assert __version__ in run("--version").stdout
