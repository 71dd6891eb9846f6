"""Apply: the whole dataset with exactly the decided corrections, in the source's own spelling."""

import csv
import gzip
import io
import json
from datetime import date
from pathlib import Path

import datasets
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lossaudit.engine.data.containers import open_bytes
from lossaudit.engine.data.source import open_dataset
from lossaudit.engine.table.formats import write_table
from lossaudit.review.apply import Change, apply_decisions
from lossaudit.review.cleaning.json_copy import JsonCopier
from lossaudit.review.store import store_path
from tests.review.applying import CSV, DECISIONS


def test_a_csv_keeps_every_other_cell_as_it_is(decided, write_file, tmp_path):
    source = write_file("source.csv", CSV)
    out = tmp_path / "cleaned.csv"
    cleaned = apply_decisions(decided(source, DECISIONS), out)
    before, after = (list(csv.DictReader(io.StringIO(text))) for text in (CSV, out.read_text()))
    expected = before[:4]
    expected[1]["label"] = "WORLD"  # as the source writes it
    expected[3]["label"] = "sports"
    assert after == expected
    assert out.read_text().splitlines()[0] == "zip,text,label,when"
    assert source.read_text() == CSV
    assert (cleaned.rows, cleaned.written, cleaned.relabelled, cleaned.discarded) == (5, 4, 2, 1)
    assert (cleaned.kept, cleaned.unsure) == (1, 1)
    assert set(cleaned.changes) == {Change("Business", "World", 1), Change("Business", "Sports", 1)}
    saved = json.loads((tmp_path / "cleaned.csv.changes.json").read_text())
    assert saved["relabelled"] == 2


def test_a_label_is_written_in_its_usual_spelling_not_in_the_first_rows(decided, write_file, tmp_path):
    labels = ["business", "Business ", "Business", "World", "WORLD"]
    source = write_file("source.csv", "text,label\n" + "".join(f"the bank,{label}\n" for label in labels))
    apply_decisions(decided(source, {3: ("relabel", "Business")}), tmp_path / "cleaned.csv")
    written = [row["label"] for row in csv.DictReader(io.StringIO((tmp_path / "cleaned.csv").read_text()))]
    assert written == ["business", "Business ", "Business", "Business", "WORLD"]


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".json"])
def test_losses_in_a_text_format_are_applied_too(decided, write_file, tmp_path, ending):
    losses = decided(write_file("source.csv", CSV), DECISIONS)
    apply_decisions(losses, tmp_path / "expected.csv")
    in_text = tmp_path / f"losses{ending}"
    write_table([pq.read_table(losses)], pq.read_schema(losses), in_text)
    store_path(losses).rename(store_path(in_text))
    apply_decisions(in_text, tmp_path / "cleaned.csv")
    assert (tmp_path / "cleaned.csv").read_bytes() == (tmp_path / "expected.csv").read_bytes()


def test_discarded_rows_may_be_flagged_and_decisions_shown(decided, write_file, tmp_path):
    out = tmp_path / "cleaned.jsonl"
    losses = decided(write_file("source.csv", CSV), DECISIONS)
    apply_decisions(losses, out, flag_discarded=True, review_columns=True)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["discarded"] for row in rows] == [False, False, False, False, True]
    assert [row["review"] for row in rows] == ["unsure", "relabel", "keep", "relabel", "discard"]
    assert [row["label_original"] for row in rows] == ["sports", "Business", "WORLD", "Business", "Sci/Tech"]
    assert list(rows[0]) == ["zip", "text", "label", "when", "label_original", "review", "discarded"]


def test_json_lines_keep_their_types_and_absent_keys(decided, write_file, tmp_path):
    lines = [
        {"text": "the bank", "label": 2, "when": "2020-01-02", "deep": {"a": [1, None]}},
        {"label": 0, "text": "the team", "x": 1.0},
        {"text": "world news", "label": 1},
    ]
    text = "\n".join(json.dumps(line) for line in lines) + "\n\n"
    source = write_file("source.jsonl.gz", text)
    out = tmp_path / "cleaned.jsonl.gz"
    apply_decisions(decided(source, {1: ("relabel", "Sports")}), out)
    written = gzip.decompress(out.read_bytes()).decode()
    assert written == text.replace('"label": 0', '"label": 1')


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz", "zip"])
def test_what_is_read_by_its_content_is_written_too(packing, decided, write_file, tmp_path):
    source = write_file("source.csv", gzip.compress(b"text,label,n\nthe bank,World,007\nthe team,World,1\n"))
    out = tmp_path / f"cleaned.tab.{packing}"
    apply_decisions(decided(source, {1: ("relabel", "Sports")}), out)
    with open_bytes(out) as written:
        assert written.read() == b"text\tlabel\tn\nthe bank\tWorld\t007\nthe team\tSports\t1\n"


