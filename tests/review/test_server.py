"""The page's server without a browser: what it returns, stores and refuses."""

import math
import sqlite3

import pytest

from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.opinions import Viewer
from lossaudit.review.reviewing import Review
from lossaudit.review.store import Decision, DecisionStore, store_path, utc_now
from tests.review.requesting import ORIGIN

NAMES = {"annotator": "Ada"}


# What it tells.


def test_records_come_with_all_that_the_page_shows(client):
    (record,) = client.records(2)
    assert (record["row"], record["rank"], record["label"], record["prediction"]) == (1, 2, "Sports", "Business")
    assert record["text"] == "example number 1"
    assert [name for name, _ in record["classes"]] == ["World", "Sports", "Business", "Sci/Tech"]
    assert record["history"] == []


def test_of_a_thousand_classes_the_likeliest_ten_and_the_given_one_are_shown(make_losses, serving):
    labels = tuple(f"intent {n}" for n in range(1000))
    client = serving(make_losses([("intent 700", "intent 500", 3.0, "hello")], labels=labels)).enter()
    names = [name for name, _ in client.records(1)[0]["classes"]]
    assert (len(names), names[0], names[-1]) == (10, "intent 500", "intent 700")
    assert client.get("/api/start").json()["labels"] == list(labels)


def test_an_older_file_shows_what_it_knows(make_losses, serving):
    path = make_losses([("World", "Sports", math.log(10), "a")], probabilities=False, facts=False, name="losses.csv")
    classes = serving(path).enter().records(1)[0]["classes"]
    assert classes == [["World", pytest.approx(0.1)], ["Sports", 0.9]]


def test_decisions_progress_and_estimate(client):
    answer = client.decide(0, "relabel", "Sports")
    assert answer["record"]["history"][0] | {"made_at": ""} == {
        "row": 0, "verdict": "relabel", "label": "Sports", "annotator": "Ada", "origin": "page", "made_at": "",
        "note": "", "tags": [],
    }  # fmt: skip
    client.decide(1, "keep")
    client.decide(2, "unsure")
    progress = client.decide(3, "discard", annotator=" Bob ")["progress"]
    assert progress["counts"] == {"relabel": 1, "keep": 1, "unsure": 1, "discard": 1}
    assert (progress["total"], progress["estimate"]["judged"], progress["estimate"]["share"]) == (12, 2, 0.5)
    assert client.get("/api/start").json()["annotators"] == ["Ada", "Bob"]
    found = client.view()
    assert (found["decided"], found["first_undecided"]) == (4, 4)


def test_to_relabel_with_the_given_label_is_to_keep_it(client):
    (latest,) = client.decide(0, "relabel", "World")["record"]["history"]
    assert (latest["verdict"], latest["label"]) == ("keep", None)


def test_the_last_decision_counts_and_undo_goes_back_by_annotator(client):
    client.decide(0, "keep")
    assert len(client.decide(0, "relabel", "Sports", "Bob")["record"]["history"]) == 2
    assert client.post_json("undo", NAMES).json()["first"] == {"row": 0, "rank": 1, "origin": "page"}
    assert [d["annotator"] for d in client.records(1)[0]["history"]] == ["Bob"]
    assert client.post_json("undo", NAMES).json()["undone"] == 0


@pytest.mark.parametrize(
    ("query", "ranks"),
    [
        ({}, list(range(1, 13))),
        ({"given": "World"}, [1, 5, 9]),
        ({"predicted": "World"}, [4, 8, 12]),
        ({"given": "World", "predicted": "World"}, []),
        ({"given": "none such"}, []),
        ({"text": "NUMBER 1"}, [2, 11, 12]),
        ({"text": ".*"}, []),
        ({"status": "undecided"}, list(range(4, 13))),
        ({"status": "decided"}, [1, 2, 3]),
        ({"status": "keep"}, [2]),
        ({"status": "decided", "given": "World"}, [1]),
        ({"sort": "id"}, list(range(1, 13))),
        ({"sort": "length", "text": "number 1"}, [2, 11, 12]),
        ({"sort": "pair"}, [1, 5, 9, 2, 6, 10, 3, 7, 11, 4, 8, 12]),
    ],
)
def test_filters_and_order(query, ranks, client):
    for row, verdict in enumerate(("discard", "keep", "unsure")):
        client.decide(row, verdict)
    assert client.view(**query)["ranks"] == ranks


