"""Several splits as one dataset: which are read, in what order, with which columns, and where a row is."""

import datasets
import numpy as np
import pyarrow as pa
import pytest

from lossaudit.engine.data.in_memory import splits_in_memory
from lossaudit.engine.data.rows import Split
from lossaudit.engine.data.source import locate, open_dataset

SIZES = {"train": 5, "test": 3, "dev.hard": 4}


def split_of(name, rows, **columns):
    return datasets.Dataset.from_dict(
        {"text": [f"{name} {row}" for row in range(rows)], "label": [0] * rows, **columns}
    )


@pytest.fixture
def saved(tmp_path):
    """Saves splits, of these sizes unless others are given, and returns the folder's name."""

    def save(splits=None):
        splits = splits or {name: split_of(name, rows) for name, rows in SIZES.items()}
        datasets.DatasetDict(splits).save_to_disk(tmp_path / "saved")
        return str(tmp_path / "saved")

    return save


def texts(rows):
    return [text for _, table in rows.shards(4) for text in table["text"].to_pylist()]


def expected(*names):
    return [f"{name} {row}" for name in names for row in range(SIZES[name])]


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("all", ("train", "test", "dev.hard")),
        ("test,train", ("test", "train")),
        (" dev.hard , train", ("dev.hard", "train")),
    ],
)
def test_splits_are_read_one_after_another(saved, asked, names):
    rows = open_dataset(saved(), split=asked)
    assert texts(rows) == expected(*names)
    assert rows.splits == tuple(Split(name, SIZES[name]) for name in names)
    assert rows.origin.all_splits == ("train", "test", "dev.hard")
    assert len(rows) == len(expected(*names))


@pytest.mark.parametrize("asked", ["train", None])
def test_one_split_is_no_dataset_of_several(saved, asked):
    rows = open_dataset(saved(), split=asked)
    assert texts(rows) == expected("train")
    assert rows.splits == ()


def test_the_only_split_is_one_of_several_if_all_are_asked_for(saved):
    assert open_dataset(saved({"test": split_of("test", 3)}), split="all").splits == (Split("test", 3),)


def test_a_split_may_be_called_all(saved):
    rows = open_dataset(saved({name: split_of(name, 2) for name in ("all", "train")}), split="all")
    assert texts(rows) == ["all 0", "all 1"]
    assert rows.splits == ()


@pytest.mark.parametrize("asked", ["train,dev", "train,", ",", "train;test", "train[:2],test"])
def test_a_split_that_is_not_there_is_refused_with_those_that_are(saved, asked, refused):
    with refused("train, test, dev.hard", "name one with split", "split='all'"):
        open_dataset(saved(), split=asked)


def test_a_split_named_twice_is_refused(saved, refused):
    with refused("split='train,test,train'", "the split train twice"):
        open_dataset(saved(), split="train,test,train")


def test_slices_of_a_hub_dataset(monkeypatch, refused):
    whole = {name: split_of(name, rows) for name, rows in SIZES.items()}
    monkeypatch.setattr(datasets, "get_dataset_split_names", lambda *_: list(whole))

    def load(_name, _config, split):
        base, _, first = split.partition("[:")
        return whole[base].select(range(int(first[:-1]))) if first else whole[base]

    monkeypatch.setattr(datasets, "load_dataset", load)
    rows = open_dataset("owner/data", split="train[:2],test")
    assert texts(rows) == [*expected("train")[:2], *expected("test")]
    assert rows.splits == (Split("train", 2), Split("test", 3))
    assert texts(open_dataset("owner/data", split="train[:2]")) == expected("train")[:2]
    with refused("the split train twice"):
        open_dataset("owner/data", split="train[:1],train[:2]")


@pytest.mark.parametrize(("start", "stop"), [(0, 12), (0, 5), (4, 6), (5, 8), (3, 9), (7, 99), (12, 12)])
def test_takes_rows_across_splits(saved, start, stop):
    rows = open_dataset(saved(), split="all")
    assert rows.take(start, stop)["text"].to_pylist() == expected(*SIZES)[start:stop]


