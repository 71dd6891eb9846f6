"""Decisions are found again in a losses table that was made anew, by text and given label."""

import pytest

from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.store import Decision, DecisionStore, store_path
from tests.review.sets import ROWS, sets_table, write_sets

T = "2026-01-02T03:04:05.000000+00:00"
ROWS_BEFORE = [("World", "Sports", 3.0, "a"), ("Sports", "World", 2.0, "b"), ("World", "Sports", 1.0, "c")]


def decided(path):
    """Which rows are decided, and which examples are gone."""
    with DecisionStore.open(LossesTable.open(path), create=False) as store:
        return {row: d.label for row, d in store.decisions().items()}, [gone.start for gone in store.gone()]


def decide(path, rows):
    """Each row gets a new label of its own, by which it is known again."""
    with DecisionStore.open(LossesTable.open(path)) as store:
        store.add(Decision(row, "relabel", f"was {row}", "ada", "page", T) for row in rows)


@pytest.fixture
def made(make_losses):
    path = make_losses(ROWS_BEFORE)
    decide(path, range(3))
    return path


def test_other_losses_keep_them(made, make_losses):
    make_losses([(given, "Business", 9 - loss, text) for given, _, loss, text in ROWS_BEFORE])
    assert decided(made) == ({0: "was 0", 1: "was 1", 2: "was 2"}, [])


def test_texts_that_the_model_reads_alike_keep_their_own(make_losses):
    """A fold of case may leave every loss as it was."""
    path = make_losses(
        [("World", "Sports", 1.0, text) for text in ("A b", "a b")], facts={"source": {"fingerprint": "1"}}
    )
    decide(path, (0,))
    make_losses([("World", "Sports", 1.0, text) for text in ("a b", "A b")], facts={"source": {"fingerprint": "2"}})
    assert decided(path) == ({1: "was 0"}, [])


def test_rows_that_were_moved_and_added_keep_them(made, make_losses):
    make_losses([("World", "Sports", 1.0, "new"), *ROWS_BEFORE[::-1]])
    assert decided(made) == ({1: "was 2", 2: "was 1", 3: "was 0"}, [])


def test_what_has_gone_or_changed_is_kept_and_comes_back(made, make_losses):
    make_losses([("World", "Sports", 1.0, "A"), ("World", "Sports", 2.0, "b"), ROWS_BEFORE[2]])
    for _ in range(2):
        assert decided(made) == ({2: "was 2"}, ["a", "b"])
    make_losses([("Sports", "World", 9.0, "b"), ("World", "Sports", 8.0, "a")])
    assert decided(made) == ({0: "was 1", 1: "was 0"}, ["c"])


def test_rows_alike_are_found_by_their_row_then_in_order(make_losses):
    path = make_losses([("World", "Sports", 1.0, text) for text in "axaxa"])
    decide(path, (0, 2, 4))
    make_losses([("World", "Sports", 1.0, text) for text in "xaaxxa"])
    assert decided(path) == ({1: "was 0", 2: "was 2", 5: "was 4"}, [])
    make_losses([("World", "Sports", 1.0, text) for text in "xxa"])
    assert decided(path) == ({2: "was 2"}, ["a", "a"])


def test_the_same_text_under_another_label_is_another_example(make_losses):
    path = make_losses([("World", "Sports", 1.0, "a"), ("Sports", "World", 1.0, "a")])
    decide(path, (0,))
    make_losses([("Sports", "World", 1.0, "a"), ("World", "Sports", 1.0, "a")])
    assert decided(path) == ({1: "was 0"}, [])


def test_a_model_that_writes_its_labels_in_another_way_keeps_them(made, make_losses):
    rows = [(given.upper(), "SPORTS", loss, text) for given, _, loss, text in ROWS_BEFORE]
    make_losses([rows[2], rows[0]], labels=("WORLD", "SPORTS"))
    assert decided(made) == ({0: "was 2", 1: "was 0"}, ["b"])


def test_what_was_decided_anew_stays_apart_from_what_comes_back(made, make_losses):
    make_losses([("World", "Sports", 3.0, "new")])
    with DecisionStore.open(LossesTable.open(made)) as store:
        store.add([Decision(0, "discard", None, "ada", "page", T)])
    make_losses([("World", "Sports", 1.0, "new"), ROWS_BEFORE[0]])
    assert decided(made) == ({0: None, 1: "was 0"}, ["b", "c"])


def test_a_table_without_texts_keeps_them_by_row_and_given_label(made, make_losses):
    make_losses([ROWS_BEFORE[0], ROWS_BEFORE[0]], text=None)
    assert decided(made) == ({0: "was 0"}, ["b", "c"])
    make_losses(ROWS_BEFORE[::-1])
    assert decided(made) == ({0: "was 2", 1: "was 1", 2: "was 0"}, [])


def test_an_empty_and_a_missing_text(make_losses):
    path = make_losses([("World", "Sports", 1.0, None), ("World", "Sports", 1.0, "")])
    decide(path, (0, 1))
    make_losses([("World", "Sports", 1.0, "x"), ("World", "Sports", 1.0, ""), ("World", "Sports", 1.0, None)])
    assert decided(path) == ({1: "was 1", 2: "was 0"}, [])


def test_sets_in_another_order_of_the_models_labels(sets_file):
    decide(sets_file, (0, 1))
    write_sets(sets_table([ROWS[3], ROWS[1], ROWS[0]]), sets_file)
    assert decided(sets_file) == ({2: "was 0", 1: "was 1"}, [])


def test_pairs(pairs_file, make_losses):
    decide(pairs_file, (0, 1, 2))
    rows = [("Sports", "Sports", 3.0, ""), ("World", "Sports", 2.0, ""), ("Business", "Sports", 1.0, "")]
    columns = {"premise": ["A dog runs.", "A man reads.", "The dog"], "hypothesis": ["It runs.", "He sleeps.", ""]}
    facts = {"text_column": "premise", "text_pair_column": "hypothesis"}
    make_losses(rows, columns=columns, facts=facts, text=None, name=pairs_file.name)
    assert decided(pairs_file) == ({0: "was 1", 2: "was 2"}, ["A man reads. / He <b>sleeps</b>."])


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".json"])
def test_the_text_formats_hold_the_same_texts(make_losses, ending):
    texts = ("a\r\nb", 'say "so"', " spaces ", "007", "=1+1", "ä\u2028")
    rows = [("World", "Sports", float(n), text) for n, text in enumerate(texts)]
    path = make_losses(rows)
    decide(path, range(6))
    other = make_losses([*rows[3:], *rows[:3]], name=f"losses{ending}")
    store_path(path).rename(store_path(other))
    assert decided(other) == ({row: f"was {(row + 3) % 6}" for row in range(6)}, [])
