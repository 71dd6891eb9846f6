"""Label Studio: the project, the tasks and their order, the two kinds of keys, and how annotations are read.

The fake below answers like the real server; tests/contracts runs the real one.
"""

import base64
import dataclasses
import json
import xml.etree.ElementTree as ElementTree
from collections import Counter

import pytest

from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.records import records_of
from lossaudit.review.sinks import About, Answer, Place, connect
from lossaudit.review.sinks.label_studio import labelling_configuration
from lossaudit.review.sinks.log import log_records
from lossaudit.review.sinks.pull import pull

NAME = "AG News errors"


def token(kind):
    part = base64.urlsafe_b64encode(json.dumps({"token_type": kind}).encode()).decode().rstrip("=")
    return f"eyJh.{part}.c2ln"


REFRESH = token("refresh")


@pytest.fixture
def studio(serve, service, key):
    """A Label Studio server with one user; `legacy` says whether it takes the key as a legacy token."""

    class Studio(service):
        legacy = False
        good = None
        issued = 0

        def answer(self, request):
            given = request.headers.get("authorization")
            match request.path.strip("/").split("/")[1:]:
                case ["token", "refresh"]:
                    if request.body != {"refresh": REFRESH}:
                        return 401, {"detail": "Token is invalid"}
                    self.issued += 1
                    self.good = f"Bearer access-{self.issued}"
                    return 200, {"access": f"access-{self.issued}"}
                case _ if given != self.good and not (self.legacy and given == f"Token {key}"):
                    return 401, {"detail": "legacy token authentication has been disabled for this organization"}
                case ["users"]:
                    return 200, [{"id": 1, "email": "ann@a.example", "username": ""}]
                case ["projects"] if request.method == "POST":
                    return 201, self.add_project(request.body)
                case ["projects"]:
                    return 200, self.page(
                        [p for p in self.projects if request.query.get("title", "") in p["title"]], request
                    )
                case ["projects", _, "import"]:
                    return 201, self.add_tasks(request.body)
                case ["tasks"]:
                    return 200, self.listed(request.query)
            return 404, {"detail": "Not found"}

        def add_project(self, body):
            root = ElementTree.fromstring(body["label_config"])
            control = root.find("Choices")
            parsed = {
                "type": "Choices",
                "inputs": [{"type": "Text", "value": root.find("Text").get("value").strip("$")}],
                "labels": [choice.get("value") for choice in control],
            }
            self.projects.append(
                body | {"id": len(self.projects) + 7, "parsed_label_config": {control.get("name"): parsed}}
            )
            return self.projects[-1]

        def page(self, found, request):
            number, size = int(request.query["page"]), int(request.query["page_size"])
            more = len(found) > number * size
            return {"results": found[(number - 1) * size : number * size], "next": "http://more" if more else None}

        def add_tasks(self, tasks):
            for task in tasks:
                self.tasks.append(task | {"id": len(self.tasks) + 1, "annotations": []})
            return {"task_count": len(tasks), "annotation_count": 0}

        def listed(self, query):
            start = (int(query["page"]) - 1) * int(query["page_size"])
            return {"total": len(self.tasks), "tasks": self.tasks[start : start + int(query["page_size"])]}

        def rows(self):
            return [task["data"]["row_id"] for task in self.tasks]

        def annotate(self, row, *choices, by=1, cancelled=False, at="2026-01-02T03:04:05.678901Z", name="label"):
            result = [{"from_name": name, "type": "choices", "value": {"choices": list(choices)}}] if choices else []
            said = {"completed_by": by, "result": result, "was_cancelled": cancelled, "updated_at": at}
            self.tasks[self.rows().index(row)]["annotations"].append(said)

    made = Studio()
    made.projects, made.tasks = [], []
    return serve(made)


@pytest.fixture
def sink(studio, about):
    opened = []

    def open_(about=about, **place):
        opened.append(
            connect("label-studio", Place(**{"name": NAME, "url": studio.url, "key": REFRESH} | place), about)
        )
        return opened[-1]

    yield open_
    for one in opened:
        one.close()


