"""Which records the page shows, and in which order: a query and the records' columns come in, ranks go out.

Columns are arrays, so that a filter over 100,000 records takes milliseconds.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lossaudit.engine.errors import LossAuditError
from lossaudit.review.records import Records
from lossaudit.review.store import VERDICTS

UNDECIDED = 0
"""The code of a record without a decision; a verdict's code is its place in VERDICTS plus one."""
STATUSES = ("all", "undecided", "decided", *VERDICTS)
SORTS = ("loss", "pair", "probability", "id", "length")
"""Highest loss first; the most frequent pair of given and predicted label first; surest prediction first; the
dataset's order; shortest text first. Ties always by rank."""
Codes = npt.NDArray[np.int8]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Query:
    """Which records, in which order; a record must pass all filters that are given."""

    given: str | None = None
    predicted: str | None = None
    status: str = "all"
    """One of STATUSES."""
    text: str = ""
    """A part of the text, in any case."""
    sort: str = "loss"
    """One of SORTS."""

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise LossAuditError(f"there is no status {self.status!r}; there are {', '.join(STATUSES)}")
        if self.sort not in SORTS:
            raise LossAuditError(f"can't sort by {self.sort!r}; there are {', '.join(SORTS)}")


class LabelColumn:
    """A column of label names: the different ones, and each record's place among them."""

    def __init__(self, names: pa.ChunkedArray) -> None:
        encoded = pc.dictionary_encode(names).combine_chunks()
        self.names: list[str] = encoded.dictionary.to_pylist()
        self.codes: Places = encoded.indices.to_numpy().astype(np.int64)

    def at(self, place: int) -> str:
        return self.names[int(self.codes[place])]

    def code(self, name: str) -> int:
        """A name's code, -1 for a name that no record has."""
        return self.names.index(name) if name in self.names else -1

    def counts(self) -> list[tuple[str, int]]:
        """How many records have each name, the most frequent first."""
        return [(self.names[code], count) for code, count in Counter(self.codes.tolist()).most_common()]


class Columns:
    """The n records as columns that queries look at; at least one record."""

    def __init__(self, records: Records) -> None:
        table = records.table
        self.ids: Places = table["id"].to_numpy()
        self.given = LabelColumn(table["label_name"])
        self.predicted = LabelColumn(table["prediction_name"])
        self._probability = table["probability"].to_numpy()
        self._texts: pa.ChunkedArray = table[records.text_column]
        pairs = self.given.codes * len(self.predicted.names) + self.predicted.codes
        _, which, sizes = np.unique(pairs, return_inverse=True, return_counts=True)
        self._by_pair = np.lexsort((np.arange(len(pairs)), pairs, -sizes[which]))

    def places(self, query: Query, codes: Codes) -> Places:
        """Where (from 0, by rank) the records stand that pass, in the query's order. codes: (n,) their decisions."""
        passes = np.ones(len(self.ids), dtype=bool)
        if query.given is not None:
            passes &= self.given.codes == self.given.code(query.given)
        if query.predicted is not None:
            passes &= self.predicted.codes == self.predicted.code(query.predicted)
        if query.status in VERDICTS:
            passes &= codes == VERDICTS.index(query.status) + 1
        elif query.status != "all":
            passes &= (codes == UNDECIDED) == (query.status == "undecided")
        if query.text:
            found = pc.match_substring(self._texts, query.text, ignore_case=True)
            passes &= pc.fill_null(found, False).to_numpy()
        order = self._order(query.sort)
        return order[passes[order]]

    def _order(self, sort: str) -> Places:
        if sort == "pair":
            return self._by_pair
        if sort == "probability":
            return np.argsort(-self._probability, kind="stable")
        if sort == "id":
            return np.argsort(self.ids, kind="stable")
        if sort == "length":
            return np.argsort(pc.fill_null(pc.utf8_length(self._texts), 0).to_numpy(), kind="stable")
        return np.arange(len(self.ids))
