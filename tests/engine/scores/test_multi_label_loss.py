"""The loss kernels of multi-label models, against torch and against their own definitions."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lossaudit.engine.scores.loss import score
from lossaudit.engine.scores.multi_label import binary_cross_entropy, score_labels, sigmoid


@st.composite
def batches(draw, bound=1e4):
    """Logits (n, classes) up to `bound` and labels of 0 and 1 (n, classes)."""
    shape = draw(st.integers(1, 12)), draw(st.integers(1, 8))
    logits = draw(arrays.arrays(np.float64, shape, elements=st.floats(-bound, bound)))
    return logits, draw(arrays.arrays(np.int64, shape, elements=st.integers(0, 1)))


@given(batches())
def test_the_losses_are_torchs_with_logits(batch):
    logits, labels = batch
    expected = torch.nn.BCEWithLogitsLoss(reduction="none")(
        torch.from_numpy(logits), torch.from_numpy(labels).to(torch.float64)
    ).numpy()
    np.testing.assert_allclose(binary_cross_entropy(logits, labels), expected, rtol=1e-12, atol=1e-12)


@given(batches())
def test_the_score_is_that_of_the_worst_label(batch):
    scores, losses = score_labels(*batch), binary_cross_entropy(*batch)
    rows = np.arange(len(losses))
    assert scores.loss.tolist() == losses.max(axis=1).tolist() == losses[rows, scores.worst].tolist()
    assert scores.probability.tolist() == scores.probabilities[rows, scores.worst].tolist()


@given(batches(bound=30))
def test_probabilities_are_of_what_is_given_of_the_worst_label(batch):
    logits, labels = batch
    scores = score_labels(logits, labels)
    given_worst = labels[np.arange(len(labels)), scores.worst]
    expected = np.where(given_worst == 1, scores.probability, 1 - scores.probability)
    np.testing.assert_allclose(scores.label_probability, expected, atol=1e-12)
    np.testing.assert_allclose(scores.margin, 2 * expected - 1, atol=1e-12)
    np.testing.assert_allclose(np.exp(-scores.loss), scores.label_probability, rtol=1e-12)
    np.testing.assert_allclose(scores.probabilities, 1 / (1 + np.exp(-logits)), rtol=1e-12)


@given(batches())
def test_figures_stay_in_their_ranges(batch):
    scores = score_labels(*batch)
    assert (scores.loss >= 0).all()
    assert not np.signbit(scores.loss).any()
    assert (np.abs(scores.margin) <= 1).all()
    for probability in (scores.probability, scores.label_probability, scores.probabilities):
        assert ((probability >= 0) & (probability <= 1)).all()
    assert (scores.predictions == (scores.probabilities >= 0.5)).all()


@given(batches())
def test_a_rows_scores_do_not_depend_on_its_neighbours(batch):
    logits, labels = batch
    alone = [score_labels(logits[i : i + 1], labels[i : i + 1]).loss[0] for i in range(len(labels))]
    assert score_labels(logits, labels).loss.tolist() == alone


@given(batches(bound=30))
def test_the_contrary_of_everything_is_the_same_of_the_negated_logits(batch):
    logits, labels = batch
    one, other = score_labels(logits, labels), score_labels(-logits, 1 - labels)
    assert (one.loss.tolist(), one.worst.tolist()) == (other.loss.tolist(), other.worst.tolist())


@given(batches(bound=30))
def test_the_margin_is_negative_just_where_a_prediction_is_not_what_is_given(batch):
    logits, labels = batch
    scores = score_labels(logits, labels)
    wrong = (scores.predictions != (labels == 1)).any(axis=1)
    assert (wrong[scores.margin < 0]).all()
    assert not (wrong[scores.margin > 0]).any()


@given(arrays.arrays(np.float64, 9, elements=st.floats(-500, 500)), st.integers(0, 1))
def test_one_label_is_the_cross_entropy_of_yes_and_no(logits, label):
    both = np.column_stack([np.zeros_like(logits), logits])
    expected = score(both, np.full(len(logits), label)).loss
    found = binary_cross_entropy(logits[:, None], np.full((len(logits), 1), label))[:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_losses_of_unlikely_mistakes_keep_their_digits():
    assert binary_cross_entropy([[50.0]], [[1]])[0, 0] == pytest.approx(1.9287498479639178e-22, rel=1e-12)
    assert sigmoid([-700.0])[0] == pytest.approx(9.85967654375977e-305, rel=1e-12)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_the_largest_logits_of_a_type_overflow_nothing(kind):
    most = np.finfo(kind).max
    scores = score_labels(np.array([[most, -most], [0, 0]], dtype=kind), [[1, 0], [0, 1]])
    assert scores.loss.tolist() == pytest.approx([0.0, np.log(2)])
    assert binary_cross_entropy(np.array([[most]], dtype=kind), [[0]])[0, 0] == float(most)


def test_of_labels_as_bad_the_first_is_the_worst():
    assert score_labels([[-2.0, -2.0, 1.0]], [[1, 1, 1]]).worst.tolist() == [0]


def test_a_probability_of_one_half_is_a_prediction():
    assert score_labels([[0.0]], [[0]]).predictions.tolist() == [[True]]


def test_no_examples_give_no_losses():
    assert score_labels(np.empty((0, 4)), np.empty((0, 4))).loss.shape == (0,)


@pytest.mark.parametrize(
    ("logits", "labels", "says"),
    [
        ([[0.0, 1.0]], [[2, 0]], "row 0 are not 0 and 1"),
        ([[0.0, 1.0], [0.0, 1.0]], [[0, 1], [0, 0.5]], "row 1 are not 0 and 1"),
        ([[0.0, 1.0]], [0, 1], "shape"),
        ([[0.0, 1.0]], [[0, 1, 1]], "shape"),
        ([[0.0, np.nan]], [[0, 1]], "row 0 are not finite"),
        (np.empty((1, 0)), np.empty((1, 0)), "shape"),
    ],
)
def test_bad_input_is_a_value_error_that_says_where(logits, labels, says):
    with pytest.raises(ValueError, match=says):
        binary_cross_entropy(logits, labels)
