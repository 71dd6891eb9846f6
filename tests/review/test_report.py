"""The report's figures, compared with straightforward computations over the whole table."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.report import bins, examples, figures
from lossaudit.review.report.confident import WrongLabels, estimate_wrong, wrong_labels
from lossaudit.review.report.figures import Coder, Missing, gather, ranked_rows
from lossaudit.review.report.page import make_report
from tests.review.reporting import losses_table, write_losses

NAMES = ("World", "Sports", "Business", "Sci/Tech")


def drawn(n, classes=4, noise=0.1, seed=0, sharpness=4.0):
    """Given labels, of which a share of `noise` is wrong, and a model's probabilities; and which are wrong."""
    draw = np.random.default_rng(seed)
    true = draw.integers(0, classes, n)
    wrong = draw.random(n) < noise
    labels = np.where(wrong, (true + draw.integers(1, max(classes, 2), n)) % classes, true)
    logits = draw.normal(size=(n, classes))
    logits[np.arange(n), true] += draw.uniform(0.5, 2, n) * sharpness
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return labels, chances, labels != true


@pytest.fixture(scope="module")
def table():
    labels, chances, _ = drawn(3000)
    draw = np.random.default_rng(1)
    tokens = draw.integers(2, 700, 3000)
    return losses_table(
        labels,
        chances,
        NAMES,
        unlabelled=40,
        tokens=np.minimum(tokens, 512),
        truncated=tokens > 512,
        status=np.where(tokens > 512, "truncated", "ok"),
        unknown_tokens=draw.integers(0, 3, 3000) * draw.integers(0, 2, 3000),
    )


@pytest.fixture(scope="module")
def losses(table, tmp_path_factory):
    return LossesTable.open(write_losses(table, tmp_path_factory.mktemp("report") / "losses.parquet", NAMES))


@pytest.fixture(scope="module")
def found(losses):
    return gather(losses, Coder(losses), 200)


@pytest.fixture(scope="module")
def frame(table):
    """The ranked rows."""
    whole = table.to_pandas()
    return whole[whole["loss"].notna()].assign(agree=lambda rows: rows["label_name"] == rows["prediction_name"])


@pytest.fixture
def small_pieces(monkeypatch):
    """Makes the report read few rows at once."""
    whole = LossesTable.batches
    monkeypatch.setattr(LossesTable, "batches", lambda self, columns=None, rows=0: whole(self, columns, 17))


def test_totals(found, frame):
    assert (found.rows, found.ranked) == (3040, 3000)
    assert found.agreeing == frame["agree"].sum()
    assert found.disagreeing == (~frame["agree"]).sum()
    assert found.mean_loss == pytest.approx(frame["loss"].mean())
    assert found.top == 200
    assert found.cut == frame["loss"].sort_values().iloc[-200]


def test_the_losses_distribution(found, frame):
    assert found.losses.tolist() == np.histogram(frame["loss"].clip(1e-6, 99), bins.LOSS_EDGES)[0].tolist()


def test_classes(found, frame):
    for figure in found.classes:
        rows = frame[frame["label_name"] == figure.name]
        assert (figure.rows, figure.agreeing) == (len(rows), rows["agree"].sum())
        assert figure.mean_loss == pytest.approx(rows["loss"].mean())
        assert figure.mean_probability == pytest.approx(rows["label_probability"].mean())
    assert [figure.name for figure in found.classes] == list(NAMES)


def test_pairs(found, frame):
    wrong = frame[~frame["agree"]].groupby(["label_name", "prediction_name"])["loss"].agg(["size", "mean"])
    assert {(p.given, p.predicted): p.rows for p in found.pairs} == wrong["size"].to_dict()
    assert {(p.given, p.predicted): p.mean_loss for p in found.pairs} == pytest.approx(wrong["mean"].to_dict())
    assert [p.rows for p in found.pairs] == sorted(wrong["size"], reverse=True)


def test_calibration(found, frame):
    cells = pd.cut(frame["probability"], np.linspace(0, 1, 16), include_lowest=True)
    by_bin = frame.groupby(cells, observed=True).agg({"agree": "mean", "probability": ["mean", "size"]})
    gaps = (by_bin["agree", "mean"] - by_bin["probability", "mean"]).abs() * by_bin["probability", "size"]
    assert found.calibration_error == pytest.approx(gaps.sum() / len(frame))
    assert [b.rows for b in found.confidence if b.rows] == by_bin["probability", "size"].tolist()


