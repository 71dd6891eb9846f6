"""Texts that are in several splits: found in any pieces, with or without different labels, and marked."""

import collections
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossaudit.engine.table import repeats
from lossaudit.engine.table.formats import ENDINGS, write_table
from lossaudit.engine.table.losses import LossesTable
from lossaudit.engine.table.ranking import Filters
from lossaudit.engine.table.repeats import RepeatFinder
from lossaudit.engine.table.schema import SCHEMA, SPLITS

ROW = st.tuples(
    st.sampled_from("abcdefgh"),
    st.sampled_from("XYZ"),
    st.sampled_from(["train", "test", "dev"]),
    st.none() | st.sampled_from([0.0, 1.0, 2.5, 4.0]),
)


def table_of(rows):
    """A losses table of rows: (text, label, split, loss)."""
    n = len(rows)
    ours = {
        "id": range(n),
        "label_name": [label for _, label, _, _ in rows],
        "prediction_name": ["X"] * n,
        "probability": [0.5] * n,
        "loss": [loss for *_, loss in rows],
        "split": [split for _, _, split, _ in rows],
        "text": [text for text, *_ in rows],
    }
    schema = pa.schema([*SCHEMA, *SPLITS, ("text", pa.string())])
    return pa.table([pa.array(ours.get(field.name, [None] * n), field.type) for field in schema], schema=schema)


def found_in(table, size=5):
    finder = RepeatFinder(len(table), ["text"], "label_name", "split")

    def pieces():
        return (table.slice(start, size) for start in range(0, len(table), size))

    for piece in pieces():
        finder.add(piece)
    return finder.found(pieces)


def expected(rows, key):
    """The places of rows with a loss whose text has several values of `key` (1: labels, 2: splits)."""
    values = collections.defaultdict(set)
    for row in rows:
        if row[3] is not None:
            values[row[0]].add(row[key])
    return [place for place, row in enumerate(rows) if row[3] is not None and len(values[row[0]]) > 1]


@given(rows=st.lists(ROW, max_size=30), size=st.integers(1, 12))
def test_leaks_and_conflicts_are_found_in_any_pieces(rows, size):
    found = found_in(table_of(rows), size)
    leaks, conflicts = expected(rows, 2), expected(rows, 1)
    assert found.leaks.places.tolist() == leaks
    assert found.conflicts.places.tolist() == conflicts
    both = sorted(set(leaks) & set(conflicts))
    assert found.conflicting_leaks.places.tolist() == both
    assert found.leaks.different_texts == len({rows[place][0] for place in leaks})
    assert found.conflicting_leaks.different_texts == len({rows[place][0] for place in both})


@given(rows=st.lists(ROW, max_size=30))
def test_each_row_names_the_other_splits_of_its_text(rows):
    leaks = found_in(table_of(rows)).leaks
    splits = collections.defaultdict(set)
    for text, _, split, loss in rows:
        if loss is not None:
            splits[text].add(split)
    others = leaks.other_splits(np.arange(len(rows))).to_pylist()
    for (text, _, split, loss), named in zip(rows, others, strict=True):
        wanted = splits[text] - {split} if loss is not None else set()
        assert set(named.split(", ") if named else []) == wanted
        assert (named is None) == (not wanted)


def one_of_two_hashes(value):
    """Of a text, a hash that many others have."""
    return ord(value[0]) % 2 if isinstance(value, tuple) else hash(value)


@given(rows=st.lists(ROW, max_size=30))
def test_texts_of_one_hash_are_told_apart(rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repeats, "hash", one_of_two_hashes, raising=False)
        found = found_in(table_of(rows))
    assert found.leaks.places.tolist() == expected(rows, 2)
    assert found.conflicts.places.tolist() == expected(rows, 1)


ROWS = [
    ("leak", "X", "train", 1.0),
    ("alone", "X", "train", 9.0),
    ("twice", "X", "train", 8.0),
    ("twice", "Y", "train", 7.0),
    ("both", "X", "train", 0.5),
    ("leak", "X", "test", 0.2),
    ("both", "Y", "test", 3.0),
    ("no loss", "X", "train", 2.0),
    ("no loss", "X", "test", None),
    (" leak\n", "X", "test", 0.1),
]


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_format_shows_the_same_leaks(ending, tmp_path):
    table = table_of(ROWS)
    write_table([table], table.schema, tmp_path / f"losses{ending}")
    losses = LossesTable.open(tmp_path / f"losses{ending}")
    assert losses.has_splits
    shown = {
        name: losses.top(20, filters)["id"].to_pylist()
        for name, filters in {
            "leaks": Filters(leaks=True),
            "conflicts": Filters(conflicts=True),
            "both": Filters(leaks=True, conflicts=True),
            "of a label": Filters(leaks=True, given="y"),
        }.items()
    }
    assert shown == {"leaks": [6, 4, 0, 5, 9], "conflicts": [2, 3, 6, 4], "both": [6, 4], "of a label": [6]}


def test_leaks_are_refused_where_there_is_one_split(refused):
    table = table_of(ROWS)
    for dropped in ("split", "also_in"):
        with refused("not an audit of several splits", "leaks"):
            LossesTable.of(table.drop_columns([dropped])).top(5, Filters(leaks=True))
    with refused("no column with texts", "leaks"):
        LossesTable.of(table.drop_columns(["text"])).top(5, Filters(leaks=True))


def test_a_row_takes_few_bytes_of_memory():
    """Whatever the texts' lengths; 200,000 rows, of which a twentieth are leaks."""
    rows = 200_000

    def pieces():
        for start in range(0, rows, 4000):
            numbers = range(start, start + 4000)
            texts = [f"{number % (rows // 2) if number % 10 == 5 else number} " + "x" * 200 for number in numbers]
            columns = {"loss": [1.0] * 4000, "label_name": ["X"] * 4000, "text": texts}
            yield pa.table(columns | {"split": ["train" if number < rows // 2 else "test" for number in numbers]})

    tracemalloc.start()
    finder = RepeatFinder(rows, ["text"], "label_name", "split")
    for piece in pieces():
        finder.add(piece)
    held = finder.found(pieces)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held.leaks.different_texts == rows // 20
    assert peak / rows < 60
