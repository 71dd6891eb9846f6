"""Decisions in Python: made by ids, kept beside the losses or with them, and applied to files and DataFrames."""

import pandas as pd
import pytest

import lossaudit as la
from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.store import DecisionStore

FP32 = {"precision": "fp32", "tune": False}
NAMES = ("World", "Sports", "Business", "Sci/Tech")


@pytest.fixture(scope="module")
def bundle(bundle_folder):
    return la.Bundle.load(bundle_folder)


@pytest.fixture
def frame(rows):
    return pd.DataFrame(rows, index=pd.Index([f"row {n}" for n in range(len(rows))], name="key"))


def other(frame, place):
    return NAMES[(frame["label"].iloc[place] + 1) % 4]


def test_decisions_about_losses_in_memory_stay_with_them(bundle, frame, tmp_path):
    losses = la.audit(bundle, frame, **FP32)
    assert losses.decisions().empty
    losses.decide({0: other(frame, 0), 1: NAMES[frame["label"].iloc[1]].lower()}, keep=[2], unsure=[3], discard=[4])
    losses.top(5).decide(keep=[3], annotator="ada")
    made = losses.decisions()
    assert made["verdict"].tolist() == ["relabel", "keep", "keep", "keep", "discard"]
    assert made["label"].tolist() == [other(frame, 0), None, None, None, None]
    assert made["annotator"].tolist() == ["python"] * 3 + ["ada", "python"]
    assert made.index.tolist() == frame.index[:5].tolist()
    assert str(made["made_at"].dtype).startswith("datetime64[")
    saved = la.load(losses.save(tmp_path / "losses.csv"))
    assert saved.decisions().drop(columns="id").to_dict("list") == made.drop(columns="id").to_dict("list")


def test_decisions_about_a_file_are_where_the_command_has_them(bundle, frame, tmp_path):
    losses = la.audit(bundle, frame, output=tmp_path / "losses.parquet", **FP32)
    losses.decide(discard=range(3))
    with DecisionStore.open(LossesTable.open(tmp_path / "losses.parquet"), create=False) as store:
        assert [(row, d.verdict, d.origin) for row, d in store.decisions().items()] == [
            (row, "discard", "python") for row in range(3)
        ]
    assert la.load(tmp_path / "losses.parquet").decisions()["id"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("label", "dtype"),
    [
        (lambda n: n, "int64"),
        (lambda n: n, "int8"),
        (lambda n: n, "Int64"),
        (lambda n: NAMES[n], "object"),
        (lambda n: NAMES[n], "string"),
        (lambda n: NAMES[n], "category"),
        (lambda n: [NAMES[n]], "object"),
    ],
)
def test_a_frame_comes_back_with_its_index_and_types(bundle, frame, label, dtype):
    frame = frame.assign(
        label=pd.Series([label(n) for n in frame["label"]], index=frame.index, dtype=dtype),
        when=pd.Timestamp("2026-01-02"), few=pd.array([1, None] * 30, "Int8"), kind=pd.Categorical(["a", "b"] * 30),
    )  # fmt: skip
    before = frame.copy(deep=True)
    losses = la.audit(bundle, frame, **FP32)
    numbers = {name: number for number, name in enumerate(NAMES)}
    given = losses.to_pandas().set_index("id").sort_index()["label_name"].tolist()
    new = {row: NAMES[(numbers[given[row]] + 1) % 4] for row in (0, 5)}
    losses.decide(new, discard=[1], keep=[2])
    cleaned = losses.apply()
    expected = before.drop(index="row 1")
    expected["label"] = pd.Series(
        [label(numbers[new.get(row, given[row])]) for row in range(60) if row != 1], index=expected.index, dtype=dtype
    )
    pd.testing.assert_frame_equal(cleaned, expected, check_categorical=False)
    pd.testing.assert_frame_equal(frame, before)
    shown = losses.apply(flag_discarded=True, review_columns=True)
    assert shown["review"].tolist()[:4] == ["relabel", "discard", "keep", None]
    assert shown["discarded"].tolist()[:3] == [False, True, False]
    assert shown["label_original"].tolist() == before["label"].tolist()


def test_a_frame_that_has_changed_is_matched_by_text(bundle, frame):
    losses = la.audit(bundle, frame, **FP32)
    losses.decide(discard=[0, 7])
    moved = pd.concat([frame.iloc[30:], frame.iloc[1:30]])
    cleaned = losses.apply(dataset=moved)
    assert cleaned.index.tolist() == [key for key in moved.index if key != "row 7"]


def test_a_file_is_written_as_the_command_does(bundle, data_csv, tmp_path):
    losses = la.audit(bundle, data_csv, **FP32)
    losses.decide(discard=[0])
    cleaned = losses.apply(tmp_path / "cleaned.csv")
    assert (cleaned.rows, cleaned.written, cleaned.discarded) == (60, 59, 1)
    path = losses.save(tmp_path / "losses.parquet")
    assert la.apply(path, tmp_path / "again.csv", review_columns=False) == cleaned
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "cleaned.csv").read_bytes()


def test_sets_of_labels_are_lists(make_sets):
    losses = la.load(make_sets)
    losses.decide({0: ["love", "Joy"], 1: []}, keep=[2])
    assert losses.decisions()["label"].tolist()[:2] == [["joy", "love"], []]
    with pytest.raises(la.LossAuditError, match="there is no label 'ghost'"):
        losses.decide({0: ["ghost"]})


@pytest.fixture
def make_sets(tmp_path):
    from tests.review.sets import ROWS, sets_table, write_sets

    return write_sets(sets_table(ROWS), tmp_path / "sets.parquet")


def test_what_cannot_be_decided(bundle, frame, refused, tmp_path):
    losses = la.audit(bundle, frame, **FP32)
    for part, labels, more in [
        ("has no row 60", {60: "World"}, {}),
        ("there is no label 'Cats'; there are 'World'", {0: "Cats"}, {}),
        ("row 1 is named twice", {1: "World"}, {"keep": [1]}),
        ("isn't a label; the rows have one each", {0: ["World"]}, {}),
        ("annotator is missing", {}, {"keep": [1], "annotator": " "}),
    ]:
        with refused(part):
            losses.decide(labels, **more)
    assert losses.decisions().empty
    with refused("no DataFrame was audited; name an output"):
        la.load(losses.save(tmp_path / "losses.parquet")).apply()
    with refused("a DataFrame is returned, not written"):
        losses.apply("a.csv", dataset=frame)
