"""Labels of a dataset and of a model: by name where both have names, never a silent permutation."""

import numpy as np
import pyarrow as pa
import pytest
from datasets import ClassLabel, Value
from hypothesis import given
from hypothesis import strategies as st

from lossaudit.engine.labels import align, is_unnamed, parse_label_map

MODEL = ("World", "Sports", "Business", "Sci/Tech")
UNNAMED = ("LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3")


def indices(values, model=MODEL, feature=None, label_map=None, kind=None):
    """What `align` makes of a column in two chunks."""
    half = len(values) // 2
    column = pa.chunked_array([values[:half], values[half:]], type=kind or pa.array(values).type)
    alignment = align(column, feature or Value("string"), model, label_map)
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
    with refused("'TOP-10'", "--label-map"):
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
    with refused("'World'", "'LABEL_0'", "--label-map"):
        indices([0], model=UNNAMED, feature=ClassLabel(names=["World", "Sports"]))


def test_names_do_not_go_to_a_model_without_names(refused):
    with refused("'World'", "'LABEL_0'", "--label-map World=LABEL_0"):
        indices(["World"], model=UNNAMED)


def test_a_class_label_of_unused_names_only_needs_the_used_ones():
    assert indices([1], feature=ClassLabel(names=["no such", "Sports"])) == [1]


def test_a_conflict_shows_both_lists_the_row_and_the_way_out(refused):
    with refused("'Politics' of row 2", "'World', 'Sports', 'Politics'", "'Business', 'Sci/Tech'", "--label-map"):
        indices(["World", "Sports", "Politics"])


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
def test_missing_labels_say_where_and_how_many(values, kind, feature, refused):
    with refused("row 1 has no label", "2 such rows"):
        indices(values, kind=kind, feature=feature)


def test_a_column_of_nothing_has_no_labels(refused):
    with refused("row 0 has no label"):
        indices([None, None], kind=pa.null())


@pytest.mark.parametrize("value", [4, -1])
def test_an_index_out_of_range_is_no_label(value, refused):
    with refused(f"'{value}' of row 1"):
        indices([0, value])


@pytest.mark.parametrize(
    ("values", "says"), [([0.5, 1.0], "whole numbers"), ([[0], [1]], "list"), ([{"a": 1}, {"a": 2}], "struct")]
)
def test_other_types_are_no_labels(values, says, refused):
    with refused(says):
        indices(values)


def test_the_values_are_the_indices_only_where_they_are():
    def identity(values, feature=None):
        return align(pa.chunked_array([values]), feature or Value("int64"), MODEL).identity

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
        column = pa.chunked_array([["World", "x"]])
        assert "1 by --label-map" in align(column, Value("string"), MODEL, {"x": "Sports"}).how

    def test_is_parsed_at_the_last_equals_sign(self):
        assert parse_label_map(("a=b=C", " x = y ")) == {"a=b": "C", "x": "y"}

    def test_without_an_equals_sign_is_refused(self, refused):
        with refused("'sport'", "GIVEN=MODEL"):
            parse_label_map(("sport",))

    def test_two_answers_for_one_label_are_refused(self, refused):
        with refused("'A'", "'B'", "'x'"):
            parse_label_map(("x=A", "x=B"))


def test_unnamed_models_are_known():
    assert is_unnamed(UNNAMED)
    assert is_unnamed(("0", "1"))
    assert not is_unnamed(("LABEL_1", "LABEL_0"))
    assert not is_unnamed(("1", "2"))


def test_indices_are_integers():
    column = pa.chunked_array([["World"]])
    assert align(column, Value("string"), MODEL).indices(column).dtype == np.int64
