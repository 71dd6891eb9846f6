"""A dataset's own labels as classes: spellings of one name are one class, and words for nothing are none."""

import pyarrow as pa
import pytest
from datasets import ClassLabel, Value
from hypothesis import given
from hypothesis import strategies as st

from lossaudit.engine.labels.alignment import values_of_classes
from lossaudit.engine.labels.given import MISSING, Seen, given_labels
from lossaudit.engine.labels.spelling import own_classes

PANDAS = ["#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"]
PANDAS += ["<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"]


def own(values, feature=None, exact=False):
    return own_classes(given_labels([pa.chunked_array([values])], feature or Value("string")), exact)


def classes_of(values, **options):
    """The class of each row, by name; None where it has none."""
    found = own(values, **options)
    names = tuple(sorted(found.rows))
    indices = found.aligned(names).indices(pa.chunked_array([values])).tolist()
    return [None if index == MISSING else names[index] for index in indices]


def test_spellings_are_one_class_called_by_the_most_frequent():
    values = ["world", " World", "World", "WORLD", "World\u00a0", "Sci/Tech", "sci tech", "SciTech", "sci tech"]
    assert classes_of(values) == ["World"] * 5 + ["sci tech"] * 4
    found = own(values)
    assert found.rows == {"World": 5, "sci tech": 4}
    assert found.spellings == {
        "World": ("world", " World", "WORLD", "World\u00a0"),
        "sci tech": ("Sci/Tech", "SciTech"),
    }


@given(st.permutations(["b", "a", "B", " a", "A", "b ", "B"]))
def test_the_order_of_the_rows_does_not_matter(values):
    assert own(values).rows == {"B": 4, "a": 3}


def test_what_means_something_stays_apart():
    assert own(["C", "C++", "C#", "c", "A-", "A", "1", "1.0", "-1"]).rows == {
        "C": 2, "C++": 1, "C#": 1, "A-": 1, "A": 1, "1": 2, "-1": 1,
    }  # fmt: skip


def test_exact_labels_are_as_they_stand():
    values = ["world", "World", " World", "nan", None]
    assert own(values, exact=True).rows == {"world": 1, "World": 1, " World": 1, "nan": 1}
    assert classes_of(values, exact=True) == ["world", "World", " World", "nan", None]


@pytest.mark.parametrize("word", [*PANDAS, " nan", "N/A "])
def test_what_pandas_calls_missing_is_no_label(word):
    found = own(["a", word, "b", None, word])
    assert found.no_labels == {word: Seen(2, 1)}
    assert found.rows == {"a": 1, "b": 1}
    assert found.aligned(("a", "b")).missing == Seen(3, 1)
    assert classes_of(["a", word, "b", None, word]) == ["a", None, "b", None, None]


def test_pandas_reads_these_words_as_missing():
    parsers = pytest.importorskip("pandas._libs.parsers")
    assert {*PANDAS} == {*parsers.STR_NA_VALUES} - {""}


def test_none_and_no_are_labels():
    assert own(["none", "no", "na", "None"]).rows == {"none": 1, "no": 1, "na": 1}


def test_a_class_labels_names_are_folded_in_its_order():
    feature = ClassLabel(names=["z", "world", "None", "unused", "World"])
    found = own([4, 1, 4, 0, 2, -1], feature)
    assert found.rows == {"z": 1, "World": 3}
    alignment = found.aligned(("z", "World"))
    assert alignment.indices(pa.chunked_array([[4, 1, 4, 0, 2, -1]])).tolist() == [1, 1, 1, 0, MISSING, MISSING]
    assert values_of_classes(alignment, feature, ("z", "World")) == [0, 4]


def test_numbers_and_truths_are_their_own_classes():
    assert own([3, -1, 3]).rows == {"3": 2, "-1": 1}
    assert own([True, False, True]).rows == {"True": 2, "False": 1}
