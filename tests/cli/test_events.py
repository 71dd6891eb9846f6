"""`--log-json`: every event has the fields that docs/events.md and its schema describe, and no others."""

import json
import re

import click
import pytest

from lossaudit.cli.events import events_to
from lossaudit.engine.errors import LossAuditError
from tests.conftest import REPOSITORY

SCHEMA = json.loads((REPOSITORY / "docs" / "events.schema.json").read_text("utf-8"))
BY_NAME = {kind["properties"]["event"]["const"]: kind for kind in SCHEMA["oneOf"]}


@pytest.fixture
def logged(tmp_path):
    """The events of a file, each of which fits the schema."""
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(SCHEMA)

    def read(path=tmp_path / "events.jsonl"):
        events = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for event in events:
            validator.validate(event)
            assert event.keys() == BY_NAME[event["event"]]["properties"].keys()
        return events

    return read


def test_the_page_names_the_fields_of_the_schema():
    page = (REPOSITORY / "docs" / "events.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", page, re.MULTILINE)
    told = {event: re.findall(r"`(\w+)`", fields.split(": a")[0]) for event, fields in rows}
    assert told == {name: list(kind["properties"])[2:] for name, kind in BY_NAME.items()}


def test_the_schema_has_every_event_that_is_logged():
    code = "".join(path.read_text("utf-8") for path in (REPOSITORY / "cli").glob("*.py"))
    assert set(re.findall(r"\.say\(\s*\"(\w+)\"", code)) == BY_NAME.keys()


@pytest.mark.parametrize("options", [(), ("--precision", "exact-top", "--top", "5", "--no-tune")])
def test_an_audit(options, run, logged, bundle_folder, data_csv, tmp_path):
    log = tmp_path / "events.jsonl"
    assert run("audit", bundle_folder, data_csv, "-o", tmp_path / "a.csv", "--log-json", log, *options).exit_code == 0
    names = [event["event"] for event in logged()]
    assert {*names} == {"started", "prepared", "stage", "progress", "finished"}
    assert (names[0], names[-1]) == ("started", "finished")


def test_a_failed_audit(run, logged, bundle_folder, tmp_path):
    log = tmp_path / "events.jsonl"
    failed = run("audit", bundle_folder, "nowhere.csv", "-o", tmp_path / "a.csv", "--log-json", log)
    *_, last = logged()
    assert failed.exit_code == last["exit_code"] == 2
    assert last["message"] in failed.stderr


@pytest.mark.parametrize(
    ("error", "event", "code"),
    [
        (KeyboardInterrupt(), "interrupted", 130),
        (LossAuditError("no"), "failed", 2),
        (click.UsageError("no"), "failed", 2),
        (OSError(28, "No space left on device"), "failed", 2),
        (ValueError("no"), "failed", 1),
    ],
)
def test_the_last_event_has_the_exit_code(error, event, code, logged, tmp_path):
    with pytest.raises(type(error)), events_to(str(tmp_path / "events.jsonl")):
        raise error
    (last,) = logged()
    assert (last["event"], last["exit_code"]) == (event, code)
