"""`lossaudit audit`: its messages and its output."""

import json
import os
import shutil

import datasets
import pytest

from lossaudit.engine.cpus import usable_cpus
from lossaudit.engine.table.formats import ENDINGS, read_table
from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.store import Decision, DecisionStore, store_path, utc_now


@pytest.fixture
def audit(run, bundle_folder, data_csv, tmp_path):
    """Audits with the tiny bundle; returns what was said and the table, by id."""

    def go(*options, dataset=data_csv, model=bundle_folder, output=tmp_path / "losses.parquet"):
        result = run("audit", model, dataset, "-o", output, "--precision", "fp32", "--no-tune", *options)
        assert result.exit_code == 0, result.output
        return " ".join(result.output.split()), read_table(output).sort_by("id")

    return go


def test_it_says_what_it_decided_and_what_it_found(audit, rows):
    said, table = audit()
    for line in (
        "Text column: text",
        "Label column: label",
        "by index",
        "World",
        "Precision: fp32",
        "60 rows",
        "rows/s",
        "mean loss",
    ):
        assert line in said
    assert f"Cut at 64 tokens: {sum(table['truncated'].to_pylist())} rows" in said
    assert len(table) == len(rows)


def test_decisions_about_the_file_are_said_and_kept(audit, data_csv, tmp_path):
    audit()
    losses = LossesTable.open(tmp_path / "losses.parquet")
    with DecisionStore.open(losses) as store:
        store.add(Decision(row, "keep", None, "ada", "page", utc_now()) for row in range(3))
    said, _ = audit()
    assert "3 rows are decided in" in said
    assert "Decisions: all 3 are about rows of the new table" in said
    header, *lines = data_csv.read_text().splitlines(keepends=True)
    data_csv.write_text(header + "".join(lines[4:] + lines[:2]))
    said, _ = audit()
    assert "Decisions: 2 of 3 are about rows of the new table." in said
    assert "row 2 (" in said
    with DecisionStore.open(LossesTable.open(losses.path)) as store:
        assert sorted(store.decisions()) == [56, 57]
    data_csv.write_text(header + "".join(lines))
    said, _ = audit("--limit", "5")
    assert "Decisions: all 3" in said


def test_a_broken_store_does_not_stop_an_audit(audit, tmp_path):
    audit()
    store_path(tmp_path / "losses.parquet").write_bytes(b"something else entirely" * 100)
    said, _ = audit()
    assert "Warning: the decisions about" in said
    assert "isn't a decision store" in said


def test_names_and_numbers_give_the_same_losses(audit, data_jsonl):
    _, by_index = audit()
    said, by_name = audit(dataset=data_jsonl)
    assert "Label column: topic" in said
    assert "by name" in said
    assert by_name["loss"].to_pylist() == by_index["loss"].to_pylist()


def test_columns_that_were_asked_for_are_taken(audit, data_jsonl):
    said, table = audit("--text-column", "headline", "--label-column", "topic", dataset=data_jsonl)
    assert "specified" in said
    assert len(table) == 60


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_ending_decides_the_format(ending, audit, tmp_path):
    _, table = audit(output=tmp_path / f"losses{ending}")
    _, parquet = audit()
    assert table["loss"].to_pylist() == parquet["loss"].to_pylist()


def test_a_new_folder_is_made_for_the_output(audit, tmp_path):
    said, _ = audit(output=tmp_path / "new" / "folder" / "losses.csv")
    assert "60 rows" in said
    assert [path.name for path in (tmp_path / "new" / "folder").glob("*.csv")] == ["losses.csv"]


def test_a_limit(audit):
    said, table = audit("--limit", 7)
    assert table["id"].to_pylist() == list(range(7))
    assert "7 rows" in said


def test_a_maximum_length(audit):
    said, table = audit("--max-length", 16)
    assert max(table["tokens"].to_pylist()) == 16
    assert "Cut at 16 tokens" in said


def test_more_threads_than_cpus_are_capped_and_that_is_said(audit):
    said, _ = audit("--threads", 1000)
    assert f"Threads: {usable_cpus()}" in said
    assert "1000 specified" in said
    said, _ = audit("--threads", 1)
    assert "specified" not in said


def test_a_label_map(audit, write_file):
    data = write_file("a.csv", "text,label\nthe team,sport\nthe bank,1\n")
    _, table = audit("--label-map", "sport=Sports", "--label-map", "1=World", dataset=data)
    assert table["label_name"].to_pylist() == ["Sports", "World"]


def test_a_saved_dataset_and_its_split(audit, tmp_path):
    parts = {name: datasets.Dataset.from_dict({"text": [name], "label": [0]}) for name in ("train", "test")}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "saved")
    _, table = audit("--split", "test", dataset=tmp_path / "saved")
    assert table["text"].to_pylist() == ["test"]