def test_the_most_frequent_pair_of_labels_comes_first(make_losses, serving):
    pairs = [("World", "Sports"), ("Sports", "World"), ("Business", "World"), ("Sports", "World")]
    path = make_losses([(*pair, 9.0 - n, "text") for n, pair in enumerate(pairs)])
    assert serving(path).enter().view(sort="pair")["ranks"] == [2, 4, 1, 3]


def test_a_bulk_decides_what_the_filters_find_and_one_undo_takes_it_back(client):
    client.decide(4, "unsure")
    query = {"given": "World"}
    answer = client.post_json(
        "decide-all", {**NAMES, "query": query, "verdict": "accept", "label": None, "expected": 3}
    )
    assert answer.json()["decided"] == 3
    shown = client.records(1, 5, 9)
    assert [record["history"][-1]["label"] for record in shown] == ["Sports"] * 3
    assert client.view(status="relabel")["ranks"] == [1, 5, 9]
    assert client.post_json("undo", NAMES).json()["undone"] == 3
    assert client.view(status="decided")["ranks"] == [5]


def test_a_bulk_to_one_label_keeps_those_that_have_it(client):
    client.post_json("decide-all", {**NAMES, "query": {}, "verdict": "relabel", "label": "World", "expected": 12})
    assert client.view(status="keep")["ranks"] == [1, 5, 9]
    assert len(client.view(status="relabel")["ranks"]) == 9


