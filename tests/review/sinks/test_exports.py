"""Files that annotation programs export, in the forms in which they write them, are pulled by row or by text."""

import csv
import io
import json

import pytest

from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.sinks import About, Place, connect
from lossaudit.review.sinks.pull import pull
from lossaudit.review.store import DecisionStore

TEXTS = [f"example number {n}" for n in range(6)]
WHEN = "2026-01-02T03:04:05.000000+00:00"


def lines(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


def table(*records):
    file = io.StringIO()
    names = list(dict.fromkeys(name for record in records for name in record))
    writer = csv.DictWriter(file, names)
    writer.writeheader()
    writer.writerows(records)
    return file.getvalue()


def ls_task(number, choices, **annotation):
    result = [{"from_name": "sentiment", "to_name": "text", "type": "choices", "value": {"choices": choices}}]
    made = {
        "id": 9,
        "completed_by": {"id": 1, "email": "ann@a"},
        "result": result,
        "updated_at": "2026-01-02T03:04:05Z",
    }
    return {
        "id": 100 + number,
        "data": {"text": TEXTS[number]},
        "annotations": [made | annotation],
        "total_annotations": 1,
    }


def ls_min(number, label, annotator=1, **more):
    made = {"id": 100 + number, "annotator": annotator, "annotation_id": 5, "created_at": "2026-01-02T03:04:05Z"}
    return {"text": TEXTS[number], "sentiment": label, "lead_time": 3.5, **made, **more}


def argilla(number, *labels, **more):
    responses = {"label": [{"value": label, "user_id": f"user-{n}"} for n, label in enumerate(labels)]}
    fields = {"id": f"5e{number}", "fields": {"text": TEXTS[number]}, "metadata": {"loss": 1.5}, "responses": responses}
    return {
        **fields,
        "suggestions": {"label": {"value": "World"}},
        "vectors": {},
        "status": "completed",
        "_server_id": "x",
        **more,
    }


def argilla_flat(number, labels, users):
    said = {"label.responses": labels, "label.responses.users": users, "label.suggestion": "World"}
    return {"id": f"5e{number}", "text": TEXTS[number], **said, "status": "completed" if labels else "pending"}


RUBRIX = {2: "Discarded", 3: "Default"}


def rubrix(number, annotation, status="Validated", **more):
    told = {"text": None, "inputs": {"text": TEXTS[number]}, "prediction": [{"label": "World", "score": 1.0}]}
    said = {"annotation": annotation, "annotation_agent": "ann", "status": status, "event_timestamp": 1767323045000}
    return {**told, **said, "id": f"{number}-x", "metadata": {}, "multi_label": False, "metrics": None, **more}


def prodigy(number, answer, **more):
    hashes = {"_input_hash": -99 - number, "_task_hash": 5, "_session_id": "set-ann", "_timestamp": 1767323045}
    return {"text": TEXTS[number], "answer": answer, **hashes, **more}


OPTIONS = [{"id": "World", "text": "World"}, {"id": 1, "text": "Sports"}]
# Rows are given World, Sports, Business, Sci/Tech, World, Sports.
FILES = {
    "doccano.jsonl": (
        lines(
            {"id": 31, "text": TEXTS[0], "label": ["World"], "Comments": []},
            {"id": 0, "text": TEXTS[1], "label": ["World"]},  # its own id, not ours
            {"id": 33, "data": TEXTS[2], "label": []},
        ),
        {0: ("keep", None, "file"), 1: ("relabel", "World", "file")},
    ),
    "doccano.csv": (
        table({"id": 31, "data": TEXTS[0], "label": "World"}, {"id": 32, "data": TEXTS[1], "label": ""}),
        {0: ("keep", None, "file")},
    ),
    "plain.csv": (
        table({"text": TEXTS[0], "label": "sports"}, {"text": f" {TEXTS[1]}\r\n", "label": "0"}),
        {0: ("relabel", "Sports", "file"), 1: ("relabel", "World", "file")},
    ),
    "prodigy.jsonl": (
        lines(
            prodigy(0, "accept", options=OPTIONS, accept=[1], config={"choice_style": "single"}),
            prodigy(1, "accept", label="World", score=0.2),
            prodigy(2, "ignore", label="World"),
            prodigy(3, "reject", label="World"),
        ),
        {0: ("relabel", "Sports", "set-ann"), 1: ("relabel", "World", "set-ann"), 2: ("unsure", None, "set-ann")},
    ),
    "label-studio.json": (
        json.dumps(
            [
                *(ls_task(0, ["Sports"]), ls_task(1, ["Sports"])),
                *(ls_task(2, [], was_cancelled=True), ls_task(3, ["World", "Sports"])),
            ]
        ),
        {0: ("relabel", "Sports", "ann@a"), 1: ("keep", None, "ann@a"), 2: ("unsure", None, "ann@a")},
    ),
    "label-studio-min.json": (
        json.dumps(
            [
                *(ls_min(0, "Sports"), ls_min(0, "Business", annotator=2)),
                *(ls_min(1, {"choices": ["Sports"]}), ls_min(2, None)),
            ]
        ),
        {0: ("relabel", "Business", "2"), 1: ("keep", None, "1")},
    ),
    "label-studio.csv": (
        table(ls_min(0, "Sports"), ls_min(1, '{"choices": ["Sports"]}'), ls_min(2, "")),
        {0: ("relabel", "Sports", "1"), 1: ("keep", None, "1")},
    ),
    "argilla.json": (
        json.dumps([argilla(0, "Sports", "Business"), argilla(1), argilla(2, status="discarded")], indent=2),
        {0: ("relabel", "Business", "user-1"), 2: ("discard", None, "file")},
    ),
    "argilla-flat.jsonl": (
        lines(argilla_flat(1, ["World"], ["ann"]), argilla_flat(2, None, None)),
        {1: ("relabel", "World", "ann")},
    ),
    "rubrix.json": (
        json.dumps([rubrix(0, "Sports"), rubrix(1, ["World"]), *(rubrix(n, None, RUBRIX[n]) for n in RUBRIX)]),
        {0: ("relabel", "Sports", "ann"), 1: ("relabel", "World", "ann"), 2: ("discard", None, "ann")},
    ),
}  # fmt: skip


def pulled(losses, file):
    sink = connect("jsonl", Place(file=file), About.of(losses))
    return pull(losses, sink, "jsonl"), sink


def decisions(losses):
    with DecisionStore.open(losses, create=False) as store:
        return {row: (d.verdict, d.label, d.annotator) for row, d in sorted(store.decisions().items())}


@pytest.mark.parametrize("name", FILES)
def test_what_a_program_exports_is_taken_once(name, losses, tmp_path):
    content, expected = FILES[name]
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    _, sink = pulled(losses, tmp_path / name)
    assert decisions(losses) == expected
    assert sink.unknown == []
    again, _ = pulled(losses, tmp_path / name)
    assert again.new.total() == 0


@pytest.mark.parametrize("name", ["prodigy.jsonl", "label-studio.json", "label-studio.csv", "rubrix.json"])
def test_its_times_are_kept(name, losses, tmp_path):
    (tmp_path / name).write_text(FILES[name][0], newline="")
    pulled(losses, tmp_path / name)
    with DecisionStore.open(losses) as store:
        assert store.decisions()[0].made_at == WHEN


def test_fields_that_mean_nothing_are_said(losses, tmp_path):
    (tmp_path / "a.jsonl").write_text(lines({"text": TEXTS[0], "label": "World", "mood": 1, "loss": 2.0}))
    assert pulled(losses, tmp_path / "a.jsonl")[1].unknown == ["mood"]


def test_a_table_made_anew_takes_the_answers_by_text(make_losses, tmp_path):
    """The row ids of an older audit are other rows now."""
    rows = [("World", "Sports", 9.0 - n, text) for n, text in enumerate(TEXTS)]
    records = [{"id": n, "text": text, "annotation": "Sports"} for n, text in enumerate(TEXTS[:2])]
    (tmp_path / "records.jsonl").write_text(lines(*records))
    losses = LossesTable.open(make_losses([*rows[2:], *rows[:2]]))
    found, _ = pulled(losses, tmp_path / "records.jsonl")
    assert found.strangers == []
    assert sorted(decisions(losses)) == [4, 5]


def test_rows_of_the_same_text_are_taken_in_order(make_losses, tmp_path):
    losses = LossesTable.open(make_losses([("World", "Sports", 9.0 - n, text) for n, text in enumerate("aba")]))
    (tmp_path / "a.csv").write_text(
        table(
            *({"text": text, "label": label} for text, label in zip("aab", ("World", "Sports", "Sports"), strict=True))
        )
    )
    for _ in range(2):
        pulled(losses, tmp_path / "a.csv")
        assert decisions(losses) == {
            0: ("keep", None, "file"),
            1: ("relabel", "Sports", "file"),
            2: ("relabel", "Sports", "file"),
        }


def test_two_classes_make_a_rejected_label_the_other(make_losses, tmp_path):
    losses = LossesTable.open(make_losses([("no", "yes", 9.0, TEXTS[0])], labels=("no", "yes")))
    (tmp_path / "a.jsonl").write_text(lines(prodigy(0, "reject", label="NO")))
    pulled(losses, tmp_path / "a.jsonl")
    assert decisions(losses) == {0: ("relabel", "yes", "set-ann")}


def test_sets_of_labels(sets, decided_sets, tmp_path):
    text = dict(zip(("text", "text_pair"), sets.take([0], sets.text_columns).to_pylist()[0].values(), strict=True))
    row = sets.take([0], ["id"])["id"][0].as_py()
    for name, content in {
        "a.jsonl": lines({**text, "label": ["Love", "joy"]}),
        "a.csv": table({**text, "label": "love#joy"}),
        "b.jsonl": lines({**text, "options": [], "accept": ["love", "joy"], "answer": "accept"}),
    }.items():
        (tmp_path / name).write_text(content, newline="")
        pulled(sets, tmp_path / name)
        assert sorted(decided_sets()[row]) == ["joy", "love"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.json", "[1]", "record 1, isn't a record"),
        ("a.json", '[{"label": "World"}]', "it has no text"),
        ("a.jsonl", '{"text": "a", "data": {}, "annotations": [1]}', "line 1, isn't as its program writes it"),
        ("a.jsonl", '{"text": "a", "answer": "accept", "options": [{"id": [1]}]}', "isn't as its program writes it"),
        ("a.jsonl", '{"cats": 1}', "line 1, isn't a record of `lossaudit log`"),
        ("a.csv", 'text,label\n"a', "can't be read: unexpected end of data"),
        ("a.csv", "text,label\na\n", "line 2, has more or fewer cells"),
        ("a.csv", "text,label\nother,World\n", "none of the 1 answered records"),
    ],
)
def test_what_is_no_export_is_said(name, content, says, losses, tmp_path, refused):
    (tmp_path / name).write_text(content)
    with refused(name, says):
        pulled(losses, tmp_path / name)
