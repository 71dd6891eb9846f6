"""A dataset's labels and a model's: matched by name if both have names, and never permuted silently."""

import itertools
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from datasets import ClassLabel, Value
from hypothesis import given
from hypothesis import strategies as st

from lossaudit.engine.labels.alignment import LabelAlignment, align, is_unnamed, values_of_classes
from lossaudit.engine.labels.given import MISSING, NOT_IN_MODEL, Seen, given_labels

MODEL = ("World", "Sports", "Business", "Sci/Tech")
UNNAMED = ("LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3")


def aligned(values, model=MODEL, feature=None, label_map=None, kind=None) -> tuple[LabelAlignment, pa.ChunkedArray]:
    """What `align` makes of a column that comes in two pieces, and the column."""
    half = len(values) // 2
    kind = kind or pa.array(values).type
    column = pa.chunked_array([values[:half], values[half:]], type=kind)
    pieces = [pa.chunked_array([chunk], type=kind) for chunk in column.chunks]
    return align(given_labels(pieces, feature or Value("string")), model, label_map), column


def indices(values, *arguments, **options):
    """The class index of each row."""
    alignment, column = aligned(values, *arguments, **options)
    return alignment.indices(column).tolist()


@given(st.permutations(range(4)))
def test_a_class_label_in_another_order_goes_by_name(order):
    feature = ClassLabel(names=[MODEL[index] for index in order])
    assert indices([0, 1, 2, 3], feature=feature) == list(order)


@given(st.lists(st.sampled_from(MODEL), min_size=1))
def test_names_in_any_order_go_by_name(names):
    assert indices(names) == [MODEL.index(name) for name in names]


@pytest.mark.parametrize(
    "spelling", ["Sci/Tech", "sci/tech", "SCI_TECH", "sci-tech", "Sci Tech", "scitech", " Sci/Tech "]
)
def test_case_and_separators_between_words_do_not_count(spelling):
    assert indices([spelling, "world"]) == [3, 0]


def test_unicode_names_may_be_composed_or_not():
    assert indices(["e\u0301conomie"], model=("sport", "\u00e9conomie")) == [1]


@pytest.mark.parametrize(
    ("name", "model"),
    [("C", ("C++", "C#")), ("1", ("-1", "+1")), ("A-", ("A", "B")), ("12", ("1-2", "3")), ("&", ("/", "x"))],
)
def test_signs_that_mean_something_count(name, model, refused):
    with refused(repr(name), "not in the model"):
        indices([name], model=model)


def test_names_that_differ_only_in_signs_stay_apart():
    assert indices(["c#", "c++", "C"], model=("C", "C++", "C#")) == [2, 1, 0]


def test_the_exact_spelling_wins_and_a_name_that_fits_two_labels_is_refused(refused):
    model = ("top 10", "Top_10")
    assert indices(["Top_10", "top 10"], model=model) == [1, 0]
    with refused("'TOP-10'", "label_map"):
        indices(["TOP-10"], model=model)


def test_a_name_that_the_model_has_twice_is_refused(refused):
    with refused("'spam'"):
        indices(["spam"], model=("spam", "ham", "spam"))


@pytest.mark.parametrize("model", [MODEL, UNNAMED])
@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([3, 0], pa.int64()),
        ([3, 0], pa.uint8()),
        ([3.0, 0.0], pa.float64()),
        ([Decimal(3), Decimal(0)], pa.decimal128(38, 0)),
        ([Decimal("3.00"), Decimal("0.00")], pa.decimal128(10, 2)),
        (["3", "0"], pa.string()),
        (["3", "0"], pa.large_string()),
        (["3", "0"], pa.dictionary(pa.int8(), pa.string())),
    ],
)
def test_numbers_go_by_index(values, kind, model):
    assert indices(values, model=model, kind=kind) == [3, 0]


def test_numbers_that_are_the_models_names_go_by_name():
    stars = ("1", "2", "3", "4", "5")
    assert indices([1, 3], model=stars) == [0, 2]
    assert indices(["1", "3"], model=stars) == [0, 2]
    assert indices([1, -1], model=("-1", "0", "1")) == [2, 0]