def test_a_bulk_of_other_records_than_were_confirmed_is_refused(client):
    values = {**NAMES, "query": {"status": "undecided"}, "verdict": "discard", "label": None, "expected": 12}
    client.decide(0, "keep")
    answer = client.post_json("decide-all", values)
    assert (answer.status_code, answer.json()["error"]) == (409, "the filters now find 11 records, not 12; look again")
    assert client.view(status="decided")["ranks"] == [1]


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("decide", {"row": 0, "verdict": "keep", "label": None}),
        ("decide", {"row": 0, "verdict": "keep", "label": None, "annotator": "  "}),
        ("decide", {"row": 0, "verdict": "keep", "label": None, "annotator": "x" * 101}),
        ("decide", {"row": 99, "verdict": "keep", "label": None, **NAMES}),
        ("decide", {"row": True, "verdict": "keep", "label": None, **NAMES}),
        ("decide", {"row": "0", "verdict": "keep", "label": None, **NAMES}),
        ("decide", {"row": 0, "verdict": "delete", "label": None, **NAMES}),
        ("decide", {"row": 0, "verdict": "relabel", "label": None, **NAMES}),
        ("decide", {"row": 0, "verdict": "relabel", "label": "Wrld", **NAMES}),
        ("decide", {"row": 0, "verdict": "keep", "label": "Sports", **NAMES}),
        ("decide", {"row": 0, "verdict": "relabel", "label": ["Sports"], **NAMES}),
        ("decide-all", {"query": {"status": "odd"}, "verdict": "keep", "label": None, "expected": 12, **NAMES}),
        ("decide-all", {"query": {"sort": 1}, "verdict": "keep", "label": None, "expected": 12, **NAMES}),
        ("decide-all", {"query": {"drop": "x"}, "verdict": "keep", "label": None, "expected": 12, **NAMES}),
        ("decide-all", {"query": [], "verdict": "keep", "label": None, "expected": 12, **NAMES}),
        ("decide-all", {"query": {}, "verdict": "keep", "label": None, "expected": "12", **NAMES}),
        ("undo", {}),
        ("undo", {"annotator": ["Ada"]}),
    ],
)
def test_what_the_page_would_never_send_is_refused_and_stores_nothing(path, values, client):
    answer = client.post_json(path, values)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert client.view()["decided"] == 0


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", b"\xff", b"[" * 100_000])
def test_bodies_that_are_no_object_are_refused(body, client):
    headers = {"Origin": ORIGIN, "Content-Type": "application/json"}
    assert client.post("/api/undo", content=body, headers=headers).status_code == 400


@pytest.mark.parametrize("ranks", ["", "0", "13", "-1", "a", "1,,2", "1.5", "9" * 30, "٣", ",".join(["1"] * 201)])
def test_ranks_that_are_none_are_refused(ranks, client):
    for path in ("items", "records"):
        assert client.get(f"/api/{path}", params={"ranks": ranks}).status_code == 400


def test_labels_of_all_kinds_are_told_apart(make_losses, serving):
    labels = ("World", "World ", " World", "a,b", 'say "yes"', "🙂", "<b>x</b>", "", "a\nb", "É")
    rows = [(label, labels[n - 1], 20.0 - n, "text") for n, label in enumerate(labels)]
    for name in ("losses.parquet", "losses.csv", "losses.jsonl"):
        # The text formats write an empty label as none at all.
        kept = [row for row in rows if "" not in row or name == "losses.parquet"]
        path = make_losses(kept, labels=labels, name=name)
        client = serving(path).enter()
        for record in client.records(*range(1, len(client.get("/api/view").json()["ranks"]) + 1)):
            given, predicted = record["label"], record["prediction"]
            assert client.view(given=given)["ranks"] == [record["rank"]]
            assert client.view(predicted=predicted)["ranks"] == [record["rank"]]
            assert client.decide(record["row"], "relabel", predicted)["record"]["history"][-1]["label"] == predicted


def test_what_others_decide_meanwhile_is_seen(client, losses_file):
    client.decide(0, "keep")
    before = client.get("/api/version").json()["version"]
    with DecisionStore.open(LossesTable.open(losses_file)) as other:
        other.add([Decision(row, "discard", None, "Bob", "label-studio", utc_now()) for row in (0, 5)])
    assert client.get("/api/version").json()["version"] > before
    assert client.view(status="discard")["ranks"] == [1, 6]
    assert client.decide(5, "keep")["progress"]["counts"] == {"relabel": 0, "keep": 1, "unsure": 0, "discard": 1}


def test_a_store_that_fails_is_said_and_nothing_counts_as_stored(client, losses_file):
    with sqlite3.connect(f"{losses_file}.reviews.sqlite") as other:
        other.execute("DROP TABLE decisions")
    other.close()
    answer = client.post_json("decide", {**NAMES, "row": 0, "verdict": "keep", "label": None})
    assert answer.status_code == 400
    assert "reviews.sqlite" in answer.json()["error"]
    assert client.view()["decided"] == 0


def test_a_losses_file_that_is_made_anew_ends_the_review(client, losses_file, make_losses):
    client.decide(0, "keep")
    make_losses([("World", "Sports", 1.0, "other"), ("World", "Sports", 0.5, "example number 0")])
    assert client.decide(1, "keep")["progress"]["counts"]["keep"] == 2  # the file that it opened is still there
    with DecisionStore.open(LossesTable.open(losses_file)) as store:
        assert [(row, decision.verdict) for row, decision in store.decisions().items()] == [(1, "keep")]
        assert [gone.start for gone in store.gone()] == ["example number 1"]
    answer = client.post_json("decide", {**NAMES, "row": 2, "verdict": "keep", "label": None})
    assert answer.status_code == 400
    assert "was made anew since it was opened" in answer.json()["error"]


@pytest.mark.parametrize("replace", [False, True])
def test_a_store_that_is_taken_away_is_said(client, losses_file, replace):
    client.decide(0, "keep")
    store_path(losses_file).rename(losses_file.with_name("away.sqlite"))
    if replace:
        DecisionStore.open(LossesTable.open(losses_file)).close()
    answer = client.post_json("decide", {**NAMES, "row": 1, "verdict": "keep", "label": None})
    assert answer.status_code == 400
    assert ("was replaced" if replace else "was deleted or moved") in answer.json()["error"]
    assert store_path(losses_file).exists() == replace
    losses_file.with_name("away.sqlite").replace(store_path(losses_file))
    assert client.decide(1, "keep")["progress"]["counts"]["keep"] == 2


# What can't be reviewed.


def test_no_row_with_a_loss(make_losses, refused):
    path = make_losses([("Nowhere", "Sports", None, "a")])
    with refused("no row with a loss"):
        Review.open(path, 5)


def test_rows_that_are_not_whole_are_refused(make_losses, refused):
    path = make_losses([(None, "Sports", 1.0, "a")])
    with refused("label_name"):
        Review.open(path, 5)


def test_a_session_reviews_the_n_and_keeps_decisions_about_others(losses_file):
    with DecisionStore.open(LossesTable.open(losses_file)) as store:
        store.add([Decision(11, "keep", None, "Ada", "jsonl", utc_now())])
    review = Review.open(losses_file, 3)
    assert (len(review.records), review.decided(), review.progress(Viewer("")).counts["keep"]) == (3, 1, 0)
    review.close()
