"""Sets of labels and pairs of texts on the page's server: what it returns and what it stores."""

import json

import pyarrow as pa
import pytest

from lossaudit.engine.table.formats import ENDINGS
from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.label_sets import LabelSets, names_of
from lossaudit.review.records import records_of
from lossaudit.review.reviewing import Review
from tests.review.browsing import decided
from tests.review.sets import LABELS, ROWS, sets_table, write_sets

NAMES = {"annotator": "Ada"}


@pytest.fixture
def sets_client(sets_file, serving):
    return serving(sets_file).enter()


def test_a_record_tells_its_sets_and_what_is_doubted(sets_client):
    first, second, third = sets_client.records(1, 2, 3)
    assert first["doubt"] == {
        "given": ["joy", "anger"],
        "predicted": ["joy"],
        "worst": "anger",
        "probability": 0.01,
        "is_given": True,
    }
    assert [name for name, _ in first["classes"]] == list(LABELS)
    assert (first["label"], first["prediction"]) == ("joy, anger", "joy")
    assert (second["doubt"]["worst"], second["doubt"]["is_given"]) == ("love", False)
    assert (third["doubt"]["given"], third["label"]) == ([], "")
    items = json.loads(sets_client.get("/api/items", params={"ranks": "1"}).text)["items"]
    assert (items[0]["doubt"]["worst"], items[0]["snippets"]) == ("anger", ["what a wonderful morning"])
    start = sets_client.get("/api/start").json()
    assert start["multi_label"] is True
    assert start["given"] == [["joy", 3], ["anger", 2], ["fear", 1], ["love", 1]]
    assert start["doubted"] == [["love", 2], ["fear", 2], ["anger", 1], ["joy", 1]]


def test_a_set_is_stored_in_the_models_order_and_the_given_one_is_kept(sets_client, sets_file):
    told = sets_client.decide(1, "relabel", ["love", "joy", "love"])["record"]["history"][0]
    assert (told["verdict"], told["label"]) == ("relabel", ["joy", "love"])
    assert sets_client.decide(0, "relabel", ["anger", "joy"])["record"]["history"][0]["verdict"] == "keep"
    assert sets_client.decide(2, "relabel", [])["record"]["history"][0]["verdict"] == "keep"
    told = sets_client.decide(3, "relabel", [])
    assert told["record"]["history"][0]["label"] == []
    assert told["progress"]["estimate"]["share"] == 0.5
    sets_client.decide(4, "unsure")
    assert decided(sets_file) == {
        0: ("keep", None),
        1: ("relabel", '["joy", "love"]'),
        2: ("keep", None),
        3: ("relabel", "[]"),
        4: ("unsure", None),
    }
    assert sets_client.post_json("undo", NAMES).json()["first"]["row"] == 4


@pytest.mark.parametrize(
    ("query", "ranks"),
    [
        ({"given": "joy"}, [1, 2, 5]),
        ({"given": "joy", "predicted": "love"}, [2, 5]),
        ({"predicted": "fear"}, [3]),
        ({"doubted": "love"}, [2, 5]),
        ({"doubted": "love", "given": "love"}, [5]),
        ({"doubted": "none such"}, []),
        ({"given": "joy, anger"}, []),
        # love missing, fear missing, fear given, love given … are doubts of their own.
        ({"sort": "pair"}, [1, 2, 3, 4, 5, 6]),
        ({"text": "BUS"}, [4]),
    ],
)
def test_filters_look_into_sets(query, ranks, sets_client):
    assert sorted(sets_client.view(**query)["ranks"]) == ranks


def test_the_most_frequent_doubt_comes_first(tmp_path, serving):
    rows = [(("joy",), (0.01, 0.1, 0.1, 0.1), "a"), ((), (0.1, 0.9, 0.1, 0.1), "b"), ((), (0.1, 0.8, 0.1, 0.1), "c")]
    client = serving(write_sets(sets_table(rows), tmp_path / "few.parquet")).enter()
    assert client.view(sort="pair")["ranks"] == [2, 3, 1]
    assert client.view(sort="probability")["ranks"] == [1, 2, 3]


def test_one_table_filters_by_no_doubt(client):
    assert client.view(doubted="World")["ranks"] == []