@pytest.mark.parametrize(
    ("model", "expected"),
    [(("True", "False"), [0, 1]), (("false", "true"), [1, 0]), (("ham", "spam"), [1, 0]), (("0", "1"), [1, 0])],
)
def test_booleans_go_by_name_where_the_model_has_them_and_else_by_index(model, expected):
    assert indices([True, False], model=model) == expected


def test_label_n_names_go_by_name():
    assert indices(["LABEL_2", "label_0"], model=UNNAMED) == [2, 0]


@pytest.mark.parametrize("model", [UNNAMED, ("0", "1", "2", "3")])
def test_a_class_label_goes_by_index_to_a_model_without_names(model):
    assert indices([2, 0], model=model, feature=ClassLabel(names=list(MODEL))) == [2, 0]


def test_a_class_label_of_another_size_does_not_go_by_index(refused):
    with refused("'World'", "'LABEL_0'", "label_map"):
        indices([0], model=UNNAMED, feature=ClassLabel(names=["World", "Sports"]))


def test_names_do_not_go_to_a_model_without_names(refused):
    with refused("'World'", "'LABEL_0'", "label_map={'World': 'LABEL_0'}"):
        indices(["World"], model=UNNAMED)


def test_a_class_label_of_unused_names_only_needs_the_used_ones():
    assert indices([1], feature=ClassLabel(names=["no such", "Sports"])) == [1]


def test_a_conflict_of_most_rows_shows_both_lists_the_row_and_the_way_out(refused):
    with refused(
        "'Politics' of row 2",
        "3 of 5 rows",
        "'World', 'Sports', 'Politics', 'Health'",
        "'Business', 'Sci/Tech'",
        "label_map={'Politics': 'World'}",
    ):
        indices(["World", "Sports", "Politics", "Politics", "Health"])


def test_labels_that_the_model_has_not_are_counted_where_they_are_fewer():
    values = ["World", "Politics", "Sports", "Health", "World", "Politics"]
    alignment, column = aligned(values)
    assert alignment.indices(column).tolist() == [0, NOT_IN_MODEL, 1, NOT_IN_MODEL, 0, NOT_IN_MODEL]
    assert alignment.not_in_model == {"Politics": Seen(2, 1), "Health": Seen(1, 3)}
    assert alignment.names_of(column) == values


def test_long_lists_and_long_names_are_cut(refused):
    with refused("and 88 more", "…"):
        indices([f"{number} " + "x" * 500 for number in range(100)])


def test_names_with_line_breaks_stay_on_the_one_line(refused):
    with refused(r"a\nb"):
        indices(["a\nb"])


@pytest.mark.parametrize(
    ("values", "kind", "feature"),
    [
        (["World", None, "Sports", None], pa.string(), None),
        ([0, None, 1, None], pa.int64(), None),
        ([0.0, None, 1.0, float("nan")], pa.float64(), None),
        ([0, -1, 1, -1], pa.int64(), ClassLabel(names=list(MODEL))),
        ([0, -1, 1, None], pa.int64(), ClassLabel(names=list(MODEL))),
    ],
)
def test_missing_labels_are_counted(values, kind, feature):
    alignment, column = aligned(values, kind=kind, feature=feature)
    assert alignment.indices(column).tolist() == [0, MISSING, 1, MISSING]
    assert alignment.missing == Seen(2, 1)
    assert alignment.not_in_model == {}


@pytest.mark.parametrize("values", [[2, -1, 0, -1, 3], [2, None, 0, -1, 3], [2.0, -1.0, 0.0, float("nan"), 3.0]])
def test_minus_one_is_a_missing_label_among_indices(values):
    alignment, column = aligned(values)
    assert alignment.indices(column).tolist() == [2, MISSING, 0, MISSING, 3]
    assert alignment.missing == Seen(2, 1)


def test_minus_one_is_a_label_where_the_model_has_it():
    alignment, column = aligned([1, -1, 0], model=("-1", "0", "1"))
    assert alignment.indices(column).tolist() == [2, 0, 1]
    assert alignment.missing is None


