"""`lossaudit decisions`: what it prints, and files that go from one losses table to another."""

import pytest

from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.store import Decision, DecisionStore, utc_now


@pytest.fixture
def losses(run, bundle_folder, data_csv, tmp_path):
    path = tmp_path / "losses.parquet"
    assert run("audit", bundle_folder, data_csv, "-o", path, "--precision", "fp32", "--no-tune").exit_code == 0
    with DecisionStore.open(LossesTable.open(path)) as store:
        store.add(Decision(row, "discard", None, "ada\x1b[31m", "page", utc_now()) for row in range(3))
    return path


def said(result):
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_they_are_shown(run, losses):
    shown = said(run("decisions", "show", losses))
    assert "3 rows decided: 3 discard; by ada·[31m (3)" in shown
    assert "\x1b" not in shown
    assert "3 rows decided" in said(run("decisions", "show", losses, "-n", "0"))


def test_they_go_out_and_in(run, losses, tmp_path):
    for ending in ("jsonl", "csv"):
        file = tmp_path / f"decisions.{ending}"
        assert f"Wrote 3 decisions to {file}" in said(run("decisions", "export", losses, "-o", file))
        assert said(run("decisions", "import", losses, file)) == "0 new decisions; 3 were already here"
    other = tmp_path / "other.parquet"
    LossesTable.open(losses)
    other.write_bytes(losses.read_bytes())
    assert said(run("decisions", "import", other, file, tmp_path / "decisions.jsonl")) == (
        "3 new decisions: 3 discard; 3 were already here"
    )


def test_what_the_table_lacks_is_shown(run, losses, bundle_folder, data_csv, write_file):
    header, *lines = data_csv.read_text().splitlines(keepends=True)
    shorter = write_file("shorter.csv", header + "".join(lines[2:]))
    printed = said(run("audit", bundle_folder, shorter, "-o", losses, "--precision", "fp32", "--no-tune"))
    assert "Decisions: 1 of 3 are about rows of the new table" in printed
    shown = said(run("decisions", "show", losses))
    assert "1 row decided" in shown
    assert "lacks the texts, or the given labels, of 2 more decisions" in shown


def test_without_any(fails, losses, tmp_path):
    other = tmp_path / "other.parquet"
    other.write_bytes(losses.read_bytes())
    fails(["decisions", "show", other], "there are no decisions")
    fails(["decisions", "export", other, "-o", tmp_path / "a.csv"], "there are no decisions")
    fails(["decisions", "import", other, tmp_path / "none.jsonl"], "none.jsonl can't be read")


def test_how_far_people_agree(run, losses):
    assert "No row of" in said(run("decisions", "agreement", losses))
    with DecisionStore.open(LossesTable.open(losses)) as store:
        store.add(
            [
                Decision(0, "discard", None, "bob", "page", utc_now()),
                Decision(1, "keep", None, "bob", "page", utc_now()),
            ]
        )
    shown = said(run("decisions", "agreement", losses))
    assert "2 rows decided by two or more of ada·[31m, bob" in shown
    assert "Agreement: 50% (9% to 91%)" in shown
    assert "Cohen's kappa: 0.00" in shown
