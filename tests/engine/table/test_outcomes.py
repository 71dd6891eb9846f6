"""The outcome of each row, and what counts as a text."""

import numpy as np
import pyarrow as pa
import pytest

from lossaudit.engine.data.texts import read_texts, texts_of
from lossaudit.engine.table import outcomes
from lossaudit.engine.table.outcomes import Outcomes


def test_a_row_is_ok_until_something_is_said_of_it():
    said = Outcomes()
    said.say(outcomes.EMPTY_TEXT, np.array([2]))
    said.say(outcomes.FAILED, {0: "out of memory"})
    statuses, reasons = said.of_rows(4)
    assert statuses.to_pylist() == ["failed", "ok", "empty_text", "ok"]
    assert reasons.to_pylist() == ["out of memory", None, None, None]


def test_the_last_word_on_a_row_counts():
    said = Outcomes()
    said.say(outcomes.TRUNCATED, np.array([0, 1]))
    said.say(outcomes.MISSING_LABEL, np.array([1]))
    assert said.of_rows(2)[0].to_pylist() == ["truncated", "missing_label"]


def test_no_rows_have_no_statuses():
    statuses, reasons = Outcomes().of_rows(0)
    assert (len(statuses), statuses.type, reasons.type) == (0, pa.string(), pa.string())


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_blank_texts_and_none_are_empty(kind):
    cells = ["a", None, "", " \t\r\n", "\u3000\u2003\xa0", " b ", "a\x00", "\u200b"]
    texts = read_texts(pa.chunked_array([cells], type=kind))
    assert texts.values == ["a", None, None, None, None, " b ", "a\x00", None]
    assert list(texts.empty) == [1, 2, 3, 4, 7]
    assert texts.bad == {}


def test_values_that_are_no_texts_are_bad():
    cells = ['"a"', "5", "7.5", "null", "true", "[1]", '{"q": 1}', '""', '"\\u0041\\n"']
    texts = read_texts(pa.chunked_array([pa.array(cells, pa.json_())]))
    assert texts.values == ["a", *[None] * 7, "A\n"]
    assert list(texts.empty) == [3, 7]
    assert texts.bad == {
        1: "not a text but a number",
        2: "not a text but a number",
        4: "not a text but true or false",
        5: "not a text but a list",
        6: "not a text but an object",
    }


def test_bytes_that_are_not_utf_8_are_bad():
    cells = pa.array([b"ok", b"\xff", None, "é".encode(), b"half \xed\xa0\x80", b""], pa.binary())
    column = pa.StringArray.from_buffers(6, cells.buffers()[1], cells.buffers()[2], cells.buffers()[0])
    texts = read_texts(pa.chunked_array([column.slice(0, 3), column.slice(3)]))
    assert texts.values == ["ok", None, None, "é", None, None]
    assert texts.bad == {1: "not UTF-8", 4: "not UTF-8"}
    assert list(texts.empty) == [2, 5]


def test_a_pair_needs_both_texts():
    rows = pa.table({"a": ["x", None, "x", " ", "x"], "b": ["y", "y", "", None, "y"]})
    texts = texts_of(rows, ["a", "b"])
    assert texts.values == [("x", "y"), None, None, None, ("x", "y")]
    assert texts.empty == {1: "no text in a", 2: "no text in b", 3: "no text in a, no text in b"}
    assert texts.bad == {}
    assert texts_of(rows, ["a"]).empty == {1: None, 3: None}


def test_a_half_that_is_no_text_makes_the_pair_bad():
    cells = ['"x"', "5", "null", "7", '"x"']
    rows = pa.table(
        {"a": pa.array(cells, pa.json_()), "b": pa.array(["[1]", '"y"', "true", "null", '"y"'], pa.json_())}
    )
    texts = texts_of(rows, ["a", "b"])
    assert texts.values == [None, None, None, None, ("x", "y")]
    assert texts.bad == {
        0: "b: not a text but a list",
        1: "a: not a text but a number",
        2: "b: not a text but true or false",
        3: "a: not a text but a number",
    }
    assert texts.empty == {}