def test_minus_one_is_a_label_where_it_is_mapped():
    alignment, column = aligned([0, -1, 2, -1], label_map={"-1": "Sci/Tech"})
    assert alignment.indices(column).tolist() == [0, 3, 2, 3]
    assert alignment.missing is None


@pytest.mark.parametrize("kind", [pa.null(), pa.string(), pa.int64(), pa.float64(), pa.bool_()])
def test_a_column_of_nothing_has_no_labels(kind, refused):
    with refused("no row has a label", "row 0"):
        indices([None, None], kind=kind)


def test_a_column_of_unlabelled_rows_has_no_labels(refused):
    with refused("no row has a label", "row 0"):
        indices([-1, -1], feature=ClassLabel(names=list(MODEL)))
    with refused("no row has a label", "row 0"):
        indices([-1, -1])


@pytest.mark.parametrize("value", [4, 99, -2, -(2**63), 2**63 - 1])
def test_an_index_out_of_range_is_not_in_the_model(value):
    alignment, column = aligned([0, value])
    assert alignment.indices(column).tolist() == [0, NOT_IN_MODEL]
    assert alignment.not_in_model == {str(value): Seen(1, 1)}


def test_values_of_several_types_are_what_they_read():
    cells = ['"World"', "1", "null", "true", '"Sports"', "[]", '"World"', '"world"']
    column = pa.chunked_array([pa.array(cells, pa.json_())])
    alignment = align(given_labels([column], Value("string")), MODEL)
    assert alignment.indices(column).tolist() == [0, NOT_IN_MODEL, MISSING, NOT_IN_MODEL, 1, NOT_IN_MODEL, 0, 0]
    assert list(alignment.not_in_model) == ["1", "True", "[]"]


def test_whole_numbers_are_the_same_however_they_are_written():
    column = pa.chunked_array([pa.array(["1", '"1"', "1.0", "0", "null", '"3"'], pa.json_())])
    alignment = align(given_labels([column], Value("string")), MODEL)
    assert alignment.indices(column).tolist() == [1, 1, 1, 0, MISSING, 3]


@pytest.mark.parametrize("model", [MODEL, UNNAMED])
def test_a_few_words_among_numbers_are_not_in_the_model(model):
    alignment, column = aligned(["1", "?", "0", "unknown", "3", "2", "2"], model=model)
    assert alignment.how == "by index, since most labels are numbers"
    assert alignment.indices(column).tolist() == [1, NOT_IN_MODEL, 0, NOT_IN_MODEL, 3, 2, 2]


def test_a_few_numbers_among_words_are_not_in_the_model():
    assert indices(["World", "1", "Sports"]) == [0, NOT_IN_MODEL, 1]


def test_numbers_from_1_are_refused_with_a_few_words_among_them(refused):
    with refused("from 1 to 4"):
        indices(["1", "?", "2", "4", "3"])


def test_bytes_that_are_no_text_are_no_label():
    good = pa.array([b"World", b"\xff\xfe", b"Sports"], pa.binary())
    column = pa.chunked_array([pa.StringArray.from_buffers(3, good.buffers()[1], good.buffers()[2])])
    alignment = align(given_labels([column], Value("string")), MODEL)
    assert alignment.indices(column).tolist() == [0, NOT_IN_MODEL, 1]
    assert alignment.names_of(column) == ["World", "\ufffd\ufffd", "Sports"]


def test_too_many_values_are_no_labels(refused):
    with refused("over 100,000 different values", "label_column"):
        given_labels((pa.chunked_array([[f"{n} {m}" for m in range(500)]]) for n in range(201)), Value("string"))


@given(
    values=st.lists(st.sampled_from([*MODEL, "world", "Politics", None]), min_size=1, max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=6),
)
def test_counting_in_pieces_is_counting_at_once(values, cuts):
    column = pa.chunked_array([values], type=pa.string())
    edges = sorted({0, len(values), *(min(cut, len(values)) for cut in cuts)})
    pieces = [column.slice(start, stop - start) for start, stop in itertools.pairwise(edges)]
    found = given_labels(pieces, Value("string"))
    assert found.missing == seen(values, None)
    assert found.labels == {value: seen(values, value) for value in dict.fromkeys(values) if value is not None}
    assert list(found.labels) == list(dict.fromkeys(value for value in values if value is not None))