def test_the_project_and_its_tasks(sink, studio, records, on_stage):
    log_records(records, sink(), on_stage)
    (project,) = studio.projects
    assert project["title"] == NAME
    assert project["sampling"] == "Sequential sampling"
    assert "ag_news" in project["description"]
    assert studio.rows() == list(range(12))  # by falling loss, as annotators see them
    assert studio.tasks[1] == {
        "id": 2,
        "annotations": [],
        "data": {"text": "example number 1", "given_label": "Sports", "loss": 11.0, "rank": 2, "row_id": 1},
        "predictions": [
            {
                "model_version": "acme/distilbert-agnews",
                "score": records[1].probabilities[0][1],
                "result": [
                    {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["Business"]}}
                ],
            }
        ],
    }


def test_a_second_run_sends_what_is_missing_to_the_same_project(sink, studio, make_losses, on_stage):
    rows = [("World", "Sports", 5000.0 - n, f"text {n}") for n in range(620)]
    records = records_of(LossesTable.open(make_losses(rows)), 620)
    log_records(records[:600], sink(), on_stage)
    assert [len(body) for body in studio.asked("POST", "/api/projects/7/import")] == [250, 250, 100]
    logged = log_records(records, sink(), on_stage)
    assert (logged.sent, logged.there) == (20, 600)
    assert len(studio.projects) == 1
    assert studio.rows() == list(range(620))


@pytest.mark.parametrize("trouble", ["late", "drop", (502, {}, "bad gateway"), (429, {"Retry-After": "3"}, {})])
def test_a_bulk_without_a_clear_answer_is_not_doubled(trouble, sink, studio, records, on_stage):
    studio.only = "import"
    studio.instead.extend([trouble, trouble])
    log_records(records, sink(), on_stage)
    assert Counter(studio.rows()) == dict.fromkeys(range(12), 1)


def test_a_bulk_that_fails_for_good_says_which_are_in(sink, studio, make_losses, on_stage, refused):
    rows = [("World", "Sports", 5000.0 - n, f"text {n}") for n in range(300)]
    there = sink()
    there.find(create=True)
    studio.only = "import"
    studio.instead.extend([None, (400, {}, {"validation_errors": {"non_field_errors": ["too odd"]}})])
    with refused(
        "answers 400 to POST /api/projects/7/import", "too odd", "Of 300 records, those of rank 1-250 are stored."
    ):
        log_records(records_of(LossesTable.open(make_losses(rows)), 300), there, on_stage)


def test_what_people_said(sink, studio, records, losses, on_stage, decided, history):
    log_records(records, sink(), on_stage)
    studio.annotate(0, "World")
    studio.annotate(1, "World", by={"id": 1})
    studio.annotate(2, cancelled=True)
    studio.annotate(3)  # submitted without a choice
    studio.annotate(4, "Sports", name="another")
    studio.annotate(5, "World", by=4)
    studio.annotate(6, "Sports", at="2026-01-02T03:04:05Z")
    studio.annotate(6, "World", at="2026-01-02T03:04:04Z", by=4)
    pulled = pull(losses, sink(), "label-studio")
    assert decided() == {
        0: ("keep", None, "ann@a.example", "label-studio"),
        1: ("relabel", "World", "ann@a.example", "label-studio"),
        2: ("unsure", None, "ann@a.example", "label-studio"),
        5: ("relabel", "World", "user 4", "label-studio"),
        6: ("relabel", "Sports", "ann@a.example", "label-studio"),
    }
    assert (pulled.unanswered, len(history(6))) == (7, 2)
    assert pull(losses, sink(), "label-studio").new.total() == 0


def test_tasks_of_others_are_strangers(sink, studio, records, on_stage):
    there = sink()
    log_records(records[:1], there, on_stage)
    studio.tasks.append({"id": 9, "data": {"text": "mine"}, "annotations": []})
    assert [(held.row, held.loss) for held in there.held()] == [(0, 12.0), (None, None)]


def test_a_personal_access_token_is_renewed_when_it_runs_out(sink, studio, records, on_stage):
    there = sink()
    there.find(create=True)
    studio.good = "Bearer another"  # as after five minutes
    log_records(records, there, on_stage)
    assert studio.issued == 2
    assert len(studio.asked("POST", "/api/token/refresh")) == 2


