"""Labels that are numbers: by index only where they are the model's own, and never a part of another numbering."""

import pyarrow as pa
import pytest
from datasets import ClassLabel, Value

from lossaudit.engine.errors import LossAuditError, Option
from lossaudit.engine.labels.alignment import LabelAlignment, align, parse_label_map, values_of_classes
from lossaudit.engine.labels.given import MISSING, NOT_IN_MODEL, Seen, given_labels

MODEL = ("World", "Sports", "Business", "Sci/Tech")
TWELVE = tuple(f"LABEL_{n}" for n in range(12))
BY_LETTERS = [str(n) for n in (0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9)]
"""What `class_encode_column` makes of the numbers 0 to 11."""


def aligned(values, model=MODEL, feature=None, label_map=None) -> tuple[LabelAlignment, pa.ChunkedArray]:
    column = pa.chunked_array([values])
    return align(given_labels([column], feature or Value("string")), model, label_map), column


def indices(values, *arguments, **options):
    """The class index of each row."""
    alignment, column = aligned(values, *arguments, **options)
    return alignment.indices(column).tolist()


@pytest.mark.parametrize(
    ("values", "model", "says"),
    [
        ([1, 2, 3, 4], MODEL, "from 1 to 4"),
        ([4, 1], MODEL, "from 1 to 4"),
        (["1", "4"], MODEL, "from 1 to 4"),
        ([1.0, 4.0, 2.0, None], MODEL, "from 1 to 4"),
        ([-1, 0, 1, 2], MODEL, "from -1 to 2"),
        ([1, -1], ("neg", "pos"), "from -1 to 1"),
        ([-1, 0, 1], ("neg", "neutral", "pos"), "from -1 to 1"),
    ],
)
def test_numbers_that_do_not_begin_at_0_are_refused_with_the_way_out(values, model, says, refused):
    with refused(says, "numbered from 0", repr(model[0]), f"label_map={{{says.split()[1]!r}: {model[0]!r}, "):
        indices(values, model=model)


def test_numbers_that_do_not_begin_at_0_may_be_mapped():
    label_map = {"1": "World", "2": "Sports", "3": "Business", "4": "Sci/Tech"}
    assert indices([1, 2, 3, 4], label_map=label_map) == [0, 1, 2, 3]
    assert indices([-1, 1], model=("neg", "pos"), label_map={"-1": "neg", "1": "pos"}) == [0, 1]


@pytest.mark.parametrize(
    ("values", "model", "says"),
    [
        (["1", "2.0", "3", "4.0"], MODEL, "from 1 to 4"),
        ([2, 3, 4], MODEL, "from 2 to 4"),
        ([1, 2, 3, 4, 5], MODEL, "from 1 to 4"),
        ([-1, 1, 2, 3, 4], MODEL, "from 1 to 4"),
        ([2, 3, 4, 5], MODEL, "from 2 to 5"),
        ([-2, -1, 0, 1, 2], ("a", "b", "c", "d", "e"), "from -2 to 2"),
        ([-2, -1, 0, 1, 2], MODEL, "from -2 to 2"),
        ([-1, 1], MODEL, "from -1 to 1"),
    ],
)
def test_other_numberings_are_refused_too(values, model, says, refused):
    with refused(says, "label_map"):
        indices(values, model=model)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3, 4], [0, 1, 2, 3]),
        ([4, 1], [3, 0]),
        ([3, 4], [2, 3]),
        (["1.0", "2.0", "4.0"], [0, 1, 3]),
        ([-1, 0, 1, 2], [0, 1, 2, 3]),
        ([2, 3, 4, 5], [0, 1, 2, 3]),
    ],
)
def test_the_advised_map_maps_them_all(values, expected):
    with pytest.raises(LossAuditError) as caught:
        indices(values)
    advised = next(part.value for part in caught.value.parts if isinstance(part, Option))
    assert indices(values, label_map=advised) == expected


@pytest.mark.parametrize(
    ("values", "label_map", "left"),
    [
        ([1, 2, 3, 4], {"1": "World"}, "'2', '3', '4'"),
        ([1, 2, 3, 4], {"1": "World", "4": "Sci/Tech"}, "'2', '3'"),
        (["1", "2", "3", "4", "?"], {"1": "World"}, "'2', '3', '4'"),
        ([-1, 0, 1, 2], {"-1": "World"}, "'0', '1', '2'"),
        ([-1, 1], {"1": "World"}, "'-1'"),
        ([1, 2, 3], {"1": "World"}, "'2', '3'"),  # though by themselves they may be indices
        ([0, 1, 2, 3], {"0": "Sports", "1": "World"}, "'2', '3'"),
        ([-1, 0, 1], {"-1": "World"}, "'0', '1'"),
    ],
)
def test_a_map_of_some_of_them_names_those_left(values, label_map, left, refused):
    with refused(left, "label_map"):
        indices(values, label_map=label_map)


def test_a_map_that_agrees_with_the_indices_leaves_the_rest_to_them():
    assert indices([0, 1, 2, 99], label_map={"0": "World", "99": "Sci/Tech"}) == [0, 1, 2, 3]


