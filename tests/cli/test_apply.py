"""`lossaudit apply`: what it says of the changes, of a dataset that has changed, and of an output that it checks."""

import json

import pytest

ROWS = [("the bank", "World"), ("the team", "Sports"), ("oil market", "Business"), ("chip network", "Sci/Tech")]


@pytest.fixture
def losses(run, bundle_folder, write_file, tmp_path):
    """The losses of four rows, the first two of which are relabelled."""
    lines = [json.dumps({"text": text, "label": label}) + "\n" for text, label in ROWS]
    source = write_file("source.jsonl", "".join(lines))
    path = tmp_path / "losses.parquet"
    assert run("audit", bundle_folder, source, "-o", path, "--no-tune").exit_code == 0
    decided = write_file("decided.jsonl", '{"id": 0, "annotation": "Business"}\n{"id": 1, "annotation": "World"}\n')
    pulled = run("pull", path, "--from", "jsonl", decided)
    assert pulled.exit_code == 0, pulled.output
    return path


def said(run, *arguments):
    result = run("apply", *arguments)
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


def test_it_says_what_changed_and_checks_it(run, fails, losses, tmp_path):
    out = tmp_path / "cleaned.jsonl"
    told = said(run, losses, "-o", out)
    assert "World Business 1" in told
    assert "4 rows: 2 relabelled" in told
    assert f"Wrote {out}" in told
    assert "changed since" not in told
    assert f"{out} is {tmp_path / 'source.jsonl'} with these decisions" in said(run, losses, "-o", out, "--check")
    out.write_text(out.read_text().replace("oil", "gas"))
    fails(["apply", losses, "-o", out, "--check"], "row 2 has 'gas market' in column 'text', not 'oil market'")


def test_it_says_what_another_format_cannot_hold(run, losses, tmp_path):
    assert "it can't hold the source's JSON as it is written" in said(run, losses, "-o", tmp_path / "cleaned.csv")


def test_it_says_which_decided_texts_are_gone(run, fails, losses, tmp_path):
    source = tmp_path / "source.jsonl"
    moved = source.rename(tmp_path / "moved.jsonl")
    fails(["apply", losses, "-o", tmp_path / "cleaned.jsonl"], "if it has moved, name it with --dataset")
    moved.write_text(moved.read_text().replace("the bank", "a bank"))
    fails(["apply", losses, "-o", tmp_path / "cleaned.jsonl", "--dataset", moved, "--strict"], "row 0: 'the bank'")
    told = said(run, losses, "-o", tmp_path / "cleaned.jsonl", "--dataset", moved)
    assert f"{moved} has changed since the audit" in told
    assert "of 1 decided row: row 0 (World): the bank" in told
