"""Identical texts with different given labels: rows of a losses table come in by pieces, `Conflicts` go out.

Texts are told apart by hashes of 64 bits, so that none is held: about 40 bytes per row, more where texts repeat.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..arrays import Bools, Ints

COMPARED_AS_IT_IS = (
    *("!-~", "\u00a1-\u02ff", "\u0400-\u0482", "\u048a-\u052f", "\u2010-\u2027", "\u3001-\u3029"),
    *("\u3041-\u3096", "\u30a1-\u30fa", "\u4e00-\u9fff", "\uac00-\ud7a3", "\uff01-\uff5e"),
)
"""Ranges of characters that aren't white space, and that composing leaves alone unless others stand among them."""
_TO_FOLD = f"[^ {''.join(COMPARED_AS_IT_IS)}]|  |^ | $"
"""What a text has that `folded` may change; looking for it is eight times as fast."""


@dataclass(frozen=True)
class Conflicts:
    """The rows with a loss whose text has another given label in another row."""

    places: Ints
    """(m,) where the rows stand, from 0, rising."""
    texts: Ints
    """(m,) the text of each, as a number from 0."""
    labels: Ints
    """(m,) the given labels of each, as a number that is the same for the same ones."""

    @property
    def different_texts(self) -> int:
        """How many texts these are; at least one label of each is wrong."""
        return int(self.texts.max(initial=-1)) + 1

    def of(self, places: Ints) -> tuple[Ints, Ints]:
        """The texts and the labels of some of the rows."""
        at = np.searchsorted(self.places, places)
        return self.texts[at], self.labels[at]

    def together(self, places: Ints) -> Ints:
        """Some of the rows with those of the same text together, each text where its first row was."""
        _, first, which = np.unique(self.of(places)[0], return_index=True, return_inverse=True)
        return places[np.argsort(first[which], kind="stable")]


class ConflictFinder:
    """Collects the rows of a losses table, in the order of their places."""

    def __init__(self, texts: Sequence[str], labels: str) -> None:
        """texts: the table's text column, or the two of pairs. labels: the column of the given label or labels."""
        self._columns, self._label_column = texts, labels
        self._ranked: list[Bools] = []
        self._texts: list[Ints] = []
        self._labels: list[Ints] = []

    def add(self, rows: pa.Table) -> None:
        """Adds rows, whose texts are all held meanwhile. Those without a loss are no conflict."""
        ranked = pc.and_(pc.is_valid(rows["loss"]), pc.is_valid(rows[self._label_column]))
        self._ranked.append(ranked.to_numpy())
        rows = rows.filter(ranked)
        texts = (_compared(rows[column]) for column in self._columns)
        self._texts.append(np.fromiter(map(hash, zip(*texts, strict=True)), np.int64, len(rows)))
        self._labels.append(_label_hashes(rows[self._label_column]))

    def found(self) -> Conflicts:
        """The conflicts among the rows; nothing is collected any more."""
        nothing = np.empty(0, np.int64)
        texts = np.concatenate([nothing, *self._texts])
        self._texts.clear()
        labels = np.concatenate([nothing, *self._labels])
        self._labels.clear()
        in_order = np.sort(texts)
        repeated = np.unique(in_order[1:][in_order[1:] == in_order[:-1]])
        del in_order
        repeats = np.flatnonzero(pc.is_in(pa.array(texts), value_set=pa.array(repeated)))
        _, first, text = np.unique(texts[repeats], return_index=True, return_inverse=True)
        label = labels[repeats]
        differing = np.unique(text[label != label[first][text]])
        kept = np.isin(text, differing)
        places = np.flatnonzero(np.concatenate([np.empty(0, bool), *self._ranked]))[repeats[kept]]
        return Conflicts(places, np.searchsorted(differing, text[kept]), label[kept])


def _compared(texts: pa.ChunkedArray) -> list[str]:
    """The texts as they are compared."""
    cells = texts.cast(pa.large_string()).fill_null("")
    compared: list[str] = cells.to_pylist()
    for row in np.flatnonzero(pc.match_substring_regex(cells, _TO_FOLD).to_numpy()).tolist():
        compared[row] = folded(compared[row])
    return compared


def folded(text: str) -> str:
    """A text in which composed and decomposed characters are the same, and so is any white space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def _label_hashes(labels: pa.ChunkedArray) -> Ints:
    """A number for each row's label, or for its set of labels in whatever order they stand."""
    names = pc.binary_join(labels, "\0") if pa.types.is_list(labels.type) else labels
    coded = names.combine_chunks().dictionary_encode()
    hashes = [hash(frozenset(name.split("\0"))) for name in coded.dictionary.to_pylist()]
    return np.asarray(np.array(hashes, np.int64)[coded.indices.to_numpy()])
