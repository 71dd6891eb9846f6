"""How the end-to-end tests call the command: as its own process."""

import subprocess
import sys

import pytest


@pytest.fixture(scope="session")
def lossaudit():
    """Runs `lossaudit` with these arguments in a process; the result has returncode, stdout and stderr."""

    def run(*arguments, **options):
        command = [sys.executable, "-m", "lossaudit", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)

    return run
