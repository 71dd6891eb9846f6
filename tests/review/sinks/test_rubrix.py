"""Rubrix: the requests to its server, how its records are read, and what can go wrong.

The fake below answers like the real server; tests/contracts checks that our requests are right for the real one.
"""

import base64
import dataclasses
import json

import pytest

from lossaudit.review.records import records_of
from lossaudit.review.sinks import About, Answer, Place, connect
from lossaudit.review.sinks.log import log_records
from lossaudit.review.sinks.pull import pull

NAME = "ag_news_error_analysis"
BULK = f"/api/datasets/{NAME}/TextClassification:bulk"


@pytest.fixture
def rubrix(serve, service, key):
    """A Rubrix server with one user, ann, of the workspaces ann and team."""

    class Rubrix(service):
        tasks: dict
        records: dict

        def answer(self, request):
            if request.headers.get("x-rubrix-api-key") != key:
                return 401, {"detail": {"code": "rubrix.api.errors::UnauthorizedError", "params": {"detail": "no"}}}
            match request.path.split("/")[2:]:
                case ["me"]:
                    return 200, {"username": "ann", "workspaces": ["team"]}
                case ["datasets", ""]:
                    return 200, [{"name": name, "task": task} for name, task in self.tasks.items()]
                case ["datasets"]:
                    self.tasks[request.body["name"]] = request.body["task"]
                    return 200, request.body
                case ["datasets", name] if name not in self.tasks:
                    return 404, {"detail": {"code": "rubrix.api.errors::EntityNotFoundError", "params": {"name": name}}}
                case ["datasets", name]:
                    return 200, {"name": name, "task": self.tasks[name]}
                case ["datasets", name, "TextClassification:bulk"]:
                    for record in request.body["records"]:
                        self.records[str(record["id"])] = record | {"last_updated": "2026-01-02T03:04:05.678901"}
                    return 200, {"dataset": name, "processed": len(request.body["records"]), "failed": 0}
                case ["datasets", _, "TextClassification", "data"]:
                    ids = sorted(id_ for id_ in self.records if id_ > request.query.get("id_from", ""))
                    page = [self.records[id_] for id_ in ids[: int(request.query["limit"])]]
                    return 200, "\n".join(map(json.dumps, page)) + "\n"
            return 404, {}

    made = Rubrix()
    made.tasks, made.records = {}, {}
    return serve(made)


@pytest.fixture
def sink(rubrix, about, key):
    opened = []

    def open_(about=about, **place):
        opened.append(connect("rubrix", Place(**{"name": NAME, "url": rubrix.url, "key": key} | place), about))
        return opened[-1]

    yield open_
    for one in opened:
        one.close()


def test_the_page_shows_the_highest_loss_first(sink, records, on_stage):
    for place, workspace in [({}, "ann"), ({"workspace": "team"}, "team")]:
        opened = sink(**place)
        log_records(records[:1], opened, on_stage)
        path, query = opened.page.split("?")
        assert path.endswith(f"/datasets/{workspace}/{NAME}")
        sort, view = query.split("&")
        order = base64.urlsafe_b64decode(sort.removeprefix("sort="))
        assert (json.loads(order), view) == ([{"id": "metadata.loss", "order": "desc"}], "viewMode=annotate")


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ("/data/AG News (2).csv.gz", "ag_news_2"),
        ("parts/*.jsonl", "parts"),
        ("acme/ag_news", "ag_news"),
        ("données.csv", "donn_es"),
        ("新闻.csv", "lossaudit"),
        ("x" * 99, "x" * 50),
    ],
)
def test_a_dataset_names_itself(dataset, name, sink, about):
    opened = sink(dataclasses.replace(about, dataset=dataset), name=None)
    assert opened.address.startswith(f"Rubrix dataset {name} at ")


