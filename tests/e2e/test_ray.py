"""`audit --ray`: two real nodes, of which one dies, give the table that one machine gives."""

import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from lossaudit.engine.table.losses import LossesTable

pytest.importorskip("ray", reason="the extra `ray` isn't installed")
ROWS = 40_000
WORDS = [
    "the",
    "bank",
    "shares",
    "rose",
    "fell",
    "on",
    "tuesday",
    "profit",
    "market",
    "oil",
    "company",
    "peace",
    "vote",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    draw = random.Random(5)
    path = tmp_path_factory.mktemp("ray") / "rows.csv"
    lines = (f"{i} {' '.join(draw.choices(WORDS, k=draw.randint(1, 9)))},{draw.randrange(4)}\n" for i in range(ROWS))
    path.write_text("text,label\n" + "".join(lines))
    return path


@pytest.fixture
def nodes(tmp_path, monkeypatch):
    """Starts Ray nodes of one CPU each, the head first; gives its address and a function that kills the last."""
    with socket.socket() as free:
        free.bind(("127.0.0.2", 0))  # Ray takes 127.0.0.1 for the machine's other address
        address = f"127.0.0.2:{free.getsockname()[1]}"
    short = tempfile.mkdtemp(prefix="ray-")  # the paths of its sockets may have 107 characters
    common = ["--num-cpus=1", "--block", "--object-store-memory=100000000"]
    head = [
        "--head",
        "--node-ip-address=127.0.0.2",
        f"--port={address.rpartition(':')[2]}",
        "--include-dashboard=false",
        f"--temp-dir={short}",
    ]
    # A cluster of Ray asks for a token, which the audit finds in the environment too.
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    environment = os.environ | token | {"RAY_USAGE_STATS_ENABLED": "0"}
    for name, value in token.items():
        monkeypatch.setenv(name, value)
    started = []

    def start(*options):
        command = [Path(sys.executable).with_name("ray"), "start", *common, *options]
        with (tmp_path / f"node-{len(started)}.log").open("w") as log:
            started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True))

    def kill():
        node = started.pop()
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()

    start(*head)
    wait_for(lambda: "Ray runtime started" in (tmp_path / "node-0.log").read_text())
    start(f"--address={address}", "--node-ip-address=127.0.0.3")
    wait_for(lambda: "Ray runtime started" in (tmp_path / "node-1.log").read_text())
    yield address, kill
    while started:
        kill()
    shutil.rmtree(short, ignore_errors=True)


def wait_for(happened, seconds=60):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it didn't happen in time"
        time.sleep(0.2)


def test_a_node_that_dies_changes_nothing(lossaudit, bundle_folder, data, nodes, tmp_path):
    address, kill = nodes
    audit = ["audit", bundle_folder, data, "--precision", "fp32", "--no-tune"]
    lossaudit(*audit, "-o", tmp_path / "here.parquet")
    events = tmp_path / "events.jsonl"
    command = [*audit, "-o", tmp_path / "ray.parquet", "--ray", address, "--log-json", events]
    command = [sys.executable, "-m", "lossaudit", *map(str, command)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_for(lambda: events.is_file() and '"progress"' in events.read_text())
    kill()
    assert json.loads(events.read_text().splitlines()[-1])["done"] < ROWS, "it was over before the node died"
    said = process.communicate(timeout=120)[0].decode()
    assert process.returncode == 0, said
    assert "2 nodes with 1 + 1 CPUs" in said
    happened = [json.loads(line)["event"] for line in events.read_text().splitlines()]
    assert (happened[0], happened[-1]) == ("started", "finished")
    here, ray = (LossesTable.open(tmp_path / f"{name}.parquet") for name in ("here", "ray"))
    assert ray.top(ROWS).equals(here.top(ROWS))
