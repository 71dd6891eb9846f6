"""Files of records: their format, that a second run keeps every line, and how answers are read."""

import json
import os

import pytest

from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.records import records_of
from lossaudit.review.sinks import Place, connect
from lossaudit.review.sinks.log import log_records
from lossaudit.review.sinks.pull import pull


@pytest.fixture
def file(tmp_path):
    return tmp_path / "records.jsonl"


@pytest.fixture
def sink(file, about):
    return connect("jsonl", Place(file=file), about)


def test_a_line_of_sets_over_two_texts_and_back(file, sets, sets_about, on_stage, decided_sets, refused):
    sink = connect("jsonl", Place(file=file), sets_about)
    log_records(records_of(sets, 6), sink, on_stage)
    lines = read(file)
    assert list(lines[0]) == [
        *("id", "rank", "text", "text_pair", "labels", "predictions", "worst_label", "probabilities", "loss"),
        *("metadata", "annotation", "verdict", "annotator", "annotated_at"),
    ]
    assert lines[0]["text_pair"] == "said <b>Ann</b> 0"
    assert (lines[0]["labels"], lines[0]["predictions"], lines[0]["worst_label"]) == (
        ["joy", "anger"],
        ["joy"],
        "anger",
    )
    assert lines[0]["metadata"] == {"genre": "chat"}
    answers = {0: ["anger", "joy"], 1: ["love", "joy", "love"], 2: [], 3: ["ghost"], 5: []}
    for line in lines:
        line["annotation"] = answers.get(line["id"])
    lines[4]["verdict"] = "unsure"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    pulled = pull(sets, sink, "jsonl")
    assert decided_sets() == {0: "keep", 1: ["joy", "love"], 2: "keep", 4: "unsure", 5: []}
    assert pulled.unknown_labels == {"ghost": [3]}
    assert pull(sets, sink, "jsonl").new.total() == 0
    file.write_text(json.dumps(lines[0] | {"annotation": "joy"}) + "\n")
    with refused("line 1", "not a list of labels"):
        pull(sets, sink, "jsonl")


def test_a_file_about_other_second_texts_is_refused(file, sets, sets_about, on_stage, refused):
    sink = connect("jsonl", Place(file=file), sets_about)
    log_records(records_of(sets, 6), sink, on_stage)
    file.write_text(file.read_text().replace("Ann", "Bob"))
    with refused("another losses file", "row 0"):
        log_records(records_of(sets, 6), sink, on_stage)


@pytest.fixture
def logged(sink, file, records, on_stage):
    """The file's lines after five records were logged, and how to write them back."""
    log_records(records[:5], sink, on_stage)

    def write(lines):
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))

    return read(file), write