def test_a_record_has_all_that_the_tutorial_shows(sink, rubrix, records, on_stage):
    log_records(records[:2], sink(), on_stage)
    (bulk,) = rubrix.asked("POST", BULK)
    assert bulk["records"][1] == {
        "id": 1,
        "inputs": {"text": "example number 1"},
        "prediction": {
            "agent": "acme/distilbert-agnews",
            "labels": [{"class": label, "score": score} for label, score in records[1].probabilities],
        },
        "annotation": {"agent": "ag_news", "labels": [{"class": "Sports", "score": 1.0}]},
        "status": "Default",
        "metadata": {"loss": 11.0, "rank": 2, "row_id": 1},
        "multi_label": False,
        "event_timestamp": None,
        "explanation": None,
        "metrics": {},
        "search_keywords": None,
    }
    assert len(bulk["records"][1]["prediction"]["labels"]) == 4
    assert rubrix.asked("POST", "/api/datasets") == [{"name": NAME, "task": "TextClassification"}]


def test_a_record_of_sets_over_two_texts(sink, rubrix, sets, sets_about, on_stage):
    log_records(records_of(sets, 6), sink(about=sets_about), on_stage)
    (bulk,) = rubrix.asked("POST", BULK)
    first, _, third, *_ = bulk["records"]
    assert first["inputs"] == {"text": "what a wonderful morning", "text_pair": "said <b>Ann</b> 0"}
    assert first["multi_label"] is True
    assert [label["class"] for label in first["annotation"]["labels"]] == ["joy", "anger"]
    assert [label["class"] for label in first["prediction"]["labels"]] == ["joy", "love", "fear", "anger"]
    assert first["metadata"]["worst_label"] == "anger"
    assert third["annotation"]["labels"] == []
    assert log_records(records_of(sets, 6), sink(about=sets_about), on_stage).sent == 0


def test_sets_come_back(sink, rubrix, sets, sets_about, on_stage, decided_sets):
    log_records(records_of(sets, 6), sink(about=sets_about), on_stage)
    for row, labels in {"0": ["anger", "joy"], "1": ["love", "joy"], "2": [], "5": []}.items():
        annotation = {"agent": "bob", "labels": [{"class": label, "score": 1.0} for label in labels]}
        rubrix.records[row] |= {"status": "Validated", "annotation": annotation}
    rubrix.records["3"] |= {"status": "Discarded"}
    rubrix.records["4"] |= {"status": "Edited", "annotation": {"agent": "bob", "labels": []}}
    pull(sets, sink(about=sets_about), "rubrix")
    assert decided_sets() == {0: "keep", 1: ["joy", "love"], 2: "keep", 3: "discard", 5: []}


def test_a_dataset_holds_sets_or_single_labels(sink, rubrix, sets, sets_about, records, on_stage, refused):
    log_records(records, sink(), on_stage)
    with refused(NAME, "is for one label per text", "another name"):
        log_records(records_of(sets, 6), sink(about=sets_about), on_stage)
    with refused("is for one label per text"):
        pull(sets, sink(about=sets_about), "rubrix")
    rubrix.records.clear()
    log_records(records_of(sets, 6), sink(about=sets_about), on_stage)
    with refused("is for several labels per text"):
        log_records(records, sink(), on_stage)


@pytest.mark.parametrize(
    ("columns", "fields"),
    [
        (("premise", "hypothesis"), ["premise", "hypothesis"]),
        (("a.b", "a_b"), ["a_b", "a_b_pair"]),
        (("text", " "), ["text", "text_pair"]),
    ],
)
def test_inputs_are_called_as_their_columns(columns, fields, sink, rubrix, records, about, on_stage):
    pairs = [dataclasses.replace(record, text_pair="two") for record in records]
    there = sink(about=dataclasses.replace(about, text_pair=columns))
    log_records(pairs, there, on_stage)
    assert list(rubrix.records["0"]["inputs"]) == fields
    assert next((held.text, held.text_pair) for held in there.held()) == ("example number 0", "two")


