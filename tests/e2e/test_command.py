"""The command as a user runs it."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from lossaudit.engine.table.formats import read_table, write_table
from lossaudit.engine.table.schema import SCHEMA


def test_export_audit_and_top_are_the_whole_way(lossaudit, checkpoint, data_csv, tmp_path):
    exported = lossaudit("export", checkpoint, "-o", tmp_path / "bundle")
    assert exported.returncode == 0, exported.stderr
    assert "Parity with PyTorch" in exported.stdout
    audited = lossaudit("audit", tmp_path / "bundle", data_csv, "-o", tmp_path / "losses.parquet")
    assert audited.returncode == 0, audited.stderr
    assert "60 rows" in audited.stdout
    top = lossaudit("top", tmp_path / "losses.parquet", "-n", 5, "--format", "jsonl")
    losses = [json.loads(line)["loss"] for line in top.stdout.splitlines()]
    assert len(losses) == 5
    assert losses == sorted(losses, reverse=True)


def test_a_mistake_is_one_line_without_traceback_and_2(lossaudit, bundle_folder, tmp_path):
    failed = lossaudit("audit", bundle_folder, "nowhere.csv", "-o", tmp_path / "losses.csv")
    assert failed.returncode == 2
    assert failed.stderr.splitlines()[-1] == "Error: there is no file or folder nowhere.csv"
    assert "Traceback" not in failed.stderr


def test_debug_shows_the_traceback(lossaudit, bundle_folder, tmp_path):
    failed = lossaudit("audit", bundle_folder, "nowhere.csv", "-o", tmp_path / "losses.csv", "--debug")
    assert failed.returncode != 0
    assert "Traceback" in failed.stderr
    assert "LossAuditError: there is no file or folder nowhere.csv" in failed.stderr


@pytest.fixture
def without_torch(without):
    """Runs `lossaudit` in a process to which the packages of the extra `export` aren't installed."""
    return without("torch", "transformers", "optimum")


def test_a_ready_bundle_needs_no_torch(without_torch, bundle_folder, data_csv, tmp_path):
    audited = without_torch("audit", bundle_folder, data_csv, "-o", tmp_path / "out.parquet")
    assert audited.returncode == 0, audited.stderr
    top = without_torch("top", tmp_path / "out.parquet", "-n", 3, "--format", "csv")
    assert len(top.stdout.splitlines()) == 4


def test_a_checkpoint_that_needs_torch_says_what_to_install(without_torch, make_checkpoint, data_csv, tmp_path):
    checkpoint = make_checkpoint("bert", position_embedding_type="relative_key")
    failed = without_torch("audit", checkpoint, data_csv, "-o", tmp_path / "out.csv")
    assert failed.returncode == 2
    assert "pip install 'lossaudit[export]'" in failed.stderr.splitlines()[-1]


def test_an_interruption_exits_with_130_and_leaves_what_was_there(bundle_folder, write_file, tmp_path):
    data = write_file("long.csv", "text,label\n" + "".join(f"{'the bank ' * 25} {n},0\n" for n in range(60_000)))
    output = tmp_path / "losses.parquet"
    write_table([SCHEMA.empty_table()], SCHEMA, output)
    old = output.read_bytes()
    command = [sys.executable, "-u", "-m", "lossaudit", "audit", bundle_folder, data, "-o", output, "--no-tune"]
    process = subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    parts = tmp_path / "losses.parquet.parts"
    deadline = time.monotonic() + 120
    while not any(parts.glob("part-*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "Interrupted" in said
    assert output.read_bytes() == old
    assert {path.name for path in tmp_path.iterdir()} == {"long.csv", "losses.parquet", "losses.parquet.parts"}


def test_a_killed_audit_goes_on_to_the_same_table(lossaudit, kill_midway, bundle_folder, write_file, tmp_path):
    data = write_file("rows.csv", "text,label\n" + "".join(f"{'the bank ' * (n % 30)}{n},0\n" for n in range(12_000)))
    options = ("--precision", "int8", "--no-tune")
    whole, killed = tmp_path / "whole.parquet", tmp_path / "killed.parquet"
    lossaudit("audit", bundle_folder, data, "-o", whole, *options)
    parts = tmp_path / "killed.parquet.parts"
    kill_midway(parts, "audit", bundle_folder, data, "-o", killed, *options)
    assert not killed.exists()
    again = lossaudit("audit", bundle_folder, data, "-o", killed, *options)
    assert again.returncode == 0, again.stderr
    assert "Resuming an interrupted audit" in again.stdout
    assert "of them earlier" in again.stdout
    assert read_table(killed) == read_table(whole)
    assert not parts.exists()


def test_a_closed_pipe_is_no_fault(lossaudit, bundle_folder, data_csv, tmp_path):
    lossaudit("audit", bundle_folder, data_csv, "-o", tmp_path / "losses.parquet")
    command = [
        sys.executable,
        "-m",
        "lossaudit",
        "top",
        str(tmp_path / "losses.parquet"),
        "-n",
        "60",
        "--format",
        "csv",
    ]
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writing)
    assert "Traceback" not in process.stderr
    assert "fault" not in process.stderr


def test_nothing_but_the_result_is_on_standard_output(lossaudit, bundle_folder, data_csv, tmp_path):
    audited = lossaudit("audit", bundle_folder, data_csv, "-o", tmp_path / "losses.jsonl")
    assert "Reading" not in audited.stdout
    assert "\x1b" not in audited.stdout + audited.stderr
    top = lossaudit("top", tmp_path / "losses.jsonl", "--format", "jsonl")
    assert [json.loads(line)["id"] for line in top.stdout.splitlines()]
    assert top.stderr == ""