@pytest.mark.parametrize("name", ["cleaned.parquet.gz", "cleaned.zip", "cleaned.gz"])
def test_a_compression_that_is_not_for_the_format_is_refused(name, decided, write_file, tmp_path, refused):
    losses = decided(write_file("source.csv", "text,label\nthe bank,World\n"), {})
    with refused(f"can't tell the format of {tmp_path / name}; its name must end in .csv"):
        apply_decisions(losses, tmp_path / name)


@pytest.mark.parametrize("name", ["source.json", "source.jsonl"])
@pytest.mark.parametrize("shape", ["array", "one after the other", "in a field", "columns"])
def test_json_stays_as_it_is_written(shape, name, decided, write_file, tmp_path):
    rows = [{"text": "a b", "label": "World"}, {"text": "caf\u00e9", "label": "Sports"}]
    if shape == "one after the other":
        text = "\n".join(json.dumps(row, indent=2) for row in rows)
    else:
        columns = {column: [row[column] for row in rows] for column in rows[0]}
        text = json.dumps({"array": rows, "in a field": {"data": rows}, "columns": columns}[shape], indent=1)
    out = tmp_path / f"cleaned{Path(name).suffix}"
    cleaned = apply_decisions(decided(write_file(name, text), {0: ("relabel", "Sports")}), out)
    assert out.read_text() == text.replace("World", "Sports")
    assert cleaned.lost is None


def test_what_another_format_cannot_hold_is_told(decided, write_file, tmp_path):
    source = write_file("source.jsonl", '{"text": "a b", "label": "World"}\n{"text": "c", "label": "Sports"}\n')
    cleaned = apply_decisions(decided(source, {0: ("relabel", "Sports")}), tmp_path / "cleaned.csv")
    assert "JSON" in (cleaned.lost or "")


def test_a_number_is_written_as_most_rows_write_it(decided, write_file, tmp_path):
    lines = [f'{{"text": "row {n}", "label": {label}}}' for n, label in enumerate(("0", "1.0", "1.0", "1", "0"))]
    losses = decided(write_file("source.jsonl", "\n".join(lines)), {0: ("relabel", "Sports")})
    apply_decisions(losses, tmp_path / "cleaned.jsonl")
    assert (tmp_path / "cleaned.jsonl").read_text() == "\n".join([lines[0].replace("0}", "1.0}"), *lines[1:]])


def test_nothing_is_written_that_differs_in_more_than_the_decisions(
    decided, write_file, tmp_path, monkeypatch, refused
):
    """As a fault of ours would make it."""
    source = write_file("source.jsonl", '{"text": "a b", "label": "World"}\n{"text": "c", "label": "Sports"}\n')
    losses = decided(source, {0: ("relabel", "Sports")})
    monkeypatch.setattr(JsonCopier, "_line", lambda self, line: line)
    with refused("cleaned.jsonl wasn't written", "row 0 has 'World' in column 'label', not 'Sports'"):
        apply_decisions(losses, tmp_path / "cleaned.jsonl")
    assert [path.name for path in tmp_path.glob("*cleaned*")] == []


def test_the_rows_of_a_workbook_are_written_as_text(decided, tmp_path):
    book = openpyxl.Workbook()
    for row in (["text", "label", "day"], ["the bank", "World", date(2024, 1, 31)], ["the team", "World", None]):
        book.active.append(row)
    book.save(tmp_path / "source.xlsx")
    apply_decisions(decided(tmp_path / "source.xlsx", {1: ("relabel", "Sports")}), tmp_path / "cleaned.csv")
    assert (tmp_path / "cleaned.csv").read_text() == ("text,label,day\nthe bank,World,2024-01-31\nthe team,Sports,\n")


NESTED = [
    '{"data": {"text": "the bank"},  "meta": {"label":"World", "by": 7}}',
    '{"data": {"text": "the team"}, "meta": {"by": 8, "label": "Sports"}}',
    '{"data": {"text": "oil"}, "meta": {"by": 9, "label": "World"}}',
]
FIELDS = {"text_column": "data.text", "label_column": "meta.label"}


