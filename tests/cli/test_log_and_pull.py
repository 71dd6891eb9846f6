"""`lossaudit log` and `lossaudit pull`: their messages, which options go together, and that no key is ever shown."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from lossaudit.engine.table.formats import ENDINGS

KEY = "a-key-of-the-user-77"


@pytest.fixture
def losses(write_file):
    """A losses file of three rows, as older versions wrote them."""
    rows = [
        {"id": n, "label_name": "a", "prediction_name": "b", "probability": 0.9, "loss": 3.0 - n, "text": f"text {n}"}
        for n in range(3)
    ]
    return write_file("losses.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def said(run):
    """Runs a command that must work; what it said, in one line."""

    def go(*arguments):
        result = run(*arguments)
        assert result.exit_code == 0, result.output
        return " ".join(result.output.split())

    return go


@pytest.fixture
def refusing():
    """A server that refuses every key and repeats it; its URL."""

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self):
            names = ("authorization", "x-rubrix-api-key", "x-argilla-api-key")
            key = " ".join(self.headers[name] for name in names if name in self.headers)
            data = json.dumps({"detail": f"Unknown key {key}"}).encode()
            self.send_response(401)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_records_go_out_and_decisions_come_back(said, losses, tmp_path):
    file = tmp_path / "records.jsonl"
    out = said("log", losses, "--to", "jsonl", "-o", file, "-n", 2)
    assert f"Sent 2 records to {file}" in out
    assert f"lossaudit pull {losses} --from jsonl {file}" in out
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["id"] for line in lines] == [0, 1]
    file.write_text("".join(json.dumps(line | {"annotation": "b"}) + "\n" for line in lines))
    out = said("log", losses, "--to", "jsonl", "-o", file)
    assert f"Sent 1 record to {file}; 2 were already there" in out
    assert f"{losses} has only 3 rows with a loss, not 500" in out
    out = said("pull", losses, file, "--from", "jsonl")
    assert f"Pulled 2 new decisions from {file}: 2 relabel" in out
    assert "Not yet answered: 1 of 3 records." in out
    assert "Pulled 0 new decisions" in said("pull", losses, file, "--from", "jsonl")


def test_what_does_not_fit_is_warned_of(said, losses, write_file):
    answers = [{"id": 0, "annotation": "b"}, {"id": 1, "annotation": "[red]c"}, {"id": 77, "annotation": "a"}]
    file = write_file("answers.jsonl", "".join(json.dumps(answer) + "\n" for answer in answers))
    out = said("pull", losses, file, "--from", "jsonl")
    assert "Pulled 1 new decision from" in out
    assert "Warning: skipped 1 answered record that this losses file doesn't have (rows 77)" in out
    assert (
        "Warning: skipped 1 answer '[red]c', which isn't a label of the model; --new-labels takes it as one (rows 1)"
        in out
    )
    out = said("pull", losses, file, "--from", "jsonl", "--new-labels")
    assert "1 relabel; 1 were already here" in out


def test_a_name_is_enough_for_a_file(said, losses, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "to errors.jsonl" in said("log", losses, "--to", "jsonl", "--name", "errors")
    assert "from errors.jsonl" in said("pull", losses, "--from", "jsonl", "--name", "errors")


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_losses_file_is_not_written_over(ending, run, losses, tmp_path):
    path = losses.rename(tmp_path / f"losses{ending}")
    before = path.read_bytes()
    result = run("log", path, "--to", "jsonl", "-o", path)
    assert result.exit_code == 2
    assert "is the losses file itself" in result.output
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["log", "l.parquet"], "--to"),
        (["log", "l.parquet", "--to", "excel"], "'rubrix', 'argilla', 'label-studio', 'jsonl'"),
        (["log", "l.parquet", "--to", "jsonl"], "jsonl needs -o"),
        (["log", "l.parquet", "--to", "jsonl", "-o", "x", "--key", "k"], "are for servers"),
        (["log", "l.parquet", "--to", "rubrix", "--name", "x", "-o", "x"], "-o is for jsonl"),
        (["log", "l.parquet", "--to", "label-studio", "--name", "x", "--workspace", "w"], "--workspace is for"),
        (["log", "l.parquet", "--to", "rubrix", "--name", "x", "-n", "0"], "-n"),
        (["pull", "l.parquet", "--from", "jsonl"], "jsonl needs FILE"),
        (["pull", "l.parquet", "x.jsonl", "--from", "argilla", "--name", "x"], "FILE is for jsonl"),
        (["log", "l.parquet", "--to", "jsonl", "-o", "x", "--open"], "--open is for servers"),
    ],
)
def test_options_that_do_not_go_together(arguments, says, run):
    result = run(*arguments)
    assert result.exit_code == 2
    assert says in " ".join(result.output.split())


def test_losses_that_are_not_there_or_have_no_texts(fails, write_file, tmp_path):
    fails(["log", tmp_path / "no.parquet", "--to", "jsonl", "--name", "x"], "there is no file")
    row = {"id": 0, "label_name": "a", "prediction_name": "b", "probability": 0.9, "loss": 3.0}
    path = write_file("a.jsonl", json.dumps(row) + "\n")
    fails(["log", path, "--to", "jsonl", "-o", tmp_path / "x.jsonl"], "no column with the texts")


def test_a_new_audit_keeps_what_was_pulled(said, losses, write_file):
    file = write_file("answers.jsonl", '{"id": 0, "annotation": "b"}\n')
    said("pull", losses, file, "--from", "jsonl")
    losses.write_text(losses.read_text().replace('"loss": 3.0', '"loss": 4.0'))
    assert "Pulled 0 new decisions" in said("pull", losses, file, "--from", "jsonl")


@pytest.mark.parametrize("kind", ["rubrix", "label-studio", "argilla"])
@pytest.mark.parametrize("command", [("log", "--to"), ("pull", "--from")])
@pytest.mark.parametrize("way", ["option", "environment"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of argilla's own libraries
def test_no_key_is_ever_shown(kind, command, way, run, losses, refusing, monkeypatch):
    if kind == "argilla":
        pytest.importorskip("argilla", reason="the extra argilla isn't installed")
    for variable in ("RUBRIX_API_KEY", "LABEL_STUDIO_API_KEY", "ARGILLA_API_KEY"):
        monkeypatch.setenv(variable, KEY)
    key = ["--key", KEY] if way == "option" else []
    words = [command[0], str(losses), command[1], kind, "--name", "errors", "--url", refusing, *key]
    command_line = [sys.executable, "-m", "lossaudit", *words, "--debug"]
    traced = subprocess.run(command_line, capture_output=True, text=True, check=False).stderr
    assert "Traceback" in traced
    for shown in (run(*words).output, traced):
        assert "refuses the key" in " ".join(shown.split())
        assert KEY not in shown


def test_a_password_in_the_address_is_not_repeated(run, losses):
    result = run("log", losses, "--to", "rubrix", "--name", "x", "--url", "http://bob:hunter2@127.0.0.1:1")
    assert result.exit_code == 2
    assert "hunter2" not in result.output


def test_the_way_back_has_all_that_was_said_but_the_key():
    from pathlib import Path

    from lossaudit.cli.log import pull_command
    from lossaudit.review.sinks import Place

    place = Place("AG errors", "https://a.example", KEY, "team")
    assert pull_command(Path("my losses.parquet"), "argilla", place) == (
        "lossaudit pull 'my losses.parquet' --from argilla --name 'AG errors' --url https://a.example --workspace team"
    )
