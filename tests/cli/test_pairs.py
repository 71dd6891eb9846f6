"""`audit` of pairs and of long texts on the command line."""

import csv

import pytest

import lossaudit
from bench.families import FAMILIES
from lossaudit.engine.table.losses import LossesTable
from lossaudit.export.exporter import export_bundle


@pytest.fixture(scope="module")
def pairs_csv(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "pairs.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["premise", "hypothesis", "label"])
        writer.writerows([row["text"], "the bank", row["label"]] for row in rows[:20])
    return path


@pytest.fixture
def said_by(run):
    """What a command that goes well says."""

    def check(*arguments):
        result = run(*arguments)
        assert result.exit_code == 0, result.output
        return " ".join(result.output.split())

    return check


PAIR = ("--text-column", "premise", "--text-pair-column", "hypothesis", "--no-tune")


def test_it_says_both_columns(said_by, bundle_folder, pairs_csv, tmp_path):
    said = said_by("audit", bundle_folder, pairs_csv, "-o", tmp_path / "losses.parquet", *PAIR)
    assert "Text column: premise (specified)" in said
    assert "Second text column: hypothesis (specified)" in said
    assert "has no template for pairs" not in said
    assert LossesTable.open(tmp_path / "losses.parquet").facts.text_pair_column == "hypothesis"


def test_top_shows_both_texts(said_by, bundle_folder, tmp_path):
    (tmp_path / "pairs.csv").write_text("premise,hypothesis,label\nthe bank,oil rose,0\n")
    said_by("audit", bundle_folder, tmp_path / "pairs.csv", "-o", tmp_path / "losses.parquet", *PAIR)
    assert "the bank | oil rose" in said_by("top", tmp_path / "losses.parquet")
    shown = lossaudit.load(tmp_path / "losses.parquet")._repr_html_()
    for part in ("<th>premise</th>", "<th>hypothesis</th>", "<td>the bank</td>", "<td>oil rose</td>"):
        assert part in shown


def test_it_says_that_a_tokenizer_puts_nothing_between(said_by, pairs_csv, tmp_path):
    bundle = export_bundle(str(FAMILIES["GPT-2"].make(tmp_path / "checkpoint")), tmp_path / "bundle")
    said = said_by("audit", bundle.folder, pairs_csv, "-o", tmp_path / "losses.parquet", *PAIR)
    assert "Warning: the model's tokenizer has no template for pairs" in said


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "name them with --text-column premise --text-pair-column hypothesis"),
        (("--text-pair-column", "nothing"), "there is no column 'nothing'; name one with --text-pair-column"),
        (("--text-pair-column", "label"), "column 'label' holds int64, not text"),
        ((*PAIR, "--stride", "8"), "--stride can't be combined with --text-pair-column"),
        (("--text-column", "premise", "--stride", "62"), "--stride 62 must be from 0 to 61"),
        (("--text-column", "premise", "--stride", "8", "--max-length", "10"), "--stride 8 must be from 0 to 7"),
    ],
)
def test_what_does_not_go_is_refused_in_a_line(options, says, fails, bundle_folder, pairs_csv, tmp_path):
    fails(("audit", bundle_folder, pairs_csv, "-o", tmp_path / "losses.parquet", *options), says)
    assert not list(tmp_path.iterdir())


def test_a_long_text_is_read_in_windows(said_by, bundle_folder, data_csv, tmp_path):
    said_by("audit", bundle_folder, data_csv, "-o", tmp_path / "losses.parquet", "--stride", 8, "--max-length", 16)
    losses = LossesTable.open(tmp_path / "losses.parquet")
    assert losses.facts.stride == 8
    assert max(losses.top(60)["tokens"].to_pylist()) > 100