def test_many_go_in_bulks_of_500_and_are_read_in_pages(sink, rubrix, make_losses, on_stage):
    from lossaudit.engine.table.losses import LossesTable

    rows = [("World", "Sports", 5000.0 - n, f"text {n}") for n in range(2300)]
    records = records_of(LossesTable.open(make_losses(rows)), 2300)
    log_records(records, sink(), on_stage)
    assert [len(bulk["records"]) for bulk in rubrix.asked("POST", BULK)] == [500] * 4 + [300]
    assert log_records(records, sink(), on_stage).there == 2300
    assert len(rubrix.records) == 2300


def test_a_second_run_leaves_what_people_said(sink, rubrix, records, on_stage):
    log_records(records[:3], sink(), on_stage)
    rubrix.records["1"] |= {"status": "Validated", "annotation": {"agent": "bob", "labels": [{"class": "World"}]}}
    log_records(records, sink(), on_stage)
    assert rubrix.records["1"]["annotation"]["agent"] == "bob"
    assert len(rubrix.records) == 12


def test_what_people_said(sink, rubrix, records, losses, on_stage, decided):
    log_records(records, sink(), on_stage)
    label = {"agent": "bob", "labels": [{"class": "World", "score": 1.0}]}
    rubrix.records["0"] |= {"status": "Validated", "annotation": label}
    rubrix.records["1"] |= {"status": "Validated", "annotation": label}
    rubrix.records["2"] |= {"status": "Discarded"}
    rubrix.records["3"] |= {"status": "Discarded", "annotation": label}
    rubrix.records["4"] |= {"status": "Edited", "annotation": label}
    rubrix.records["5"] |= {"status": "Validated"}  # by the dataset itself
    pulled = pull(losses, sink(), "rubrix")
    assert decided() == {
        0: ("keep", None, "bob", "rubrix"),
        1: ("relabel", "World", "bob", "rubrix"),
        2: ("discard", None, "rubrix", "rubrix"),
        3: ("discard", None, "bob", "rubrix"),
    }
    assert pulled.unanswered == 8


def test_times_are_utc(sink, rubrix, records, on_stage):
    there = sink()
    log_records(records[:1], there, on_stage)
    rubrix.records["0"] |= {"status": "Validated", "annotation": {"agent": "bob", "labels": [{"class": "World"}]}}
    (held,) = there.held()
    assert held.answers == (Answer("World", None, "bob", "2026-01-02T03:04:05.678901+00:00"),)


def test_records_of_others_are_strangers(sink, rubrix, records, on_stage):
    there = sink()
    log_records(records[:1], there, on_stage)
    rubrix.records["a-uuid"] = {
        "id": "a-uuid",
        "inputs": {"title": "t"},
        "status": "Default",
        "last_updated": "2026-01-01",
    }
    assert [held.row for held in there.held()] == [0, None]


@pytest.mark.parametrize(
    ("name", "fits"), [("ag_news-1", True), ("_a", False), ("Ag", False), ("", False), ("a\n", False)]
)
def test_names(name, fits, about, key, refused):
    place = Place(name=name, url="http://a.example", key=key)
    if fits:
        connect("rubrix", place, about).close()
        return
    with refused("can't name", "Rubrix dataset"):
        connect("rubrix", place, about)


def test_a_dataset_that_is_not_there_names_the_others(sink, rubrix, losses, refused):
    rubrix.tasks = {"other": "TextClassification", "tokens": "TokenClassification"}
    with refused(f"there is no Rubrix dataset {NAME} at {rubrix.url}; there are other"):
        pull(losses, sink(), "rubrix")


@pytest.mark.parametrize("create", [True, False])
def test_a_dataset_of_another_task_is_refused(create, sink, rubrix, refused):
    rubrix.tasks[NAME] = "TokenClassification"
    with refused(NAME, "is for TokenClassification", "another name"):
        sink().find(create=create)


