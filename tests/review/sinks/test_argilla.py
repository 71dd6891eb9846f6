"""Argilla: replays a recorded exchange with its real server; our requests must equal the recorded ones.

tests/contracts/test_argilla.py recorded argilla_exchange.jsonl with the real server, and checks that it is up to date.
"""

import copy
import json
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.records import Record, records_of
from lossaudit.review.sinks import About, Answer, Place, connect
from lossaudit.review.sinks.log import log_records
from tests.review.sets import LABELS as SET_LABELS
from tests.review.sets import ROWS, sets_table, write_sets

pytest.importorskip("argilla", reason="the extra argilla isn't installed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:argilla", "ignore::DeprecationWarning:pydantic")

RECORDED, RECORDED_SETS = (Path(__file__).with_name(f"argilla_{name}.jsonl") for name in ("exchange", "sets_exchange"))
LABELS = ("World", "a, b", 'say "hi" & <bye>', "😀", "x", "x ")
NAME = "ag_news_errors"
ANN = "ann"


def record(row):
    given, predicted = LABELS[row % 6], LABELS[(row + 1) % 6]
    text = f'Text {row}: <b>"{given}"</b> & é 😀'
    # As float32, in which the losses table keeps them.
    return Record(row, 1300 - row, text, given, predicted, ((predicted, 0.699999988079071),), row / 100 + 0.1, {})


