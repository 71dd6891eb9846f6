"""The Python API with a multi-label model: matrices of labels, the summary, and scores of texts in memory."""

import datasets
import numpy as np
import pandas as pd
import pytest

import lossaudit as la
from lossaudit.engine.table.sidecar import facts_path

LABELS = ("World", "Sports", "Business", "Sci/Tech")


@pytest.fixture(scope="module")
def bundle(multi_label_bundle_folder):
    return la.Bundle.load(multi_label_bundle_folder)


@pytest.fixture(scope="module")
def matrix(multi_label_rows):
    return np.array([[int(name in row["labels"]) for name in LABELS] for row in multi_label_rows])


@pytest.fixture(scope="module")
def texts(multi_label_rows):
    return [row["text"] for row in multi_label_rows]


@pytest.fixture(scope="module")
def losses(bundle, multi_label_rows):
    return la.audit(bundle, datasets.Dataset.from_list(multi_label_rows), precision="fp32", tune=False)


def test_labels_are_a_matrix_beside_the_probabilities(losses, matrix):
    assert losses.labels().tolist() == matrix.tolist()
    assert losses.pred_probs().shape == matrix.shape
    assert losses.ids().tolist() == list(range(len(matrix)))
    given = np.where(matrix == 1, losses.pred_probs(), 1 - losses.pred_probs())
    by_id = losses.to_arrow().sort_by("id")
    np.testing.assert_allclose(-np.log(given.min(axis=1)), by_id["loss"].to_pylist(), rtol=1e-5)


def test_a_frame_of_0_and_1_gives_the_same(bundle, texts, matrix, losses):
    frame = pd.DataFrame(matrix, columns=list(LABELS)).assign(text=texts)
    found = la.audit(bundle, frame, precision="fp32", tune=False)
    assert found.labels().tolist() == matrix.tolist()
    assert found.to_arrow()["loss"].to_pylist() == losses.to_arrow()["loss"].to_pylist()


def test_sets_of_labels_of_the_same_text_conflict_in_any_order(bundle):
    sets = [["World", "Sports"], ["Sports", "World"], ["World"], [], None]
    dataset = datasets.Dataset.from_dict({"text": ["a", "a", "b", "b", "a"], "labels": sets})
    losses = la.audit(bundle, dataset, precision="fp32", tune=False)
    assert (losses.summary().conflicting_texts, losses.summary().conflicting_rows) == (1, 2)
    assert set(losses.top(conflicts=True).to_arrow()["id"].to_pylist()) == {2, 3}


def test_the_summary_names_labels_to_add_and_to_drop(losses):
    summary = losses.summary()
    assert summary.doubts
    assert summary.pairs == ()
    assert 0 < summary.label_accuracy < 1


@pytest.mark.parametrize("ending", [".parquet", ".jsonl", ".csv"])
def test_a_saved_table_gives_the_same(ending, losses, matrix, tmp_path, refused):
    loaded = la.load(losses.save(tmp_path / f"losses{ending}"))
    assert loaded.summary() == losses.summary()
    assert len(loaded.top(5, given="Sports")) == 5
    assert loaded.labels().tolist() == matrix.tolist()
    if ending != ".parquet":
        facts_path(tmp_path / f"losses{ending}").unlink()
        with refused(f"losses{ending}", ".parquet"):
            la.load(tmp_path / f"losses{ending}").labels()


def test_notebooks_show_the_worst_label(losses):
    shown = losses._repr_html_()
    assert "<th>worst_label</th>" in shown
    assert losses.to_pandas()["worst_label"].iloc[0] in shown


@pytest.mark.parametrize("form", ["names", "matrix", "nested lists", "array of objects"])
def test_texts_in_memory_are_scored_with_labels_in_each_form(form, bundle, texts, matrix, multi_label_rows, losses):
    names = [row["labels"] for row in multi_label_rows]
    objects = np.empty(len(names), dtype=object)
    objects[:] = names
    labels = {"names": names, "matrix": matrix, "nested lists": matrix.tolist(), "array of objects": objects}[form]
    scores = la.score(bundle, texts, labels)
    by_id = losses.to_arrow().sort_by("id")
    np.testing.assert_allclose(scores.loss, by_id["loss"].to_pylist(), atol=1e-5)
    assert [LABELS[worst] for worst in scores.worst] == by_id["worst_label"].to_pylist()


def test_no_texts_have_no_scores(bundle):
    assert la.score(bundle, [], []).loss.shape == (0,)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (["World", "Sports"], "2 lists of names"),
        ([0, 1], "2 lists of names"),
        ([["World"]], "2 lists of names"),
        ([["World"], ["Politics"]], "'Politics' is not in the model"),
        ([[0, 1], [1, 0]], "a 0 or 1 for each of the model's 4 labels"),
        ([[0, 1, 2, 0], [0, 0, 0, 0]], "a 0 or 1 for each of the model's 4 labels"),
        ([["World"], [1]], "a 0 or 1 for each"),
    ],
)
def test_labels_that_do_not_go_with_the_texts_are_refused(labels, says, bundle, refused):
    with refused(says):
        la.score(bundle, ["a", "b"], labels)
