"""Labels of multi-label rows in every form that datasets use, and what is refused."""

import itertools
import json

import datasets
import numpy as np
import pyarrow as pa
import pytest
from datasets import ClassLabel, Features, List, Value
from hypothesis import given
from hypothesis import strategies as st

from lossaudit.engine.labels.form import GivenFacts, LabelForm
from lossaudit.engine.labels.given import MISSING, NOT_IN_MODEL, Seen
from lossaudit.engine.labels.sets import find_sets
from lossaudit.engine.labels.survey import align_sets

MODEL = ("World", "Sports", "Business", "Sci/Tech")
NOTHING, GONE, UNKNOWN = [0] * 4, [MISSING] * 4, [NOT_IN_MODEL] * 4


def aligned(table, features=None, model=MODEL, asked=None, label_map=None, piece_rows=2):
    """What reads the labels of a table's rows, which are given in pieces."""
    dataset = datasets.Dataset(table)
    features = features or dataset.features
    starts = range(0, len(table), piece_rows)

    def pieces():
        return ((start, table.slice(start, piece_rows)) for start in starts)

    columns = find_sets(features, asked, model, label_map)
    return align_sets(columns, pieces, features, model, label_map)


def read(cells, kind=None, feature=None, **options):
    """The matrix of a column `labels`, and what read it."""
    table = pa.table({"labels": pa.chunked_array([cells], type=kind)})
    found = aligned(table, feature and Features({"labels": feature}), **options)
    return found.read(table).labels.tolist(), found


class TestLists:
    def test_of_names(self):
        matrix, found = read([["Sports", "World"], [], ["sci_tech"], None, ["Business", "Business"]])
        assert matrix == [[1, 1, 0, 0], NOTHING, [0, 0, 0, 1], GONE, [0, 0, 1, 0]]
        assert found.alignment.how == "by name, in lists"
        assert found.alignment.missing == Seen(1, 3)

    @pytest.mark.parametrize(
        "kind", [pa.list_(pa.int64()), pa.large_list(pa.uint8()), pa.list_(pa.float64()), pa.list_(pa.string())]
    )
    def test_of_class_indices(self, kind):
        cells = [[3, 0], [], [2], [1]]
        if pa.types.is_string(kind.value_type):
            cells = [[str(index) for index in cell] for cell in cells]
        matrix, found = read(cells, kind)
        assert matrix == [[1, 0, 0, 1], NOTHING, [0, 0, 1, 0], [0, 1, 0, 0]]
        assert found.alignment.how == "by index, since the labels are numbers, in lists"

    def test_of_class_labels_in_another_order_go_by_name(self):
        feature = List(ClassLabel(names=["Sports", "World", "Business", "Sci/Tech"]))
        matrix, _ = read([[0, 1], [0], [3]], pa.list_(pa.int64()), feature)
        assert matrix == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]

    def test_a_label_counts_once_a_row(self):
        _, found = read([["Sports", "Sports"], ["Politics", "Politics", "Sports"], ["World"]])
        assert found.alignment.not_in_model == {"Politics": Seen(1, 1)}

    @pytest.mark.parametrize("cell", [["Sports", None], ["Sports", ""]])
    def test_nothing_in_a_list_is_a_missing_label(self, cell):
        matrix, found = read([cell, ["World"]])
        assert matrix == [GONE, [1, 0, 0, 0]]
        assert found.alignment.missing == Seen(1, 0)

    def test_minus_one_among_indices_is_a_missing_label(self):
        assert read([[2, -1], [3], [-1]])[0] == [GONE, [0, 0, 0, 1], GONE]
        feature = List(ClassLabel(names=list(MODEL)))
        matrix, found = read([[2], [-1]], pa.list_(pa.int64()), feature)
        assert matrix == [[0, 0, 1, 0], GONE]
        assert found.alignment.missing == Seen(1, 1)

    def test_of_values_of_several_types(self):
        cells = pa.array(['["Sports", "World"]', '"Business"', "null", "[]", '["Sci/Tech", null]'], pa.json_())
        table = pa.table({"labels": cells})
        features = Features({"labels": datasets.Json()})
        found = aligned(table, features)
        assert found.read(table).labels.tolist() == [[1, 1, 0, 0], [0, 0, 1, 0], GONE, NOTHING, GONE]

    def test_of_bools_that_are_not_one_for_each_label_are_refused(self, refused):
        with refused("row 0 has 2 items", "4 labels"):
            read([[True, False], [False, True]])

    def test_numbers_that_are_no_whole_ones_are_refused_with_the_row(self, refused):
        with refused("2.5 in row 2"):
            read([[1.0, 2.0], [3.0], [2.5]])