def test_lengths(found, frame):
    for figure in found.lengths:
        rows = frame[(frame["tokens"] >= figure.first) & (frame["tokens"] <= (figure.last or np.inf))]
        assert (figure.rows, figure.agreeing) == (len(rows), rows["agree"].sum())
        quantiles = bins.loss_quantiles(figure.losses, (0.25, 0.5, 0.95))
        expected = np.quantile(rows["loss"], (0.25, 0.5, 0.95), method="inverted_cdf")
        assert quantiles == pytest.approx(expected.tolist(), rel=0.13)
    assert sum(figure.rows for figure in found.lengths) == len(frame)


def test_outcomes_and_tokens(found, table):
    whole = table.to_pandas()
    assert {s.status: (s.rows, s.first) for s in found.statuses} == {
        status: (len(rows), rows["id"].min()) for status, rows in whole.groupby("status")
    }
    assert found.truncated == (whole["truncated"] == True).sum()  # noqa: E712 - of None too
    assert found.unknown == figures.UnknownFigures(
        int(whole["tokens"].sum()), int(whole["unknown_tokens"].sum()), int((whole["unknown_tokens"] > 0).sum())
    )


@pytest.mark.usefixtures("small_pieces")
def test_pieces_make_no_difference(losses, found):
    again = gather(losses, Coder(losses), 200)
    for name in ("rows", "ranked", "cut", "statuses", "truncated", "unknown"):
        assert getattr(again, name) == getattr(found, name)
    assert again.losses.tolist() == found.losses.tolist()
    assert [(p.given, p.predicted, p.rows) for p in again.pairs] == [
        (p.given, p.predicted, p.rows) for p in found.pairs
    ]
    assert again.mean_loss == pytest.approx(found.mean_loss)


def confident_joint(labels, chances):
    """Equation 1 of the paper, a row at a time: (classes, classes) counts."""
    n, classes = chances.shape
    thresholds = [chances[labels == j, j].mean() if (labels == j).any() else np.inf for j in range(classes)]
    joint = np.zeros((classes, classes))
    for row in range(n):
        over = [j for j in range(classes) if chances[row, j] >= thresholds[j] - 1e-6]
        if over:
            likeliest = max(over, key=lambda j: chances[row, j])
            agrees = chances[row].argmax() == labels[row]
            joint[labels[row], labels[row] if agrees else likeliest] += 1
    return joint


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), classes=st.integers(2, 6), n=st.integers(1, 120), sharpness=st.floats(0, 6))
def test_wrong_labels_are_those_of_the_confident_joint(tmp_path_factory, seed, classes, n, sharpness):
    labels, chances, _ = drawn(n, classes, 0.2, seed, sharpness)
    chances = chances.astype(np.float32).astype(np.float64)
    names = [f"class {index}" for index in range(classes)]
    path = tmp_path_factory.mktemp("joint") / "losses.parquet"
    losses = LossesTable.open(write_losses(losses_table(labels, chances, names), path, names))
    wrong = wrong_of(losses)
    joint = confident_joint(labels, chances)
    off = joint.sum(axis=1) - np.diag(joint)
    assert list(wrong.classes) == off.tolist()
    assert wrong.total == off.sum()


def wrong_of(losses):
    coder = Coder(losses)
    return estimate_wrong(losses, coder, gather(losses, coder, 100).classes)


def test_planted_mistakes_without_a_system_are_about_as_many(tmp_path):
    for seed in range(5):
        labels, chances, planted = drawn(4000, noise=0.08, seed=seed, sharpness=6)
        path = write_losses(losses_table(labels, chances, NAMES), tmp_path / f"{seed}.parquet", NAMES)
        wrong = wrong_of(LossesTable.open(path))
        assert wrong.total == pytest.approx(planted.sum(), rel=0.2)


def test_of_sets_of_labels_it_is_not_estimated(sets_file):
    missing = wrong_labels(LossesTable.open(sets_file))
    assert isinstance(missing, Missing)
    assert "sets of labels" in missing.why


