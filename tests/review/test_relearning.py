"""Orders learned from the decisions of a losses file: kept beside it, the same for the same decisions."""

import numpy as np
import pyarrow as pa
import pytest

import lossaudit as la
from lossaudit.engine.table.formats import write_table
from lossaudit.engine.table.learned import learned_path, read_learned
from lossaudit.engine.table.losses import LossesTable
from lossaudit.engine.table.states import write_states
from lossaudit.review.relearning import is_current, rerank
from lossaudit.review.store import ADJUDICATION, Decision, DecisionStore

LABELS = ("World", "Sports", "Business", "Sci/Tech")


@pytest.fixture
def losses(make_losses):
    """200 rows of falling loss, of which those given World and predicted Sports are wrong."""
    rows = [(LABELS[n % 4], LABELS[(n + 1 + n // 4 % 3) % 4], 8.0 - n / 25, f"example {n}") for n in range(200)]
    return LossesTable.open(make_losses(rows))


def decide(losses, rows, annotator="ada", at=1, verdict=None):
    """A person decides rows, by default as they are."""
    table = pa.Table.from_batches(list(losses.batches(["id", "label_name", "prediction_name"]))).to_pylist()
    pairs = {row["id"]: (row["label_name"], row["prediction_name"]) for row in table}
    with DecisionStore.open(losses) as store:
        store.add(
            Decision(
                row, said, "Sports" if said == "relabel" else None, annotator, "page", f"2026-01-02T03:04:{at:02}Z"
            )
            for row in rows
            for said in [verdict or ("relabel" if pairs[row] == ("World", "Sports") else "keep")]
        )


def test_what_is_like_the_wrong_ones_comes_first(losses):
    decide(losses, range(60))
    found = rerank(losses)
    assert (found.wrong, found.right, found.unclear, found.undecided) == (5, 55, 0, 140)
    assert found.path == learned_path(losses.path)
    learned = read_learned(losses.path)
    top = losses.top(140, learned=learned)
    assert not set(range(60)) & set(top["id"].to_pylist())
    pairs = list(zip(top["label_name"].to_pylist(), top["prediction_name"].to_pylist(), strict=True))
    assert pairs[:8] == [("World", "Sports")] * 8
    of_pair, of_others = (
        [p for p, pair in zip(top["p_wrong"].to_pylist(), pairs, strict=True) if (pair == pairs[0]) is alike]
        for alike in (True, False)
    )
    assert min(of_pair) > max(of_others)
    assert found.expected == round(sum(top["p_wrong"].to_pylist()[:50]))


def test_the_losses_stay_as_they_are(losses):
    before = losses.path.read_bytes()
    decide(losses, range(60))
    rerank(losses)
    assert losses.path.read_bytes() == before
    assert LossesTable.open(losses.path).top(200)["id"].to_pylist() == list(range(200))


def test_the_same_decisions_give_the_same_file(losses):
    decide(losses, range(60))
    rerank(losses)
    first = learned_path(losses.path).read_bytes()
    decide(losses, [70], at=2)
    assert not is_current(read_learned(losses.path), losses)
    rerank(losses)
    assert learned_path(losses.path).read_bytes() != first
    with DecisionStore.open(losses) as store:
        store.undo("ada")
    rerank(losses)
    assert learned_path(losses.path).read_bytes() == first
    assert is_current(read_learned(losses.path), losses)


def test_the_file_is_private(losses):
    decide(losses, [0])
    assert rerank(losses).path.stat().st_mode & 0o777 == 0o600


def test_people_count_once_per_row(losses):
    """The majority counts; a row on which as many say one as the other teaches nothing, but is decided."""
    for at, (annotator, verdict) in enumerate([("ada", "relabel"), ("bob", "keep"), ("cleo", "relabel")]):
        decide(losses, [0], annotator, at, verdict)
    decide(losses, [3], "ada", 1, "keep")
    decide(losses, [3], "bob", 2, "relabel")
    decide(losses, [2], "ada", 1, "relabel")
    decide(losses, [2], "ada", 2, "keep")
    found = rerank(losses)
    assert (found.wrong, found.right, found.unclear, found.undecided) == (1, 1, 1, 197)


def test_an_adjudicator_is_right(losses):
    decide(losses, [0], "ada", 1, "relabel")
    decide(losses, [0], "bob", 2, "relabel")
    with DecisionStore.open(losses) as store:
        store.add([Decision(0, "keep", None, "grace", ADJUDICATION, "2026-01-02T03:04:00Z")])
    found = rerank(losses)
    assert (found.wrong, found.right) == (0, 1)


def test_unsure_and_discarded_rows_teach_nothing(losses):
    decide(losses, [0], verdict="unsure")
    decide(losses, [1], verdict="discard")
    found = rerank(losses)
    assert (found.wrong, found.right, found.unclear) == (0, 0, 2)
    learned = read_learned(losses.path)
    assert sorted(learned.ids[learned.decided]) == [0, 1]


def test_all_rows_decided(losses):
    decide(losses, range(200))
    assert rerank(losses).undecided == rerank(losses).expected == 0


def test_rows_without_a_loss_teach_nothing(make_losses):
    rows = [("World", "Sports", 2.0 - n / 10, f"text {n}") for n in range(9)] + [(None, "Sports", None, "no label")]
    losses = LossesTable.open(make_losses(rows))
    decide(losses, [0, 9], verdict="keep")
    assert (rerank(losses).right, rerank(losses).undecided) == (1, 8)


def test_sets_of_labels_are_learned_by_their_worst_label(sets_file):
    losses = LossesTable.open(sets_file)
    with DecisionStore.open(losses) as store:
        made = [("relabel", '["joy"]'), ("keep", None)]
        store.add(Decision(row, *said, "ada", "page", "2026-01-02T03:04:05Z") for row, said in enumerate(made))
    found = rerank(losses)
    assert (found.wrong, found.right, found.undecided) == (1, 1, 4)
    assert len(losses.top(6, learned=read_learned(sets_file))) == 6


def test_kept_states_are_used(losses):
    decide(losses, range(60))
    assert not rerank(losses).states
    without = read_learned(losses.path).p_wrong
    write_states(np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32), losses.path)
    assert rerank(losses).states
    assert not np.array_equal(read_learned(losses.path).p_wrong, without)


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_text_formats_learn_too(ending, losses, tmp_path):
    path = tmp_path / f"other{ending}"
    write_table([pa.Table.from_batches(list(losses.batches()))], losses.schema, path)
    other = LossesTable.open(path)
    decide(other, range(60))
    assert rerank(other).undecided == 140
    assert other.top(1, learned=read_learned(path))["label_name"].to_pylist() == ["World"]


def test_without_decisions_there_is_nothing_to_learn(losses, refused):
    with refused("there are no decisions about", "lossaudit review"):
        rerank(losses)
    decide(losses, [3])
    with DecisionStore.open(losses) as store:
        store.undo("ada")
    with refused("there are no decisions about"):
        rerank(losses)


def test_in_python(losses, refused):
    decide(losses, range(60))
    loaded = la.load(losses.path)
    with refused("no order has been learned", "`rerank`"):
        loaded.top(3, by="learned")
    assert loaded.rerank().wrong == 5
    assert loaded.top(1).to_pandas()["label_name"].tolist() == ["World"]
    assert list(loaded.top(3, by="loss").ids()) == [0, 1, 2]
    assert loaded.top(3, given="Business").to_arrow()["p_wrong"].null_count == 0
    with refused("there is no order 'size'"):
        loaded.top(3, by="size")
    with refused("only in memory"):
        loaded.top(3).rerank()
