"""What every command sends (only what the user named), what it leaves behind, and who can read that."""

import os
import re
import shutil
import stat
import subprocess
import sys

import pytest

from lossaudit.cli.main import main
from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.store import Decision, DecisionStore, utc_now
from tests.watching import means, watched, without_switches

LOSSAUDIT = (sys.executable, "-m", "lossaudit")
STORY = {
    "export": "export checkpoint -o bundle",
    "audit": "audit bundle rows.csv -o losses.parquet --no-tune --report report.html --log-json events.jsonl",
    "audit, packed": "audit bundle rows.jsonl.gz -o packed.csv --no-tune --offline",
    "fit": "fit encoder rows.csv -o fitted --no-tune",
    "top": "top losses.parquet -n 5",
    "report": "report losses.parquet -o again.html",
    "review": "review losses.parquet --no-open --port 0",
    "log": "log losses.parquet --to jsonl -o records.jsonl",
    "log, a server": "log losses.parquet --to rubrix --name a --url http://127.0.0.1:9 --key k",
    "pull": "pull losses.parquet --from jsonl records.jsonl",
    "apply": "apply losses.parquet -o cleaned.csv",
    "decisions": "decisions show losses.parquet",
    "rerank": "rerank losses.parquet",
    "doctor": "doctor bundle",
    "cache": "cache ls",
    "cache, cleared": "cache clear --yes",
    "completion": "completion bash",
}
"""A line for each command, in an order that can be run; the demo and `--ray` are watched by tests of their own."""
FAIL = {"log, a server"}
ENDS_ITSELF = """
import signal, subprocess, sys
page = subprocess.Popen([sys.executable, "-m", "lossaudit", *sys.argv[1:]], stdout=subprocess.PIPE, text=True)
while not page.stdout.readline().startswith("http"): pass
page.send_signal(signal.SIGINT)
page.communicate(timeout=60)
sys.exit(page.returncode)
"""


def needs_a_watch():
    if means() is None:
        pytest.skip("neither strace nor a network namespace may be used here")


@pytest.fixture(scope="module")
def place(checkpoint, encoder_checkpoint, data_csv, data_jsonl, tmp_path_factory):
    folder = tmp_path_factory.mktemp("private")
    shutil.copytree(checkpoint, folder / "checkpoint")
    shutil.copytree(encoder_checkpoint, folder / "encoder")
    shutil.copy(data_csv, folder / "rows.csv")
    (folder / "home").mkdir()
    subprocess.run(
        ["gzip", "-k"], stdin=data_jsonl.open("rb"), stdout=(folder / "rows.jsonl.gz").open("wb"), check=True
    )
    return folder


@pytest.fixture(scope="module")
def story(place):
    """Runs the story under a usual umask; what was seen of each line."""
    needs_a_watch()
    seen, before = {}, os.umask(0o022)
    try:
        with pytest.MonkeyPatch.context() as patched:
            patched.chdir(place)
            for name, line in STORY.items():
                if name == "apply":
                    with DecisionStore.open(LossesTable.open(place / "losses.parquet")) as store:
                        row = LossesTable.open(place / "losses.parquet").top(1)["id"][0].as_py()
                        store.add([Decision(row, "discard", None, "ada", "page", utc_now())])
                started = (sys.executable, "-c", ENDS_ITSELF) if name == "review" else LOSSAUDIT
                seen[name] = watched([*started, *line.split()], place / "home", TMPDIR=str(place / "home"))
    finally:
        os.umask(before)
    return seen


def test_the_watch_sees_what_there_is_to_see(tmp_path):
    needs_a_watch()
    asks = "import socket\ntry: socket.getaddrinfo('lossaudit.invalid', 80)\nexcept OSError: pass"
    assert watched([sys.executable, "-c", asks], tmp_path).names == {"lossaudit.invalid"}
    if means() == "strace":
        opens = "import socket\nsocket.create_server(('0.0.0.0', 0)); socket.create_server(('127.0.0.1', 0))"
        assert watched([sys.executable, "-c", opens], tmp_path).listening == {"0.0.0.0"}


