"""Learned orders: what decisions teach about mistakes with a system, and that little is spoilt without one."""

import numpy as np
import pyarrow as pa
import pytest

from lossaudit.engine.learning.evidence import gather_evidence
from lossaudit.engine.learning.heads import doubts_of_heads
from lossaudit.engine.learning.learner import EXPLORED, Lessons, learned_order, wrong_probabilities
from lossaudit.engine.learning.order import learn_order
from lossaudit.engine.scores.loss import score
from lossaudit.engine.table.facts import Facts
from lossaudit.engine.table.losses import LossesTable
from lossaudit.engine.table.states import STEPS

NONE = np.array([], dtype=np.int64)


def losses_of(given, logits, *, probabilities=True, facts=True):
    """A losses table with the columns that every version has, and perhaps the probabilities."""
    scores = score(logits, given)
    names = [f"c{label}" for label in range(logits.shape[1])]
    columns = {
        "id": pa.array(range(len(given))),
        "label_name": pa.array([names[label] for label in given]),
        "prediction_name": pa.array([names[label] for label in scores.prediction]),
        "probability": pa.array(scores.probability),
        "loss": pa.array(scores.loss),
    }
    if probabilities:
        columns["probabilities"] = pa.array(scores.probabilities.astype(np.float32).tolist(), pa.list_(pa.float32()))
    table = pa.table(columns)
    return LossesTable.of(table.cast(Facts(labels=tuple(names)).stored_in(table.schema)) if facts else table)


def mistaken(rows=1500, classes=4, seed=0):
    """Labels of which those of class 1 that look like class 0 are wrong, which the logits have learned, and logits."""
    rng = np.random.default_rng(seed)
    right = rng.integers(0, classes, rows)
    wrong = (right == 0) & (rng.random(rows) < 0.5)
    given = np.where(wrong, 1, right)
    logits = rng.normal(size=(rows, classes))
    logits[np.arange(rows), given] += 2.0
    logits[wrong, 0] += 1.5
    return given, right, logits


def kept_states(states):
    """In the steps in which they are kept."""
    return np.rint(states / states.std(axis=0) * STEPS).astype(np.int8)


def lessons_of(evidence, right, given, places):
    wrong = (right != given)[evidence.ids[places]]
    labels = [f"c{label}" for label in right[evidence.ids[places]]]
    return Lessons(places, wrong.astype(float), np.ones(len(places)), labels)


def wrong_in_the_next(order, evidence, right, given, n=200):
    return int((right != given)[evidence.ids[order.places[:n]]].sum())


def test_mistakes_with_a_system_come_first():
    given, right, logits = mistaken()
    evidence = gather_evidence(losses_of(given, logits))
    seen = np.arange(150)
    order = learn_order(evidence, lessons_of(evidence, right, given, seen), NONE)
    printed = int((right != given)[evidence.ids[150:350]].sum())
    assert wrong_in_the_next(order, evidence, right, given) > 1.5 * printed


def test_states_find_more():
    given, right, logits = mistaken()
    rng = np.random.default_rng(1)
    states = rng.normal(size=(4, 16))[right] + 2 * rng.normal(size=(len(right), 16))
    evidence = gather_evidence(losses_of(given, logits))
    lessons = lessons_of(evidence, right, given, np.arange(150))
    found = [
        wrong_in_the_next(learn_order(evidence, lessons, NONE, kept), evidence, right, given)
        for kept in (None, kept_states(states)[evidence.ids])
    ]
    assert found[1] > found[0]


def test_without_decisions_the_order_is_the_losses_with_random_rows_between():
    given, _, logits = mistaken()
    evidence = gather_evidence(losses_of(given, logits))
    order = learn_order(evidence, Lessons(NONE, np.zeros(0), np.zeros(0), []), NONE)
    assert sorted(order.places) == list(range(len(evidence)))
    assert np.array_equal(order.places[: EXPLORED - 1], np.sort(order.places[: EXPLORED - 1]))
    assert (np.diff(order.wrong) <= 0).all()


def test_the_same_decisions_give_the_same_order():
    given, right, logits = mistaken()
    evidence = gather_evidence(losses_of(given, logits))
    lessons = lessons_of(evidence, right, given, np.arange(60))
    first, second = (learn_order(evidence, lessons, np.array([70])) for _ in range(2))
    assert np.array_equal(first.places, second.places)
    assert np.array_equal(first.wrong, second.wrong)


def test_decided_rows_come_last():
    given, right, logits = mistaken()
    evidence = gather_evidence(losses_of(given, logits))
    order = learn_order(evidence, lessons_of(evidence, right, given, np.arange(60)), np.array([70, 71]))
    assert list(order.places[-62:]) == [*range(60), 70, 71]


@pytest.mark.parametrize("verdict", [0.0, 1.0])
@pytest.mark.parametrize("rows", [1, 50])
def test_decisions_of_one_kind_keep_the_order_nearly(verdict, rows):
    """In the mean over all rows: they say little about which of the others are wrong."""
    given, _, logits = mistaken()
    evidence = gather_evidence(losses_of(given, logits))
    seen = np.arange(rows)
    labels = [evidence.labels[label] for label in evidence.given[seen]]
    order = learn_order(evidence, Lessons(seen, np.full(rows, verdict), np.ones(rows), labels), NONE)
    ranks = np.empty(len(evidence))
    ranks[order.places] = np.arange(len(evidence))
    assert np.corrcoef(ranks[rows:], np.arange(rows, len(evidence)))[0, 1] > 0.75
    assert np.isfinite(order.wrong).all()


