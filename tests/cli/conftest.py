"""Helpers that run the command in this process."""

import pytest
from click.testing import CliRunner


@pytest.fixture
def run():
    """Runs `lossaudit` with these arguments; the result has exit_code, stdout and stderr."""
    from lossaudit.cli.main import main

    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def fails(run):
    """Holds that a command exits with 2 and that the one line of its error, the last it says, has these parts."""

    def check(arguments, *parts):
        result = run(*arguments)
        assert result.exit_code == 2, result.output
        *before, line = result.stderr.splitlines()
        assert line.startswith("Error: ")
        assert not any("Error" in other for other in before)  # only the steps that began
        assert "Traceback" not in result.output
        for part in parts:
            assert part in line

    return check
