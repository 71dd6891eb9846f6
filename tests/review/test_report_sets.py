"""The report on a multi-label table, and on one whose examples are pairs of texts."""

import numpy as np
import pyarrow as pa
import pytest

from lossaudit.engine.table.formats import ENDINGS
from lossaudit.engine.table.losses import LossesTable
from lossaudit.engine.table.ranking import rank
from lossaudit.review.report.figures import Missing
from lossaudit.review.report.page import make_report, render, write_report
from lossaudit.review.store import Decision, DecisionStore, utc_now
from tests.review.sets import LABELS, ROWS, sets_table, write_sets


def test_the_figures_of_each_label(tmp_path):
    report = make_report(LossesTable.open(write_sets(sets_table(ROWS), tmp_path / "sets.parquet")), top=3)
    assert isinstance(report.wrong, Missing)
    assert (report.figures.ranked, report.figures.agreeing, report.classes, report.pairs) == (6, 2, [], [])
    by_name = {found.name: found for found in report.sets.labels}
    # Row 0 has anger wrongly, rows 1 and 2 lack love and fear: these are the top.
    assert {name: (f.given, f.top_given, f.top_missing) for name, f in by_name.items()} == {
        "joy": (3, 0, 0),
        "anger": (2, 1, 0),
        "fear": (1, 0, 1),
        "love": (1, 0, 1),
    }
    assert (by_name["fear"].not_predicted, by_name["fear"].only_predicted) == (1, 1)
    assert {(d.label, d.is_given, d.rows) for d in report.sets.doubts} == {
        ("anger", True, 1),
        ("love", False, 1),
        ("fear", False, 1),
        ("fear", True, 1),
    }
    assert [[example.row for example in examples] for _, examples in report.doubts] == [[0], [2], [3], [1]]


def test_mean_losses_are_those_of_the_probabilities(tmp_path):
    draw = np.random.default_rng(2)
    rows = [
        (
            [label for label in LABELS if draw.random() < 0.3],
            draw.uniform(0.01, 0.99, len(LABELS)).tolist(),
            f"text {n}",
        )
        for n in range(500)
    ]
    losses = LossesTable.open(write_sets(rank(sets_table(rows)), tmp_path / "sets.parquet"))
    found = {figures.name: figures for figures in make_report(losses, top=50).sets.labels}
    for place, label in enumerate(LABELS):
        agrees = [chances[place] if label in given else 1 - chances[place] for given, chances, _ in rows]
        assert found[label].mean_loss == pytest.approx(-np.log(agrees).mean(), rel=1e-4)
        assert found[label].given == sum(label in given for given, _, _ in rows)
    assert sum(f.top_given + f.top_missing for f in found.values()) == 50


def test_a_probability_of_one_or_zero_has_a_finite_loss(tmp_path):
    table = sets_table([(("joy",), (1e-30, 1e-30, 0.2, 0.3), "x")])
    (joy, *_) = make_report(LossesTable.open(write_sets(table, tmp_path / "sets.parquet"))).sets.labels
    assert 17 < joy.mean_loss < 18


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_format_has_a_report(ending, tmp_path):
    path = write_sets(sets_table(ROWS), tmp_path / f"sets{ending}")
    report = write_report(path, tmp_path / "report.html")
    assert {found.name for found in report.sets.labels} == set(LABELS)
    assert report.sets.labels[0].mean_loss == pytest.approx(1.0344, abs=1e-4)
    assert len(report.doubts) == 4


def test_the_page_says_what_it_leaves_out_and_escapes_the_rest(tmp_path):
    labels = ("<b>joy</b>", "anger", "fear", "love")
    rows = [(["<b>joy</b>" if label == "joy" else label for label in given], *rest) for given, *rest in ROWS]
    table = sets_table(rows, labels, second=["<i>why</i>"] * 6)
    path = write_sets(table, tmp_path / "sets.parquet", labels, text_pair_column="second")
    with DecisionStore.open(LossesTable.open(path)) as store:
        store.add([Decision(0, "relabel", "[]", "Ada", "page", utc_now())])
    page = render(make_report(LossesTable.open(path)))
    assert "the given set of labels for 33.3%" in page
    assert page.count("both need one label per row") == 1
    assert "Can the model" not in page
    assert "<b>joy</b>" not in page
    assert "&lt;b&gt;joy&lt;/b&gt;, anger" in page
    assert "&lt;i&gt;why&lt;/i&gt;" in page
    assert "the model says 1.0%" in page
    assert "(no label)" in page
    assert "of 1 judged labels were wrong" in page
    assert "4, any number per row" in page


def test_a_table_without_any_loss(tmp_path):
    table = sets_table(ROWS).slice(0, 0)
    page = render(make_report(LossesTable.open(write_sets(table, tmp_path / "sets.parquet"))))
    assert "No row has a loss" in page


def test_a_label_that_the_model_lacks_is_refused(tmp_path, refused):
    table = sets_table(ROWS)
    at = table.schema.get_field_index("labels")
    strange = pa.array([["ghost"]] * 6, table.schema.field(at).type)
    with refused("sets.parquet", "'ghost'"):
        make_report(LossesTable.open(write_sets(table.set_column(at, "labels", strange), tmp_path / "sets.parquet")))


def test_examples_of_pairs_show_both_texts(pairs_file):
    report = make_report(LossesTable.open(pairs_file))
    assert {(example.text, example.text_pair) for _, examples in report.pairs for example in examples} == {
        ("A man reads.", "He <b>sleeps</b>."),
        ("A dog runs.", "It runs."),
        ("The dog", ""),
    }
    page = render(report)
    assert "He &lt;b&gt;sleeps&lt;/b&gt;." in page
    assert "<dt>Second text</dt><dd><bdi>hypothesis</bdi>" in page


def test_a_table_of_one_label_and_text_has_neither(losses_file):
    report = make_report(LossesTable.open(losses_file))
    assert (report.sets, report.doubts) == (None, [])
    page = render(report)
    assert 'class="text second"' not in page
    assert "The top of each pair" in page