def test_a_legacy_token_goes_as_it_is(sink, studio, key):
    studio.legacy = True
    sink(key=key).find(create=True)
    assert {request.headers["authorization"] for request in studio.requests} == {f"Token {key}"}


@pytest.mark.parametrize("given", ["the-secret-key-9f3", token("other")])
def test_a_wrong_key(given, sink, refused):
    with refused("Label Studio at", "refuses the key", "key or LABEL_STUDIO_API_KEY"):
        sink(key=given).find(create=True)


@pytest.mark.parametrize("said", [{}, [], "<html>"])
def test_a_refresh_that_gives_no_token(said, sink, studio, refused):
    studio.only = "refresh"
    studio.instead.append((200, {}, said))
    with refused("refuses the key"):
        sink().find(create=True)


def test_a_refresh_may_have_to_be_tried_again(sink, studio):
    studio.only = "refresh"
    studio.instead.extend([(503, {}, ""), (429, {}, "")])
    sink().find(create=True)
    assert len(studio.projects) == 1


def test_no_key(sink, refused, monkeypatch, studio):
    with refused("no key", "LABEL_STUDIO_API_KEY"):
        sink(key=None)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", REFRESH)
    monkeypatch.setenv("LABEL_STUDIO_URL", studio.url)
    sink(key=None, url=None).find(create=True)
    assert sink(url="https://a.example").address == f"Label Studio project {NAME} at https://a.example"


@pytest.mark.parametrize("name", ["ab", " a ", "x" * 51, ""])
def test_titles_have_3_to_50_characters(name, sink, refused):
    with refused("can't name", "3 to 50 characters"):
        sink(name=name)


def test_a_part_of_a_title_is_another_project(sink, studio, refused, losses):
    sink(name=f"{NAME} of May").find(create=True)
    with refused(f"there is no Label Studio project {NAME} at {studio.url}; there are {NAME} of May"):
        pull(losses, sink(), "label-studio")
    sink().find(create=True)
    assert len(studio.projects) == 2


def test_two_projects_of_one_title_are_refused(sink, studio, refused):
    sink().find(create=True)
    studio.projects.append(studio.projects[0] | {"id": 99})
    with refused("there are 2 Label Studio projects called", "rename"):
        sink().find(create=True)


def test_a_title_among_many_projects_is_found(sink, studio):
    sink().find(create=True)
    ours = studio.projects.pop()
    studio.projects.extend(ours | {"id": n, "title": f"{NAME} {n}"} for n in range(250))
    studio.projects.append(ours)
    sink().find(create=True)
    assert len(studio.projects) == 251


@pytest.mark.parametrize(
    ("parsed", "says"),
    [
        ({}, "another task"),
        ({"label": {"type": "Labels", "inputs": [{"value": "text"}], "labels": []}}, "another task"),
        ({"label": {"type": "Choices", "inputs": [{"value": "image"}], "labels": []}}, "another task"),
        ({"label": {"type": "Choices", "inputs": [{"value": "text"}], "labels": ["World"]}}, "the labels 'Sports'"),
    ],
)
@pytest.mark.parametrize("create", [True, False])
def test_a_project_of_another_task_is_refused(parsed, says, create, sink, studio, refused):
    sink().find(create=True)
    studio.projects[0]["parsed_label_config"] = parsed
    with refused(NAME, says, "another name"):
        sink().find(create=create)


NASTY = ("a, b", 'say "hi" & <bye>', "it's", "😀", "x", "x ", " lead", "tab\tin", "new\nline", "cr\rin", "]]>", "$text")


def of_labels(labels, **more):
    return About("m", "d", tuple(labels), **more)


def test_labels_survive_the_xml():
    root = ElementTree.fromstring(labelling_configuration(of_labels(NASTY)))
    assert tuple(choice.get("value") for choice in root.iter("Choice")) == NASTY
    assert root.find("Text").get("value") == "$text"


@pytest.mark.parametrize("label", ["", "a\x0b", "\x1b[31m", "\0", "\ufffe"])
def test_labels_that_xml_cannot_hold_are_refused(label, refused):
    with refused("can't show the label"):
        labelling_configuration(of_labels(["fine", label]))


