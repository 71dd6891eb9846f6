"""Which column is the text and which the label."""

import pytest
from datasets import ClassLabel, Features, Json, List, Value

from lossaudit.engine.columns import find_label_column, find_text_column

TEXT, NUMBER, CLASSES = Value("string"), Value("int64"), ClassLabel(names=["a", "b"])


def guess(features, text=None, label=None):
    """The text and the label column of a dataset with these features."""
    features = Features(features)
    label_column = find_label_column(features, label)
    return find_text_column(features, text, label_column), label_column


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"text": TEXT, "label": NUMBER}, ("text", "label")),
        ({"label": NUMBER, "sentence": TEXT, "id": TEXT}, ("sentence", "label")),
        ({"Text": TEXT, "LABEL": TEXT}, ("Text", "LABEL")),
        ({"content": Value("large_string"), "category": TEXT}, ("content", "category")),
        ({"title": TEXT, "text": TEXT, "topic": TEXT}, ("text", "topic")),
        ({"anything": TEXT, "label": NUMBER}, ("anything", "label")),
        ({"anything": TEXT, "meta": Json(), "label": NUMBER}, ("anything", "label")),
        ({"text": Json(), "meta": Json(), "label": NUMBER}, ("text", "label")),
        ({"text": TEXT, "label": NUMBER, "coarse": CLASSES}, ("text", "label")),
        ({"text": TEXT, "label": NUMBER, "topic": CLASSES}, ("text", "topic")),
        ({"text": TEXT, "coarse_grained": CLASSES}, ("text", "coarse_grained")),
    ],
)
def test_usual_names_and_class_labels_are_found(features, expected):
    assert guess(features) == expected


def test_what_was_asked_for_is_taken():
    features = {"a": TEXT, "text": TEXT, "label": NUMBER, "b": NUMBER}
    assert guess(features, "a", "b") == ("a", "b")


@pytest.mark.parametrize(
    ("asked", "features", "says"),
    [
        ({}, {"text": TEXT, "n": NUMBER}, "which column holds the label; name one with --label-column: text, n"),
        ({}, {"text": TEXT, "c": CLASSES, "d": CLASSES}, "which column holds the label"),
        ({}, {"a": TEXT, "b": TEXT, "label": NUMBER}, "which column holds the text; name one with --text-column: a, b"),
        ({}, {"n": NUMBER, "label": TEXT}, "which column holds the text"),
        ({"text": "x"}, {"text": TEXT, "label": NUMBER}, "no column 'x'; name one with --text-column: text, label"),
        ({"label": "x"}, {"text": TEXT, "label": NUMBER}, "no column 'x'; name one with --label-column: text, label"),
        ({"text": "n"}, {"text": TEXT, "n": NUMBER, "label": NUMBER}, "holds int64, not text"),
        ({"text": "n"}, {"n": List(TEXT), "label": NUMBER}, "holds List, not text"),
        ({"text": "t", "label": "t"}, {"t": TEXT, "label": NUMBER}, "can't be text and label both"),
    ],
)
def test_what_cannot_be_told_is_an_error_that_lists_the_columns(asked, features, says, refused):
    with refused(says):
        guess(features, **asked)


def test_a_text_column_that_holds_nothing_is_the_text_column_all_the_same():
    features = {"text": Value("null"), "author": Value("string"), "label": Value("int64")}
    assert find_text_column(features, None, "label") == "text"
    assert find_text_column(features, "text", "label") == "text"
    assert find_text_column(features | {"sentence": Value("string")}, None, "label") == "sentence"