@pytest.fixture
def splits(tmp_path):
    """A saved dataset of a train split of two rows and a test split of one."""
    parts = {"train": {"text": ["the bank", "oil"], "label": [0, 1]}, "test": {"text": ["the team"], "label": [None]}}
    made = {name: datasets.Dataset.from_dict(columns) for name, columns in parts.items()}
    datasets.DatasetDict(made).save_to_disk(tmp_path / "saved")
    return tmp_path / "saved"


@pytest.mark.parametrize("asked", ["all", "train,test"])
def test_several_splits_are_one_table(asked, audit, splits):
    said, table = audit("--split", asked, dataset=splits)
    assert "Splits: train (2 rows), test (1 row)" in said
    assert f"missing_label: 1 (first: row 0 of split test of {splits})" in said
    assert table["split"].to_pylist() == ["train", "train", "test"]


def test_a_split_that_nobody_named_is_told(audit, splits):
    said, table = audit(dataset=splits)
    assert "Split: train of train, test (guessed); --split all reads them all" in said
    assert len(table) == 2
    said, _ = audit("--split", "train", dataset=splits)
    assert "Split" not in said


def test_a_glob(audit, write_file, tmp_path):
    for number in (2, 1):
        write_file(f"part-{number}.csv.gz", f"text,label\nthe team {number},0\n")
    _, table = audit(dataset=tmp_path / "part-*.csv.gz")
    assert table["text"].to_pylist() == ["the team 1", "the team 2"]


def test_a_checkpoint_is_exported_into_the_cache_once(audit, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    said, first = audit(model=checkpoint)
    assert "writing the ONNX graph" in said
    said, second = audit(model=checkpoint)
    assert "writing the ONNX graph" not in said
    assert first["loss"].to_pylist() == second["loss"].to_pylist()


def test_labels_matched_wrongly_are_warned_of(audit, tmp_path):
    _, table = audit()
    names = table["prediction_name"].to_pylist()
    wrong = {"World": "Sports", "Sports": "Business", "Business": "Sci/Tech", "Sci/Tech": "World"}
    rows = [{"text": text, "label": wrong[name]} for text, name in zip(table["text"].to_pylist(), names, strict=True)]
    (tmp_path / "wrong.json").write_text(json.dumps(rows))
    said, _ = audit(dataset=tmp_path / "wrong.json")
    assert "Warning" in said
    assert "--label-map" in said


def test_markup_in_names_is_only_text(audit, write_file):
    data = write_file("a.csv", "[red]body[/red],label\nthe team,0\n")
    said, table = audit("--text-column", "[red]body[/red]", dataset=data)
    assert "Text column: [red]body[/red]" in said
    assert "[red]body[/red]" in table.schema.names


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_in_a_closed_folder_fails(run, bundle_folder, data_csv, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    result = run("audit", bundle_folder, data_csv, "-o", closed / "losses.csv")
    assert result.exit_code == 2
    assert "cannot write" in result.stderr


def test_a_bundle_may_lie_anywhere(audit, bundle_folder, tmp_path):
    moved = shutil.copytree(bundle_folder, tmp_path / "a folder with [odd] name")
    _, table = audit(model=moved)
    _, expected = audit()
    assert table["loss"].to_pylist() == expected["loss"].to_pylist()


def test_the_top_is_that_of_fp32(audit, run, bundle_folder, data_csv, tmp_path):
    _, expected = audit()
    output = tmp_path / "exact.parquet"
    result = run("audit", bundle_folder, data_csv, "-o", output, "--top", 5, "--no-tune")
    assert result.exit_code == 0, result.output
    assert "The top 5 is exact" in " ".join(result.output.split())
    found = read_table(output)
    assert found["id"].to_pylist()[:5] == expected.sort_by([("loss", "descending")])["id"].to_pylist()[:5]
    assert set(found["precision"].to_pylist()[:5]) == {"fp32"}


def test_int8_marks_its_rows(run, bundle_folder, data_csv, tmp_path):
    output = tmp_path / "int8.csv"
    result = run("audit", bundle_folder, data_csv, "-o", output, "--precision", "int8", "--no-tune")
    assert result.exit_code == 0, result.output
    assert set(read_table(output)["precision"].to_pylist()) == {"int8"}


@pytest.mark.parametrize("named", [("--ray", "10.0.0.1:6379"), ("--parts", "s3://bucket/parts")])
def test_offline_goes_with_no_address(named, bundle_folder, data_csv, tmp_path, fails):
    fails(("audit", bundle_folder, data_csv, "-o", tmp_path / "x.csv", "--offline", *named), named[1], "leave one")
