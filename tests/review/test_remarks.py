"""Notes and tags of decisions, on their way from the page to files, and the guidelines."""

import csv
import json
import sqlite3

import pytest

from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.apply import apply_decisions
from lossaudit.review.exchange import export_decisions, import_decisions
from lossaudit.review.store import Decision, DecisionStore, store_path, utc_now
from tests.review.browsing import expect, press, title

REMARK = {"note": "He means the opposite,\nsurely", "tags": ["sarcasm", "two topics"]}


def decisions(path):
    with DecisionStore.open(LossesTable.open(path)) as store:
        return store.decisions()


def test_they_are_stored_with_the_decision(client, losses_file):
    made = client.decide(0, "keep", note=" He means\n", tags=[" sarcasm ", "sarcasm", "two topics"])
    assert (made["record"]["history"][0]["note"], made["record"]["history"][0]["tags"]) == (
        "He means",
        ["sarcasm", "two topics"],
    )
    assert client.get("/api/start").json()["tags"] == ["sarcasm", "two topics"]
    assert decisions(losses_file)[0].tags == ("sarcasm", "two topics")


@pytest.mark.parametrize(
    "bad",
    [{"note": 1}, {"note": "x" * 2001}, {"tags": "a"}, {"tags": [1]}, {"tags": [" "]}, {"tags": ["a"] * 21}],
)
def test_odd_remarks_are_refused(client, bad):
    values = {"row": 0, "verdict": "keep", "label": None, "annotator": "Ada"}
    assert client.post_json("decide", values | bad).status_code == 400
    assert client.view()["decided"] == 0


def test_a_store_of_the_second_format_gets_them(client, losses_file):
    client.decide(0, "keep")
    with sqlite3.connect(store_path(losses_file)) as old:
        old.executescript(
            "ALTER TABLE decisions DROP COLUMN note; ALTER TABLE decisions DROP COLUMN tags; PRAGMA user_version = 2;"
            "UPDATE facts SET value = 'another' WHERE name = 'ranking'"  # the losses file was made anew, too
        )
    old.close()
    made = decisions(losses_file)[0]
    assert (made.verdict, made.note, made.tags) == ("keep", "", ())
    with DecisionStore.open(LossesTable.open(losses_file)) as store:
        store.add([Decision(1, "keep", None, "Ada", "page", utc_now(), note="x", tags=("y",))])
        assert (store.history(1)[0].note, store.history(1)[0].tags) == ("x", ("y",))


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_they_go_out_and_in(client, losses_file, tmp_path, ending):
    client.decide(0, "keep", **REMARK)
    client.decide(1, "keep")
    before = decisions(losses_file)
    file = tmp_path / f"decisions.{ending}"
    export_decisions(LossesTable.open(losses_file), file)
    with DecisionStore.open(LossesTable.open(losses_file)) as store:
        store.undo("Ada")
        store.undo("Ada")
    import_decisions(LossesTable.open(losses_file), [file])
    assert decisions(losses_file) == before


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_they_are_columns_of_the_cleaned_dataset(decided, tmp_path, ending):
    data = tmp_path / "data.csv"
    data.write_text("text,label\na,World\nb,Sports\nc,World\n")
    losses = decided(data, {})
    with DecisionStore.open(LossesTable.open(losses)) as store:
        store.add([Decision(1, "keep", None, "Ada", "page", utc_now(), note="a, b", tags=("sarcasm", "odd"))])
    output = tmp_path / f"cleaned.{ending}"
    apply_decisions(losses, output, review_columns=True)
    if ending == "csv":
        with output.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [(row["review_note"], row["review_tags"]) for row in rows] == [
            ("", ""),
            ("a, b", "sarcasm, odd"),
            ("", ""),
        ]
    if ending == "jsonl":
        rows = [json.loads(line) for line in output.read_text().splitlines()]
        assert [row["review_tags"] for row in rows] == [None, "sarcasm, odd", None]
    apply_decisions(losses, tmp_path / "plain.csv")
    assert (tmp_path / "plain.csv").read_text() == data.read_text()


GUIDELINES = """# Labels

A **world** event, *not* `sport`; snake_case_name stays <img src=x onerror=alert(1)>.
It goes on.

- one
- two
  and more
3. three

```
<b>code</b>
```
"""


def test_notes_tags_and_guidelines_on_the_page(serve, visit, losses_file, tmp_path):
    file = tmp_path / "guidelines.md"
    file.write_text(GUIDELINES)
    page = visit(serve(losses_file, "--guidelines", file).link)
    page.keyboard.press("g")
    told = page.locator("#guidelines-text")
    expect(told.locator("h3")).to_have_text("Labels")
    expect(told.locator("p")).to_have_text(
        "A world event, not sport; snake_case_name stays <img src=x onerror=alert(1)>. It goes on."
    )
    assert [told.locator(name).all_text_contents() for name in ("b", "em", "code", "ul li", "ol li", "pre")] == [
        ["world"],
        ["not"],
        ["sport"],
        ["one", "two and more"],
        ["three"],
        ["<b>code</b>"],
    ]
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    page.keyboard.type("He means the opposite")
    page.fill("#new-tags", "sarcasm, two topics")
    page.keyboard.press("Enter")
    expect(page.locator("#remark")).to_have_text("With your decision: sarcasmtwo topicsHe means the opposite")
    press(page, "k")
    expect(page.locator("#remark")).to_be_hidden()
    press(page, "p")
    expect(page.locator("#decision")).to_contain_text("He means the opposite")
    page.keyboard.press("n")
    page.uncheck("#tag-choices input[value=sarcasm]")
    page.keyboard.press("Enter")  # it is stored at once, since the record is decided
    expect(page.locator("#decision .latest")).not_to_contain_text("sarcasm")
    title(page, "Record 1 of 12")
    made = decisions(losses_file)[0]
    assert (made.verdict, made.note, made.tags) == ("keep", "He means the opposite", ("two topics",))
