"""Labels that the model doesn't have: added on the page or pulled, offered to others, written by apply."""

import json

import pytest

from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.apply import apply_decisions
from lossaudit.review.store import Decision, DecisionStore, utc_now
from tests.review.browsing import decided as stored
from tests.review.browsing import expect, title


def test_one_is_added_and_then_offered_to_all(client):
    client.decide(0, "relabel", "Weather", new=True)
    assert client.get("/api/start").json()["new_labels"] == ["Weather"]
    client.decide(1, "relabel", "Weather")
    assert client.view(status="relabel")["ranks"] == [1, 2]
    assert client.get("/api/start").json()["labels"] == ["World", "Sports", "Business", "Sci/Tech"]


@pytest.mark.parametrize(
    ("label", "says"),
    [("", "a text"), (" ", "a text"), ("a ", "a text"), ("x" * 101, "a text"), ("sci tech", "'Sci/Tech' already")],
)
def test_what_is_no_new_label(client, label, says):
    values = {"row": 0, "verdict": "relabel", "label": label, "annotator": "Ada", "new": True}
    answer = client.post_json("decide", values)
    assert (answer.status_code, says in answer.json()["error"]) == (400, True)
    assert client.post_json("decide", values | {"label": "Weather", "new": False}).status_code == 400


def test_sets_of_labels_take_none(serving, sets_file):
    values = {"row": 0, "verdict": "relabel", "label": "hope", "annotator": "Ada", "new": True}
    assert "one label each" in serving(sets_file).enter().post_json("decide", values).json()["error"]


@pytest.fixture
def relabelled(decided, tmp_path):
    """Audits a dataset of these labels, whose row 1 is relabelled as Weather; gives the losses file."""

    def make(*labels):
        data = tmp_path / "data.csv"
        data.write_text("text,label\n" + "".join(f"text {n},{label}\n" for n, label in enumerate(labels)))
        losses = decided(data, {})
        with DecisionStore.open(LossesTable.open(losses)) as store:
            store.add([Decision(1, "relabel", "Weather", "Ada", "page", utc_now())])
        return losses

    return make


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_apply_writes_its_name_among_names(relabelled, tmp_path, ending):
    output = tmp_path / f"cleaned.{ending}"
    assert apply_decisions(relabelled("World", "Sports", "Business"), output).relabelled == 1
    if ending == "csv":
        assert output.read_text() == "text,label\ntext 0,World\ntext 1,Weather\ntext 2,Business\n"
    if ending == "jsonl":
        assert [json.loads(line)["label"] for line in output.read_text().splitlines()] == [
            "World",
            "Weather",
            "Business",
        ]


def test_apply_asks_what_to_do_among_numbers(relabelled, tmp_path, refused):
    with refused("column 'label' holds numbers", "'Weather'", "a column with the labels' names"):
        apply_decisions(relabelled("0", "1", "2"), tmp_path / "cleaned.csv")


def test_one_is_added_on_the_page(page, losses_file):
    page.keyboard.press("/")
    page.keyboard.type("sport")
    expect(page.locator("#picker-list li")).to_have_text(["Sports", "+ new label sport"])
    page.keyboard.press("Control+a")
    page.keyboard.type("Weather")
    expect(page.locator("#picker-list li")).to_have_text(["+ new label Weather"])
    page.keyboard.press("Enter")  # a mistyped name must not become a label
    expect(page.locator("#picker")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    title(page, "Record 2 of 12")
    page.keyboard.press("/")
    page.keyboard.type("weather")
    expect(page.locator("#picker-list li")).to_have_text(["Weather"])
    page.keyboard.press("Enter")
    title(page, "Record 3 of 12")
    assert stored(losses_file) == {0: ("relabel", "Weather"), 1: ("relabel", "Weather")}
