"""`lossaudit rerank`, and how `top` follows the learned order."""

import json

import pytest

from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.store import Decision, DecisionStore


@pytest.fixture
def losses(bundle_folder, data_csv, run, tmp_path):
    path = tmp_path / "losses.parquet"
    assert run("audit", bundle_folder, data_csv, "-o", path).exit_code == 0
    return path


def decide(path, rows, verdict="keep"):
    with DecisionStore.open(LossesTable.open(path)) as store:
        store.add(Decision(row, verdict, None, "ada", "page", "2026-01-02T03:04:05Z") for row in rows)


def ids(run, path, *options):
    result = run("top", path, "-n", 5, "--format", "jsonl", *options)
    assert result.exit_code == 0, result.output
    return [json.loads(line)["id"] for line in result.stdout.splitlines()]


def test_top_follows_the_learned_order(run, losses):
    printed = ids(run, losses)
    decide(losses, printed[:3])
    result = run("rerank", losses)
    assert result.exit_code == 0, result.output
    assert "Order learned from 3 decisions (0 wrong, 3 right)" in result.stdout
    assert "Of the next 50, about" in result.stdout
    assert "(a guess: few rows are decided)" in " ".join(result.stdout.split())
    learned = ids(run, losses)
    assert not set(printed[:3]) & set(learned)
    assert ids(run, losses, "--by", "learned") == learned
    assert ids(run, losses, "--by", "loss") == printed
    shown = run("top", losses, "-n", 5).stdout
    assert "p(wrong)" in shown
    assert "Order learned from 3 decisions" in shown
    assert "p(wrong)" not in run("top", losses, "--by", "loss").stdout


def test_newer_decisions_are_told(run, losses):
    decide(losses, [1])
    run("rerank", losses)
    assert not run("top", losses).stderr
    decide(losses, [2])
    assert "decisions were made or taken back since" in run("top", losses).stderr
    assert "lossaudit rerank" in run("top", losses, "--format", "jsonl").stderr
    run("rerank", losses)
    assert not run("top", losses).stderr


def test_a_new_table_has_no_learned_order(run, losses, bundle_folder, data_csv):
    decide(losses, [1])
    run("rerank", losses)
    assert run("audit", bundle_folder, data_csv, "-o", losses, "--limit", 40).exit_code == 0
    result = run("top", losses)
    assert "the table that was there before" in result.stderr
    assert "p(wrong)" not in result.stdout


def test_without_decisions_or_an_order(run, losses):
    result = run("rerank", losses)
    assert result.exit_code == 2
    assert "there are no decisions about" in result.stderr
    result = run("top", losses, "--by", "learned")
    assert result.exit_code == 2
    assert "no order has been learned" in result.stderr


def test_all_decided(run, losses):
    decide(losses, range(60))
    assert "All rows with a loss are decided." in run("rerank", losses).stdout


def test_unclear_decisions_are_counted(run, losses):
    decide(losses, [1], "unsure")
    decide(losses, [2], "discard")
    assert "Order learned from 2 decisions (0 wrong, 0 right, 2 unclear)" in run("rerank", losses).stdout
