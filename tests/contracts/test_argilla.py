"""Argilla 2.8: its real server on SQLite accepts our dataset and records, and returns people's answers.

The search engine finds nothing (argilla/server.py), so sorting and filtering on the page aren't tested. The exchange
between client and server is kept in tests/review/sinks/argilla_exchange.jsonl, which the ordinary tests replay.
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
SINKS = HERE.parent / "review" / "sinks"
RECORDED, RECORDED_SETS = SINKS / "argilla_exchange.jsonl", SINKS / "argilla_sets_exchange.jsonl"
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


def compare(said, recorded):
    """Fails where what was said isn't what the ordinary tests replay, and keeps it."""
    now = normalised(said)
    if not recorded.exists() or now != recorded.read_text(encoding="utf-8"):
        (HERE.parents[1] / ".build" / recorded.name).write_text(now, encoding="utf-8")
        pytest.fail(f"what is said isn't what {recorded} holds; it stands in .build/{recorded.name} now")


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
    assert "4 were already there" in again
    assert len(records_of(ask)) == 5
    assert records_of(ask)[1299]["status"] == "completed"
    assert "Pulled 3 new decisions" in lossaudit("pull", losses, "--from", "argilla", *where, **OWNER)
    assert decided() == {
        1299: ("keep", None, "ann"),
        1298: ("relabel", "x ", "ann"),
        1297: ("discard", None, "ann"),
    }
    until_now = [*said]
    assert "Pulled 0 new decisions" in lossaudit("pull", losses, "--from", "argilla", *where, **OWNER)
    compare(until_now, RECORDED)


def test_sets_of_labels_over_two_texts(server, exchange, ask, sets, lossaudit, decided_sets):
    url, said = exchange
    where = ("--name", NAME, "--url", url)
    assert "Sent 6 records" in lossaudit("log", sets, "--to", "argilla", *where, **OWNER)
    records = records_of(ask)
    assert records[0]["fields"] == {
        "text": "what a wonderful morning é 😀",
        "text_pair": "<b>so?</b> 0",
        "given_label": "World, a, b",
        "doubted_label": "a, b (given, 1%)",
    }
    assert records[0]["metadata"]["given"] == ["World", "a, b"]
    (suggestion,) = records[1]["suggestions"]
    assert suggestion["value"] == ["World", "😀"]
    assert suggestion["score"] == pytest.approx([0.8, 0.98])
    assert records[3]["suggestions"][0]["value"] == ["None of these"]
    answers = {0: ["a, b", "World"], 1: ["World", "😀"], 2: ["None of these"], 4: ["None of these", "World"]}
    for row, labels in answers.items():
        respond(server, records[row], "submitted", labels)
    respond(server, records[3], "discarded")
    respond(server, records[5], "submitted", ["None of these"])
    assert "6 were already there" in lossaudit("log", sets, "--to", "argilla", *where, **OWNER)
    lossaudit("pull", sets, "--from", "argilla", *where, **OWNER)
    assert decided_sets() == {0: "keep", 1: ["World", "😀"], 2: "keep", 3: "discard", 5: []}
    compare(said, RECORDED_SETS)


def test_many_records(server, ask, losses, lossaudit):
    where = ("--name", NAME, "--url", server)
    lossaudit("log", losses, "--to", "argilla", *where, "-n", 1100, **OWNER)
    assert "1,100 were already there" in lossaudit("log", losses, "--to", "argilla", *where, "-n", 1200, **OWNER)
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