def test_a_wrong_key(sink, refused):
    with refused("refuses the key (no)", "key or RUBRIX_API_KEY"):
        sink(key="wrong-key").find(create=True)


def test_workspaces(sink, rubrix, refused):
    sink(workspace="team").find(create=True)
    assert {request.headers.get("x-rubrix-workspace") for request in rubrix.requests} == {"team"}
    with refused("no workspace nowhere for the user ann", "there are ann, team"):
        sink(workspace="nowhere").find(create=True)
    with refused("workspace 'a b'"):
        sink(workspace="a b")


def test_another_server_is_told_from_rubrix(sink, rubrix, refused):
    rubrix.instead.append((404, {}, {"detail": "Not Found"}))
    with refused("Rubrix at", "doesn't answer as Rubrix would", "is url right"):
        sink().find(create=True)


def test_the_environment_says_where(monkeypatch, sink, rubrix, key):
    monkeypatch.setenv("RUBRIX_API_URL", rubrix.url)
    monkeypatch.setenv("RUBRIX_API_KEY", key)
    monkeypatch.setenv("RUBRIX_WORKSPACE", "team")
    told = sink(url=None, key=None)
    assert told.address == f"Rubrix dataset {NAME} in the workspace team at {rubrix.url}"
    told.find(create=True)


def test_nothing_said_is_what_rubrix_own_client_takes(sink):
    assert sink(url=None, key=None).address == f"Rubrix dataset {NAME} at http://localhost:6900"


def test_a_bulk_that_half_fails(sink, rubrix, records, on_stage, refused):
    there = sink()
    there.find(create=True)
    rubrix.only = ":bulk"
    rubrix.instead.append((200, {}, {"dataset": NAME, "processed": 12, "failed": 2}))
    with refused("stored only some records of a bulk", "Of 12 records, none are stored"):
        log_records(records, there, on_stage)


def test_a_failure_while_listing_comes_as_a_line(sink, rubrix, refused):
    there = sink()
    there.find(create=True)
    rubrix.instead.append((200, {}, json.dumps({"detail": {"code": "rubrix.api.errors::ClosedDatasetError"}})))
    with refused("can't list the records", "ClosedDatasetError"):
        list(there.held())


@pytest.mark.parametrize("label", ["", "x" * 129])
def test_labels_that_rubrix_has_no_room_for(label, sink, rubrix, refused):
    with refused("labels of 1 to 128 characters"):
        sink(about=About("m", "d", ("fine", label))).find(create=True)
    assert rubrix.requests == []


@pytest.mark.parametrize(
    ("name", "agent"),
    [
        ("acme/model", "acme/model"),
        ("../data/reviews.csv", "/data/reviews.csv"),
        ("a..b", "a.b"),
        (".", "lossaudit"),
        ("x" * 70, "…" + "x" * 63),
    ],
)
def test_names_of_agents_fit_into_field_names(name, agent, sink, rubrix, records, on_stage):
    log_records(records[:1], sink(about=About(name, name, ("World",))), on_stage)
    record = rubrix.asked("POST", BULK)[0]["records"][0]
    assert record["prediction"]["agent"] == record["annotation"]["agent"] == agent


def test_hostile_labels_and_texts_go_as_they_are(sink, rubrix, records, on_stage):
    label, text = 'a, "b" 😀\n', '<script>alert("x")</script>\0 {{7*7}}'
    hostile = dataclasses.replace(records[0], label=label, text=text, probabilities=((label, 1.0000001),))
    log_records([hostile], sink(), on_stage)
    record = rubrix.asked("POST", BULK)[0]["records"][0]
    assert record["annotation"]["labels"] == [{"class": label, "score": 1.0}]
    assert record["prediction"]["labels"] == [{"class": label, "score": 1.0}]
    assert record["inputs"]["text"] == text.replace("\0", "�")
