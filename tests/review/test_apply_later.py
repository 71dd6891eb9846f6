"""Apply to a dataset that has changed since the audit: decisions are about texts, wherever those are now."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lossaudit.review.apply import apply_decisions

LINES = tuple(
    f'{{"text": "{text}", "label": "{label}"}}'
    for text, label in (
        ("the bank", "World"),
        ("the team", "World"),
        ("oil", "Business"),
        ("oil", "World"),
        ("oil", "Business"),
    )
)


@pytest.fixture
def losses(decided, write_file):
    decisions = {0: ("relabel", "Business"), 1: ("relabel", "Sports"), 3: ("relabel", "Business")}
    return decided(write_file("source.jsonl", "\n".join(LINES)), decisions | {4: ("discard", None)})


def test_rows_that_were_appended_and_moved(losses, write_file, tmp_path):
    more = ['{"text": "the striker", "label": "Sports"}', *reversed(LINES), '{"text": "x", "label": "World"}']
    write_file("source.jsonl", "\n".join(more))
    cleaned = apply_decisions(losses, tmp_path / "cleaned.jsonl", strict=True)
    wanted = [line for at, line in enumerate(more) if at != 3]  # the second "oil" that is Business
    wanted[2] = wanted[2].replace("World", "Business")
    wanted[3] = wanted[3].replace("World", "Sports")
    wanted[4] = wanted[4].replace("World", "Business")
    assert (tmp_path / "cleaned.jsonl").read_text() == "\n".join(wanted)
    assert (cleaned.is_as_audited, cleaned.gone, cleaned.relabelled, cleaned.rows) == (False, (), 3, 7)


def test_texts_and_labels_that_were_changed(losses, write_file, tmp_path, refused):
    now = [
        line.replace("bank", "banks").replace('"the team", "label": "World"', '"the team", "label": "Sports"')
        for line in LINES
    ]
    write_file("source.jsonl", "\n".join(now))
    cleaned = apply_decisions(losses, tmp_path / "cleaned.jsonl")
    wanted = [*now[:3], now[3].replace("World", "Business"), ""]
    assert (tmp_path / "cleaned.jsonl").read_text() == "\n".join(wanted)
    assert [gone.decision.row for gone in cleaned.gone] == [0, 1]
    assert json.loads((tmp_path / "cleaned.jsonl.changes.json").read_text())["gone"] == [0, 1]
    with refused("2 of the decided rows aren't in it any more", "row 0: 'the bank'"):
        apply_decisions(losses, tmp_path / "strict.jsonl", strict=True)


def test_another_format_and_place(losses, tmp_path):
    rows = [json.loads(line) for line in LINES]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "moved.parquet")
    (tmp_path / "source.jsonl").unlink()
    cleaned = apply_decisions(losses, tmp_path / "cleaned.parquet", dataset=str(tmp_path / "moved.parquet"))
    assert pq.read_table(tmp_path / "cleaned.parquet")["label"].to_pylist() == [
        "Business",
        "Sports",
        *["Business"] * 2,
    ]
    assert (cleaned.source, cleaned.gone) == (str(tmp_path / "moved.parquet"), ())