def test_a_class_of_few_rows_takes_none_from_others(tmp_path):
    """Its only row is mislabelled, so that its threshold is next to nothing."""
    chances = [[0.95, 0.04, 0.01]] * 20 + [[0.85, 0.05, 0.1]] * 20 + [[0.97, 0.02, 0.01]]
    path = write_losses(losses_table([0] * 40 + [2], chances, "abc"), tmp_path / "l.parquet", "abc")
    assert wrong_of(LossesTable.open(path)).total == 1


@pytest.mark.usefixtures("small_pieces")
def test_the_top_of_each_pair(losses, found, frame):
    coder = Coder(losses)
    for pair, rows in examples.top_of_pairs(losses, coder, found.pairs[:5], 3):
        here = frame[(frame["label_name"] == pair.given) & (frame["prediction_name"] == pair.predicted)]
        expected = here.sort_values(["loss", "id"], ascending=[False, True]).head(3)
        assert [example.row for example in rows] == expected["id"].tolist()
        assert [example.text for example in rows] == expected["text"].tolist()
        assert {(e.given, e.predicted) for e in rows} == {(pair.given, pair.predicted)}


@pytest.mark.usefixtures("small_pieces")
def test_the_longest_of_the_texts_that_were_cut(tmp_path):
    texts = ["word " * (row % 40) for row in range(100)]
    cut = [row % 2 == 0 for row in range(100)]
    table = losses_table([0] * 100, [[0.9, 0.1]] * 100, "ab", text=texts, truncated=cut)
    losses = LossesTable.open(write_losses(table, tmp_path / "l.parquet", "ab"))
    rows = examples.most_cut(losses, 4)
    assert [(e.row, e.measure) for e in rows] == [(38, 190), (78, 190), (36, 180), (76, 180)]
    assert rows[0].text.endswith("…")


@pytest.mark.usefixtures("small_pieces")
def test_rows_of_mostly_unknown_tokens(tmp_path):
    #             none    all     half    fewer    a lone one
    unknown, tokens = [0, 8, 4, 3, 1], [10, 10, 10, 10, 3]
    table = losses_table([0] * 5, [[0.9, 0.1]] * 5, "ab", unknown_tokens=unknown, tokens=tokens)
    total, rows = examples.mostly_unknown(LossesTable.open(write_losses(table, tmp_path / "l.parquet", "ab")), 10)
    assert total == 3
    assert [(e.row, e.measure, e.tokens) for e in rows] == [(1, 8, 10), (2, 4, 10), (4, 1, 3)]


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".json"])
def test_text_formats_give_the_same_figures(table, found, losses, ending, tmp_path):
    report = make_report(LossesTable.open(write_losses(table, tmp_path / f"losses{ending}")), 200)
    assert report.figures.pairs == found.pairs
    assert report.figures.statuses == found.statuses
    assert report.figures.unknown == found.unknown
    assert report.wrong == wrong_of(losses)


def test_a_file_of_few_columns_says_what_is_missing(table, tmp_path):
    few = table.select(["id", "label_name", "prediction_name", "probability", "loss"])
    report = make_report(LossesTable.open(write_losses(few, tmp_path / "few.parquet")))
    for missing in (report.wrong, report.reviewed):
        assert isinstance(missing, Missing)
    for column, missing in (
        ("tokens", report.figures.lengths),
        ("status", report.figures.statuses),
        ("truncated", report.figures.truncated),
        ("unknown_tokens", report.figures.unknown),
    ):
        assert column in missing.why
    assert (report.cut, report.unknown, report.has_texts) == ([], [], False)
    assert report.pairs[0][1][0].text is None


def test_probabilities_of_other_classes_than_told_are_not_used(tmp_path):
    table = losses_table([0, 1], [[0.9, 0.1], [0.2, 0.8]], "ab")
    losses = LossesTable.open(write_losses(table, tmp_path / "l.parquet", "abc"))
    assert "all 3 classes" in wrong_of(losses).why


