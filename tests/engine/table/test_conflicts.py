"""Identical texts with different given labels: found in any pieces, and shown together."""

import collections
import sys
import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossaudit.engine.table.facts import Facts
from lossaudit.engine.table.formats import ENDINGS, write_table
from lossaudit.engine.table.losses import LossesTable
from lossaudit.engine.table.ranking import Filters, rank
from lossaudit.engine.table.repeats import COMPARED_AS_IT_IS, RepeatFinder, folded
from lossaudit.engine.table.schema import MULTI_LABEL_SCHEMA, SCHEMA

ROW = st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("XYZ"), st.none() | st.sampled_from([0.0, 1.0, 2.5, 4.0]))


def table_of(rows, **columns):
    """A losses table of rows: (text, label, loss)."""
    ours = {
        "id": range(len(rows)),
        "label_name": [label for _, label, _ in rows],
        "prediction_name": ["X"] * len(rows),
        "probability": [0.5] * len(rows),
        "loss": [loss for *_, loss in rows],
    }
    schema = pa.schema([*(SCHEMA.field(name) for name in ours), ("text", pa.string())])
    ours["text"] = [text for text, *_ in rows]
    table = pa.table([pa.array(ours[field.name], field.type) for field in schema], schema=schema)
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    return table


def expected(rows):
    """The places of rows in conflict, each text with that of its highest loss."""
    labels = collections.defaultdict(set)
    highest = collections.defaultdict(lambda: (float("inf"), 0))
    for place, (text, label, loss) in enumerate(rows):
        if loss is not None and label is not None:
            labels[text].add(label)
            highest[text] = min(highest[text], (-loss, place))
    places = [p for p, (text, label, loss) in enumerate(rows) if loss is not None and label and len(labels[text]) > 1]
    return sorted(places, key=lambda place: (highest[rows[place][0]], -rows[place][2], place))


@given(rows=st.lists(ROW, max_size=30), size=st.integers(1, 12))
def test_conflicts_are_found_in_any_pieces(rows, size):
    table, finder = table_of(rows), RepeatFinder(len(rows), ["text"], "label_name", None)

    def pieces():
        return (table.slice(start, size) for start in range(0, len(rows), size))

    for piece in pieces():
        finder.add(piece)
    found = finder.found(pieces).conflicts
    assert found.places.tolist() == sorted(expected(rows))
    assert found.different_texts == len({rows[place][0] for place in expected(rows)})
    same_text = collections.defaultdict(set)
    for place, text in zip(found.places, found.texts, strict=True):
        same_text[text].add(rows[place][0])
    assert sorted(same_text) == [*range(found.different_texts)]
    assert all(len(texts) == 1 for texts in same_text.values())


@given(rows=st.lists(ROW, max_size=30), n=st.integers(1, 30))
def test_the_top_has_the_same_texts_together_the_highest_loss_first(rows, n):
    found = LossesTable.of(table_of(rows)).top(n, Filters(conflicts=True))
    assert found["id"].to_pylist() == expected(rows)[:n]


ROWS = [
    ("same", "X", 1.0),
    ("alone", "X", 5.0),
    ("same", "Y", 0.5),
    ("twice", "X", 4.0),
    ("twice", "X", 4.0),
    ("other", "Z", 0.1),
    ("other", "X", 3.0),
    ("unlabelled", None, None),
    ("unlabelled", "X", 2.0),
]


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_format_and_older_versions_have_the_same_conflicts(ending, tmp_path):
    table = rank(table_of([row for row in ROWS if row[2] is not None]))
    write_table([table], table.schema, tmp_path / f"losses{ending}")
    losses = LossesTable.open(tmp_path / f"losses{ending}")
    assert losses.top(9, Filters(conflicts=True))["text"].to_pylist() == ["other", "other", "same", "same"]
    assert losses.repeats().conflicts.different_texts == 2