def test_what_is_beyond_another_numbering_need_not_be_mapped():
    label_map = {str(number): name for number, name in enumerate(MODEL, start=1)}
    assert indices([1, 2, 3, 4, 5, -1], label_map=label_map) == [0, 1, 2, 3, NOT_IN_MODEL, MISSING]


@pytest.mark.parametrize("values", [[0, 1, -1, 3], ["0", "1", "-1", "3"], ["0.0", "1.0", "-1.0", "3.0"]])
def test_that_minus_one_is_a_missing_label_is_said(values):
    alignment, column = aligned(values)
    assert alignment.indices(column).tolist() == [0, 1, MISSING, 3]
    assert alignment.how == "by index, since the labels are numbers, and -1 stands for a missing label"
    assert alignment.missing == Seen(1, 2)


class TestTruths:
    @pytest.mark.parametrize("values", [[True, False], ["True", "False"], ["true", "FALSE"], [True, True]])
    def test_go_by_index_to_two_labels_alone(self, values, refused):
        assert indices(values, model=("ham", "spam")) == [1, int(values[1] is True)]
        for model in (MODEL, ("a", "b", "c"), tuple(f"LABEL_{n}" for n in range(4))):
            with refused("false and true", f"the model has {len(model)} labels", "label_map"):
                indices(values, model=model)

    @pytest.mark.parametrize(("model", "second"), [(MODEL, "Sports"), (("ham", "spam"), "ham")])
    def test_are_mapped_both_or_not_at_all(self, model, second, refused):
        with refused("'True'", "label_map"):
            indices([True, False], model=model, label_map={"False": model[1]})
        assert indices([True, False], model=model, label_map={"False": model[1], "True": second}) == [
            model.index(second),
            1,
        ]

    def test_among_numbers_are_no_numbers(self):
        assert indices(["1", "true", "0", "2"]) == [1, NOT_IN_MODEL, 0, 2]


class TestNumbersAsNames:
    """A number means the same in a ClassLabel, whatever its order, as in a plain column."""

    @pytest.mark.parametrize("model", [TWELVE, tuple(str(n) for n in range(12)), tuple("abcdefghijkl")])
    def test_of_a_class_label_go_by_their_names(self, model):
        feature = ClassLabel(names=BY_LETTERS)
        alignment, column = aligned(list(range(12)), model=model, feature=feature)
        assert alignment.indices(column).tolist() == [int(name) for name in BY_LETTERS]
        assert alignment.how == "by index, since the class names are numbers"
        assert not alignment.identity
        values = values_of_classes(aligned([2], model=model, feature=feature)[0], feature, model)
        assert [BY_LETTERS[value] for value in values] == [str(n) for n in range(12)]

    @pytest.mark.parametrize("values", [[2, 10], ["2", "10"], ["2.0", "10.0"]])
    def test_of_the_model_are_its_labels_whatever_their_order(self, values):
        assert indices(values, model=tuple(BY_LETTERS)) == [4, 2]
        assert indices(values, model=tuple(f"LABEL_{name}" for name in BY_LETTERS)) == [4, 2]

    def test_from_one_are_refused_as_in_a_plain_column(self, refused):
        feature = ClassLabel(names=["1", "2", "3", "4"])
        with refused("from 1 to 4", "label_map={'1': 'World', '2': 'Sports'}"):
            indices([0, 1], feature=feature)
        assert indices([0, 1], feature=feature, label_map={"1": "World", "2": "Sports"}) == [0, 1]
        assert indices([0, 3], feature=feature, model=("LABEL_4", "LABEL_3", "LABEL_2", "LABEL_1")) == [3, 0]

    def test_minus_one_as_a_class_is_no_missing_label(self, refused):
        with refused("from -1 to 1"):
            indices([0, 1, 2], feature=ClassLabel(names=["-1", "0", "1"]), model=("a", "b", "c"))

    def test_words_of_a_class_label_keep_their_order_for_a_model_without_names(self):
        model = TWELVE[:4]
        feature = ClassLabel(names=list(MODEL))
        alignment, column = aligned([2, 0], model=model, feature=feature)
        assert alignment.indices(column).tolist() == [2, 0]
        assert values_of_classes(alignment, feature, model) == [0, 1, 2, 3]


class TestMap:
    @pytest.mark.parametrize("name", [" x", "x ", '"World', ' "World" ', "it's", "a\n", "\u00a0x", " "])
    def test_names_every_label_that_an_error_shows(self, name):
        assert indices([name, "Sports"], label_map=parse_label_map((f"{name}=World",))) == [0, 1]
        assert indices([name, "Sports"], label_map={name: "World"}) == [0, 1]

    def test_means_all_spellings_unless_one_is_named_itself(self):
        assert indices(["sport", " sport", "sport "], label_map={"sport": "Sports"}) == [1, 1, 1]
        assert indices(["sport", " sport"], label_map={"sport": "Sports", " sport": "World"}) == [1, 0]
        assert indices(["SPORT NEWS", "sport_news"], label_map={"Sport News": "Sports"}) == [1, 1]
        assert indices(["7.0", "Sports"], label_map={"7": "World"}) == [0, 1]