def test_a_field_gets_the_label_and_the_rest_of_its_column_stays(decided, write_file, tmp_path):
    source, out = write_file("source.jsonl", "\n".join(NESTED) + "\n"), tmp_path / "cleaned.jsonl"
    apply_decisions(decided(source, {0: ("relabel", "Sports"), 2: ("discard", None)}, **FIELDS), out)
    assert out.read_text() == NESTED[0].replace("World", "Sports") + "\n" + NESTED[1] + "\n"


@pytest.mark.parametrize("late", [[], [{"data": {"text": "peace"}, "meta": {"label": "World", "x": []}}]])
def test_a_field_of_parquet_and_of_saved_datasets_gets_the_label(late, decided, write_file, tmp_path):
    rows = [*map(json.loads, NESTED), *late]
    source = write_file("source.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    if not late:
        pq.write_table(pa.Table.from_pylist(rows), source := tmp_path / "source.parquet")
    losses = decided(source, {0: ("relabel", "Sports")}, **FIELDS)
    expected = [rows[0] | {"meta": rows[0]["meta"] | {"label": "Sports"}}, *rows[1:]]
    for out in (tmp_path / "cleaned.parquet", tmp_path / "saved"):
        apply_decisions(losses, out, review_columns=True)
        with open_dataset(str(out)) as written:
            found = written.take(0, len(rows)).to_pylist()
        assert [row.pop("label_original") for row in found] == [row["meta"]["label"] for row in rows]
        for row in found:
            row.pop("review")
            row["meta"] = json.loads(row["meta"]) if isinstance(row["meta"], str) else row["meta"]
        assert found == expected


def test_parquet_keeps_its_schema(decided, tmp_path):
    table = pa.table(
        {
            "n": pa.array([1, 2, 3], pa.int8()),
            "text": ["the bank", "the team", "oil"],
            "label": pa.array([0, 1, 2], pa.int16()),
            "at": pa.array([0, 1, None], pa.timestamp("ms")),
        }
    )
    pq.write_table(table, tmp_path / "source.parquet")
    out = tmp_path / "cleaned.parquet"
    apply_decisions(decided(tmp_path / "source.parquet", {0: ("relabel", "Business"), 2: ("discard", None)}), out)
    cleaned = pq.read_table(out)
    assert cleaned.schema.types == table.schema.types
    assert cleaned.to_pylist() == [table.to_pylist()[0] | {"label": 2}, table.to_pylist()[1]]


def test_a_saved_dataset_of_splits_keeps_all_of_them(decided, tmp_path):
    label = datasets.ClassLabel(names=["World", "Sports", "Business", "Sci/Tech"])
    features = datasets.Features({"text": datasets.Value("string"), "label": label})
    about = datasets.DatasetInfo(description="my data", license="cc0", features=features)
    rows = [{"text": "the bank", "label": 2}, {"text": "the team", "label": 0}]
    made = datasets.Dataset.from_list(rows, features, about)
    datasets.DatasetDict({"train": made, "test": made}).save_to_disk(tmp_path / "saved")
    losses = decided(tmp_path / "saved", {0: ("relabel", "World")})
    for _ in range(2):  # also where it is there already
        cleaned = apply_decisions(losses, tmp_path / "cleaned")
    assert (cleaned.lost, cleaned.written) == (None, 2)
    after = datasets.load_from_disk(tmp_path / "cleaned")
    assert after["train"]["label"][:] == [0, 0]
    assert after["test"]["label"][:] == [2, 0]
    assert after["train"].info == after["test"].info == about
    told = apply_decisions(losses, tmp_path / "cleaned.parquet").lost
    assert "the other splits (test)" in (told or "")


@pytest.mark.parametrize("output", ["cleaned", "cleaned.csv", "cleaned.parquet"])
def test_a_saved_dataset_goes_to_any_format(output, decided, tmp_path):
    label = datasets.ClassLabel(names=["Sports", "World", "Business", "Sci/Tech"])
    features = datasets.Features({"text": datasets.Value("string"), "label": label})
    rows = [{"text": "the bank", "label": 2}, {"text": "the team", "label": 0}]
    datasets.Dataset.from_list(rows, features).save_to_disk(str(tmp_path / "saved"))
    out = tmp_path / output
    apply_decisions(decided(tmp_path / "saved", {0: ("relabel", "World")}), out)
    cleaned = open_dataset(str(out))
    if output == "cleaned.csv":
        assert cleaned.take(0, 9)["label"].to_pylist() == ["1", "0"]
    else:
        assert cleaned.take(0, 9).to_pylist() == [{"text": "the bank", "label": 1}, rows[1]]
        assert cleaned.features["label"] == label


@pytest.fixture
def splits(tmp_path):
    """A saved dataset of three splits with two rows each."""
    texts = {name: [f"{name} bank", f"{name} team"] for name in ("train", "dev", "test")}
    made = {name: {"text": of_it, "label": ["World", "Sports"]} for name, of_it in texts.items()}
    parts = {name: datasets.Dataset.from_dict(columns) for name, columns in made.items()}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "saved")
    return tmp_path / "saved"


