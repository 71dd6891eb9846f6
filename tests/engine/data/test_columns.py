"""Which columns hold the text and the label."""

import pytest
from datasets import ClassLabel, Features, Json, List, Value

from lossaudit.engine.data.columns import PAIRS, find_label_column, find_text_column, find_text_pair_column

TEXT, NUMBER, CLASSES = Value("string"), Value("int64"), ClassLabel(names=["a", "b"])


def guess(features, text=None, label=None, pair=None):
    """The text and the label column of a dataset with these features."""
    features = Features(features)
    label_column = find_label_column(features, label)
    if pair is not None:
        find_text_pair_column(features, pair, label_column)
    return find_text_column(features, text, label_column, pair), label_column


def test_blanks_around_names_do_not_count():
    assert guess({" text ": TEXT, "label\xa0": NUMBER}, "text", "label") == (" text ", "label\xa0")
    assert guess({"text": TEXT, "text ": TEXT, "label": NUMBER}, "text") == ("text", "label")


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
        ({}, {"text": TEXT, "n": NUMBER}, "which column holds the label; name one with label_column: 'text', 'n'"),
        ({}, {"text": TEXT, "c": CLASSES, "d": CLASSES}, "which column holds the label"),
        (
            {},
            {"a": TEXT, "b": TEXT, "label": NUMBER},
            "which column holds the text; name one with text_column: 'a', 'b'",
        ),
        ({}, {"n": NUMBER, "label": TEXT}, "which column holds the text"),
        ({"text": "x"}, {"text": TEXT, "label": NUMBER}, "no column 'x'; name one with text_column: 'text', 'label'"),
        ({"label": "x"}, {"text": TEXT, "label": NUMBER}, "no column 'x'; name one with label_column: 'text', 'label'"),
        ({"text": "n"}, {"text": TEXT, "n": NUMBER, "label": NUMBER}, "holds int64, not text"),
        ({"text": "n"}, {"n": List(TEXT), "label": NUMBER}, "holds List, not text"),
        ({"text": "t", "label": "t"}, {"t": TEXT, "label": NUMBER}, "can't be both text and label"),
        (
            {"pair": "x"},
            {"text": TEXT, "label": NUMBER},
            "no column 'x'; name one with text_pair_column: 'text', 'label'",
        ),
        (
            {"pair": "n"},
            {"text": TEXT, "n": NUMBER, "label": NUMBER},
            "int64, not text; name another with text_pair_column",
        ),
        ({"pair": "t", "label": "t"}, {"t": TEXT, "label": NUMBER}, "can't be both text and label"),
        ({"text": "t", "pair": "t"}, {"t": TEXT, "label": NUMBER}, "can't be both texts of a pair"),
        ({"pair": "t"}, {"t": TEXT, "label": NUMBER}, "which column holds the text"),
        ({"pair": "c"}, {"a": TEXT, "b": TEXT, "c": TEXT, "label": NUMBER}, "which column holds the text"),
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


class TestPairs:
    @pytest.mark.parametrize("names", PAIRS)
    def test_one_half_is_never_taken_for_the_text(self, names, refused):
        features = {name.title(): TEXT for name in reversed(names)} | {"label": NUMBER, "id": TEXT}
        a, b = (name.title() for name in names)
        with refused(f"columns {a!r} and {b!r} look like pairs", f"text_column={a!r}, text_pair_column={b!r}"):
            guess(features)
        assert guess(features, text=a) == (a, "label")

    def test_a_third_column_is_the_text_where_it_is_called_so(self):
        features = {"question": TEXT, "answer": TEXT, "text": TEXT, "label": NUMBER}
        assert guess(features) == ("text", "label")

    def test_halves_that_hold_no_texts_are_none(self):
        assert guess({"question": TEXT, "answer": NUMBER, "label": NUMBER}) == ("question", "label")

    @pytest.mark.parametrize(
        ("features", "pair", "text"),
        [
            ({"premise": TEXT, "hypothesis": TEXT, "genre": TEXT, "label": NUMBER}, "hypothesis", "premise"),
            ({"Question": TEXT, "Sentence": TEXT, "label": NUMBER}, "Sentence", "Question"),
            ({"text": TEXT, "reply": TEXT, "label": NUMBER}, "reply", "text"),
            ({"a": TEXT, "b": TEXT, "label": NUMBER}, "b", "a"),
        ],
    )
    def test_the_first_texts_are_guessed_from_the_second(self, features, pair, text):
        assert guess(features, pair=pair) == (text, "label")