def seen(values, wanted):
    rows = [row for row, value in enumerate(values) if value == wanted]
    return Seen(len(rows), rows[0]) if rows else None


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([0.0, 1.0, 0.5, 1.0], "0.5 in row 2"),
        ([0.0, float("inf")], "inf in row 1"),
        ([Decimal(0), Decimal("0.5")], "0.5 in row 1"),
        ([0.0, 1e300], "1e+300 in row 1"),
        ([[0], [0, 1]], "list"),
        ([{"a": 1}, {"a": 2}], "struct"),
    ],
)
def test_other_types_are_no_labels(values, says, refused):
    with refused(says):
        indices(values)


def test_the_values_are_the_indices_only_where_they_are():
    def identity(values, feature=None):
        return aligned(values, feature=feature)[0].identity

    assert identity([0, 3])
    assert identity([0, 1], ClassLabel(names=["World", "Sports"]))
    assert not identity([0, 1], ClassLabel(names=["Sports", "World"]))
    assert not identity(["World"])


class TestLabelMap:
    def test_maps_names_to_names_and_leaves_the_rest(self):
        assert indices(["World", "science"], label_map={"science": "sci tech"}) == [0, 3]

    def test_maps_to_an_index(self):
        assert indices(["a", "b"], model=UNNAMED, label_map={"a": "1", "b": "0"}) == [1, 0]

    def test_maps_numbers(self):
        one_based = {"1": "World", "2": "Sports", "3": "Business", "4": "Sci/Tech"}
        assert indices([1, 4], label_map={key: name for key, name in one_based.items() if key in "14"}) == [0, 3]

    def test_a_class_labels_name_wins_over_its_number(self):
        feature = ClassLabel(names=["1", "0"])
        assert indices([0, 1], feature=feature, label_map={"1": "World", "0": "Sports"}) == [0, 1]

    def test_a_model_label_that_is_a_number_is_a_name_first(self):
        assert indices(["x", "2"], model=("2", "1"), label_map={"x": "1"}) == [1, 0]

    def test_overrides_what_the_names_say(self):
        assert indices(["World", "Sports"], label_map={"World": "Sports"}) == [1, 1]

    @pytest.mark.parametrize(
        ("label_map", "says"),
        [({"nowhere": "World"}, "isn't a label of the dataset"), ({"a": "nowhere"}, "isn't a label of the model")],
    )
    def test_an_unknown_side_is_refused(self, label_map, says, refused):
        with refused("'nowhere'", says):
            indices(["a"], label_map=label_map)

    def test_how_says_so(self):
        assert "1 by the label map" in aligned(["World", "x"], label_map={"x": "Sports"})[0].how


def test_unnamed_models_are_known():
    assert is_unnamed(UNNAMED)
    assert is_unnamed(("0", "1"))
    assert not is_unnamed(("LABEL_1", "LABEL_0"))
    assert not is_unnamed(("1", "2"))


def test_indices_are_integers():
    alignment, column = aligned(["World", None, "Politics"])
    assert alignment.indices(column).dtype == np.int64


@pytest.mark.parametrize(
    ("values", "feature", "model", "expected"),
    [
        ([2, 0], None, MODEL, [0, 1, 2, 3]),
        ([1, 0], ClassLabel(names=["Sports", "World", "x"]), MODEL, [1, 0, None, None]),
        (["Sports", "world"], None, MODEL, ["world", "Sports", None, None]),
        (["world", "World"], None, MODEL, ["world", None, None, None]),
        ([True, False], Value("bool"), ("ham", "spam"), [False, True]),
    ],
)
def test_the_values_of_classes_are_what_the_column_holds(values, feature, model, expected):
    alignment, _ = aligned(values, model=model, feature=feature)
    assert values_of_classes(alignment, feature or Value("string"), model) == expected
