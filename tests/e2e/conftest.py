"""Helpers that run the command as its own process."""

import subprocess
import sys

import pytest

from tests.hiding import HIDE

WITHOUT = f"""{HIDE}
from lossaudit.cli.main import main
main(sys.argv[2:])
"""


@pytest.fixture(scope="session")
def without():
    """Gives what runs `lossaudit` in a process to which some packages aren't installed."""

    def of(*packages):
        def run(*arguments, **options):
            command = [sys.executable, "-c", WITHOUT, ",".join(packages), *map(str, arguments)]
            return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)

        return run

    return of


@pytest.fixture(scope="session")
def lossaudit():
    """Runs `lossaudit` with these arguments in a process; the result has returncode, stdout and stderr."""

    def run(*arguments, **options):
        command = [sys.executable, "-m", "lossaudit", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)

    return run
