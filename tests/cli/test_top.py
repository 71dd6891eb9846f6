"""`lossaudit top`: filters and formats."""

import csv
import io
import json

import datasets
import pytest

from lossaudit.engine.table.formats import ENDINGS, read_table


@pytest.fixture(scope="module")
def losses(bundle_folder, data_csv, tmp_path_factory):
    """The losses of the tiny bundle on its rows, in all formats."""
    from lossaudit.engine.data.source import open_dataset
    from lossaudit.engine.model.bundle import Bundle
    from lossaudit.engine.run.audit import Audit
    from lossaudit.engine.table.formats import write_table

    audited = Audit(Bundle.load(bundle_folder), open_dataset(str(data_csv))).run()
    path = tmp_path_factory.mktemp("losses") / "losses.parquet"
    for ending in ENDINGS:
        write_table([audited.table], audited.schema, path.with_suffix(ending))
    return path


@pytest.fixture
def top_rows(run, losses):
    """The rows that `top --format jsonl` gives."""

    def go(*options, path=losses):
        result = run("top", path, "--format", "jsonl", *options)
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    return go


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_format_gives_the_same_top(ending, top_rows, losses):
    assert top_rows("-n", 7, path=losses.with_suffix(ending)) == top_rows("-n", 7)


@pytest.mark.parametrize("n", [1, 20, 59, 60])
def test_n_means_n(n, top_rows, losses):
    assert [row["id"] for row in top_rows("-n", n)] == read_table(losses)["id"].to_pylist()[:n]


def test_more_than_there_are_gives_all(top_rows):
    assert len(top_rows("-n", 1000)) == 60


def test_filters(top_rows, losses):
    table = read_table(losses).to_pylist()
    given, predicted = table[3]["label_name"], table[3]["prediction_name"]
    pair = [row["id"] for row in table if (row["label_name"], row["prediction_name"]) == (given, predicted)]
    assert [row["id"] for row in top_rows("-n", 99, "--given", given.upper(), "--predicted", predicted)] == pair
    least = table[10]["loss"]
    assert [row["id"] for row in top_rows("-n", 99, "--min-loss", repr(least))] == [r["id"] for r in table[:11]]
    assert {row["truncated"] for row in top_rows("-n", 99, "--truncated")} == {True}
    assert top_rows("--min-loss", 1e9) == []


def test_an_unknown_label_lists_the_known(fails, losses):
    fails(["top", losses, "--given", "Nothing"], "--given 'Nothing'", "Business, Sci/Tech, Sports, World")


def test_csv_holds_the_whole_rows(run, losses, top_rows):
    read = list(csv.DictReader(io.StringIO(run("top", losses, "-n", 5, "--format", "csv").stdout)))
    assert [(int(row["id"]), float(row["loss"]), row["text"]) for row in read] == [
        (row["id"], row["loss"], row["text"]) for row in top_rows("-n", 5)
    ]


def test_the_table_is_one_line_a_row_within_the_width(run, losses, top_rows):
    lines = run("top", losses, "-n", 9).stdout.splitlines()
    assert max(map(len, lines)) <= 120
    shown = [line for line in lines if line.strip()][2:]
    assert len(shown) == 9
    for line, row in zip(shown, top_rows("-n", 9), strict=True):
        assert line.split()[:3] == [str(row["id"]), f"{row['loss']:.2f}", row["label_name"]]
        assert row["text"][:20] in line


def test_the_table_says_when_fewer_pass(run, losses):
    assert "0 of 60 rows match." in run("top", losses, "--min-loss", 1e9).stdout


def test_nothing_in_a_text_reaches_the_terminal_as_code(run, write_file):
    row = {"id": 0, "label_name": "[red]a[/]", "prediction_name": "b\x1b[2J\u202e", "probability": 1, "loss": 2.5}
    path = write_file("a.jsonl", json.dumps(row | {"text": "[bold]x[/bold] \x1b[31mred\x07\r\nnext"}) + "\n")
    said = run("top", path).stdout
    assert "[red]a[/]" in said
    assert "[bold]x[/bold] ·[31mred· next" in said
    assert "b·[2J·" in said
    assert "\x1b" not in said
    assert "\u202e" not in said


