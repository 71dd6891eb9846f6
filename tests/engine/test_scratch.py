"""Scratch folders: private, removed with their object, and cleaned up by the next run if a process was killed."""

import signal
import subprocess
import sys

import pytest

from lossaudit.engine.scratch import Scratch

KILLED = """
import os, signal, sys
from pathlib import Path
from lossaudit.engine.scratch import Scratch
scratch = Scratch(Path(sys.argv[1]))
(scratch.path / "texts").write_text("a secret")
print(scratch.path, flush=True)
if len(sys.argv) > 2:
    sys.stdin.read()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_it_goes_with_its_object_and_takes_an_empty_place_along(tmp_path):
    place = tmp_path / "new" / "losses.csv.parts"
    scratch = Scratch(place)
    (scratch.path / "texts").write_text("a secret")
    assert [path.stat().st_mode & 0o777 for path in (place, scratch.path)] == [0o700, 0o700]
    del scratch
    assert tmp_path.exists()
    assert not (tmp_path / "new").exists()


def test_a_place_that_holds_more_stays(tmp_path):
    (tmp_path / "part").touch()
    Scratch(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["part"]


def test_two_in_one_place_have_each_their_own(tmp_path):
    one, other = Scratch(tmp_path), Scratch(tmp_path)
    assert one.path != other.path
    del one
    assert other.path.is_dir()


def test_the_next_clears_what_a_killed_process_left(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert (left / "texts").exists()
    scratch = Scratch(tmp_path)
    assert list(tmp_path.iterdir()) == [scratch.path]


def test_what_another_process_works_with_stays(tmp_path):
    command = [sys.executable, "-c", KILLED, tmp_path, "wait"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        name = process.stdout.readline().strip()
        scratch = Scratch(tmp_path)
        assert {str(path) for path in tmp_path.iterdir()} == {name, str(scratch.path)}
        process.kill()


@pytest.mark.parametrize("name", [".lossaudit-scratch-", ".lossaudit-scratch-mine-too", "lossaudit-scratch-abcdefgh"])
def test_what_is_not_ours_stays(name, tmp_path):
    (tmp_path / name).mkdir()
    (tmp_path / name / "lock").touch()
    Scratch(tmp_path)
    assert (tmp_path / name / "lock").exists()


def test_a_folder_without_a_lock_stays_unless_it_is_empty_and_a_link_stays(tmp_path):
    (tmp_path / ".lossaudit-scratch-abcdefgh" / "mine").mkdir(parents=True)
    (tmp_path / ".lossaudit-scratch-empty000").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "lock").touch()
    (tmp_path / ".lossaudit-scratch-12345678").symlink_to(tmp_path / "elsewhere")
    Scratch(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    assert (tmp_path / "elsewhere" / "lock").exists()


def test_a_place_that_can_not_be_written_is_told(tmp_path, refused):
    (tmp_path / "file").touch()
    with refused("cannot write", "file"):
        Scratch(tmp_path / "file")


def test_those_of_other_processes_are_left_alone_while_they_are_made(tmp_path):
    making = (
        "import sys; from pathlib import Path; from lossaudit.engine.scratch import Scratch\n"
        "for _ in range(300):\n"
        "    scratch = Scratch(Path(sys.argv[1]))\n"
        "    (scratch.path / 'rows').touch()\n"
        "    assert scratch.path.stat().st_mode & 0o777 == 0o700\n"
        "    scratch.close()\n"
    )
    place = tmp_path / "there"
    place.mkdir()
    (place / "stays").touch()
    processes = [subprocess.Popen([sys.executable, "-c", making, str(place)]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