@pytest.mark.parametrize(
    ("verdict", "label", "expected"),
    [
        ("accept", None, {0: ["joy"], 1: ["joy", "love"], 4: "keep"}),
        ("keep", None, {0: "keep", 1: "keep", 4: "keep"}),
        ("add", "love", {0: ["joy", "anger", "love"], 1: ["joy", "love"], 4: "keep"}),
        ("remove", "joy", {0: ["anger"], 1: [], 4: ["love"]}),
    ],
)
def test_a_bulk_changes_each_set(verdict, label, expected, sets_client, sets_file):
    values = {**NAMES, "query": {"given": "joy"}, "verdict": verdict, "label": label, "expected": 3}
    assert sets_client.post_json("decide-all", values).json()["decided"] == 3
    stored = {row: json.loads(new) if new else verdict for row, (verdict, new) in decided(sets_file).items()}
    assert stored == expected
    assert sets_client.post_json("undo", NAMES).json()["undone"] == 3


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("decide", {"row": 0, "verdict": "relabel", "label": "joy"}),
        ("decide", {"row": 0, "verdict": "relabel", "label": ["joy", "ghost"]}),
        ("decide", {"row": 0, "verdict": "relabel", "label": ["joy", 1]}),
        ("decide", {"row": 0, "verdict": "relabel", "label": None}),
        ("decide", {"row": 0, "verdict": "add", "label": ["joy"]}),
        ("decide", {"row": 0, "verdict": "keep", "label": ["joy"]}),
        ("decide-all", {"query": {}, "verdict": "add", "label": None, "expected": 6}),
        ("decide-all", {"query": {}, "verdict": "add", "label": "ghost", "expected": 6}),
        ("decide-all", {"query": {}, "verdict": "remove", "label": ["joy"], "expected": 6}),
    ],
)
def test_what_the_page_would_never_send_is_refused_and_stores_nothing(path, values, sets_client):
    answer = sets_client.post_json(path, {**NAMES, **values})
    assert (answer.status_code, bool(answer.json()["error"])) == (400, True)
    assert sets_client.view()["decided"] == 0


def test_a_table_of_one_label_has_no_sets(client):
    for verdict in ("add", "remove"):
        values = {**NAMES, "query": {}, "verdict": verdict, "label": "World", "expected": 12}
        assert client.post_json("decide-all", values).status_code == 400


def test_of_many_labels_those_that_anybody_speaks_of_are_shown(tmp_path, serving):
    labels = tuple(f"tag {n}" for n in range(40))
    given = [f"tag {n}" for n in range(12)]
    chances = [0.02 if n < 12 else 0.9 if n < 15 else n / 100 for n in range(40)]
    client = serving(write_sets(sets_table([(given, chances, "text")], labels), tmp_path / "t.parquet", labels)).enter()
    names = [name for name, _ in client.records(1)[0]["classes"]]
    assert set(names) == {*given, "tag 12", "tag 13", "tag 14"}
    assert names[:4] == ["tag 0", "tag 12", "tag 13", "tag 14"]
    shown = client.decide(0, "relabel", ["tag 39"])["record"]["classes"]
    assert "tag 39" in [name for name, _ in shown]


@pytest.mark.parametrize("ending", ENDINGS)
def test_records_of_any_format(ending, tmp_path):
    losses = LossesTable.open(write_sets(sets_table(ROWS), tmp_path / f"sets{ending}"))
    records = records_of(losses, 9)
    assert [record.doubt.given for record in records][:3] == [("joy", "anger"), ("joy",), ()]
    assert records[0].doubt.told == "anger (given, 1%)"
    assert records[1].doubt.told == "love (missing, 98%)"
    assert records[0].metadata == {}
    assert sorted(losses.label_names) == sorted(LABELS)
    if ending == ".parquet":
        assert [name for name, _ in records[0].probabilities] == ["joy", "love", "fear", "anger"]


def test_the_labels_own_columns_are_no_metadata(tmp_path):
    table = sets_table(ROWS, source_loss=[1] * 6, calm=[0] * 6, page=[7] * 6)
    form = {"kind": "columns", "columns": ["source_loss", "calm"]}
    losses = LossesTable.open(write_sets(table, tmp_path / "sets.parquet", label_form=form))
    assert records_of(losses, 1)[0].metadata == {"page": 7}


def test_a_set_with_nothing_in_the_place_of_a_label_is_refused(tmp_path, refused):
    table = sets_table(ROWS)
    at = table.schema.get_field_index("labels")
    spoilt = pa.array([["joy", None], *([["joy"]] * 5)], pa.list_(pa.string()))
    with refused("without labels"):
        Review.open(write_sets(table.set_column(at, "labels", spoilt), tmp_path / "sets.parquet"), 6)


def test_sets_are_equal_texts():
    sets = LabelSets(("b", "a", "x, y"))
    assert sets.stored(["a", "b", "a"]) == '["b", "a"]' == sets.stored(("b", "a"))
    assert names_of(sets.stored(["x, y", "é"])) == ("x, y", "é")


@pytest.mark.parametrize("stored", ["joy", '"joy"', "[1]", "{}", "[" * 100_000])
def test_what_is_no_set_is_refused(stored, refused):
    with refused("isn't a set of labels"):
        names_of(stored)


# Pairs of texts.


@pytest.fixture
def pairs_client(pairs_file, serving):
    return serving(pairs_file).enter()


def test_both_texts_are_told_found_and_counted(pairs_client):
    first, _, third = pairs_client.records(1, 2, 3)
    assert (first["text"], first["text_pair"]) == ("A man reads.", "He <b>sleeps</b>.")
    assert first["metadata"] == []
    assert third["text_pair"] == ""
    assert pairs_client.get("/api/start").json()["text_columns"] == ["premise", "hypothesis"]
    assert pairs_client.view(text="SLEEPS")["ranks"] == [1]
    assert pairs_client.view(text="dog")["ranks"] == [2, 3]
    assert pairs_client.view(sort="length")["ranks"] == [3, 2, 1]
    (item,) = pairs_client.get("/api/items", params={"ranks": "1"}).json()["items"]
    assert item["snippets"] == ["A man reads.", "He <b>sleeps</b>."]