def test_many_labels_are_a_list_to_search_in():
    few, many = (labelling_configuration(of_labels(map(str, range(count)))) for count in (20, 21))
    assert 'layout="select"' not in few
    assert 'layout="select"' in many


def test_the_page_of_sets_over_two_texts():
    columns = ('the "premise" $text', "<hypothesis>")
    about = of_labels([*NASTY, "None of these"], multi_label=True, text_pair=columns)
    root = ElementTree.fromstring(labelling_configuration(about))
    assert [text.get("value") for text in root.iter("Text")] == ["$text", "$text_pair"]
    headers = ['the "premise" text', "<hypothesis>", "Given label: $given_label", "Doubted: $doubted_label"]
    assert [header.get("value") for header in root.iter("Header")] == headers
    (choices,) = root.iter("Choices")
    assert choices.get("choice") == "multiple"
    assert [choice.get("value") for choice in choices][-2:] == ["None of these", "(None of these)"]


def test_sets_go_and_come_back(sink, studio, sets, sets_about, on_stage, decided_sets):
    log_records(records_of(sets, 6), sink(about=sets_about), on_stage)
    assert studio.tasks[0]["data"] == {
        "text": "what a wonderful morning",
        "text_pair": "said <b>Ann</b> 0",
        "given_label": "joy, anger",
        "doubted_label": "anger (given, 1%)",
        "loss": pytest.approx(4.605, abs=1e-3),
        "rank": 1,
        "row_id": 0,
    }
    (prediction,) = studio.tasks[0]["predictions"]
    assert prediction["result"][0]["value"] == {"choices": ["joy"]}
    assert prediction["score"] == pytest.approx(0.99)
    assert studio.tasks[2]["data"]["given_label"] == "(no label)"
    assert studio.tasks[3]["predictions"][0]["result"][0]["value"] == {"choices": ["None of these"]}
    studio.annotate(0, "anger", "joy")
    studio.annotate(1, "love", "joy")
    studio.annotate(2, "None of these")
    studio.annotate(3, "None of these", "joy")  # which of both?
    studio.annotate(4)  # submitted without a choice
    studio.annotate(5, "None of these")
    pull(sets, sink(about=sets_about), "label-studio")
    assert decided_sets() == {0: "keep", 1: ["joy", "love"], 2: "keep", 5: []}


def test_a_project_of_one_label_a_text_is_none_of_sets_and_the_other_way_round(sink, sets_about, about, refused):
    alike = dataclasses.replace(about, labels=sets_about.labels)
    sink(about=alike).find(create=True)
    with refused(NAME, "is for one label per text"):
        sink(about=sets_about).find(create=True)
    sink(about=dataclasses.replace(sets_about, text_pair=None), name="sets").find(create=True)
    with refused("is for several labels per text"):
        sink(about=alike, name="sets").find(create=True)
    with refused("shows one text per task"):
        sink(about=sets_about, name="sets").find(create=True)


def test_hostile_texts_go_as_they_are(sink, studio, records, on_stage):
    text = '<script>alert("x")</script>\0 $given_label'
    log_records([dataclasses.replace(records[0], text=text, label='"><b>')], sink(), on_stage)
    assert studio.tasks[0]["data"]["text"] == text.replace("\0", "�")
    assert studio.tasks[0]["data"]["given_label"] == '"><b>'


def test_long_names_of_models_are_shortened(sink, studio, records, on_stage):
    log_records(records[:1], sink(about=About("m" * 300, "d", ("World",))), on_stage)
    assert len(studio.tasks[0]["predictions"][0]["model_version"]) == 200


def test_an_edition_that_imports_in_the_background_is_told(sink, studio, records, on_stage, refused):
    studio.only = "import"
    studio.instead.append((201, {}, {"import": 5}))
    with refused("doesn't confirm that it stored 12 tasks"):
        log_records(records, sink(), on_stage)


def test_times_and_names_of_answers(sink, studio, records, on_stage):
    there = sink()
    log_records(records[:1], there, on_stage)
    studio.annotate(0, "World")
    (held,) = there.held()
    assert held.answers == (Answer("World", None, "ann@a.example", "2026-01-02T03:04:05.678901Z"),)