def test_filters_choose_among_the_conflicts(refused):
    losses = LossesTable.of(table_of(ROWS))
    assert losses.top(9, Filters(given="x", conflicts=True))["id"].to_pylist() == [6, 0]
    assert losses.top(9, Filters(min_loss=0.5, conflicts=True))["id"].to_pylist() == [6, 0, 2]
    assert losses.top(1, Filters(given="X", conflicts=True))["id"].to_pylist() == [6]
    with refused("given 'W'", "X, Y, Z"):
        losses.top(9, Filters(given="W", conflicts=True))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a b", " a\t b\r\n", True),
        ("a\u00a0b", "a b", True),
        ("caf\u00e9", "cafe\u0301", True),
        ("a", "A", False),
        ("ab", "a b", False),
        ("ﬁ", "fi", False),
        ("a", "a.", False),
    ],
)
def test_white_space_and_composition_do_not_matter(one, other, same):
    losses = LossesTable.of(table_of([(one, "X", 1.0), (other, "Y", 2.0)]))
    assert len(losses.repeats().conflicts.places) == (2 if same else 0)


def test_characters_that_are_compared_as_they_are_never_fold():
    plain = {chr(c) for first, _, last in COMPARED_AS_IT_IS for c in range(ord(first), ord(last) + 1)}
    assert all(folded(f"a{c}a") == f"a{c}a" and folded(c) == c for c in plain)
    decompositions = [unicodedata.decomposition(chr(c)).split() for c in range(sys.maxunicode + 1)]
    composed = {chr(int(parts[1], 16)) for parts in decompositions if len(parts) == 2 and parts[0][0] != "<"}
    assert not composed & plain, "nothing that another character is composed with"


@given(st.lists(st.text(st.sampled_from(" a\u00e9e\u0301\t\u3000\uac00\u11a8\u1100\u1161"), max_size=6), max_size=20))
def test_texts_that_fold_to_the_same_are_the_same(texts):
    rows = [(text, "XY"[place % 2], 1.0) for place, text in enumerate(texts)]
    same = expected([(folded(text), label, loss) for text, label, loss in rows])
    assert LossesTable.of(table_of(rows)).repeats().conflicts.places.tolist() == sorted(same)


PAIRS = [("a", "b", "X"), ("a", "c", "Y"), ("b", "a", "Z"), ("a b", "", "X"), ("a", "b", "Z")]


@pytest.mark.parametrize("ending", ENDINGS)
def test_of_pairs_both_texts_are_the_same(ending, tmp_path):
    table = table_of([(first, label, 1.0) for first, _, label in PAIRS])
    table = table.rename_columns([*table.column_names[:-1], "premise"])
    table = table.append_column("hypothesis", pa.array([second for _, second, _ in PAIRS]))
    schema = Facts(text_column="premise", text_pair_column="hypothesis").stored_in(table.schema)
    write_table([table], schema, tmp_path / f"losses{ending}")
    losses = LossesTable.open(tmp_path / f"losses{ending}")
    assert losses.top(9, Filters(conflicts=True))["id"].to_pylist() == [0, 4]


@pytest.mark.parametrize("ending", ENDINGS)
def test_labels_of_a_row_are_a_set(ending, tmp_path):
    sets = [["a", "b"], ["b", "a"], ["a"], [], [], ["a", "b"], None]
    texts = ["order", "order", "more", "more", "none", "none", "none"]
    ours = {
        "id": range(7),
        "label_name": [None if names is None else ", ".join(names) for names in sets],
        "prediction_name": ["a"] * 7,
        "probability": [0.5] * 7,
        "loss": [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, None],
        "labels": sets,
        "predictions": [["a"]] * 7,
        "worst_label": ["a"] * 7,
        "text": texts,
    }
    schema = pa.schema([*MULTI_LABEL_SCHEMA, ("text", pa.string())])
    arrays = [pa.array(ours.get(field.name, [None] * 7), field.type) for field in schema]
    table = pa.table(arrays, schema=schema)
    write_table([table], table.schema, tmp_path / f"losses{ending}")
    losses = LossesTable.open(tmp_path / f"losses{ending}")
    assert losses.top(9, Filters(conflicts=True))["id"].to_pylist() == [4, 5, 2, 3]


def test_a_table_without_texts_is_refused(refused):
    losses = LossesTable.of(table_of(ROWS).drop_columns(["text"]))
    with refused("no column with texts", "conflicts"):
        losses.top(9, Filters(conflicts=True))