class TestTexts:
    @pytest.mark.parametrize("separator", [",", ";", "|"])
    def test_the_separator_is_the_one_that_makes_labels_of_the_model(self, separator):
        cells = [separator.join(["Sports", "World"]), f"Sports{separator} Sci/Tech ", "", None, f"Business{separator}"]
        matrix, found = read(cells)
        assert matrix == [[1, 1, 0, 0], [0, 1, 0, 1], NOTHING, GONE, [0, 0, 1, 0]]
        assert found.separator == separator
        assert found.alignment.how == f"by name, in texts separated by {separator!r}"

    def test_of_class_indices(self):
        matrix, found = read(["0,3", "1", "2,3"])
        assert matrix == [[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 1]]
        assert found.alignment.how == "by index, since the labels are numbers, in texts separated by ','"

    def test_a_label_with_a_comma_is_one_where_another_separator_fits(self):
        matrix, _ = read(["b, c|a", "a"], model=("a", "b, c"))
        assert matrix == [[1, 1], [1, 0]]

    @pytest.mark.parametrize("names", [["Sports", "World"], [1, 0], ["1", "0"]])
    def test_of_lists_as_json_writes_them(self, names):
        cells = [json.dumps(names), "[]", f" {json.dumps(names[:1])}", None, "", json.dumps([names[1], None])]
        matrix, found = read(cells)
        assert matrix == [[1, 1, 0, 0], NOTHING, [0, 1, 0, 0], GONE, NOTHING, GONE]
        assert found.kind == "list"
        assert found.alignment.how.endswith(", in lists")
        facts = found.facts(Features({"labels": Value("string")}), {"labels": "labels"})
        assert facts.form.separator is None

    def test_a_bracket_that_begins_no_json_is_part_of_a_name(self):
        model = ("[a", "b]", "[c] d")
        assert read(["[a|b]", "[c] d", "[" * 100_000], model=model)[0] == [[1, 1, 0], [0, 0, 1], [-2, -2, -2]]

    def test_of_one_label_each(self):
        matrix, found = read(["Sports", "World", None])
        assert matrix == [[0, 1, 0, 0], [1, 0, 0, 0], GONE]
        assert (found.kind, found.separator) == ("single", None)
        assert found.alignment.how == "by name, one per row"

    def test_a_dictionary_is_a_text(self):
        assert read(pa.array(["Sports;World", "World"]).dictionary_encode())[0] == [[1, 1, 0, 0], [1, 0, 0, 0]]

    def test_a_label_map_is_of_single_labels(self):
        matrix, found = read(["ball;World", "ball"], label_map={"ball": "Sports"})
        assert matrix == [[1, 1, 0, 0], [0, 1, 0, 0]]
        assert found.separator == ";"

    def test_numbers_from_one_are_refused_with_the_way_out(self, refused):
        with refused("from 1 to 4", "label_map={'1': 'World', '2': 'Sports', '3': 'Business', '4': 'Sci/Tech'}"):
            read(["1,2", "3,4", "1,4"])

    def test_numbers_from_one_of_which_some_are_mapped_are_refused(self, refused):
        with refused("from 1 to 4", "label map says nothing of '2', '3', '4'"):
            read(["1,2", "3,4", "1,4"], label_map={"1": "World"})

    def test_many_different_sets_are_no_matter(self):
        subsets = [",".join(subset) for n in range(5) for subset in itertools.permutations(MODEL, n)]
        matrix, _ = read(subsets)
        assert [sum(row) for row in matrix] == [len(text.split(",")) if text else 0 for text in subsets]

    def test_too_many_values_are_no_labels(self, refused):
        with refused("over 100,000 different values", "label_column"):
            read([f"{n} {n % 7}" for n in range(100_100)], piece_rows=4096)