def test_the_story_has_every_command():
    assert {line.split()[0] for line in STORY.values()} == set(main.commands) - {"demo"}


@pytest.mark.parametrize("name", STORY)
def test_nothing_is_sent_and_nobody_is_let_in(name, story):
    seen = story[name]
    assert seen.returncode == (2 if name in FAIL else 0), seen.output
    assert seen.quiet, seen


@pytest.mark.usefixtures("story")
def test_a_hub_name_asks_the_hub_alone(place, monkeypatch):
    monkeypatch.chdir(place)
    seen = watched([*LOSSAUDIT, "audit", "bundle", "some-one/their-data", "-o", "x.csv"], place / "home")
    assert seen.returncode == 2
    assert seen.names == {"huggingface.co"}


@pytest.mark.usefixtures("story")
@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("audit bundle some-one/their-data -o x.csv", "--offline"),
        ("audit bundle some-one/their-data -o x.csv", "HF_HUB_OFFLINE"),
        ("fit some-one/model rows.csv -o x", "--offline"),
        ("export some-one/model -o x", "--offline"),
        ("export some-one/model -o x", "HF_HUB_OFFLINE"),
    ],
)
def test_offline_asks_nobody(line, given, place, monkeypatch):
    monkeypatch.chdir(place)
    option, environment = ([given], {}) if given.startswith("--") else ([], {given: "1"})
    seen = watched([*LOSSAUDIT, *line.split(), *option], place / "home", **environment)
    assert seen.returncode == 2, seen.output
    assert re.search("can't be (had|downloaded)", seen.output)
    assert seen.quiet, seen


@pytest.mark.usefixtures("story")
def test_nothing_is_sent_where_datasets_was_imported_first(place, monkeypatch):
    monkeypatch.chdir(place)
    script = "import datasets\nimport lossaudit as la\nla.audit('bundle', 'rows.csv')"
    seen = watched([sys.executable, "-c", script], place / "home")
    assert seen.returncode == 0, seen.output
    assert seen.quiet, seen


def test_where_onnxruntime_was_imported_first_it_is_told_by_its_own_function():
    script = """
import onnxruntime
told = []
onnxruntime.disable_telemetry_events = lambda: told.append("off")
import lossaudit
print(*told)
"""
    for setting, said in ({}, "off"), ({"ORT_DISABLE_TELEMETRY": "0"}, ""):
        done = subprocess.run(
            [sys.executable, "-c", script], env=without_switches() | setting, capture_output=True, text=True
        )
        assert (done.stdout.strip(), done.stderr) == (said, "")


def test_what_a_person_has_set_stays():
    asks = "import lossaudit, os; print(os.environ['ORT_DISABLE_TELEMETRY'], os.environ['DO_NOT_TRACK'])"
    environment = without_switches() | {"ORT_DISABLE_TELEMETRY": "0"}
    done = subprocess.run([sys.executable, "-c", asks], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["0", "1"]


@pytest.mark.usefixtures("story")
def test_no_text_is_left_behind(place, rows):
    text = max((row["text"] for row in rows), key=len).encode()
    left = [path for path in (place / "home").rglob("*") if path.is_file() and text[:100] in path.read_bytes()]
    assert not left
    assert not list((place / "home").rglob("*.arrow"))
    assert not list(place.rglob(".lossaudit-scratch-*"))
    assert not list(place.rglob("*.parts"))


@pytest.mark.usefixtures("story")
def test_what_holds_texts_is_its_owners_alone(place):
    written = [
        "losses.parquet", "report.html", "packed.csv", "again.html", "records.jsonl", "cleaned.csv",
        "cleaned.csv.changes.json", "losses.parquet.reviews.sqlite", "fitted/losses.parquet",
    ]  # fmt: skip
    assert {name: stat.filemode((place / name).stat().st_mode) for name in written} == dict.fromkeys(
        written, "-rw-------"
    )
    assert stat.S_IMODE((place / "bundle").stat().st_mode) == 0o755
