"""Tables in memory: DataFrames with columns of any kind, and what offers Arrow's C stream."""

import decimal
import pathlib
import uuid

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lossaudit.engine.data.in_memory import rows_in_memory, splits_in_memory
from lossaudit.engine.data.texts import texts_of

TEXTS = ["the cup", "peace", "oil"]


def column(values):
    """What becomes of a column of a DataFrame that isn't needed."""
    rows = rows_in_memory(pd.DataFrame({"text": TEXTS, "label": [0, 1, 2], "more": values}))
    table = rows.take(0, 3)
    assert table.select(["text", "label"]).to_pydict() == {"text": TEXTS, "label": [0, 1, 2]}
    return table["more"].to_pylist()


UUIDS = [uuid.UUID(int=n) for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (pd.Categorical(["b", None, "a"], categories=["a", "b", "c"]), ["b", None, "a"]),
        (pd.Categorical([3, 1, 3]), [3, 1, 3]),
        (pd.period_range("2024-01", periods=3, freq="M"), ["2024-01", "2024-02", "2024-03"]),
        (pd.interval_range(0, 3), ["(0, 1]", "(1, 2]", "(2, 3]"]),
        (pd.array([1, pd.NA, 3], dtype="Int64"), [1, None, 3]),
        (pd.arrays.SparseArray([1, 0, 0]), [1, 0, 0]),
        (np.array([1.5, np.nan, 2]), [1.5, None, 2]),
        (UUIDS, list(map(str, UUIDS))),
        ([pathlib.Path("x"), None, pathlib.Path("y")], ["x", None, "y"]),
        ([{1}, {2}, set()], [[1], [2], []]),
        ([1j, 2j, pd.NA], ["1j", "2j", None]),
        ([np.str_("a"), pd.NaT, "b"], ["a", None, "b"]),
        ([np.int64(7), np.int64(8), np.int64(9)], [7, 8, 9]),
        ([decimal.Decimal("1.5"), None, decimal.Decimal(2)], [decimal.Decimal("1.5"), None, decimal.Decimal("2.0")]),
        ([[1, 2], [], None], [[1, 2], [], None]),
        (pd.Series(["a", None, "b"], dtype=pd.ArrowDtype(pa.string())), ["a", None, "b"]),
        (pd.Series([b"\xff", b"\xfe", None]), [b"\xff", b"\xfe", None]),
    ],
)
def test_a_column_that_is_not_needed_is_carried(values, found):
    assert column(values) == found


def test_one_number_among_texts_is_one_bad_text():
    table = rows_in_memory(pd.DataFrame({"text": ["the cup", 3.5, np.nan]})).take(0, 3)
    texts = texts_of(table, ["text"])
    assert (texts.values, texts.bad, list(texts.empty)) == (
        ["the cup", None, None],
        {1: "not a text but a number"},
        [2],
    )


def test_the_names_of_columns_are_texts():
    assert list(rows_in_memory(pd.DataFrame([["a", 1]])).features) == ["0", "1"]
    assert list(rows_in_memory(pd.DataFrame([["a"]], columns=pd.MultiIndex.from_tuples([("x", "y")]))).features) == [
        "('x', 'y')"
    ]


def test_two_columns_of_one_name_are_refused(refused):
    with refused("the DataFrame has 2 columns called 'text'"):
        rows_in_memory(pd.DataFrame([["a", "b"]], columns=["text", "text"]))


class Stream:
    """Nothing but Arrow's C stream."""

    def __init__(self, table):
        self._table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize("make", [lambda table: table, Stream, lambda table: table.to_reader()])
def test_what_offers_arrows_stream_is_read(make):
    table = pa.table(
        {
            "text": pa.chunked_array([pa.array(TEXTS[:2], pa.string_view()), pa.array(TEXTS[2:], pa.string_view())]),
            "label": pa.array(["x", "y", "x"]).dictionary_encode(),
            "meta": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())),
        }
    )
    rows = rows_in_memory(make(table))
    assert rows.take(0, 3).to_pydict() == {"text": TEXTS, "label": ["x", "y", "x"], "meta": ['{"a": 1}', None, "{}"]}
    assert rows.notes == (("Carried as text: meta (map<string, int64>)",),)


def test_the_same_table_has_the_same_fingerprint():
    frame = pd.DataFrame({"text": TEXTS, "label": [0, 1, 2]})
    assert rows_in_memory(frame).fingerprint == rows_in_memory(frame.copy()).fingerprint
    assert rows_in_memory(frame).fingerprint != rows_in_memory(frame.assign(label=0)).fingerprint


def test_polars_is_read():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"text": TEXTS, "label": pl.Series(["x", "y", "x"], dtype=pl.Categorical), "n": [1, None, 3]})
    rows = rows_in_memory(frame)
    assert rows.take(0, 3).to_pydict() == {"text": TEXTS, "label": ["x", "y", "x"], "n": [1, None, 3]}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ([{"text": "a"}], "not list"),
        (pd.Series(["a"]), "not Series"),
        (pa.chunked_array([["a"]]), "the pyarrow ChunkedArray can't be read"),
    ],
)
def test_what_is_no_table_is_refused(data, says, refused):
    with refused(says):
        rows_in_memory(data)


TABLES = {
    "datasets": lambda texts: datasets.Dataset.from_dict({"text": texts}),
    "pandas": lambda texts: pd.DataFrame({"text": texts}, index=range(5, 5 + len(texts))),
    "pyarrow": lambda texts: pa.table({"text": texts}),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_by_split_are_read_together_or_the_one_asked_for(kind, refused):
    data = {"train": TABLES[kind](["a", "b"]), "test": TABLES[kind](["c"])}
    for asked, expected in {None: "abc", "all": "abc", "test,train": "cab", "test": "c"}.items():
        rows = splits_in_memory(data, asked)
        assert rows.take(0, 9)["text"].to_pylist() == list(expected)
        assert [split.name for split in rows.splits] == {"abc": [*data], "cab": ["test", "train"], "c": []}[expected]
    with refused("the dataset has the splits train, test"):
        splits_in_memory(data, "dev")


def test_splits_of_several_kinds_and_odd_names():
    data = {
        datasets.Split.TRAIN: TABLES["datasets"](["a"]),
        "all": TABLES["pandas"](["b"]),
        3: TABLES["pyarrow"](["c"]),
    }
    rows = splits_in_memory(data, None)
    assert rows.take(0, 9)["text"].to_pylist() == ["a", "b", "c"]
    assert [split.name for split in rows.splits] == ["train", "all", "3"]
    assert splits_in_memory(data, "all").take(0, 9)["text"].to_pylist() == ["b"]


def test_columns_are_no_splits(refused):
    with refused("a dict of these by split", "not list"):
        splits_in_memory({"text": ["a"], "label": [0]}, None)
