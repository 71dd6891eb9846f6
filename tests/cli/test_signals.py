"""Ctrl-C, SIGTERM and SIGHUP at any moment: one line, the shell's exit code, and no traceback."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows sends no such signals to other processes")
CODES = [(signal.SIGINT, 130, "Interrupted"), (signal.SIGTERM, 143, "Terminated"), (signal.SIGHUP, 129, "Hung up")]

SLOW_IMPORT = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from lossaudit.__main__ import main
main()
"""

LISTENING = """
from lossaudit.cli import signals
signals.listen()
print(flush=True)
from lossaudit.__main__ import main
main()
"""
WORKING = """
import sys, time
from lossaudit.cli import signals
signals.listen()
signals.work()
sys.path.insert(0, sys.argv[1])
try:
    import slow
    time.sleep(60)
except KeyboardInterrupt as error:
    print(signals.word(error), slow.whole)
    sys.exit(signals.exit_code(error))
"""


@pytest.fixture
def started():
    """Starts Python with these arguments in a process that heeds Ctrl-C, as in a terminal."""
    running = []

    def start(*arguments, **options):
        process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: [signal.signal(number, signal.SIG_DFL) for number, *_ in CODES],
            **options,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def wait_for(path, process):
    deadline = time.monotonic() + 120
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)


@pytest.mark.parametrize(("number", "code", "word"), CODES)
@pytest.mark.parametrize("name", ["click", "rich"])
def test_a_signal_while_the_command_is_imported(number, code, word, name, started, tmp_path):
    """The library that is hit says that its import has begun; it would turn an interruption into another error."""
    (tmp_path / f"{name}.py").write_text(
        f"import pathlib, time\npathlib.Path({str(tmp_path / 'begun')!r}).touch()\n"
        "try:\n    time.sleep(60)\nexcept BaseException as error:\n    raise ImportError('half-way') from error\n"
    )
    process = started("-c", SLOW_IMPORT, tmp_path, "--version")
    wait_for(tmp_path / "begun", process)
    process.send_signal(number)
    said, err = process.communicate(timeout=60)
    assert (process.returncode, said, err) == (code, "", f"{word}.\n")


@pytest.mark.parametrize(("number", "code", "word"), CODES)
def test_an_import_of_a_running_command_ends_before_the_signal_counts(number, code, word, started, tmp_path):
    begun = tmp_path / "begun"
    (tmp_path / "slow.py").write_text(
        f"import pathlib, time\npathlib.Path({str(begun)!r}).touch()\ntime.sleep(0.3)\nwhole = True\n"
    )
    process = started("-c", WORKING, tmp_path)
    wait_for(begun, process)
    process.send_signal(number)
    said, err = process.communicate(timeout=60)
    assert (process.returncode, said, err) == (code, f"{word} True\n", "")


@pytest.mark.parametrize(("number", "code", "word"), CODES)
def test_an_audit_that_is_ended_keeps_its_shards(number, code, word, started, bundle_folder, write_file, tmp_path):
    data = write_file("long.csv", "text,label\n" + "".join(f"{'the bank ' * 25} {n},0\n" for n in range(60_000)))
    output, log, parts = (tmp_path / name for name in ("losses.csv", "events.jsonl", "losses.csv.parts"))
    process = started("-m", "lossaudit", "audit", bundle_folder, data, "-o", output, "--no-tune", "--log-json", log)
    deadline = time.monotonic() + 120
    while not any(parts.glob("part-*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err.splitlines()[-1] == f"{word}; run the same command again to resume."
    assert "Traceback" not in err
    assert any(parts.glob("part-*"))
    last = json.loads(log.read_text().splitlines()[-1])
    assert (last["event"], last["exit_code"]) == ("interrupted", code)


def test_what_the_shell_has_the_command_ignore_it_ignores(tmp_path):
    (tmp_path / "click.py").write_text(
        f"import pathlib, time\npathlib.Path({str(tmp_path / 'begun')!r}).touch()\n"
        "time.sleep(0.5)\nraise SystemExit(7)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_IMPORT, str(tmp_path), "--version"],
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),  # as nohup does
    )
    wait_for(tmp_path / "begun", process)
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=60) == 7


@pytest.mark.parametrize("command", [["--version"], ["top", "--help"], ["top", "nowhere.parquet"]])
@pytest.mark.parametrize("after_ms", [0, 60, 120, 200, 350])
def test_an_aimed_interruption_prints_no_traceback(command, after_ms, started):
    process = started("-c", LISTENING, *command)
    process.stdout.readline()
    time.sleep(after_ms / 1000)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode in (0, 2, 130, -signal.SIGINT)  # before 130 it may have ended
    assert "Traceback" not in err
    assert "Aborted" not in err
    assert len(err.splitlines()) <= 2  # the command's own, and the signal's