@pytest.mark.parametrize("limit", [1, 5, 6, 11, 99])
def test_the_first_rows_are_those_of_the_first_splits(saved, limit):
    rows = open_dataset(saved(), split="all").first(limit)
    assert texts(rows) == expected(*SIZES)[:limit]
    assert len(rows) == min(limit, 12)
    assert [split.rows for split in rows.splits] == [*SIZES.values()]


def test_rows_in_memory_and_chosen_ones_are_read_too():
    splits = {name: split_of(name, rows) for name, rows in SIZES.items()}
    splits["test"] = splits["test"].select([2, 0])
    rows = splits_in_memory(splits, None)
    assert texts(rows) == [*expected("train"), "test 2", "test 0", *expected("dev.hard")]
    assert locate(rows.origin, [5, 0, 7]) == {
        0: "row 0 of split train",
        5: "row 0 of split test",
        7: "row 0 of split dev.hard",
    }


def test_says_where_a_row_is(saved):
    folder = saved()
    origin = open_dataset(folder, split="test,train").origin
    assert locate(origin, [2, 3]) == {2: f"row 2 of split test of {folder}", 3: f"row 0 of split train of {folder}"}


def test_columns_of_one_split_are_null_in_the_others(saved):
    splits = {"train": split_of("train", 2, source=["a", "b"]), "test": split_of("test", 2).select_columns(["text"])}
    splits["dev"] = split_of("dev", 1, more=[1.5], source=[None]).select_columns(["more", "text", "source"])
    rows = open_dataset(saved(splits), split="all")
    assert rows.take(0, 9).to_pydict() == {
        "text": ["train 0", "train 1", "test 0", "test 1", "dev 0"],
        "label": [0, 0, None, None, None],
        "source": ["a", "b", None, None, None],
        "more": [None, None, None, None, 1.5],
    }
    assert pa.concat_tables(table for _, table in rows.shards(2)) == rows.take(0, 9)
    assert [*rows.features] == ["text", "label", "source", "more"]


def test_columns_of_different_kinds_are_refused(saved, refused):
    names = datasets.ClassLabel(names=["x", "y"]), datasets.ClassLabel(names=["y", "x"])
    splits = {n: split_of(n, 2).cast_column("label", kind) for n, kind in zip(("a", "b"), names, strict=True)}
    with refused("column 'label' holds classes (x, y) in split a and classes (y, x) in split b", "read one alone"):
        open_dataset(saved(splits), split="all")


def test_types_that_one_wider_type_holds_are_joined(saved):
    """As pandas makes them: numbers are floats where one is missing; texts are large strings."""
    test = pa.table({"text": pa.array(["a"], pa.large_string()), "label": [None], "size": [0.5], "raw": [b"\xff"]})
    splits = {"train": split_of("train", 1, size=[3]), "test": datasets.Dataset(test)}
    rows = open_dataset(saved(splits), split="all")
    assert rows.take(0, 9).to_pydict() == {
        "text": ["train 0", "a"],
        "label": [0, None],
        "size": [3.0, 0.5],
        "raw": [None, b"\xff"],
    }


def test_an_empty_split_is_no_problem_among_others():
    """Of those in memory: `datasets` can't open an empty one that it saved."""
    rows = splits_in_memory({"train": split_of("train", 0), "test": split_of("test", 3)}, None)
    assert texts(rows) == expected("test")
    assert rows.splits == (Split("train", 0), Split("test", 3))


def test_the_fingerprint_is_of_the_splits_and_their_order(saved):
    folder = saved()
    prints = {asked: open_dataset(folder, split=asked).fingerprint for asked in ("all", "train,test", "test,train")}
    assert len(set(prints.values())) == 3
    assert open_dataset(folder, split="train,test,dev.hard").fingerprint == prints["all"]


def test_many_rows_of_several_files(saved):
    rng = np.random.default_rng(0)
    splits = {name: split_of(name, 9000, n=rng.integers(0, 99, 9000)) for name in ("train", "test")}
    rows = open_dataset(saved(splits), split="all")
    starts = [(start, len(table)) for start, table in rows.shards(4096)]
    assert starts == [(0, 4096), (4096, 4096), (8192, 4096), (12288, 4096), (16384, 1616)]
    assert texts(rows) == [f"{name} {row}" for name in ("train", "test") for row in range(9000)]