def test_a_table_without_text_shows_the_rest(run, write_file):
    row = {"id": 0, "label_name": "a", "prediction_name": "b", "probability": 1, "loss": 2.5}
    assert "2.50" in run("top", write_file("a.jsonl", json.dumps(row) + "\n")).stdout


@pytest.mark.parametrize("ending", ENDINGS)
def test_conflicts_are_the_same_texts_with_different_labels(ending, run, top_rows, write_file, bundle_folder, tmp_path):
    given = [("the bank", 0), ("the team", 1), ("the  bank", 2), ("the team", 1), ("the bank", 0), ("peace", 3)]
    data = write_file("rows.csv", "text,label\n" + "".join(f"{text},{label}\n" for text, label in given))
    losses = tmp_path / f"losses{ending}"
    said = run("audit", bundle_folder, data, "-o", losses, "--no-tune", "--precision", "fp32").stdout
    wrong = "1 text has different given labels, in 3 rows, so at least 1 of these labels is wrong"
    assert f"{wrong}: lossaudit top {losses} --conflicts\n" in said
    rows = top_rows("--conflicts", path=losses)
    assert sorted(row["id"] for row in rows) == [0, 2, 4]
    assert [row["loss"] for row in rows] == sorted((row["loss"] for row in rows), reverse=True)
    assert "3 of 6 rows match." in run("top", losses, "--conflicts").stdout


def test_no_conflicts_are_no_rows_and_not_told(run, losses, bundle_folder, data_csv, tmp_path):
    assert "0 of 60 rows match." in run("top", losses, "--conflicts").stdout
    assert "--conflicts" not in run("audit", bundle_folder, data_csv, "-o", tmp_path / "x.csv", "--no-tune").stdout


def test_conflicts_without_texts_are_refused(fails, write_file):
    row = {"id": 0, "label_name": "a", "prediction_name": "b", "probability": 1, "loss": 2.5}
    path = write_file("a.jsonl", json.dumps(row) + "\n")
    fails(["top", path, "--conflicts"], "a.jsonl has no column with texts; leave --conflicts out")


@pytest.fixture
def splits(tmp_path):
    """A saved dataset, two texts of whose test split are in its train split too, one of them with another label."""
    parts = {
        "train": {"text": ["the bank", "oil market", "the team"], "label": [0, 1, 1]},
        "test": {"text": ["the  bank", "oil market", "a striker"], "label": [0, 2, 1]},
    }
    made = {name: datasets.Dataset.from_dict(columns) for name, columns in parts.items()}
    datasets.DatasetDict(made).save_to_disk(tmp_path / "saved")
    return tmp_path / "saved"


@pytest.mark.parametrize("ending", ENDINGS)
def test_leaks_are_the_same_texts_in_several_splits(ending, run, top_rows, splits, bundle_folder, tmp_path):
    losses = tmp_path / f"splits{ending}"
    said = run("audit", bundle_folder, splits, "--split", "all", "-o", losses, "--no-tune").stdout
    found = "2 texts are in several splits, in 4 rows; 1 of these texts has different given labels"
    assert f"{found}: lossaudit top {losses} --leaks\n" in said
    rows = top_rows("--leaks", path=losses)
    assert sorted(row["id"] for row in rows) == [0, 1, 3, 4]
    assert {row["id"]: (row["split"], row["also_in"]) for row in top_rows(path=losses)} == {
        0: ("train", "test"),
        1: ("train", "test"),
        2: ("train", None),
        3: ("test", "train"),
        4: ("test", "train"),
        5: ("test", None),
    }
    assert sorted(row["id"] for row in top_rows("--leaks", "--conflicts", path=losses)) == [1, 4]
    shown = run("top", losses).stdout
    assert "also in" in shown
    assert shown.count("train") == 5, "of three rows, and of two that are in it too"


def test_without_leaks_there_is_no_column_for_them(run, splits, bundle_folder, tmp_path):
    losses = tmp_path / "losses.parquet"
    run("audit", bundle_folder, splits, "--split", "all", "-o", losses, "--no-tune", "--limit", 3)
    shown = run("top", losses).stdout
    assert "split" in shown
    assert "also in" not in shown


def test_leaks_of_a_single_split_are_refused(fails, losses):
    fails(["top", losses, "--leaks"], "losses.parquet is not an audit of several splits; leave --leaks out")
