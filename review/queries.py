"""Finds and sorts the records that the page shows, by a query over their columns.

Columns are arrays, so that a filter over 100,000 records takes milliseconds.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lossaudit.engine.errors import LossAuditError

from .label_sets import LabelSets, each_holds
from .records import Records
from .search import Search
from .store import VERDICTS

UNDECIDED = 0
"""Code of a record without a decision; a verdict's code is its place in VERDICTS plus one."""
DISPUTED = "disagreements"
DECISION_STATUSES = ("all", "undecided", "decided", *VERDICTS, DISPUTED)
OWN_ORDER = "loss"
SORTS = ("loss", "pair", "probability", "id", "length")
"""Orders: the records' own (highest loss first, unless another was learned or drawn); most frequent pair of given and
predicted label first (for sets, most frequent doubt); most confident prediction first; the dataset's order; shortest
text first. Ties are always ordered by rank."""
Codes = npt.NDArray[np.int8]
Places = npt.NDArray[np.int64]
Passes = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Query:
    """Filters, all of which a record must match, and an order."""

    given: str | None = None
    """Label that is given, alone or among others."""
    predicted: str | None = None
    doubted: str | None = None
    """Label of a multi-label record that is doubted most."""
    status: str = "all"
    """One of DECISION_STATUSES."""
    text: str = ""
    """Words to find; see `Search`."""
    sort: str = "loss"
    """One of SORTS."""

    def __post_init__(self) -> None:
        if self.status not in DECISION_STATUSES:
            raise LossAuditError(f"there is no status {self.status!r}; use one of {', '.join(DECISION_STATUSES)}")
        if self.sort not in SORTS:
            raise LossAuditError(f"can't sort by {self.sort!r}; use one of {', '.join(SORTS)}")


class NameColumn:
    """A column of label names: the distinct names, and each record's place among them."""

    def __init__(self, names: pa.ChunkedArray) -> None:
        encoded = pc.dictionary_encode(names).combine_chunks()
        self.names: list[str] = encoded.dictionary.to_pylist()
        self.codes: Places = encoded.indices.to_numpy().astype(np.int64)

    def at(self, place: int) -> str:
        return self.names[int(self.codes[place])]

    def holds(self, name: str) -> Passes:
        """(n,) whether each record has a name."""
        return np.asarray(self.codes == (self.names.index(name) if name in self.names else -1))

    def counts(self, among: Passes) -> list[tuple[str, int]]:
        """How many records have each name, most frequent first. among: (n,) the records that count."""
        return [(self.names[code], count) for code, count in Counter(self.codes[among].tolist()).most_common()]


class SetColumn:
    """A column of sets of label names: the sets as decisions store them, and which records have a label."""

    def __init__(self, column: pa.ChunkedArray, sets: LabelSets) -> None:
        column = column.combine_chunks()
        self._stored = NameColumn(pa.chunked_array([[sets.stored(labels) for labels in column.to_pylist()]]))
        self._labels = NameColumn(pa.chunked_array([column.flatten()]))
        self._parents: Places = pc.list_parent_indices(column).to_numpy()
        self._rows = len(column)

    def at(self, place: int) -> str:
        return self._stored.at(place)

    def holds(self, name: str) -> Passes:
        held = np.zeros(self._rows, dtype=bool)
        held[self._parents[self._labels.holds(name)]] = True
        return held

    def counts(self, among: Passes) -> list[tuple[str, int]]:
        """How many records have each label, most frequent first. among: (n,) the records that count."""
        return self._labels.counts(among[self._parents])


class RecordColumns:
    """The columns of n records (at least one) that queries look at."""

    def __init__(self, records: Records, labels: Sequence[str]) -> None:
        """labels: the model's labels, by class index."""
        table = records.table
        self.ids: Places = table["id"].to_numpy()
        self.doubted: NameColumn | None = None
        """Doubted labels of multi-label records."""
        self.given: NameColumn | SetColumn
        self.predicted: NameColumn | SetColumn
        self._probability = table["probability"].to_numpy()
        self._texts: list[pa.ChunkedArray] = [table[name] for name in records.text_columns]
        self._search = Search(table["id"], [*self._texts, *(table[name] for name in records.searchable)])
        if records.is_multi_label:
            sets, doubted = LabelSets(labels), table["worst_label"]
            self.given = SetColumn(table["labels"], sets)
            self.predicted = SetColumn(table["predictions"], sets)
            self.doubted = NameColumn(doubted)
            pairs = self.doubted.codes * 2 + each_holds(table["labels"], doubted)
            # For a given label, the doubt is that it is there.
            self._probability = np.maximum(self._probability, 1 - self._probability)
        else:
            self.given, self.predicted = (NameColumn(table[name]) for name in ("label_name", "prediction_name"))
            pairs = self.given.codes * len(self.predicted.names) + self.predicted.codes
        _, which, sizes = np.unique(pairs, return_inverse=True, return_counts=True)
        self._by_pair = np.lexsort((np.arange(len(pairs)), pairs, -sizes[which]))

    def places(self, query: Query, codes: Codes, disputed: Callable[[], Passes]) -> Places:
        """The places (from 0, by rank) of matching records, in the query's order.

        codes: (n,) of the decisions; disputed: gives (n,) whether people differ.
        """
        passes = np.ones(len(self.ids), dtype=bool)
        for column, wanted in (
            (self.given, query.given),
            (self.predicted, query.predicted),
            (self.doubted, query.doubted),
        ):
            if wanted is not None:
                passes &= column.holds(wanted) if column is not None else False
        if query.status in VERDICTS:
            passes &= codes == VERDICTS.index(query.status) + 1
        elif query.status == DISPUTED:
            passes &= disputed()
        elif query.status != "all":
            passes &= (codes == UNDECIDED) == (query.status == "undecided")
        if query.text:
            passes &= self._search.found(query.text)
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
            lengths = [pc.fill_null(pc.utf8_length(texts), 0).to_numpy() for texts in self._texts]
            return np.argsort(np.sum(lengths, axis=0), kind="stable")
        return np.arange(len(self.ids))


def place_in(places: Places, rank: int | None) -> int:
    """Where a rank is among places; -1 if nowhere."""
    found = np.flatnonzero(places == (0 if rank is None else rank) - 1)
    return int(found[0]) if len(found) else -1