@pytest.mark.parametrize("asked", ["all", "test,train"])
def test_splits_that_were_audited_are_edited_and_the_others_copied(asked, splits, decided, tmp_path):
    relabelled, discarded = (0, 5) if asked == "all" else (2, 1)
    decisions = {relabelled: ("relabel", "Sports"), discarded: ("discard", None)}
    cleaned = apply_decisions(decided(splits, decisions, asked), tmp_path / "cleaned")
    found = datasets.load_from_disk(str(tmp_path / "cleaned"))
    assert {name: part.to_list() for name, part in found.items()} == {
        "train": [{"text": "train bank", "label": "Sports"}, {"text": "train team", "label": "Sports"}],
        "dev": [{"text": "dev bank", "label": "World"}, {"text": "dev team", "label": "Sports"}],
        "test": [{"text": "test bank", "label": "World"}],
    }
    assert (cleaned.rows, cleaned.written) == ((6, 5) if asked == "all" else (4, 3))


def test_several_splits_are_not_written_to_a_file(splits, decided, tmp_path, refused):
    with refused("cleaned.csv is one file", "3 splits", "name a folder"):
        apply_decisions(decided(splits, {}, "all"), tmp_path / "cleaned.csv")


def test_rows_beyond_the_limit_of_the_audit_are_written_too(decided, write_file, tmp_path):
    out = tmp_path / "cleaned.tsv"
    apply_decisions(decided(write_file("source.csv", CSV), {0: ("discard", None)}, limit=2), out)
    assert len(list(csv.DictReader(out.open(newline=""), delimiter="\t"))) == 4


def test_a_lone_carriage_return_ends_no_row(decided, write_file, tmp_path):
    source = write_file("source.csv", 'text,label\n"the\rbank",World\nthe team,Sports\n')
    apply_decisions(decided(source, {0: ("relabel", "Business")}), tmp_path / "cleaned.csv")
    with (tmp_path / "cleaned.csv").open(newline="") as file:
        assert [*csv.reader(file)][1:] == [["the\rbank", "Business"], ["the team", "Sports"]]


def test_json_has_no_nan(decided, tmp_path):
    rows = pa.table({"text": ["the bank", "the team"], "label": ["World", "Sports"], "n": [float("nan"), 0.5]})
    pq.write_table(rows, tmp_path / "source.parquet")
    apply_decisions(decided(tmp_path / "source.parquet", {}), tmp_path / "cleaned.jsonl")
    written = [json.loads(line, parse_constant=pytest.fail) for line in (tmp_path / "cleaned.jsonl").open()]
    assert [row["n"] for row in written] == [None, 0.5]


def test_a_label_that_no_row_has_is_written_as_its_index_or_name(decided, write_file, tmp_path):
    numbers = write_file("numbers.csv", "text,label\nthe bank,0\nthe team,1\n")
    apply_decisions(decided(numbers, {0: ("relabel", "Business")}), tmp_path / "cleaned.csv")
    assert (tmp_path / "cleaned.csv").read_text() == "text,label\nthe bank,2\nthe team,1\n"


def test_a_label_that_cannot_be_written_is_refused(decided, write_file, tmp_path, refused):
    source = write_file("source.csv", "text,label\nthe bank,7\nthe team,8\n")
    losses = decided(source, {0: ("relabel", "Business")}, label_map={"7": "World", "8": "Sports"})
    with refused("'Business'", "no row"):
        apply_decisions(losses, tmp_path / "cleaned.csv")


class TestCheck:
    def test_an_output_that_is_there(self, decided, write_file, tmp_path, refused):
        losses, out = decided(write_file("source.csv", CSV), DECISIONS), tmp_path / "cleaned.csv"
        with refused("there is no"):
            apply_decisions(losses, out, check=True)
        written = apply_decisions(losses, out)
        (tmp_path / "cleaned.csv.changes.json").unlink()
        assert apply_decisions(losses, out, check=True) == written
        assert not (tmp_path / "cleaned.csv.changes.json").exists()
        out.write_text(out.read_text().replace("oil", "gas"))
        with refused("isn't", "row 2 has 'gas market' in column 'text', not 'oil market'"):
            apply_decisions(losses, out, check=True)