def read(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_line(logged):
    lines, _ = logged
    assert [line["id"] for line in lines] == [0, 1, 2, 3, 4]
    assert lines[1] == {
        "id": 1,
        "rank": 2,
        "text": "example number 1",
        "label": "Sports",
        "prediction": "Business",
        "probabilities": lines[1]["probabilities"],
        "loss": 11.0,
        "metadata": {},
        "annotation": None,
        "verdict": None,
        "annotator": None,
        "annotated_at": None,
    }
    (best, chance), *others = lines[1]["probabilities"]
    assert best == "Business"
    assert chance > 0.8
    assert {label for label, _ in others} == {"World", "Sports", "Sci/Tech"}


def test_other_columns_come_along(file, sink, make_losses, on_stage):
    path = make_losses([("World", "Sports", 9.0, "t")], columns={"source": ["reuters"], "year": [1999]})
    log_records(records_of(LossesTable.open(path), 1), sink, on_stage)
    assert read(file)[0]["metadata"] == {"source": "reuters", "year": 1999}


def test_a_second_run_keeps_the_lines_and_adds_the_missing(logged, file, sink, records, on_stage):
    lines, write = logged
    write([lines[0] | {"annotation": "World", "note": "mine"}, *lines[1:]])
    before = file.read_text()
    again = log_records(records, sink, on_stage)
    assert (again.sent, again.there) == (7, 5)
    assert file.read_text().startswith(before)
    assert [line["id"] for line in read(file)] == list(range(12))


def test_texts_with_all_kinds_of_ends_of_lines(file, sink, make_losses, on_stage):
    text = "a\nb\r\nc\rd\u2028e\x85f 😀"
    path = make_losses([("World", "Sports", 9.0, text), ("World", "Sports", 8.0, "t")])
    log_records(records_of(LossesTable.open(path), 1), sink, on_stage)
    log_records(records_of(LossesTable.open(path), 2), sink, on_stage)
    lines = [json.loads(line) for line in file.read_bytes().decode().split("\n") if line]
    assert [line["text"] for line in lines] == [text, "t"]


def test_what_lines_say(logged, sink, losses, decided):
    lines, write = logged
    write(
        [
            lines[0] | {"annotation": "World", "annotator": "ann", "annotated_at": "2026-01-02T03:04:05+01:00"},
            lines[1] | {"annotation": "World"},
            lines[2] | {"verdict": "unsure", "annotator": " "},
            lines[3] | {"verdict": "discard"},
            lines[4] | {"verdict": "keep"},
        ]
    )
    pull(losses, sink, "jsonl")
    assert decided() == {
        0: ("keep", None, "ann", "jsonl"),
        1: ("relabel", "World", "jsonl", "jsonl"),
        2: ("unsure", None, "jsonl", "jsonl"),
        3: ("discard", None, "jsonl", "jsonl"),
        4: ("keep", None, "jsonl", "jsonl"),
    }


def test_ids_as_text_class_indices_and_names_in_any_case(logged, sink, losses, decided):
    lines, write = logged
    said = {0: "world", 1: "SCI-TECH", 2: "1", 3: 2}
    write([lines[row] | {"id": str(row), "annotation": label} for row, label in said.items()])
    assert pull(losses, sink, "jsonl").unknown_labels == {}
    assert {row: label for row, (_, label, *_) in decided().items()} == {
        0: None,
        1: "Sci/Tech",
        2: "Sports",
        3: "Business",
    }


def test_times_are_those_of_the_line_or_else_of_the_file(logged, file, sink, losses, history):
    lines, write = logged
    dated = {"annotation": "World", "annotated_at": "2026-01-02T03:04:05+01:00"}
    write([lines[0] | dated, lines[1] | {"annotation": "World"}])
    os.utime(file, (1_700_000_000, 1_700_000_000))
    pull(losses, sink, "jsonl")
    assert history(0)[0].made_at.startswith("2026-01-02T02:04:05")
    assert history(1)[0].made_at.startswith("2023-11-14T22:13:20")
    os.utime(file, (1_700_000_999, 1_700_000_999))
    assert pull(losses, sink, "jsonl").new.total() == 0


def test_a_file_of_ids_and_annotations_is_enough(file, sink, losses, decided):
    file.write_text('\ufeff{"id": 3, "annotation": "World"}\n\n{"id": 4, "annotation": null}\n', encoding="utf-8")
    pull(losses, sink, "jsonl")
    assert list(decided()) == [3]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2, isn't JSON"),
        ("[" * 100_000, "line 2, isn't JSON"),
        ("[1]", "line 2, isn't a record"),
        ('{"id": 1}', "lacks id or annotation"),
        ('{"id": "one", "annotation": "World"}', "id is 'one'"),
        ('{"id": true, "annotation": "World"}', "id is True"),
        ('{"id": 1, "annotation": 3.5}', "annotation is 3.5"),
        ('{"id": 1, "annotation": null, "verdict": "nonsense"}', "not one of keep, unsure, discard"),
        ('{"id": 1, "annotation": null, "verdict": "relabel"}', "goes into annotation"),
        ('{"id": 1, "annotation": "World", "verdict": "keep"}', "both an annotation and a verdict"),
        ('{"id": 1, "annotation": "World", "annotated_at": "yesterday"}', "annotated_at is 'yesterday'"),
        ('{"id": 1, "annotation": "World", "annotated_at": "2026-01-02T03:04:05"}', "without a time zone"),
    ],
)
def test_lines_that_make_no_sense_are_told_by_their_number(line, says, file, sink, losses, refused, tmp_path):
    file.write_text(f'{{"id": 0, "annotation": "Sports"}}\n{line}\n')
    with refused(str(file), "line 2", says):
        pull(losses, sink, "jsonl")
    assert not list(tmp_path.glob("*.sqlite*"))


def test_a_file_of_something_else_is_not_written_to(file, sink, records, on_stage, refused):
    file.write_text('{"id": 0, "loss": 3.5}\n')
    with refused(str(file), "isn't a record of `lossaudit log`"):
        log_records(records, sink, on_stage)
    assert file.read_text() == '{"id": 0, "loss": 3.5}\n'


@pytest.mark.parametrize("content", [b"\xff\xfe", b"PAR1\x00\x00"])
def test_a_file_that_is_no_text(content, file, sink, losses, refused):
    file.write_bytes(content)
    with refused(str(file)):
        pull(losses, sink, "jsonl")


def test_no_file(file, sink, losses, refused):
    with refused(f"there is no file {file}", "lossaudit log"):
        pull(losses, sink, "jsonl")


def test_a_folder(tmp_path, about, records, on_stage, refused):
    with refused(f"{tmp_path} isn't a file"):
        log_records(records, connect("jsonl", Place(file=tmp_path), about), on_stage)


def test_a_folder_that_is_new_is_made(tmp_path, about, records, on_stage):
    file = tmp_path / "new" / "folder" / "records.jsonl"
    log_records(records, connect("jsonl", Place(file=file), about), on_stage)
    assert len(read(file)) == 12
