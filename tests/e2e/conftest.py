"""Helpers that run the command as its own process."""

import signal
import subprocess
import sys
import time

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
def kill_midway():
    """Starts `lossaudit` with these arguments, and kills it once a shard's part is in the folder."""

    def run(parts, *arguments):
        command = [sys.executable, "-m", "lossaudit", *map(str, arguments)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not any(parts.glob("part-*-*")) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
        assert process.wait() == -signal.SIGKILL

    return run


@pytest.fixture(scope="session")
def lossaudit():
    """Runs `lossaudit` with these arguments in a process; the result has returncode, stdout and stderr."""

    def run(*arguments, **options):
        command = [sys.executable, "-m", "lossaudit", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)

    return run
