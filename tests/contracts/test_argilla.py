"""Argilla 2.8: its real server on SQLite takes our dataset and records, and gives back what people answer.

The search engine finds nothing (argilla/server.py), so sorting and filtering on the page isn't run. What is said here
between the client and the server is kept in tests/review/sinks/argilla_exchange.jsonl, which the ordinary tests replay.
"""

import itertools
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

pytest.importorskip("argilla")

HERE = Path(__file__).parent
RECORDED = HERE.parent / "review" / "sinks" / "argilla_exchange.jsonl"
NAME = "ag_news_errors"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?"
OWNER = {"ARGILLA_API_KEY": "argilla.apikey"}


@pytest.fixture
def server(environment, start, tmp_path):
    (tmp_path / "argilla").mkdir()
    return start(
        "/api/v1/version", [environment("argilla"), HERE / "argilla" / "server.py", "{port}", tmp_path / "argilla"]
    )


@pytest.fixture
def exchange(server):
    """A way to the server that keeps what is said: its URL, and a list of (request, answer)."""
    said = []

    class Through(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self):
            data = self.rfile.read(int(self.headers.get("content-length") or 0))
            kept = {name: self.headers[name] for name in ("x-argilla-api-key", "content-type") if name in self.headers}
            answer = httpx.request(self.command, server + self.path, content=data, headers=kept, timeout=60)
            said.append(
                {
                    "method": self.command,
                    "path": self.path,
                    "body": json.loads(data) if data else None,
                    "status": answer.status_code,
                    "answer": answer.json() if answer.content else None,
                }
            )
            self.send_response(answer.status_code)
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on  # noqa: N815

        def log_message(self, *arguments):
            pass

    through = ThreadingHTTPServer(("127.0.0.1", 0), Through)
    threading.Thread(target=through.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{through.server_port}", said
    through.shutdown()
    through.server_close()


def normalised(said):
    """The exchange without what differs from run to run: ids are numbered as they come, and times are one."""
    text = "".join(json.dumps(one, ensure_ascii=False, sort_keys=True) + "\n" for one in said)
    ids = {}
    numbers = itertools.count(1)
    text = re.sub(UUID, lambda found: ids.setdefault(found[0], f"00000000-0000-4000-8000-{next(numbers):012}"), text)
    return re.sub(TIME, "2026-01-02T03:04:05.678901", text)


@pytest.fixture
def ask(server):
    with httpx.Client(base_url=server, headers={"X-Argilla-Api-Key": "argilla.apikey"}) as client:
        yield client


def dataset_of(ask):
    (dataset,) = ask.get("/api/v1/me/datasets").json()["items"]
    return f"/api/v1/datasets/{dataset['id']}"


def records_of(ask):
    query = {"include": ["suggestions", "responses"], "limit": 1000}
    found = ask.get(f"{dataset_of(ask)}/records", params=query).json()["items"]
    return {int(record["external_id"]): record for record in found}


def respond(server, record, status, label=None):
    values = {} if label is None else {"values": {"label": {"value": label}}}
    path = f"{server}/api/v1/records/{record['id']}/responses"
    headers = {"X-Argilla-Api-Key": "ann.apikey"}
    httpx.post(path, json={"status": status} | values, headers=headers).raise_for_status()


def test_the_round_trip(server, exchange, ask, losses, lossaudit, decided):
    url, said = exchange
    where = ("--name", NAME, "--url", url)
    assert "Sent 4 records" in lossaudit("log", losses, "--to", "argilla", *where, "-n", 4, **OWNER)
    records = records_of(ask)
    assert list(records) == [1299, 1298, 1297, 1296]
    first = records[1299]
    assert first["fields"] == {"text": 'Text 1299: <b>"😀"</b> & é 😀', "given_label": "😀"}
    assert first["metadata"] == {"loss": 13.09, "rank": 1, "row_id": 1299, "given": "😀"}
    assert (first["status"], first["responses"]) == ("pending", [])
    (suggestion,) = first["suggestions"]
    assert (suggestion["value"], suggestion["agent"], suggestion["type"]) == ("x", "acme/distilbert-agnews", "model")
    assert suggestion["score"] == pytest.approx(0.7)
    metadata = ask.get(f"/api/v1/me/{dataset_of(ask)[8:]}/metadata-properties").json()["items"]
    kinds = {one["name"]: one["settings"]["type"] for one in metadata}
    assert kinds == {"loss": "float", "rank": "integer", "row_id": "integer", "given": "terms"}

    respond(server, records[1299], "submitted", "😀")
    respond(server, records[1298], "submitted", "x ")
    respond(server, records[1297], "discarded")
    respond(server, records[1296], "draft", "x")
    again = lossaudit("log", losses, "--to", "argilla", *where, "-n", 5, **OWNER)
    assert "Sent 1 record " in again
    assert "4 were there already" in again
    assert len(records_of(ask)) == 5
    assert records_of(ask)[1299]["status"] == "completed"
    assert "Pulled 3 new decisions" in lossaudit("pull", losses, "--from", "argilla", *where, **OWNER)
    assert decided() == {
        1299: ("keep", None, "ann"),
        1298: ("relabel", "x ", "ann"),
        1297: ("discard", None, "ann"),
    }
    now = normalised(said)
    assert "Pulled 0 new decisions" in lossaudit("pull", losses, "--from", "argilla", *where, **OWNER)
    if not RECORDED.exists() or now != RECORDED.read_text(encoding="utf-8"):
        (HERE.parents[1] / ".build" / RECORDED.name).write_text(now, encoding="utf-8")
        pytest.fail(f"what is said isn't what {RECORDED} holds; it stands in .build/{RECORDED.name} now")


def test_many_records(server, ask, losses, lossaudit):
    where = ("--name", NAME, "--url", server)
    lossaudit("log", losses, "--to", "argilla", *where, "-n", 1100, **OWNER)
    assert "1,100 were there already" in lossaudit("log", losses, "--to", "argilla", *where, "-n", 1200, **OWNER)
    assert len({*records_of(ask)}) == 1000  # a page
    assert ask.get(f"{dataset_of(ask)}/records").json()["total"] == 1200


def test_keys_workspaces_and_tasks(server, ask, losses, lossaudit):
    def log(*options, key="argilla.apikey"):
        arguments = ("log", losses, "--to", "argilla", "-n", 3, "--url", server, *options)
        return lossaudit(*arguments, fails=True, ARGILLA_API_KEY=key)

    said = log("--name", NAME, key="wrong-key-123")
    assert "refuses the key" in said
    assert "wrong-key-123" not in said
    assert "there are argilla" in log("--name", NAME, "--workspace", "nowhere")
    assert "doesn't let this key's user do that" in log("--name", NAME, key="ann.apikey")
    workspace = ask.get("/api/v1/me/workspaces").json()["items"][0]["id"]
    ask.post("/api/v1/datasets", json={"name": "draft", "workspace_id": workspace}).raise_for_status()
    assert "is a draft" in log("--name", "draft")
