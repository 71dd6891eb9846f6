"""Contracts with the real annotation servers; each runs in its own environment, made from a package registry.

`make contracts` or LOSSAUDIT_CONTRACTS=1 runs them; otherwise they are skipped, since the first run installs 2 GB.
Environments are kept in .build/contracts, or in the folder that LOSSAUDIT_CONTRACTS_FOLDER names.
"""

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lossaudit.engine.table.losses import LossesTable
from lossaudit.engine.table.schema import SCHEMA
from lossaudit.review.store import DecisionStore
from tests.review.sets import LABELS as SET_LABELS
from tests.review.sets import ROWS, sets_table, write_sets

LABELS = ["World", "a, b", 'say "hi" & <bye>', "😀", "x", "x "]
HERE = Path(__file__).parent
FOLDER = Path(os.environ.get("LOSSAUDIT_CONTRACTS_FOLDER") or HERE.parents[1] / ".build" / "contracts")
FOUND_IN = ("~/.pyenv/versions/{version}*/bin/python{version}", "/opt/python/{version}*/bin/python{version}")
READY_S = 180


def pytest_collection_modifyitems(items):
    if not os.environ.get("LOSSAUDIT_CONTRACTS"):
        why = pytest.mark.skip(reason="contracts with real servers: run `make contracts`")
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(why)


@pytest.fixture(scope="session")
def environment():
    """The Python of an environment with the requirements.txt of a folder here, made unless it is there.

    version: which Python it must be, "" for this one. alone: a requirement to install without what it asks for.
    Skips, with the reason, where there is no such Python or no registry.
    """

    def make(name, version="", alone=""):
        requirements = HERE / name / "requirements.txt"
        wanted = hashlib.sha256(requirements.read_bytes() + f"{version}{alone}".encode()).hexdigest()[:12]
        folder = FOLDER / f"{name}-{wanted}"
        python = folder / "bin" / "python"
        if (folder / "made").exists():
            return python
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([interpreter(version), "-m", "venv", folder], check=True)
        check_registry(python, alone or requirements.read_text().splitlines()[-1])
        for arguments in ([["--no-deps", alone]] if alone else []) + [["--requirement", requirements]]:
            done = pip(python, "install", *arguments)
            assert done.returncode == 0, done.stdout + done.stderr
        (folder / "made").touch()
        return python

    return make


def interpreter(version):
    """A Python of this version, or this one."""
    if not version:
        return sys.executable
    found = [shutil.which(f"python{version}")]
    for pattern in FOUND_IN:
        path = Path(pattern.format(version=version)).expanduser()
        found += sorted(map(str, Path(path.anchor).glob(str(path.relative_to(path.anchor)))))
    for python in filter(None, found):
        # pyenv puts a command there for every Python that it knows, installed or not.
        said = subprocess.run(
            [python, "-c", "import sys; print(sys.version)"], capture_output=True, text=True, check=False
        )
        if said.stdout.startswith(f"{version}."):
            return python
    pytest.skip(f"there is no Python {version} here")


def check_registry(python, requirement):
    with tempfile.TemporaryDirectory() as folder:
        done = pip(python, "download", "--no-deps", "--dest", folder, requirement)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        pytest.skip(f"{requirement} can't be downloaded from a package registry: {why}")


def pip(python, *arguments):
    command = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


@pytest.fixture
def start(tmp_path):
    """Starts a server: `start(ready, command, **environment)` with "{port}" in the command; returns its URL.

    ready: the path that answers once it is up. It is ended with the test; what it said stands in a failure's report.
    """
    running = []

    def run(ready, command, **environment):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        said = tmp_path / f"server-{port}.log"
        with said.open("w") as log:
            process = subprocess.Popen(
                [str(word).format(port=port) for word in command],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=tmp_path,
                env=os.environ | {"HOME": str(tmp_path)} | environment,
            )
        running.append(process)
        url = f"http://127.0.0.1:{port}"
        until = time.monotonic() + READY_S
        while time.monotonic() < until:
            assert process.poll() is None, said.read_text()[-4000:]
            try:
                if httpx.get(url + ready, timeout=5).status_code < 500:
                    return url
            except httpx.TransportError:
                time.sleep(0.2)
        raise AssertionError(f"not up after {READY_S} s: {said.read_text()[-4000:]}")

    yield run
    for process in running:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def lossaudit(tmp_path):
    """Runs `lossaudit` in a process, in the test's folder; returns what it said. `fails=True` wants exit code 2."""

    def run(*arguments, fails=False, **environment):
        done = subprocess.run(
            [sys.executable, "-m", "lossaudit", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"COLUMNS": "120"} | environment,
            check=False,
        )
        assert done.returncode == (2 if fails else 0), done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture
