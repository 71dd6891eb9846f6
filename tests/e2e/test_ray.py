"""`audit --ray`: two real nodes, one of which dies, give one machine's table; and who may run code on them."""

import contextlib
import importlib.metadata
import importlib.util
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
from packaging.version import Version

from lossaudit.engine.table.losses import LossesTable
from tests.watching import means, watched

if not importlib.util.find_spec("ray"):  # not imported, for that is when Ray reads its environment
    pytest.skip("the extra `ray` isn't installed", allow_module_level=True)
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
ANOTHER = """
import os, sys, ray
ray.init(sys.argv[1], log_to_driver=False)
@ray.remote
def code():
    return os.getpid()
print("RAN CODE", ray.get(code.remote(), timeout=30))
"""
ALONE = """
import json, os, sys
from lossaudit.engine.run.cluster import LOCAL, Cluster
with Cluster(LOCAL) as cluster:
    import ray
    [node] = ray.nodes()
    ports = [node["NodeManagerPort"], node["ObjectManagerPort"]]
    address = ray.get_runtime_context().gcs_address
    environment = [os.environ.get(name) for name in sys.argv[1:]]
    print(json.dumps([address, ports, cluster.accepts_anybody(), environment]), flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    draw = random.Random(5)
    path = tmp_path_factory.mktemp("ray") / "rows.csv"
    lines = (f"{i} {' '.join(draw.choices(WORDS, k=draw.randint(1, 9)))},{draw.randrange(4)}\n" for i in range(ROWS))
    path.write_text("text,label\n" + "".join(lines))
    return path


@pytest.fixture
def begin(tmp_path):
    """Begins a cluster whose nodes have these variables; gives its address, and functions that start a node and kill
    the last. Nodes have one CPU each; the first is the head."""
    short = tempfile.mkdtemp(prefix="ray-")  # the paths of its sockets may have 107 characters
    started = []

    def kill():
        node = started.pop()
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()

    def cluster(variables):
        with socket.socket() as free:
            free.bind(("127.0.0.2", 0))  # Ray takes 127.0.0.1 for the machine's other address
            port = free.getsockname()[1]
        # A head asks three clouds where it runs: here it can't.
        proxies = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")}
        quiet = {"RAY_USAGE_STATS_ENABLED": "0", "no_proxy": "127.0.0.1,127.0.0.2,127.0.0.3"} | proxies

        def start(*options):
            common = ["--num-cpus=1", "--block", "--object-store-memory=100000000"]
            command = [Path(sys.executable).with_name("ray"), "start", *common, *options]
            path = tmp_path / f"node-{len(started)}.log"
            with path.open("w") as log:
                own = {"env": os.environ | quiet | variables, "start_new_session": True}
                started.append(subprocess.Popen(command, stdout=log, stderr=log, **own))
            wait_for(lambda: "Ray runtime started" in path.read_text())

        head = ["--node-ip-address=127.0.0.2", f"--port={port}", f"--temp-dir={short}"]
        start("--head", "--include-dashboard=false", *head)
        return f"127.0.0.2:{port}", start, kill

    yield cluster
    while started:
        kill()
    shutil.rmtree(short, ignore_errors=True)


@pytest.fixture
def nodes(begin, monkeypatch):
    """Two nodes that ask for a token, which the audit finds in the environment too; gives what kills the second."""
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    for name, value in token.items():
        monkeypatch.setenv(name, value)
    address, start, kill = begin(token)
    start(f"--address={address}", "--node-ip-address=127.0.0.3")
    return address, kill


def wait_for(happened, seconds=60):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it didn't happen in time"
        time.sleep(0.2)


@pytest.mark.skipif(
    Version(importlib.metadata.version("ray")) < Version("2.54"),
    reason="of two nodes on one machine, an older Ray attaches the command to the one that dies",
)
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
    assert "accepts anyone" not in said
    happened = [json.loads(line)["event"] for line in events.read_text().splitlines()]
    assert (happened[0], happened[-1]) == ("started", "finished")
    here, ray = (LossesTable.open(tmp_path / f"{name}.parquet") for name in ("here", "ray"))
    assert ray.top(ROWS).equals(here.top(ROWS))


def test_a_cluster_without_a_token_is_warned_of(lossaudit, bundle_folder, data_csv, begin, tmp_path):
    address, *_ = begin({"RAY_AUTH_MODE": "disabled"})
    said = lossaudit("audit", bundle_folder, data_csv, "-o", tmp_path / "losses.csv", "--no-tune", "--ray", address)
    assert said.returncode == 0, said.stderr
    assert f"Warning: the Ray cluster at {address} accepts anyone who reaches it" in said.stderr


@pytest.fixture
def alone(tmp_path):
    """A Ray of this machine alone, started by somebody who has switched tokens off, has one at home, and has a cluster
    elsewhere; gives its process and these variables."""
    (tmp_path / "home/.ray").mkdir(parents=True)
    (tmp_path / "home/.ray/auth_token").write_text("0" * 64)
    place = Path(tempfile.mkdtemp(prefix="ray-"))
    own = {
        "RAY_AUTH_MODE": "disabled",
        "RAY_ADDRESS": "127.0.0.2:1",
        "RAY_TMPDIR": f"{place}",
        "HOME": f"{tmp_path}/home",
    }
    command = [sys.executable, "-c", ALONE, *own, "RAY_AUTH_TOKEN", "http_proxy"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(command, env=os.environ | own, **pipes) as process:
        yield process, own
        process.stdin.close()
        try:
            process.wait(30)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    place.rmdir()  # which holds that nothing is left in it


def test_a_ray_of_this_machine_alone_lets_nobody_else_in(alone, tmp_path):
    process, own = alone
    address, ports, accepts_anybody, environment = json.loads(process.stdout.readline())
    assert not accepts_anybody
    assert environment == [*own.values(), None, None], "it left the environment changed"
    [folder] = Path(own["RAY_TMPDIR"]).iterdir()
    assert folder.stat().st_mode & 0o077 == 0, "others can take its sockets' places"

    host, _, port = address.rpartition(":")
    for listening in (int(port), *ports):
        socket.create_connection((host, listening), timeout=5).close()
        for machine in ("127.0.0.2", *addresses_of_this_machine()):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((machine, listening), timeout=5).close()

    home = tmp_path / "another"
    home.mkdir()
    another = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | {"HOME": f"{home}"}
    # Without these two Ray would go to the machine's other address, and would try for 20 seconds.
    another |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_NUM_REDIS_GET_RETRIES": "3"}
    command = [sys.executable, "-c", ANOTHER, address]
    tried = subprocess.run(command, env=another, cwd=home, capture_output=True, text=True, timeout=60, check=False)
    assert "RAN CODE" not in tried.stdout
    assert tried.returncode != 0
    assert "Authentication token is missing" in tried.stderr


def addresses_of_this_machine():
    """Those that other machines would use, if it has any."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # sends nothing
        return [probe.getsockname()[0]]
    return []


def test_a_ray_of_this_machine_alone_asks_nobody(bundle_folder, data_csv, tmp_path):
    if means() != "strace":
        pytest.skip("strace may not be used here")
    audit = ["audit", bundle_folder, data_csv, "-o", tmp_path / "losses.csv", "--no-tune", "--ray"]
    seen = watched([sys.executable, "-m", "lossaudit", *audit], tmp_path)
    assert seen.returncode == 0, seen.output
    assert seen.quiet, seen
