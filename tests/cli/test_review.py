"""`lossaudit review` as a command: its messages, where it listens, and how it ends."""

import re
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from lossaudit.engine.table.formats import write_table
from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.sampling import read_sample
from lossaudit.review.store import Decision, DecisionStore


@pytest.fixture
def losses(bundle_folder, data_csv, tmp_path):
    """The losses of the tiny bundle on its rows."""
    from lossaudit.cli.main import main

    path = tmp_path / "my losses.parquet"
    main(["audit", str(bundle_folder), str(data_csv), "-o", str(path)], standalone_mode=False)
    return path


class Running:
    """The command in a process of its own, once it listens."""

    def __init__(self, path, *options):
        command = [sys.executable, "-m", "lossaudit", "review", path, "--no-open", *options]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([str(part) for part in command], stdout=pipe, stderr=pipe, text=True)
        self.said = []
        for line in self.process.stdout:
            self.said.append(line)
            if line.startswith("http"):
                break
        self.link = self.said[-1].strip()
        self.port = int(re.findall(r":(\d+)/", self.link)[0])

    def stop(self, how=signal.SIGINT):
        self.process.send_signal(how)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, "".join(self.said) + out, err


def test_it_serves_says_the_next_command_and_ends_well(losses):
    running = Running(losses, "--port", 0, "-n", 7)
    with httpx.Client(follow_redirects=True) as http:
        page = http.get(running.link)
        assert page.status_code == 200
        http.headers["X-Lossaudit-Key"] = page.url.fragment.removeprefix("key=")
        body = {"row": 0, "verdict": "unsure", "label": None, "annotator": "Ada"}
        origin = {"Origin": f"http://127.0.0.1:{running.port}"}
        ranked = http.get(f"http://127.0.0.1:{running.port}/api/records?ranks=1").json()["records"]
        answer = http.post(f"{origin['Origin']}/api/decide", json=body | {"row": ranked[0]["row"]}, headers=origin)
        assert answer.status_code == 200
    code, out, err = running.stop()
    assert (code, err) == (0, "")
    assert "7 records, 0 decided" in out
    assert "1 row is decided" in out
    assert "Next: lossaudit apply" in out
    assert "'my losses.parquet'" in out.replace(str(losses.parent) + "/", "") or f"'{losses}'" in out


def test_without_a_decision_there_is_no_next_command(losses):
    code, out, _ = Running(losses, "--port", 0).stop()
    assert code == 0
    assert "0 rows are decided" in out
    assert "apply" not in out


def test_a_port_that_is_taken_is_said(losses):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        running = Running(losses, "--port", port)
        assert running.port > port
        _, _, err = running.stop()
    assert err == f"Port {port} is taken; using {running.port}.\n"


def test_a_host_that_others_reach_is_warned_of(losses):
    running = Running(losses, "--port", 0, "--host", "0.0.0.0")
    assert running.link.startswith("http://127.0.0.1:")
    running.said.append(running.process.stdout.readline())
    _, out, err = running.stop()
    assert "Warning: 0.0.0.0 can be reached from other machines" in " ".join(err.split())
    assert f"From other machines: http://{socket.gethostname()}:{running.port}/?token=" in out


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["none.parquet"], "there is no file"),
        (["LOSSES", "--annotator", " "], "--annotator is empty"),
        (["LOSSES", "--host", "no such host"], "can't listen on 'no such host'"),
        (["LOSSES", "-n", "0"], "0 is not in the range"),
        (["LOSSES", "--port", "65536"], "65536 is not in the range"),
    ],
)
def test_mistakes_are_one_line(options, part, losses, run):
    result = run("review", *[losses if option == "LOSSES" else option for option in options], "--no-open")
    assert result.exit_code == 2
    assert part in result.stderr


def test_a_file_without_texts(losses, run):
    table = LossesTable.open(losses).top(10).drop_columns(["text"])
    bare = losses.with_name("bare.parquet")
    write_table([table], table.schema, bare)
    result = run("review", bare, "--no-open")
    assert result.exit_code == 2
    assert "no column with the texts" in result.stderr
    assert not bare.with_name("bare.parquet.reviews.sqlite").exists()


def test_a_sample_is_reviewed_and_its_share_is_told(losses):
    running = Running(losses, "--port", 0, "--sample", 25)
    code, out, _ = running.stop()
    assert code == 0
    assert "25 records, 0 decided" in out
    assert "0 of 25 random rows are decided as wrong or right" in out
    table = LossesTable.open(losses)
    with DecisionStore.open(table) as store:
        drawn = read_sample(table).drawn.tolist()
        store.add(Decision(row, "keep", None, "Ada", "page", "2026-01-02T03:04:05Z") for row in drawn)
    _, out, _ = Running(losses, "--port", 0, "--sample", 25).stop()
    assert "Of all 60 labels, 0.0% are wrong (95 % interval: 0.0% to" in out
    assert "by 25 random rows" in out


def test_a_sample_draws_its_own_rows(run, losses):
    result = run("review", losses, "--sample", 5, "-n", 9)
    assert result.exit_code == 2
    assert "leave -n and --by out" in result.stderr