def losses(tmp_path):
    """A losses file of 1,300 rows: rank r is the row 1300 - r, so that neither is the other's order."""
    n = len(LABELS)
    rows = [loss_row(row, LABELS[row % n], LABELS[(row + 1) % n]) for row in reversed(range(1300))]
    table = pa.Table.from_pylist(rows, schema=pa.schema([*SCHEMA, ("text", pa.string())]))
    facts = {"model": "acme/distilbert-agnews", "labels": LABELS, "text_column": "text", "source": {"name": "ag_news"}}
    path = tmp_path / "losses.parquet"
    pq.write_table(table.replace_schema_metadata({"lossaudit": json.dumps(facts)}), path)
    return path


def loss_row(row, given, predicted):
    chances = [0.7 if label == predicted else 0.3 / (len(LABELS) - 1) for label in LABELS]
    return {
        **{"id": row, "label": LABELS.index(given), "label_name": given, "loss": row / 100 + 0.1, "tokens": 5},
        **{"prediction": LABELS.index(predicted), "prediction_name": predicted, "probability": 0.7, "margin": -0.4},
        **{"label_probability": 0.1, "truncated": False, "precision": "fp32", "status": "ok", "status_reason": None},
        **{"probabilities": chances, "text": f'Text {row}: <b>"{given}"</b> & é 😀'},
    }


@pytest.fixture
def sets(tmp_path):
    """A multi-label losses file of six rows of two texts; the row n has rank n + 1."""
    named = dict(zip(SET_LABELS, LABELS, strict=False))
    rows = [([named[label] for label in given], chances, f"{text} é 😀") for given, chances, text in ROWS]
    labels = tuple(named.values())
    table = sets_table(rows, labels, hypothesis=[f"<b>so?</b> {n}" for n in range(len(rows))])
    facts = {"model": "acme/tagger", "text_pair_column": "hypothesis", "source": {"name": "tags"}}
    return write_sets(table, tmp_path / "sets.parquet", labels, **facts)


@pytest.fixture
def decided_sets(sets):
    """The decisions about the multi-label rows: the set for relabel, else the verdict."""

    def read():
        with DecisionStore.open(LossesTable.open(sets), create=False) as store:
            return {row: json.loads(d.label) if d.label else d.verdict for row, d in sorted(store.decisions().items())}

    return read


@pytest.fixture
def decided(losses):
    """The decisions that count, as (verdict, label, annotator) by row."""

    def read():
        with DecisionStore.open(LossesTable.open(losses), create=False) as store:
            return {row: (said.verdict, said.label, said.annotator) for row, said in store.decisions().items()}

    return read


@dataclass
class Studio:
    """A Label Studio server, and what an annotator's page does there."""

    url: str
    user: str
    key: str
    legacy: str
    ask: httpx.Client

    def tasks(self):
        """The tasks of the first project by their rows, in the order in which annotators get them."""
        query = {"project": 1, "fields": "all", "page_size": 1000}
        return {task["data"]["row_id"]: task for task in self.ask.get("/api/tasks/", params=query).json()["tasks"]}

    def annotate(self, task, *choices, **more):
        value = {"choices": list(choices)}
        result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": value}] if choices else []
        self.ask.post(f"/api/tasks/{task['id']}/annotations/", json={"result": result} | more).raise_for_status()


@pytest.fixture
def studio(environment, start, tmp_path):
    """A Label Studio server on SQLite, up in half a minute, with one user and their personal access token."""
    user, password, legacy = "ann@a.example", "a-long-password-1", "0123456789abcdef0123456789abcdef01234567"
    url = start(
        "/health",
        [
            *(environment("label_studio").with_name("label-studio"), "start", "--no-browser"),
            *("--internal-host", "127.0.0.1", "--port", "{port}"),
            *("--username", user, "--password", password, "--user-token", legacy),
        ],
        DATABASE_NAME=str(tmp_path / "label_studio.sqlite3"),
        LABEL_STUDIO_BASE_DATA_DIR=str(tmp_path / "label_studio"),
        LATEST_VERSION_CHECK="false",
        COLLECT_ANALYTICS="false",
        SENTRY_DSN="",
    )
    with httpx.Client(base_url=url) as page:
        token = re.search(r'csrfmiddlewaretoken" value="([^"]+)', page.get("/user/login/").text)[1]
        login = {"csrfmiddlewaretoken": token, "email": user, "password": password}
        assert page.post("/user/login/", data=login, headers={"Referer": f"{url}/user/login/"}).status_code == 302
        key = page.post("/api/token/", headers={"X-CSRFToken": page.cookies["csrftoken"], "Referer": url}).json()[
            "token"
        ]
    access = httpx.post(f"{url}/api/token/refresh", json={"refresh": key}).json()["access"]
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {access}"}, timeout=60) as ask:
        yield Studio(url, user, key, legacy, ask)