@pytest.mark.parametrize(
    ("cells", "feature"),
    [([1, 3, None, -1], None), ([1, 3, None, -1], ClassLabel(names=list(MODEL))), ([1.0, 3.0, None, None], None)],
)
def test_a_column_of_one_label_is_sets_of_one(cells, feature):
    matrix, found = read(cells, feature=feature)
    assert matrix == [[0, 1, 0, 0], [0, 0, 0, 1], GONE, GONE]
    assert found.kind == "single"
    assert found.alignment.how.endswith("one per row")


class TestIndicators:
    @pytest.mark.parametrize("kind", [pa.int64(), pa.float32(), pa.bool_()])
    def test_in_lists(self, kind):
        cells = [[1, 0, 0, 1], [0, 0, 0, 0], None, [0, 1, 0, 0]]
        cells = [cell and [bool(x) if pa.types.is_boolean(kind) else x for x in cell] for cell in cells]
        matrix, found = read(cells, pa.list_(kind))
        assert matrix == [[1, 0, 0, 1], NOTHING, GONE, [0, 1, 0, 0]]
        assert found.alignment.how == "by index, since each list has a 0 or 1 for each of the model's labels"
        assert found.alignment.missing == Seen(1, 2)

    def test_in_lists_with_nothing_for_a_label(self):
        assert read([[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, float("nan"), 0.0], [1.0, 1.0, 0.0, 0.0]])[0] == [
            GONE,
            GONE,
            [1, 1, 0, 0],
        ]

    def test_an_empty_list_among_them_is_missing_and_one_of_another_length_is_refused(self, refused):
        assert read([[1.0, 0.0, 0.0, 0.0], [], [0.0, 1.0, 0.0, 1.0]])[0] == [[1, 0, 0, 0], GONE, [0, 1, 0, 1]]
        with refused("row 3 has 3 items", "4 labels"):
            read([[1, 0, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0]])

    def test_lists_of_a_few_indices_are_indices(self):
        assert read([[0, 1], [0], [1], []])[0] == [[1, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], NOTHING]

    def test_lists_of_two_may_be_both(self):
        assert read([[0, 1], [1, 0]], model=("a", "b"))[0] == [[0, 1], [1, 0]]
        assert read([[0, 1], [0, 1]], model=("a", "b"))[0] == [[1, 1], [1, 1]]

    @pytest.mark.parametrize("kind", [pa.int8(), pa.float64(), pa.bool_()])
    def test_in_columns_of_the_labels_names(self, kind):
        yes = {"sports": [1, 0, None, 0], "World": [1, 0, 0, 0], "Business": [0, 0, 1, 1], "sci tech": [0, 0, 1, 0]}
        columns = {n: pa.array([v if v is None else bool(v) for v in c], pa.bool_()).cast(kind) for n, c in yes.items()}
        table = pa.table({"text": ["a", "b", "c", "d"], **columns})
        found = aligned(table)
        assert found.columns == ("World", "sports", "Business", "sci tech")
        assert found.read(table).labels.tolist() == [[1, 1, 0, 0], NOTHING, GONE, [0, 0, 1, 0]]
        assert found.alignment.how == "by name, each with a column of 0 and 1"
        assert found.alignment.classes == {"World": 0, "sports": 1, "Business": 2, "sci tech": 3}

    def test_a_label_map_names_columns(self, refused):
        table = pa.table({"tox": [1, 0], "b": [0, 1]})
        found = aligned(table, model=("a", "b"), label_map={"tox": "a"})
        assert found.read(table).labels.tolist() == [[1, 0], [0, 1]]
        assert found.alignment.how == "by name (1 by the label map), each with a column of 0 and 1"
        with refused("label_map names 'x'", "not a column of 0 and 1"):
            aligned(table, model=("tox", "b"), label_map={"x": "b"})
        with refused("label_map names 'x'", "order of the model's labels"):
            read([[1.0, 0.0, 0.0, 0.0]], label_map={"x": "World"})

    def test_of_two_columns_the_one_of_the_very_name_is_taken(self):
        table = pa.table({"a": [1, 0], "A": [0, 1], "b": [0, 1]})
        assert aligned(table, model=("a", "b")).columns == ("a", "b")
        assert aligned(table, model=("A", "b")).columns == ("A", "b")

    def test_minus_one_in_a_column_is_nobody_has_looked(self):
        table = pa.table({"a": [1, -1], "b": [0, -1]})
        assert aligned(table, model=("a", "b")).read(table).labels.tolist() == [[1, 0], [MISSING] * 2]

    def test_a_named_column_wins(self):
        table = pa.table({"a": [1, 0], "b": [0, 1], "tags": [["a"], ["b"]]})
        found = aligned(table, model=("a", "b"), asked="tags")
        assert found.column == "tags"

    def test_another_value_is_refused_with_column_and_row(self, refused):
        table = pa.table({"a": [1, 0, 0], "b": [0.0, 1.0, 0.5]})
        with refused("'b' holds 0.5 in row 2", "0 or 1", "label_column"):
            aligned(table, model=("a", "b"))

    def test_a_label_without_a_column_is_named(self, refused):
        table = pa.table({"text": ["x"], "World": [1], "Sports": [0], "Business": [1]})
        with refused("3 of the model's 4 labels", "'Sci/Tech' has none", "label_column"):
            aligned(table)

    def test_without_any_label_there_is_nothing_to_rank(self, refused):
        with refused("no row has a label"):
            read([[0.0] * 4, [0.0] * 4])


