"""Shared by the tests of the sinks: loopback servers that answer like the real ones, records, and no real pauses."""

import json
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.records import records_of
from lossaudit.review.sinks import About
from lossaudit.review.store import DecisionStore
from tests.review.sets import ROWS, sets_table, write_sets

KEY = "the-secret-key-9f3"


@dataclass
class Request:
    """What a server was asked."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]


@dataclass
class Service:
    """A server's behaviour: `answer` is for a subclass, and `instead` holds what comes before it says anything.

    Each of `instead` is (status, headers, body), or "drop" to close the connection without a word, or "late" to do
    what was asked and then close it.
    """

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    instead: deque = field(default_factory=deque)
    only: str = ""
    """What the path of a request must hold for `instead` to be taken."""

    def answer(self, request):
        return 200, {"you": "said", "what": request.body}

    def asked(self, method, path):
        """The bodies of all requests of this kind."""
        return [request.body for request in self.requests if (request.method, request.path) == (method, path)]


@pytest.fixture
def serve():
    """Runs a Service on a free port of loopback until the test ends; returns it, with its url."""
    servers = []

    def start(service):
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(service))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        service.url = f"http://127.0.0.1:{server.server_port}"
        return service

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def handler_of(service):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer in one piece, or the client waits 40 ms for the rest

        def handle_any(self):
            url = urlsplit(self.path)
            data = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            query = dict(parse_qsl(url.query))
            request = Request(self.command, url.path, query, json.loads(data) if data else None, headers)
            service.requests.append(request)
            instead = service.instead.popleft() if service.instead and service.only in url.path else None
            if instead in ("drop", "late"):
                if instead == "late":
                    service.answer(request)
                self.close_connection = True
                return
            if instead is not None:
                self.reply(*instead)
                return
            status, said = service.answer(request)
            self.reply(status, {}, said)

        def reply(self, status, headers, said):
            data = said.encode() if isinstance(said, str) else json.dumps(said).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

        def log_message(self, *arguments):
            pass

    return Handler


@pytest.fixture
def service():
    """The class to make servers of."""
    return Service


@pytest.fixture
def key():
    return KEY


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """Nobody waits; the list has what the pauses would have been, in seconds."""
    waited: list[float] = []
    monkeypatch.setattr("lossaudit.review.sinks.http.time.sleep", waited.append)
    return waited


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    """The tests' servers aren't the user's."""
    for name in (
        *("RUBRIX_API_URL", "RUBRIX_API_KEY", "RUBRIX_WORKSPACE"),
        *("ARGILLA_API_URL", "ARGILLA_API_KEY", "LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY"),
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def about():
    return About(model="acme/distilbert-agnews", dataset="ag_news", labels=("World", "Sports", "Business", "Sci/Tech"))


@pytest.fixture
def losses(losses_file):
    """Twelve rows; the row of id n has rank n + 1."""
    return LossesTable.open(losses_file)


@pytest.fixture
def records(losses):
    return records_of(losses, 12)


@pytest.fixture
def sets(tmp_path):
    """Six multi-label rows of two texts; the row of id n has rank n + 1."""
    pairs = [f"said <b>Ann</b> {n}" for n in range(len(ROWS))]
    table = sets_table(ROWS, text_pair=pairs, genre=["chat"] * len(ROWS))
    return LossesTable.open(write_sets(table, tmp_path / "sets.parquet", text_pair_column="text_pair"))


@pytest.fixture
def sets_about(sets):
    return About.of(sets)


@pytest.fixture
def decided_sets(sets):
    """The decisions about the multi-label rows: the set for relabel, else the verdict."""

    def read():
        with DecisionStore.open(sets, create=False) as store:
            return {row: json.loads(d.label) if d.label else d.verdict for row, d in sorted(store.decisions().items())}

    return read


@pytest.fixture
def on_stage():
    """What a bar would be told; `stages` has (name, records) and `done` the records done."""

    class Stages:
        def __init__(self):
            self.stages, self.done = [], []

        def __call__(self, name, count):
            self.stages.append((name, count))
            return self.done.append

    return Stages()


@pytest.fixture
def decided(losses):
    """The decisions that count in the store beside the losses, as (verdict, label, annotator, origin) by row."""

    def read():
        with DecisionStore.open(losses, create=False) as store:
            return {
                row: (decision.verdict, decision.label, decision.annotator, decision.origin)
                for row, decision in store.decisions().items()
            }

    return read


@pytest.fixture
def history(losses):
    """All decisions in the store about a row."""

    def read(row):
        with DecisionStore.open(losses, create=False) as store:
            return store.history(row)

    return read
