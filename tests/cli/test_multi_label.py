"""Multi-label models on the command line: what is printed about labels, and how the top reads."""

import csv
import json
import shutil

import pyarrow as pa
import pytest

from lossaudit.engine.table.formats import write_table
from lossaudit.engine.table.losses import LossesTable

LABELS = ("World", "Sports", "Business", "Sci/Tech")


@pytest.fixture(scope="module")
def data(multi_label_rows, tmp_path_factory):
    """The rows as JSON Lines with lists."""
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in multi_label_rows))
    return path


@pytest.fixture
def audited(run, multi_label_bundle_folder, tmp_path):
    """Runs an audit of a file; gives what it says and the losses table."""

    def go(path, *options):
        result = run("audit", multi_label_bundle_folder, path, "-o", tmp_path / "losses.parquet", "--no-tune", *options)
        assert result.exit_code == 0, result.output
        return result.stdout, tmp_path / "losses.parquet"

    return go


def top_rows(run, losses, *options):
    result = run("top", losses, "--format", "jsonl", *options)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_the_audit_says_how_labels_were_found_and_what_the_model_doubts(audited, data):
    said, _ = audited(data)
    assert "Label column: labels (guessed)" in said
    assert "Labels matched by name, in lists: World → World, Sports → Sports" in said
    assert "Prediction equals the given labels: " in said
    assert "the model would" in said
    assert {line.split()[1] for line in said.splitlines() if line.split()[:1] in ([name] for name in LABELS)} <= {
        "add",
        "drop",
    }


def test_columns_of_0_and_1_are_said(audited, multi_label_rows, write_file):
    lines = [",".join([row["text"], *(str(int(name in row["labels"])) for name in LABELS)]) for row in multi_label_rows]
    said, _ = audited(write_file("rows.csv", "\n".join([",".join(["text", *LABELS]), *lines])))
    assert "Labels matched by name, each with a column of 0 and 1: World → World" in said
    assert "Label column" not in said


def test_labels_that_are_not_in_the_model_are_said(audited, multi_label_rows, write_file):
    rows = [*multi_label_rows, {"text": "x", "labels": ["Politics", "World"]}]
    said, _ = audited(write_file("rows.jsonl", "\n".join(json.dumps(row) for row in rows)))
    assert "Labels not in the model, not ranked: Politics (1 rows)" in said
    assert "label_not_in_model: 1 (first:" in said


def test_the_top_says_what_the_model_would_change(run, audited, data):
    _, losses = audited(data)
    lines = [line for line in run("top", losses, "-n", 9).stdout.splitlines() if line.strip()]
    assert "the model would" in lines[0]
    for line, row in zip(lines[2:], top_rows(run, losses, "-n", 9), strict=True):
        given = row["worst_label"] in row["labels"]
        assert (row["probability"] < 0.5) == given
        assert f"{'drop' if given else 'add'} {row['worst_label']}" in line
        assert f"{row['loss']:.2f}" in line


def test_where_the_model_agrees_nothing_is_to_be_changed(run, audited, data):
    _, losses = audited(data)
    agreeing = [row for row in top_rows(run, losses, "-n", 60) if row["margin"] > 0]
    lines = run("top", losses, "-n", 60).stdout.splitlines()
    for row in agreeing:
        assert any(line.split()[:2] == [str(row["id"]), f"{row['loss']:.2f}"] and " – " in line for line in lines)


def test_filters_take_rows_with_a_label_among_others(run, audited, data, fails):
    _, losses = audited(data)
    table = LossesTable.open(losses).take(range(60))
    # A random model may predict nothing at all.
    predictions = pa.array([list(LABELS[n % 3 : 3]) for n in range(60)], table.schema.field("predictions").type)
    table = table.set_column(table.column_names.index("predictions"), "predictions", predictions)
    write_table([table], table.schema, losses)
    rows = top_rows(run, losses, "-n", 60)
    assert top_rows(run, losses, "-n", 60, "--given", "sports") == [row for row in rows if "Sports" in row["labels"]]
    both = top_rows(run, losses, "-n", 60, "--given", "World", "--predicted", "Business")
    assert both == [row for row in rows if "World" in row["labels"] and "Business" in row["predictions"]]
    fails(["top", losses, "--given", "Nothing"], "--given 'Nothing'", "Business, Sci/Tech, Sports, World")


def test_csv_holds_lists_as_json(run, audited, data):
    _, losses = audited(data)
    row = next(csv.DictReader(run("top", losses, "-n", 1, "--format", "csv").stdout.splitlines()))
    assert json.loads(row["labels"]) == top_rows(run, losses, "-n", 1)[0]["labels"]


def test_export_takes_a_model_for_multi_label(run, checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint, tmp_path / "checkpoint")
    result = run("export", folder, "-o", tmp_path / "bundle", "--multi-label")
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "bundle" / "manifest.json").read_text())["task"] == "multi-label"


def test_lists_for_a_model_of_one_label_are_refused(fails, bundle_folder, data, tmp_path):
    fails(["audit", bundle_folder, data, "-o", tmp_path / "losses.parquet"], "holds lists", "--multi-label")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"text": "a", "labels": ["x"]}, {"text": "b", "labels": ["World", "x"]}], "'x' of row 0 is not in the model"),
        ([{"text": "a", "labels": []}, {"text": "b", "labels": []}], "no row has a label"),
        ([{"text": "a", "labels": {"World": 1}}], "holds objects"),
        ([{"text": "a", "labels": [1.5]}], "1.5 in row 0"),
        ([{"text": "a", "labels": [[1], [2, 3]]}], "list"),
        ([{"text": "a", "labels": "1,4"}, {"text": "b", "labels": "2,3"}], "from 1 to 4"),
    ],
)
def test_bad_labels_are_one_line(rows, says, fails, multi_label_bundle_folder, write_file, tmp_path):
    path = write_file("rows.jsonl", "\n".join(json.dumps(row) for row in rows))
    fails(["audit", multi_label_bundle_folder, path, "-o", tmp_path / "losses.parquet"], says)
    assert not (tmp_path / "losses.parquet").exists()
