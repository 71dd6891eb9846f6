"""CSV files that are written in other ways, from the command's options to the cleaned file."""

import json

import pyarrow.parquet as pq
import pytest

TEXTS = ("the bank", "the team at last", "café “oil”", "a chip")
LABELS = ("World", "Sports", "Business", "Sci/Tech")


@pytest.fixture
def audit(run, bundle_folder, tmp_path):
    """Audits with the tiny bundle; returns what was said and the table, by id."""

    def go(dataset, *options):
        output = tmp_path / "losses.parquet"
        result = run("audit", bundle_folder, dataset, "-o", output, "--precision", "fp32", "--no-tune", *options)
        assert result.exit_code == 0, result.output
        return " ".join(result.output.split()), pq.read_table(output).sort_by("id")

    return go


def test_the_options_reach_from_the_audit_to_the_cleaned_file(audit, run, tmp_path):
    data, cleaned = tmp_path / "a.csv", tmp_path / "cleaned.csv"
    content = "".join(
        f'0{row}§"{text}"§{label}\r\n' for row, (text, label) in enumerate(zip(TEXTS, LABELS, strict=True))
    )
    data.write_bytes(content.encode("cp1252"))
    options = ("--separator", "§", "--encoding", "cp1252", "--no-header", "--text-column", "1", "--label-column", "2")
    _, table = audit(data, *options)
    assert table.select(["0", "1", "2"]).to_pydict() == {"0": ["00", "01", "02", "03"], "1": [*TEXTS], "2": [*LABELS]}
    (tmp_path / "d.jsonl").write_text(json.dumps({"id": 1, "annotation": "Business"}) + "\n")
    assert run("pull", tmp_path / "losses.parquet", "--from", "jsonl", tmp_path / "d.jsonl").exit_code == 0
    result = run("apply", tmp_path / "losses.parquet", "-o", cleaned)
    assert result.exit_code == 0, result.output
    assert cleaned.read_bytes() == content.replace("Sports", "Business").encode("cp1252")


def test_how_a_file_is_read_is_printed_and_logged(audit, tmp_path):
    (tmp_path / "a.csv").write_text("text;label\nthe bank;World\nthe team;Sports\n")
    said, _ = audit(tmp_path / "a.csv", "--log-json", tmp_path / "log")
    note = f"{tmp_path / 'a.csv'} is read with semicolons between cells (guessed; see --separator)"
    assert note in said
    events = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [event["notes"] for event in events if event["event"] == "prepared"] == [[note]]


def test_lists_of_one_label_in_texts_are_that_label(audit, tmp_path):
    (tmp_path / "a.csv").write_text('text,label\nthe bank,[\'World\']\nthe team,"[""Sports""]"\nthe cup,Sports\n')
    _, table = audit(tmp_path / "a.csv")
    assert table["label_name"].to_pylist() == ["World", "Sports", "Sports"]
    assert table["source_label"].to_pylist() == ["['World']", '["Sports"]', "Sports"]


def test_one_odd_value_among_numbers_changes_no_other(audit, tmp_path):
    (tmp_path / "a.csv").write_text("text,label\n" + "the bank,0.0\nthe team,1.0\n" * 20 + "the cup,?\n")
    _, table = audit(tmp_path / "a.csv")
    assert table["label"].to_pylist() == [0, 1] * 20 + [None]