@pytest.mark.parametrize("classes", [2, 300])
def test_any_number_of_classes(classes):
    given, right, logits = mistaken(900, classes)
    evidence = gather_evidence(losses_of(given, logits))
    states = kept_states(np.random.default_rng(0).normal(size=(900, 8)))
    order = learn_order(evidence, lessons_of(evidence, right, given, np.arange(100)), NONE, states)
    assert sorted(order.places) == list(range(900))
    assert ((order.wrong >= 0) & (order.wrong <= 1)).all()


def test_tables_without_probabilities_teach_too():
    given, right, logits = mistaken()
    evidence = gather_evidence(losses_of(given, logits, probabilities=False, facts=False))
    assert evidence.figures.shape[1] == 3
    order = learn_order(evidence, lessons_of(evidence, right, given, np.arange(150)), NONE)
    assert wrong_in_the_next(order, evidence, right, given) > int((right != given)[evidence.ids[150:350]].sum())


def test_rows_without_a_loss_or_with_an_infinite_one():
    given, _, logits = mistaken(200)
    source = pa.Table.from_batches(list(losses_of(given, logits).batches()))
    loss = source["loss"].to_pylist()
    loss[3], loss[5], loss[7] = None, 800.0, 0.0
    source = source.set_column(source.column_names.index("loss"), "loss", pa.array(loss))
    evidence = gather_evidence(LossesTable.of(source))
    assert len(evidence) == 199
    assert evidence.ids[0] == 5
    assert np.isfinite(evidence.log_odds).all()
    assert np.isfinite(evidence.figures).all()


def test_a_label_that_nobody_was_given_can_be_right():
    given, _, logits = mistaken(300)
    evidence = gather_evidence(losses_of(given, logits))
    states = kept_states(np.random.default_rng(0).normal(size=(300, 8)))
    lessons = Lessons(np.arange(3), np.ones(3), np.ones(3), ["new", "newer", "new"])
    assert np.isfinite(learn_order(evidence, lessons, NONE, states).wrong).all()


def test_rows_that_count_nothing_teach_nothing():
    given, right, logits = mistaken()
    evidence = gather_evidence(losses_of(given, logits))
    lessons = lessons_of(evidence, right, given, np.arange(50))
    ignored = Lessons(lessons.places, lessons.wrong, np.zeros(50), lessons.labels)
    nothing = Lessons(NONE, np.zeros(0), np.zeros(0), [])
    np.testing.assert_allclose(wrong_probabilities(evidence, ignored), wrong_probabilities(evidence, nothing))


def test_one_row_in_fifty_is_drawn():
    wrong = np.linspace(1, 0, 501)
    decided = np.zeros(501, dtype=bool)
    decided[:101] = True
    order = learned_order(wrong, decided, 7)
    chosen = np.delete(order[:400], np.arange(EXPLORED - 1, 400, EXPLORED))
    assert (np.diff(chosen) > 0).all()
    assert sorted(order) == list(range(501))
    assert not np.array_equal(order, learned_order(wrong, decided, 8))


def test_heads_leave_each_row_out():
    """Against ridge regressions that are fitted without the row."""
    rng = np.random.default_rng(0)
    states = kept_states(rng.normal(size=(60, 5)))
    given = rng.integers(0, 3, 60)
    corrected, decided = given.copy(), np.zeros(60, dtype=bool)
    corrected[:9], decided[:9] = (given[:9] + 1) % 3, True
    outputs = np.empty((60, 3))
    x, counts, targets = (
        np.hstack([states / STEPS, np.ones((60, 1))]),
        np.where(decided, 5.0, 1.0),
        np.eye(3)[corrected],
    )
    for row in range(60):
        others = np.arange(60) != row
        weighted = x[others].T * counts[others]
        penalised = weighted @ x[others] + 0.1 * 60 * np.eye(6)
        outputs[row] = x[row] @ np.linalg.solve(penalised, weighted @ targets[others])
    p = np.maximum(outputs, 0.005)
    expected = -np.log(p / p.sum(axis=1, keepdims=True))[np.arange(60), given]
    found = doubts_of_heads(states, given, corrected, decided, 0)[:, 0]
    np.testing.assert_allclose(found, (expected - expected.mean()) / expected.std(), atol=1e-3)


def test_rows_without_a_state_are_neither_doubted_nor_learned_from():
    rng = np.random.default_rng(0)
    states = kept_states(rng.normal(size=(60, 5)))
    states[10:20] = 0
    given = rng.integers(0, 3, 60)
    doubts = doubts_of_heads(states, given, given, np.zeros(60, dtype=bool), 0)
    assert not doubts[10:20].any()
    other = given.copy()
    other[10:20] = 2
    np.testing.assert_array_equal(doubts, doubts_of_heads(states, given, other, np.zeros(60, dtype=bool), 0))
    assert not doubts_of_heads(np.zeros_like(states), given, given, np.zeros(60, dtype=bool), 0).any()
