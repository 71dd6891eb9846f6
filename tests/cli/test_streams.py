"""What schedulers and other locales give a command: streams that are closed, full or without UTF-8, and no folders."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TEXTS = ["tëxt 日本 \U0001f600", "plain"]
LOCALES = [
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "cp1252"},
    {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]


@pytest.fixture
def losses(write_file):
    rows = [
        {"id": n, "label_name": "ä", "prediction_name": "b", "probability": 0.9, "loss": 3.0 - n, "text": TEXTS[n]}
        for n in range(2)
    ]
    return write_file("losses.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def go():
    """Runs `lossaudit` with standard output in bytes."""

    def run(*arguments, env=None, **options):
        command = [sys.executable, "-m", "lossaudit", *map(str, arguments)]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        return subprocess.run(command, env=os.environ | (env or {}), timeout=120, check=False, **options)

    return run


@pytest.mark.parametrize("locale", LOCALES, ids=["ascii", "cp1252", "C"])
def test_a_locale_without_utf_8_writes_utf_8_into_files(locale, go, losses):
    as_json = go("top", losses, "--format", "jsonl", env=locale)
    assert as_json.returncode == 0, as_json.stderr
    assert [json.loads(line)["text"] for line in as_json.stdout.decode().splitlines()] == TEXTS
    as_csv = go("top", losses, "--format", "csv", env=locale)
    assert [row["text"] for row in csv.DictReader(as_csv.stdout.decode().splitlines())] == TEXTS
    shown = go("top", losses, env=locale)
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert "日本" in shown.stdout.decode()


@pytest.mark.parametrize("locale", LOCALES, ids=["ascii", "cp1252", "C"])
def test_an_error_names_a_file_that_the_locale_cannot_spell(locale, go, tmp_path):
    failed = go("top", tmp_path / "日本.parquet", env=locale)
    assert failed.returncode == 2
    assert b"there is no file" in failed.stderr
    assert b"Traceback" not in failed.stderr


def closed(*numbers):
    return lambda: [os.close(number) for number in numbers]


@pytest.mark.skipif(os.name == "nt", reason="a process of Windows has no numbered streams")
@pytest.mark.parametrize("numbers", [(1,), (2,), (0, 1, 2)])
def test_closed_streams_cost_nothing(numbers, go, bundle_folder, data_csv, losses, tmp_path):
    output = tmp_path / "out.csv"
    audited = go("audit", bundle_folder, data_csv, "-o", output, "--no-tune", preexec_fn=closed(*numbers))
    assert audited.returncode == 0, audited.stderr
    assert len(list(csv.DictReader(output.read_text().splitlines()))) == 60
    shown = go("top", losses, preexec_fn=closed(*numbers))
    assert shown.returncode == 0
    assert b"Traceback" not in (shown.stderr or b"")
    assert go("top", "nowhere.csv", preexec_fn=closed(*numbers)).returncode == 2
    assert go("--version", preexec_fn=closed(*numbers)).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("words", [("top", "--format", "jsonl"), ("top",), ("--help",), ("--version",)])
def test_a_full_disk_behind_standard_output_is_one_line(words, go, losses):
    words = (words[0], losses, *words[1:]) if words[0] == "top" else words
    with Path("/dev/full").open("w") as full:
        failed = go(*words, stdout=full)
    assert failed.returncode in (1, 2)
    assert failed.stderr.startswith(b"Error: ")
    assert b"No space left on device" in failed.stderr
    assert len(failed.stderr.splitlines()) == 1
    if words[0] == "top":
        with Path("/dev/full").open("w") as full:
            assert b"Traceback" in go(*words, "--debug", stdout=full).stderr


NO_SCRATCH = """
import sys, tempfile
tempfile._candidate_tempdir_list = lambda: ["/proc/none"]
from lossaudit.__main__ import main
main()
"""


def test_no_folder_for_temporary_files_is_one_line(losses):
    command = [sys.executable, "-c", NO_SCRATCH, "top", str(losses)]
    failed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert failed.returncode == 2
    assert failed.stderr == "Error: no folder for temporary files can be written; name one in TMPDIR\n"


def test_no_folder_for_caches_says_what_to_do(go, checkpoint, bundle_folder, data_csv, tmp_path):
    nowhere = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "HF_HOME"), str(data_csv / "none"))
    audit = ("audit", bundle_folder, data_csv, "-o", tmp_path / "a.csv")
    assert go(*audit, env=nowhere).returncode == 0  # its plan is measured again
    failed = go("audit", checkpoint, *audit[2:], env=nowhere)
    assert failed.returncode == 2
    last = failed.stderr.decode().splitlines()[-1]
    assert last.startswith(f"Error: cannot write {data_csv}")
    assert "name another folder for caches in XDG_CACHE_HOME, or make a bundle elsewhere with lossaudit export" in last
