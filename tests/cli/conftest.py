"""How the command's tests call it: in this process."""

import pytest
from click.testing import CliRunner


@pytest.fixture
def run():
    """Runs `lossaudit` with these arguments; the result has exit_code, stdout and stderr."""
    from lossaudit.cli.main import main

    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def fails(run):
    """Holds that a command exits with 2 and that all it says on standard error is one line with these parts.

    Off a terminal the steps that began are lines too; they don't count.
    """

    def check(arguments, *parts):
        result = run(*arguments)
        lines = [
            line for line in result.stderr.splitlines() if not line.startswith(("Reading:", "Opening", "Exporting"))
        ]
        assert result.exit_code == 2, result.output
        assert len(lines) == 1
        assert lines[0].startswith("Error: ")
        assert "Traceback" not in result.output
        for part in parts:
            assert part in lines[0]

    return check