def test_losses_that_are_no_numbers_are_not_ranked(tmp_path):
    table = losses_table([0] * 4, [[0.9, 0.1]] * 4, "ab", loss=[float("nan"), float("inf"), 1.0, None])
    assert ranked_rows(table)["loss"].to_pylist() == [1.0]
    losses = LossesTable.open(write_losses(table, tmp_path / "l.parquet", "ab"))
    assert gather(losses, Coder(losses), 5).ranked == 1


def test_a_row_without_a_labels_name_is_refused(tmp_path, refused):
    table = losses_table([0], [[0.9, 0.1]], "ab", label_name=[None])
    losses = LossesTable.open(write_losses(table, tmp_path / "l.parquet", "ab"))
    with refused("l.parquet", "without a label name"):
        make_report(losses)


def test_the_top_is_the_audits_own_where_none_is_asked_for(table, tmp_path):
    path = write_losses(table, tmp_path / "l.parquet", NAMES, exact_top=321)
    assert make_report(LossesTable.open(path)).figures.top == 321
    assert make_report(LossesTable.open(path), 50).figures.top == 50
    assert make_report(LossesTable.open(path), 10_000).figures.top == 3000
    assert isinstance(wrong_of(LossesTable.open(path)), WrongLabels)


def test_same_texts_with_different_labels_are_counted_and_the_worst_shown(tmp_path):
    texts = ["one", "one", "one", "two", "two", "alone", "same", "same"]
    given = [0, 1, 0, 0, 1, 0, 2, 2]
    own = [0.1, 0.6, 0.2, 0.01, 0.9, 0.001, 0.5, 0.4]
    losses = -np.log(np.array(own))
    table = losses_table(given, [[0.5, 0.3, 0.2]] * 8, "abc", text=texts, loss=losses)
    for ending in (".parquet", ".csv"):
        path = write_losses(table, tmp_path / f"l{ending}", "abc" if ending == ".parquet" else None)
        found = make_report(LossesTable.open(path)).repeats.conflicts
        assert (found.texts, found.rows) == (2, 5)
        assert [(text.rows, text.labels, [e.row for e in text.examples]) for text in found.shown] == [
            (2, 2, [3, 4]),
            (3, 2, [0, 1]),
        ]


def test_of_many_texts_and_labels_only_some_are_shown(tmp_path):
    names = [f"label {n}" for n in range(9)]
    chances = np.full((9 * 30, 9), 1 / 9)
    table = losses_table([row % 9 for row in range(270)], chances, names, text=[f"t{row // 9}" for row in range(270)])
    found = make_report(LossesTable.open(write_losses(table, tmp_path / "l.parquet", names))).repeats.conflicts
    assert (found.texts, found.rows, len(found.shown)) == (30, 270, 12)
    assert {(text.rows, text.labels, len(text.examples)) for text in found.shown} == {(9, 9, 4)}


def test_texts_in_several_splits_are_counted_and_the_worst_shown(tmp_path):
    splits = ["train", "test", "test", "train", "dev", "train", "train"]
    texts = ["leak", "leak", "leak", "both", "both", "twice", "twice"]
    table = losses_table(
        [0, 0, 0, 1, 2, 1, 1],
        [[0.5, 0.3, 0.2]] * 7,
        "abc",
        loss=[1.0, 3.0, 2.0, 0.5, 4.0, 9.0, 9.0],
        split=splits,
        also_in=["test", "train", "train", "dev", "train", None, None],
        text=texts,
    )
    for ending in (".parquet", ".csv"):
        path = write_losses(table, tmp_path / f"l{ending}", "abc" if ending == ".parquet" else None)
        found = make_report(LossesTable.open(path)).repeats
        assert (found.leaks.texts, found.leaks.rows, found.conflicting_leaks) == (2, 5, 1)
        shown = [(text.rows, text.labels, text.splits) for text in found.leaks.shown]
        assert shown == [(2, 2, ["dev", "train"]), (3, 1, ["test", "train"])]
        examples = [[(example.row, example.split) for example in text.examples] for text in found.leaks.shown]
        assert examples == [[(4, "dev"), (3, "train")], [(1, "test"), (0, "train")]]


def test_one_split_has_no_leaks(table, tmp_path):
    assert make_report(LossesTable.open(write_losses(table, tmp_path / "l.parquet", NAMES))).repeats.leaks is None