class TestUnknown:
    def test_rows_with_one_are_counted_and_keep_their_names(self):
        cells = [["Sports"], ["Politics", "Sports", "World", "Politics"], ["World"], ["Health"], [], ["World"]]
        matrix, found = read(cells)
        assert matrix == [[0, 1, 0, 0], UNKNOWN, [1, 0, 0, 0], UNKNOWN, NOTHING, [1, 0, 0, 0]]
        assert found.alignment.not_in_model == {"Politics": Seen(1, 1), "Health": Seen(1, 3)}
        table = pa.table({"labels": cells})
        assert found.read(table).unknown == {1: ["World", "Sports", "Politics"], 3: ["Health"]}

    def test_most_rows_with_some_are_refused_though_most_labels_are_known(self, refused):
        cells = [["Sports", "World", "other"], ["Sports", "World", "other"], ["World"]]
        with refused("'other' of row 0", "2 of 3 rows", "label_map={'other': 'World'}"):
            read(cells)

    def test_rows_without_labels_make_no_match(self, refused):
        with refused("'x' of row 5", "1 of 1 rows"):
            read([[], [], [], [], [], ["x"]])
        with refused("'x' of row 1", "2 of 3 rows"):
            read(["", "x", "", "x", "", "World", "", ""])

    def test_a_missing_cell_is_missing_whatever_else(self):
        matrix, _ = read([["Politics", None], ["World"]])
        assert matrix == [GONE, [1, 0, 0, 0]]

    @pytest.mark.parametrize("cells", [[[], []], ["", ""], [None, None], [[None], None]])
    def test_no_label_at_all_is_refused(self, cells, refused):
        with refused("no row has a label"):
            read(cells)

    def test_names_of_another_model_are_refused(self, refused):
        with refused("'x' of row 0", "'World'"):
            read([["x"], ["y", "z"]])

    def test_other_types_are_no_labels(self, refused):
        with refused("struct"):
            read([[{"a": 1}], [{"a": 2}]])


