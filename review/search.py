"""Finds records by words, as people expect a search to: in any order, without regard to case and accents.

A word may stand in any of a record's texts or other columns, or be its row's number. Words in double quotes are found
as one phrase.
"""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_TERM = re.compile(r'"([^"]+)"|(\S+)')
_LIKE = {"ß": "ss", "ı": "i", "ł": "l", "ø": "o", "đ": "d", "æ": "ae", "œ": "oe"}
"""Letters that people type without their marks, but that Unicode doesn't decompose."""


class Search:
    """Columns to search, folded when the first search needs them."""

    def __init__(self, ids: pa.ChunkedArray, columns: Sequence[pa.ChunkedArray]) -> None:
        """ids: (n,) numbers of rows. columns: (n,) of scalars of any types."""
        self._ids = ids
        self._columns = columns
        self._folded: list[pa.ChunkedArray] | None = None

    def found(self, query: str) -> npt.NDArray[np.bool_]:
        """(n,) whether a record has every word of the query."""
        if self._folded is None:
            self._folded = [folded(column.cast(pa.large_string())) for column in self._columns]
        passes = np.ones(len(self._ids), dtype=bool)
        for term in terms_of(query):
            found = _numbered(self._ids, term)
            for column in self._folded:
                found |= pc.fill_null(pc.match_substring(column, term), False).to_numpy()
            passes &= found
        return passes


def terms_of(query: str) -> list[str]:
    """The folded words and quoted phrases of a query."""
    found = [phrase or word for phrase, word in _TERM.findall(query)]
    return folded(pa.chunked_array([found], pa.large_string())).to_pylist() if found else []


def folded(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts without case and accents."""
    texts = pc.replace_substring_regex(pc.utf8_normalize(texts, "NFKD"), r"\p{Mn}", "")
    texts = pc.utf8_lower(texts)
    for letter, plain in _LIKE.items():
        texts = pc.replace_substring(texts, letter, plain)
    return texts


def _numbered(ids: pa.ChunkedArray, term: str) -> npt.NDArray[np.bool_]:
    row = int(term) if term.isascii() and term.isdigit() and len(term) < 19 else -1
    return np.asarray(ids.to_numpy() == row)
