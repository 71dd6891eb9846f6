"""The loss kernels, against torch and against their own definitions."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lossaudit.engine.scores.loss import cross_entropy, log_softmax, score


@st.composite
def batches(draw, bound=1e4, smallest=1):
    """Logits (n, classes) up to `bound` and labels (n,)."""
    rows, classes = draw(st.integers(1, 12)), draw(st.integers(smallest, 8))
    logits = draw(arrays.arrays(np.float64, (rows, classes), elements=st.floats(-bound, bound)))
    labels = draw(arrays.arrays(np.int64, rows, elements=st.integers(0, classes - 1)))
    return logits, labels


@given(batches())
def test_the_loss_is_torchs_cross_entropy(batch):
    logits, labels = batch
    expected = torch.nn.functional.cross_entropy(
        torch.from_numpy(logits), torch.from_numpy(labels), reduction="none"
    ).numpy()
    np.testing.assert_allclose(cross_entropy(logits, labels), expected, rtol=1e-12, atol=1e-6)


@given(batches())
def test_probabilities_sum_to_one_over_the_classes(batch):
    logits, _ = batch
    np.testing.assert_allclose(np.exp(log_softmax(logits)).sum(axis=1), 1, atol=1e-12)


@given(batches(bound=100), st.floats(-1e4, 1e4))
def test_a_shift_of_all_logits_changes_nothing(batch, shift):
    logits, labels = batch
    np.testing.assert_allclose(cross_entropy(logits + shift, labels), cross_entropy(logits, labels), atol=1e-8)


@given(batches())
def test_a_rows_scores_do_not_depend_on_its_neighbours(batch):
    logits, labels = batch
    together = cross_entropy(logits, labels)
    alone = [cross_entropy(logits[i : i + 1], labels[i : i + 1])[0] for i in range(len(labels))]
    assert together.tolist() == alone


@given(batches())
def test_figures_stay_in_their_ranges(batch):
    scores = score(*batch)
    assert (scores.loss >= 0).all()
    assert (np.abs(scores.margin) <= 1).all()
    for probability in (scores.probability, scores.label_probability):
        assert ((probability >= 0) & (probability <= 1)).all()


@given(batches(bound=20, smallest=2))
def test_the_margin_is_negative_just_where_the_model_disagrees(batch):
    logits, labels = batch
    scores = score(logits, labels)
    p = np.exp(log_softmax(logits))
    others = np.where(np.arange(p.shape[1]) == labels[:, None], -1, p).max(axis=1)
    np.testing.assert_allclose(scores.margin, p[np.arange(len(p)), labels] - others, atol=1e-12)
    assert (scores.prediction[scores.margin > 0] == labels[scores.margin > 0]).all()
    assert (scores.prediction[scores.margin < 0] != labels[scores.margin < 0]).all()


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_the_largest_logits_of_a_type_overflow_nothing(kind):
    most = np.finfo(kind).max if kind is not np.float64 else 1e300
    scores = score(np.array([[most, -most], [most, most]], dtype=kind), [0, 1])
    assert scores.loss.tolist() == pytest.approx([0.0, np.log(2)])


def test_small_logits_beside_a_large_one_keep_their_difference():
    assert cross_entropy([[1e4, 3.0, 1.0]], [2])[0] - cross_entropy([[1e4, 3.0, 1.0]], [1])[0] == pytest.approx(2)


def test_one_class_is_certain():
    scores = score([[3.0], [-7.0]], [0, 0])
    assert scores.loss.tolist() == [0, 0]
    assert scores.margin.tolist() == [1, 1]


def test_a_certain_loss_is_zero_and_not_minus_zero():
    assert not np.signbit(cross_entropy([[1000.0, 0.0]], [0]))[0]


def test_no_examples_give_no_losses():
    assert cross_entropy(np.empty((0, 4)), np.empty(0, dtype=np.int64)).shape == (0,)


def test_equal_logits_predict_the_lowest_class():
    assert score([[1.0, 1.0, 1.0]], [2]).prediction.tolist() == [0]


@pytest.mark.parametrize(
    ("logits", "labels", "says"),
    [
        ([[0.0, 1.0]], [2], "label 2 of row 0"),
        ([[0.0, 1.0], [0.0, 1.0]], [0, -1], "label -1 of row 1"),
        ([[0.0, 1.0], [0.0, np.nan]], [0, 0], "row 1 are not finite"),
        ([[0.0, np.inf]], [0], "row 0 are not finite"),
        ([0.0, 1.0], [0], "shape"),
        ([[0.0, 1.0]], [0, 1], "shape"),
        (np.empty((1, 0)), [0], "shape"),
        ([[0.0, 1.0]], [1.0], "integers"),
        ([[0.0, 1.0]], [True], "integers"),
    ],
)
def test_bad_input_is_a_value_error_that_says_where(logits, labels, says):
    with pytest.raises(ValueError, match=says):
        cross_entropy(logits, labels)