def read(recorded):
    return [json.loads(line) for line in recorded.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def exchange():
    """What was said, in three parts: the first `log`, the second, and the `pull`."""
    said = read(RECORDED)
    ends = [n + 1 for n, one in enumerate(said) if one["path"].endswith("/records/bulk")]
    return said[: ends[0]], said[ends[0] : ends[1]], said[ends[1] :]


@pytest.fixture
def replay(serve, service):
    """A server that answers as it did: to each request, what came next after one of the same method and path."""

    class Replay(service):
        def answer(self, request):
            for one in self.left:
                url = urlsplit(one["path"])
                asked = (request.method, request.path, request.query)
                if (one["method"], url.path, dict(parse_qsl(url.query))) == asked:
                    self.left.remove(one)
                    return one["status"], one["answer"]
            raise AssertionError(f"{request.method} {request.path} was never said")

    def start(said):
        made = Replay()
        made.left = copy.deepcopy(said)
        return serve(made)

    return start


@pytest.fixture
def sink():
    opened = []

    def open_(there, about=None, **place):
        about = about or About("acme/distilbert-agnews", "ag_news", LABELS)
        given = {"name": NAME, "url": there.url, "key": "argilla.apikey"} | place
        opened.append(connect("argilla", Place(**given), about))
        return opened[-1]

    yield open_
    for one in opened:
        one.close()


def sent(requests):
    """The requests that change something; a suggestion's id is one that the client makes up."""
    bodies = [(one["method"], one["path"], copy.deepcopy(one["body"])) for one in requests if one["method"] != "GET"]
    for _, _, body in bodies:
        for item in (body or {}).get("items", []):
            for suggestion in item["suggestions"]:
                del suggestion["id"]
    return bodies


def asked(there):
    return sent({"method": one.method, "path": one.path, "body": one.body} for one in there.requests)


def test_the_first_log_makes_the_dataset_and_sends_the_records(exchange, replay, sink, on_stage):
    there = replay(exchange[0])
    logged = log_records([record(row) for row in (1299, 1298, 1297, 1296)], sink(there), on_stage)
    assert (logged.sent, there.left) == (4, [])
    assert asked(there) == sent(exchange[0])
    assert {request.headers["x-argilla-api-key"] for request in there.requests} == {"argilla.apikey"}


def test_what_the_dataset_and_a_record_hold(exchange):
    """What the two tests beside this one compare with, spelt out."""
    created = [(path.rsplit("/", 1)[1], body) for method, path, body in sent(exchange[0]) if method == "POST"]
    assert [(kind, body["name"], body["settings"]["type"]) for kind, body in created[1:]] == [
        ("fields", "text", "text"),
        ("fields", "given_label", "text"),
        ("questions", "label", "label_selection"),
        ("metadata-properties", "loss", "float"),
        ("metadata-properties", "rank", "integer"),
        ("metadata-properties", "row_id", "integer"),
        ("metadata-properties", "given", "terms"),
    ]
    question = next(body for kind, body in created if kind == "questions")
    assert [option["value"] for option in question["settings"]["options"]] == list(LABELS)
    first = sent(exchange[0])[-1][2]["items"][0]
    assert first["external_id"] == "1299"
    assert first["fields"] == {"text": record(1299).text, "given_label": "😀"}
    assert first["metadata"] == {"loss": 13.09, "rank": 1, "row_id": 1299, "given": "😀"}
    assert first["responses"] == []
    (suggestion,) = first["suggestions"]
    assert (suggestion["value"], suggestion["agent"], suggestion["type"]) == ("x", "acme/distilbert-agnews", "model")
    assert suggestion["score"] == pytest.approx(0.7)


def test_the_second_log_sends_what_is_missing_alone(exchange, replay, sink, on_stage):
    there = replay(exchange[1])
    logged = log_records([record(row) for row in range(1299, 1294, -1)], sink(there), on_stage)
    assert (logged.sent, logged.there) == (1, 4)
    assert asked(there) == sent(exchange[1])


def test_what_people_said_comes_back(exchange, replay, sink):
    there = sink(replay(exchange[2]))
    there.find(create=False)
    held = {one.row: one for one in there.held()}
    assert list(held) == [1299, 1298, 1297, 1296, 1295]
    assert (held[1295].text, held[1295].loss) == (record(1295).text, record(1295).loss)
    time = "2026-01-02T03:04:05.678901+00:00"
    assert [one.answers for one in held.values()] == [
        (Answer("😀", None, ANN, time),),
        (Answer("x ", None, ANN, time),),
        (Answer(None, "discard", ANN, time),),
        (),  # a draft
        (),
    ]


@pytest.fixture
def tagged(tmp_path):
    """The losses file whose records were logged when the exchange about sets was recorded."""
    labels = dict(zip(SET_LABELS, LABELS, strict=False))
    rows = [([labels[label] for label in given], chances, f"{text} é 😀") for given, chances, text in ROWS]
    names = tuple(labels.values())
    table = sets_table(rows, names, hypothesis=[f"<b>so?</b> {n}" for n in range(len(rows))])
    facts = {"model": "acme/tagger", "text_pair_column": "hypothesis", "source": {"name": "tags"}}
    return LossesTable.open(write_sets(table, tmp_path / "sets.parquet", names, **facts))


def test_sets_over_two_texts_go_as_they_went_and_come_back(replay, sink, tagged, on_stage):
    everything = read(RECORDED_SETS)
    begins = [n for n, one in enumerate(everything) if one["path"] == "/api/v1/me"][::2]  # each command asks twice
    said = everything[: begins[1]]
    there = replay(said)
    log_records(records_of(tagged, 6), sink(there, about=About.of(tagged)), on_stage)
    assert asked(there) == sent(said)
    bodies = {(path.rsplit("/", 1)[1], body["name"]): body for _, path, body in sent(said) if "name" in (body or {})}
    assert [name for kind, name in bodies if kind == "fields"] == ["text", "text_pair", "given_label", "doubted_label"]
    assert bodies["fields", "text_pair"]["title"] == "hypothesis"
    question = bodies["questions", "label"]["settings"]
    assert question["type"] == "multi_label_selection"
    assert [option["value"] for option in question["options"]] == [*LABELS[:4], "None of these"]
    pulling = sink(replay(everything[begins[2] :]), about=About.of(tagged))
    pulling.find(create=False)
    held = {one.row: one for one in pulling.held()}
    assert (held[0].text_pair, held[0].answers[0].label) == ("<b>so?</b> 0", ("a, b", "World"))
    assert [one.answers[0].label for one in held.values() if one.answers] == [
        *(("a, b", "World"), ("World", "😀"), (), None, ()),
    ]
    assert held[4].answers == ()  # none, and one


def test_sets_do_not_go_where_there_is_one_label(exchange, replay, sink, refused):
    with refused("for another task"):
        sink(replay(exchange[2]), about=About("m", "d", LABELS, multi_label=True)).find(create=True)
    with refused("for another task"):
        sink(replay(exchange[2]), about=About("m", "d", LABELS, text_pair=("a", "b"))).find(create=True)


def test_failures_that_pass_are_tried_again(exchange, replay, sink, on_stage, pauses):
    there = replay(exchange[1])
    there.instead.extend([(503, {}, "busy"), (429, {"Retry-After": "4"}, {"detail": "slowly"})])
    log_records([record(row) for row in range(1299, 1294, -1)], sink(there), on_stage)
    assert len(pauses) == 2
    assert pauses[1] >= 4


def test_a_bulk_that_fails_says_which_records_are_in(exchange, replay, sink, on_stage, refused):
    listing = exchange[1][-2]
    there = replay([*exchange[1], listing, *exchange[1]])
    there.only = "/bulk"
    there.instead.append((422, {}, {"detail": "Record at position 0 is not valid"}))
    with refused(
        "answers 422 to PUT", "Record at position 0 is not valid", "Of 5 records, those of rank 1-4 are stored."
    ):
        log_records([record(row) for row in range(1299, 1294, -1)], sink(there), on_stage)


def test_a_key_that_may_not_see_the_others_sees_itself(exchange, replay, sink):
    users = next(one for one in exchange[2] if one["path"] == "/api/v1/users")
    me = next(one for one in exchange[2] if one["path"] == "/api/v1/me")
    said = [one for one in exchange[2] if one is not users]
    there = sink(replay([*said, users | {"status": 403, "answer": {"detail": "no"}}, me]))
    there.find(create=False)
    assert next(there.held()).answers[0].annotator.startswith("user 00000000-")


@pytest.mark.parametrize(
    ("status", "says"), [(401, "refuses the key (no)"), (404, "doesn't answer as Argilla would"), (403, "doesn't let")]
)
def test_keys_and_other_servers(status, says, replay, sink, refused):
    there = replay([])
    there.instead.append((status, {}, {"detail": "no"}))
    with refused("Argilla at", says):
        sink(there).find(create=True)


def test_a_redirect_takes_the_key_nowhere(replay, sink, refused):
    elsewhere, there = replay([]), replay([])
    there.instead.append((307, {"Location": f"{elsewhere.url}/api/v1/me"}, ""))
    with refused("redirects to", elsewhere.url):
        sink(there).find(create=True)
    assert elsewhere.requests == []


def test_an_answer_that_is_no_json(replay, sink, refused):
    there = replay([])
    there.instead.append((200, {}, "<html>"))
    with refused("Argilla at", there.url):
        sink(there).find(create=True)


def test_a_server_that_is_down(replay, sink, refused, pauses):
    with refused("can't be reached", "is url right"):
        sink(replay([]), url="http://127.0.0.1:1").find(create=True)
    assert pauses == []


def test_workspaces(exchange, replay, sink, refused):
    with refused("no workspace nowhere", "there are argilla"):
        sink(replay(exchange[2]), workspace="nowhere").find(create=False)
    two = copy.deepcopy(exchange[2])
    workspaces = next(one for one in two if one["path"] == "/api/v1/me/workspaces")["answer"]["items"]
    other = workspaces[0] | {"name": "team", "id": "00000000-0000-4000-8000-000000000099"}
    workspaces.append(other)
    with refused("give workspace", "argilla, team"):
        sink(replay(two)).find(create=False)
    with refused("there is no Argilla dataset ag_news_errors in the workspace team"):
        sink(replay(two), workspace="team").find(create=False)


def test_a_dataset_that_is_not_there_names_the_others(exchange, replay, sink, refused):
    with refused("there is no Argilla dataset errors in the workspace argilla", f"there are {NAME}"):
        sink(replay(exchange[2]), name="errors").find(create=False)


@pytest.mark.parametrize(
    ("path", "change", "says"),
    [
        ("questions", {"name": "topic"}, "for another task"),
        ("fields", {"name": "prompt"}, "for another task"),
        ("datasets", {"status": "draft"}, "a draft"),
    ],
)
def test_a_dataset_of_another_task_is_refused(path, change, says, exchange, replay, sink, refused):
    said = copy.deepcopy(exchange[2])
    for one in said:
        if one["path"].endswith(f"/{path}"):
            one["answer"]["items"][0] |= change
    with refused(NAME, says):
        sink(replay(said)).find(create=True)


def test_a_dataset_with_other_labels_is_refused(exchange, replay, sink, refused):
    with refused("lacks the labels 'Politics'"):
        sink(replay(exchange[2]), about=About("m", "d", ("x", "Politics"))).find(create=True)


@pytest.mark.parametrize(
    ("model", "agent"), [("bob's model (v2) é", "bob_s model _v2_ _"), ("m" * 300, "_" + "m" * 199)]
)
def test_names_of_models_fit_into_agents(model, agent, exchange, replay, sink, on_stage):
    there = replay(exchange[0])
    records = [record(row) for row in (1299, 1298, 1297, 1296)]
    log_records(records, sink(there, about=About(model, "d", LABELS)), on_stage)
    assert asked(there)[-1][2]["items"][0]["suggestions"][0]["agent"] == agent


@pytest.mark.parametrize("name", ["", "x" * 201])
def test_names(name, replay, sink, refused):
    with refused("name can't", "1 to 200"):
        sink(replay([]), name=name)


def test_the_environment_says_where(monkeypatch, sink, replay, refused):
    with refused("no key", "ARGILLA_API_KEY"):
        sink(replay([]), key=None)
    monkeypatch.setenv("ARGILLA_API_URL", "https://a.example")
    monkeypatch.setenv("ARGILLA_API_KEY", "k")
    assert sink(replay([]), url=None, key=None).address == f"Argilla dataset {NAME} at https://a.example"