@given(
    st.lists(st.none() | st.lists(st.sampled_from([*MODEL, "politics"]), max_size=5), min_size=1, max_size=30),
    st.integers(1, 7),
)
def test_each_form_of_the_same_sets_gives_the_same_matrix(sets, piece_rows):
    known = [cell if cell is None else [name for name in cell if name in MODEL] for cell in sets]
    if not any(known):
        return
    expected = [GONE if cell is None else [int(name in cell) for name in MODEL] for cell in known]
    forms = [
        pa.array(known, pa.list_(pa.string())),
        pa.array([None if cell is None else ";".join(cell) for cell in known], pa.string()),
        pa.array(
            [None if cell is None else sorted({MODEL.index(n) for n in cell}) for cell in known], pa.list_(pa.int32())
        ),
        pa.array([None if cell is None else [float(n in cell) for n in MODEL] for cell in known]),
    ]
    for cells in forms:
        if any(len(cell or []) > 1 for cell in known) or not pa.types.is_string(cells.type):
            table = pa.table({"labels": cells})
            assert aligned(table, piece_rows=piece_rows).read(table).labels.tolist() == expected
    columns = zip(*[[None] * 4 if row == GONE else row for row in expected], strict=True)
    table = pa.table({name: pa.array(column, pa.int64()) for name, column in zip(MODEL, columns, strict=True)})
    assert aligned(table, piece_rows=piece_rows).read(table).labels.tolist() == expected


@given(st.lists(st.none() | st.lists(st.sampled_from([*MODEL, "x", "y"]), max_size=4), min_size=1, max_size=30))
def test_counting_in_pieces_is_counting_rows(sets):
    table = pa.table({"labels": pa.array([["World"], *[["World"]] * len(sets), *sets], pa.list_(pa.string()))})
    alignment = aligned(table, piece_rows=3).alignment
    cells = table["labels"].to_pylist()
    for name in ("x", "y"):
        rows = [row for row, cell in enumerate(cells) if cell and name in cell]
        assert alignment.not_in_model.get(name) == (Seen(len(rows), rows[0]) if rows else None)
    missing = [row for row, cell in enumerate(cells) if cell is None]
    assert alignment.missing == (Seen(len(missing), missing[0]) if missing else None)


class TestFacts:
    def facts(self, cells, kind=None, feature=None):
        found = read(cells, kind, feature)[1]
        features = Features({"labels": feature}) if feature else datasets.Dataset(pa.table({"labels": cells})).features
        return found.facts(features, {"labels": "source_labels"})

    def test_say_what_a_cell_holds_for_each_class(self):
        facts = self.facts([["sports"], ["WORLD", "sports"]])
        values = ("WORLD", "sports", None, None)
        assert facts.form == LabelForm("list", values=values)
        assert facts.column == "source_labels"
        assert facts.values is None

    def test_of_class_labels_and_indices_are_numbers(self):
        feature = List(ClassLabel(names=["Sports", "World", "x"]))
        values = self.facts([[0, 1]], pa.list_(pa.int64()), feature).form.values
        assert values == (1, 0, None, None)
        assert self.facts([[3], [0, 3]]).form.values == (0, 1, 2, 3)

    def test_of_texts_are_texts(self):
        form = self.facts(["0;2", "1"]).form
        assert form == LabelForm("separated", ";", ("0", "1", "2", "3"))

    def test_of_indicators_name_their_columns(self):
        table = pa.table({"b": [1, 0], "loss": [0, 1]})
        found = aligned(table, model=("loss", "b"))
        facts = found.facts({}, {"b": "b", "loss": "source_loss"})
        assert facts == GivenFacts(form=LabelForm("columns", columns=("source_loss", "b")))
        assert self.facts([[1.0, 0.0, 0.0, 0.0]]).form == LabelForm("indicators")


def test_matrices_are_small():
    table = pa.table({"labels": [["World"]]})
    assert aligned(table).read(table).labels.dtype == np.int8


def test_a_text_column_of_a_labels_name_is_no_indicator():
    features = {"World": Value("string"), "labels": List(Value("string"))}
    assert find_sets(features, None, ("World",)) == "labels"
