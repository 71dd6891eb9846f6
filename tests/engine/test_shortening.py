"""Shortening long texts to a few characters."""

import pytest

from lossaudit.engine.shortening import shortened


@pytest.mark.parametrize(
    ("text", "most", "keep", "expected"),
    [
        ("abc", 3, "start", "abc"),
        ("", 3, "end", ""),
        ("abcdef", 4, "start", "abc…"),
        ("ab cdef", 4, "start", "ab…"),
        ("/very/long/way/to/reviews.csv", 12, "end", "…reviews.csv"),
        ("sports_football", 7, "both", "spo…all"),
        ("sports_football", 8, "both", "spo…ball"),
    ],
)
def test_a_text_is_cut_where_it_tells_least(text, most, keep, expected):
    assert shortened(text, most, keep) == expected
