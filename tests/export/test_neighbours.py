"""The second opinion: how neighbours vote, who isn't a neighbour, and when their votes count."""

import numpy as np
import pytest

from lossaudit.engine.scores.loss import cross_entropy, log_softmax
from lossaudit.export.heads import LabelledStates, out_of_fold_logits
from lossaudit.export.neighbours import Settings, blend, votes

RANDOM = np.random.default_rng(0)


def ring(rows=300, classes=3, noise=0.15):
    """Two-dimensional states around a circle, of which each class has two arcs, so that no linear head tells them."""
    angles = RANDOM.uniform(0, 2 * np.pi, rows)
    labels = (angles / (2 * np.pi) * 2 * classes).astype(int) % classes
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1) + RANDOM.normal(scale=noise / 10, size=(rows, 2))
    return (features + 3).astype(np.float32), labels


def shares(rows, k=20):
    found = []
    cast = votes(rows, 0, Settings(k=k), found.append)
    assert sum(found) == len(set(rows.groups.tolist()))
    return cast


def alone(features, labels, classes):
    """Rows whose texts are all different."""
    return LabelledStates(features, labels, np.arange(len(labels)), classes)


def flat(labels, classes):
    return np.zeros((len(labels), classes), dtype=np.float32)


def test_neighbours_tell_what_heads_cannot():
    features, labels = ring()
    given = labels.copy()
    given[:10] = (given[:10] + 1) % 3
    rows = alone(features, given, 3)
    heads = out_of_fold_logits(rows, 5, seed=0)
    found = blend(heads, rows, seed=0)
    assert found.logits.shape == (300, 3)
    assert found.logits.dtype == np.float32
    assert found.neighbours > 0.3
    assert (found.logits.argmax(axis=1) == labels).mean() > 0.85 > (heads.argmax(axis=1) == labels).mean()
    assert cross_entropy(found.logits, given)[:10].mean() > 2 * cross_entropy(heads, given)[:10].mean()


def test_a_rows_own_label_has_no_say():
    features, labels = ring()
    other = labels.copy()
    other[7] = (labels[7] + 1) % 3
    found = [shares(alone(features, given, 3), k=5)[7] for given in (labels, other)]
    np.testing.assert_allclose(*found, atol=1 / 300)


def test_rows_of_the_same_text_are_one_neighbour_and_none_of_each_other():
    features, labels = ring(rows=60)
    texts = np.arange(60)
    # The first text stands there 40 times more, always with the label that is wrong for it.
    wrong = (labels[0] + 1) % 3
    features, texts = np.concatenate([features, np.repeat(features[:1], 40, axis=0)]), np.append(texts, [0] * 40)
    labels = np.append(labels, [wrong] * 40)
    few = shares(alone(features[:60], labels[:60], 3), k=5)
    many = shares(LabelledStates(features, labels, texts, 3), k=5)
    np.testing.assert_array_equal(many[60:], np.repeat(many[:1], 40, axis=0))
    np.testing.assert_allclose(many[0], few[0], atol=0.15)  # the extra vote goes by all rows
    assert many[0].argmax() == few[0].argmax()


def test_neighbours_that_know_nothing_are_not_heard():
    labels = RANDOM.integers(0, 2, 400)
    features = RANDOM.normal(size=(400, 8)).astype(np.float32)
    heads = np.where(np.arange(2) == labels[:, None], 2.0, 0.0).astype(np.float32)
    heads[:40] = heads[:40, ::-1]
    found = blend(heads, alone(features, labels, 2), seed=0)
    assert found.neighbours < 0.2
    order = np.argsort(cross_entropy(found.logits, labels))
    assert set(order[-40:]) == set(range(40))


def test_heads_and_neighbours_that_know_nothing_leave_an_order():
    labels = RANDOM.integers(0, 4, 200)
    features = RANDOM.normal(size=(200, 8)).astype(np.float32)
    heads = RANDOM.normal(size=(200, 4)).astype(np.float32)
    found = blend(heads, alone(features, labels, 4), seed=0)
    assert found.own >= 0.1
    assert len(set(cross_entropy(found.logits, labels).tolist())) == 200


def test_votes_are_shares_even_of_classes_without_a_row():
    features, labels = ring(rows=40)
    cast = shares(alone(features, labels, 5))
    np.testing.assert_allclose(cast.sum(axis=1), 1)
    assert (cast > 0).all()


@pytest.mark.parametrize("rows", [2, 3, 21])
def test_fewer_texts_than_neighbours(rows):
    features, labels = RANDOM.normal(size=(rows, 4)).astype(np.float32), np.arange(rows) % 2
    found = blend(flat(labels, 2), alone(features, labels, 2), seed=0)
    assert np.isfinite(found.logits).all()
    np.testing.assert_allclose(shares(alone(features, labels, 2)).sum(axis=1), 1)


def test_texts_with_the_same_state_are_neighbours():
    features = np.ones((30, 4), dtype=np.float32)
    labels = np.arange(30) % 2
    assert np.isfinite(blend(flat(labels, 2), alone(features, labels, 2), seed=0).logits).all()


def test_of_many_texts_a_sample_votes():
    features, labels = ring(rows=2000)
    few = Settings(most_texts=400, most_fitted=300)
    found = blend(flat(labels, 3), alone(features, labels, 3), 0, few)
    assert (log_softmax(found.logits).argmax(axis=1) == labels).mean() > 0.85
