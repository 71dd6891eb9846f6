"""Texts that can be read: what shows nothing is no text, whatever it is made of."""

import unicodedata

import pyarrow as pa
import pytest

from lossaudit.engine.data.texts import read_texts, texts_of

INVISIBLE = {
    "zero width": [*map(chr, range(0x200B, 0x2010))],
    "line and paragraph": ["\u2028", "\u2029"],
    "directions": [*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A)), "\u061c"],
    "joiners and operators": [*map(chr, range(0x2060, 0x2065)), "\u034f"],
    "byte order mark": ["\ufeff", "\ufeff\ufeff \n"],
    "soft hyphen": ["\u00ad"],
    "variation selectors": ["\ufe0f", "\ufe00", "\U000e0100", "\u180b", "\u180f"],
    "Mongolian vowel separator": ["\u180e"],
    "Hangul fillers": ["\u3164", "\u115f", "\u1160", "\uffa0"],
    "Braille blank": ["\u2800"],
    "Khmer inherent vowels": ["\u17b4", "\u17b5"],
    "control characters": ["\x00", "\x07", "\x1b", "\x7f", "\x85", "\x9f"],
    "tags": ["\U000e0001", "\U000e0041"],
    "reserved to be invisible": ["\u2065", "\ufff0", "\U000e0080"],
    "spaces": ["", " ", "\t\r\n", "\u00a0", "\u3000", "\u2007", "\u1680"],
    "together": ["\u200b \ufeff\n\u00ad\x00\u3164", " \u2060 " * 1000],
}
VISIBLE = {
    "a character": ["a", "é", "中", "한", "\U0001d400", "!"],
    "among invisible ones": ["\ufeffa", "\u200b\u200b.", "\x00\x00x", "\u3164한", " \u00ad-"],
    "emoji": ["👩\u200d👩\u200d👧", "❤\ufe0f", "☺\ufe0e", "🏴\U000e0067\U000e0062\U000e007f", "\u200d👍"],
    "Arabic number signs, which are format characters": ["\u0600", "\u06dd", "\u070f", "\u08e2", "\U000110bd"],
    "a mark, a private character, and one that replaces another": ["\u0301", "\ue000", "\ufffd", "\ufffc"],
}


def column(*cells):
    return pa.chunked_array([list(cells)], pa.string())


@pytest.mark.parametrize("kind", INVISIBLE)
def test_a_text_that_shows_nothing_is_empty(kind):
    cells = INVISIBLE[kind]
    texts = read_texts(column("a", *cells))
    assert texts.values == ["a", *[None] * len(cells)]
    assert texts.empty == dict.fromkeys(range(1, len(cells) + 1))
    assert texts.bad == {}


@pytest.mark.parametrize("kind", VISIBLE)
def test_a_text_that_shows_anything_is_untouched(kind):
    cells = VISIBLE[kind]
    texts = read_texts(column(*cells))
    assert (texts.values, texts.empty, texts.bad) == (cells, {}, {})


def test_every_letter_digit_and_sign_is_seen():
    blank = {"\u115f", "\u1160", "\u3164", "\uffa0", "\u2800"}
    seen = [c for c in map(chr, range(0x30000)) if unicodedata.category(c)[0] in "LNPS" and c not in blank]
    assert read_texts(column(*seen)).empty == {}


def test_of_a_pair_the_half_that_is_empty_is_told():
    rows = pa.table({"premise": ["\ufeff", "a", "\u3164"], "hypothesis": ["b", "\u200b\u200b", "\x00"]})
    texts = texts_of(rows, ["premise", "hypothesis"])
    assert texts.values == [None, None, None]
    both = "no text in premise, no text in hypothesis"
    assert texts.empty == {0: "no text in premise", 1: "no text in hypothesis", 2: both}
