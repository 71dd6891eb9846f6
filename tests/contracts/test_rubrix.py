"""Rubrix 0.18: our requests equal those of its official client, and its real server accepts them.

The server's storage is replaced below its request models, since there is no OpenSearch here (rubrix/server.py).
"""

import dataclasses
import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.records import records_of
from lossaudit.review.sinks import About

SCRIPTS = Path(__file__).parent / "rubrix"
NAME = "ag_news_error_analysis"
BULK = f"/api/datasets/{NAME}/TextClassification:bulk"


@pytest.fixture(scope="module")
def python(environment):
    return environment("rubrix", version="3.10", alone="rubrix==0.18.0")


@pytest.fixture
def recorder():
    """A server that keeps what comes to it, and says what a client wants to hear; returns its URL and what came."""
    came = []

    class Recorder(BaseHTTPRequestHandler):
        def do_GET(self):
            self.reply({"username": "rubrix", "workspaces": ["", "team"], "task": "TextClassification"})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            came.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            listed = "/data?" in self.path
            self.reply(b"" if listed else {"dataset": NAME, "processed": len(body.get("records", [])), "failed": 0})

        def reply(self, said):
            data = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", came
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("file", "bulks"), [("losses", [500, 500, 100]), ("sets", [6])])
def test_our_json_is_that_of_the_official_client(file, bulks, python, recorder, lossaudit, request):
    url, came = recorder
    losses = request.getfixturevalue(file)
    about, records = About.of(LossesTable.open(losses)), records_of(LossesTable.open(losses), 1100)
    given = json.dumps([dataclasses.asdict(record) for record in records])
    arguments = [url, "a-key", NAME, about.model, about.dataset]
    command = [python, SCRIPTS / "log_with_the_client.py", *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    theirs = [(path, headers, body) for path, headers, body in came if path == BULK]
    came.clear()
    lossaudit("log", losses, "--to", "rubrix", "--name", NAME, "-n", 1100, "--url", url, "--key", "a-key")
    ours = [(path, headers, body) for path, headers, body in came if path == BULK]
    assert [len(body["records"]) for _, _, body in theirs] == bulks
    assert [body for _, _, body in ours] == [body for _, _, body in theirs]
    for _, headers, _ in (*ours, *theirs):
        assert headers["x-rubrix-api-key"] == "a-key"
        assert headers["authorization"] == "Bearer a-key"


@pytest.fixture
def server(python, start):
    return start("/api/docs/spec.json", [python, SCRIPTS / "server.py", "{port}"])


@pytest.fixture
def ask(server):
    """The server's own interface, as another user's client sees it."""
    with httpx.Client(base_url=server, headers={"X-Rubrix-Api-Key": "rubrix.apikey"}) as client:
        yield client


def listed(ask):
    lines = ask.post(f"/api/datasets/{NAME}/TextClassification/data", json={}).text.splitlines()
    return {record["id"]: record for record in map(json.loads, lines)}


def test_the_real_server_takes_them_and_gives_back_what_people_say(server, ask, losses, lossaudit, decided):
    where = ("--name", NAME, "--url", server)
    assert "Sent 1,100 records" in lossaudit("log", losses, "--to", "rubrix", *where, "-n", 1100)
    stored = listed(ask)
    assert set(stored) == set(range(200, 1300))
    assert ask.get(f"/api/datasets/{NAME}").json()["task"] == "TextClassification"
    first = stored[1299]
    assert first["metadata"] == {"loss": 13.09, "rank": 1, "row_id": 1299}
    assert first["prediction"]["agent"] == "acme/distilbert-agnews"
    predicted, *others = first["prediction"]["labels"]
    assert (predicted["class"], len(others)) == ("x", 5)
    assert first["annotation"] == {"agent": "ag_news", "labels": [{"class": "😀", "score": 1.0}]}

    # As the page does it: the whole record again, with a status and the user as agent.
    for row, label in ((1299, "😀"), (1298, "x "), (1297, "Politics")):
        annotation = {"agent": "alice", "labels": [{"class": label, "score": 1.0}]}
        changed = stored[row] | {"status": "Validated", "annotation": annotation, "annotations": {}}
        assert ask.post(BULK, json={"records": [changed]}).json()["processed"] == 1
    ask.post(BULK, json={"records": [stored[1296] | {"status": "Discarded"}]}).raise_for_status()

    again = lossaudit("log", losses, "--to", "rubrix", *where, "-n", 1200)
    assert "Sent 100 records" in again
    assert "1,100 were already there" in again
    assert len(listed(ask)) == 1200
    assert listed(ask)[1299]["annotation"]["agent"] == "alice"

    said = lossaudit("pull", losses, "--from", "rubrix", *where)
    assert "Pulled 3 new decisions" in said
    assert "skipped 1 answer 'Politics', which isn't a label of the model" in said
    assert decided() == {
        1299: ("keep", None, "alice"),
        1298: ("relabel", "x ", "alice"),
        1296: ("discard", None, "rubrix"),
    }
    assert "Pulled 0 new decisions" in lossaudit("pull", losses, "--from", "rubrix", *where)


def test_sets_of_labels_over_two_texts(server, ask, sets, losses, lossaudit, decided_sets):
    where = ("--name", NAME, "--url", server)
    assert "Sent 6 records" in lossaudit("log", sets, "--to", "rubrix", *where)
    stored = listed(ask)
    assert stored[0]["inputs"] == {"text": "what a wonderful morning é 😀", "hypothesis": "<b>so?</b> 0"}
    assert stored[0]["multi_label"] is True
    assert {label["class"] for label in stored[0]["annotation"]["labels"]} == {"World", "a, b"}
    for row, labels in ((0, ["a, b", "World"]), (1, ["World", "😀"]), (2, []), (5, [])):
        annotation = {"agent": "alice", "labels": [{"class": label, "score": 1.0} for label in labels]}
        changed = stored[row] | {"status": "Validated", "annotation": annotation, "annotations": {}}
        assert ask.post(BULK, json={"records": [changed]}).json()["processed"] == 1
    assert "6 were already there" in lossaudit("log", sets, "--to", "rubrix", *where)
    lossaudit("pull", sets, "--from", "rubrix", *where)
    assert decided_sets() == {0: "keep", 1: ["World", "😀"], 2: "keep", 5: []}
    assert "is for several labels per text" in lossaudit("log", losses, "--to", "rubrix", *where, fails=True)


def test_keys_workspaces_and_tasks(server, ask, losses, lossaudit):
    def log(*options, fails=True):
        return lossaudit("log", losses, "--to", "rubrix", "-n", 3, "--url", server, *options, fails=fails)

    assert "refuses the key" in log("--name", NAME, "--key", "wrong-key-123")
    assert "wrong-key-123" not in log("--name", NAME, "--key", "wrong-key-123")
    assert "there are alice, team" in log("--name", NAME, "--key", "alice.apikey", "--workspace", "nowhere")
    log("--name", NAME, "--key", "alice.apikey", "--workspace", "team", fails=False)
    assert ask.get(f"/api/datasets/{NAME}?workspace=team").json()["owner"] == "team"
    ask.post("/api/datasets", json={"name": "tokens", "task": "TokenClassification"}).raise_for_status()
    assert "is for TokenClassification" in log("--name", "tokens")
