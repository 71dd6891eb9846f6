"""Identical texts with different given labels or in several splits: rows come in by pieces, `Repeats` go out.

No text is held. Hashes of 64 bits, 20 bytes per row in all, tell which rows may have the same text; those are read
again and compared by digests of 128 bits.
"""

import functools
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..arrays import Bools, Ints
from .identity import text_digest

COMPARED_AS_IT_IS = (
    *("!-~", "\u00a1-\u02ff", "\u0400-\u0482", "\u048a-\u052f", "\u2010-\u2027", "\u3001-\u3029"),
    *("\u3041-\u3096", "\u30a1-\u30fa", "\u4e00-\u9fff", "\uac00-\ud7a3", "\uff01-\uff5e"),
)
"""Ranges of characters that aren't white space, and that composing leaves alone unless others stand among them."""
_TO_FOLD = f"[^ {''.join(COMPARED_AS_IT_IS)}]|  |^ | $"
"""What a text has that `folded` may change; looking for it is eight times as fast."""


@dataclass(frozen=True)
class SameTexts:
    """Rows with a loss, in groups of the same text."""

    places: Ints
    """(m,) where the rows stand, from 0, rising."""
    texts: Ints
    """(m,) the text of each, as a number from 0."""
    labels: Ints
    """(m,) the given labels of each, as a number that is the same for the same ones."""
    splits: NDArray[np.int16]
    """(m,) the split of each, as an index of `split_names`."""
    split_names: tuple[str, ...]

    @property
    def different_texts(self) -> int:
        """How many texts these are."""
        return int(self.texts.max(initial=-1)) + 1

    def of(self, places: Ints) -> tuple[Ints, Ints, NDArray[np.int16]]:
        """The texts, the labels and the splits of some of the rows."""
        at = np.searchsorted(self.places, places)
        return self.texts[at], self.labels[at], self.splits[at]

    def together(self, places: Ints) -> Ints:
        """Some of the rows with those of the same text together, each text where its first row was."""
        _, first, which = np.unique(self.of(places)[0], return_index=True, return_inverse=True)
        return places[np.argsort(first[which], kind="stable")]

    def other_splits(self, places: Ints) -> pa.Array:
        """The names of the other splits that each row's text is in, as one text; null for a row that isn't of these."""
        at = np.searchsorted(self.places, places)
        known = np.flatnonzero(np.append(self.places, -1)[at] == places)
        texts, splits, count = self.texts[at[known]], self.splits[at[known]], len(self.split_names)
        starts, stops = (np.searchsorted(self._text_splits, (texts + more) * count) for more in (0, 1))
        names: list[str | None] = [None] * len(places)
        for row, own, start, stop in zip(known, splits, starts, stops, strict=True):
            others = self._text_splits[start:stop] % count
            names[row] = ", ".join(self.split_names[other] for other in others if other != own)
        return pa.array(names, pa.string())

    @functools.cached_property
    def _text_splits(self) -> Ints:
        """Each split of each text, rising: the text's number times the number of splits, and the split."""
        return np.unique(self.texts * len(self.split_names) + self.splits)

    def where(self, kept: Bools) -> "SameTexts":
        """Some of the rows, their texts numbered anew."""
        texts = self.texts[kept]
        seen = np.zeros(self.different_texts, bool)
        seen[texts] = True
        numbers = np.cumsum(seen) - 1
        return SameTexts(self.places[kept], numbers[texts], self.labels[kept], self.splits[kept], self.split_names)


@dataclass(frozen=True)
class Repeats:
    """The texts that several rows have, where these rows differ in something."""

    conflicts: SameTexts
    """Rows whose text has another given label in another row; at least one label of each text is wrong."""
    leaks: SameTexts
    """Rows whose text is in another split too."""

    @property
    def conflicting_leaks(self) -> SameTexts:
        """Rows whose text is in another split and has another given label, there or in its own."""
        return self.leaks.where(np.isin(self.leaks.places, self.conflicts.places))


Pieces = Callable[[], Iterator[pa.Table]]
"""Yields rows, from the first on at each call."""


class RepeatFinder:
    """Collects the rows of a losses table, in the order of their places."""

    def __init__(self, rows: int, texts: Sequence[str], labels: str, split: str | None) -> None:
        """rows: how many there will be. texts: the table's text column, or the two of pairs.

        labels: the column of the given label or labels. split: that of the split, in a table of several.
        """
        self._text_columns, self._label_column, self._split_column = texts, labels, split
        self._added = 0
        self._ranked = np.zeros(rows, bool)
        self._texts, self._labels = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
        self._splits = np.zeros(rows, np.int16)
        self._split_codes: dict[str, int] = {}

    @property
    def columns(self) -> list[str]:
        """The columns of a losses table that are looked at."""
        ours = [name for name in (self._label_column, self._split_column) if name is not None]
        return ["loss", *ours, *self._text_columns]

    def add(self, rows: pa.Table) -> None:
        """Adds rows, whose texts are all held meanwhile. Those without a loss are no repeats."""
        ranked = pc.and_(pc.is_valid(rows["loss"]), pc.is_valid(rows[self._label_column])).to_numpy()
        places = self._added + np.flatnonzero(ranked)
        self._added += len(rows)
        rows = rows.filter(pa.array(ranked))
        self._ranked[places] = True
        self._texts[places] = np.fromiter(map(hash, self._compared(rows)), np.int64, len(rows))
        self._labels[places] = _label_hashes(rows[self._label_column])
        if self._split_column is not None:
            self._splits[places] = self._codes_of(rows[self._split_column])

    def found(self, again: Pieces) -> Repeats:
        """The repeats among the rows. again: yields the rows that were added."""
        places = self._candidates()
        texts = _numbered(*self._digests(again(), places))
        same = SameTexts(places, texts, self._labels[places], self._splits[places], tuple(self._split_codes))
        return Repeats(same.where(_differ(texts, same.labels)), same.where(_differ(texts, same.splits)))

    def _candidates(self) -> Ints:
        """Where the rows are that may be repeats: not all of them are, since texts may share a hash."""
        found = np.zeros(len(self._ranked), bool)
        part_of_each = (self._texts >> 60).astype(np.int8)
        for part in range(-8, 8):  # so that little is held at once
            rows = np.flatnonzero(self._ranked & (part_of_each == part))
            groups = np.unique(self._texts[rows], return_inverse=True)[1]
            found[rows] = _differ(groups, self._labels[rows]) | _differ(groups, self._splits[rows])
        return np.flatnonzero(found)

    def _compared(self, rows: pa.Table) -> Iterator[tuple[str, ...]]:
        """The texts of each row as they are compared."""
        return zip(*(_compared(rows[column]) for column in self._text_columns), strict=True)

    def _codes_of(self, splits: pa.ChunkedArray) -> Ints:
        """(n,) a number from 0 for each row's split."""
        coded = pc.fill_null(splits, "").combine_chunks().dictionary_encode()
        codes = [self._split_codes.setdefault(name, len(self._split_codes)) for name in coded.dictionary.to_pylist()]
        return np.asarray(np.array(codes, np.int64)[coded.indices.to_numpy()])

    def _digests(self, pieces: Iterator[pa.Table], places: Ints) -> tuple[Ints, Ints]:
        """(m,) the halves of the digests of the texts at some places, rising."""
        digests, start = np.empty((len(places), 2), np.int64), 0
        for piece in pieces if len(places) else ():
            stop = start + len(piece)
            first, last = np.searchsorted(places, (start, stop))
            texts = self._compared(piece.select(self._text_columns).take(pa.array(places[first:last] - start)))
            digests[first:last] = np.frombuffer(b"".join(map(text_digest, texts)), np.int64).reshape(-1, 2)
            start = stop
        return digests[:, 0], digests[:, 1]


def _differ(groups: Ints, values: NDArray[np.integer[Any]]) -> Bools:
    """(m,) whether the values of each row's group are different ones. groups: (m,) numbers from 0."""
    one_of = np.zeros(groups.max(initial=-1) + 1, np.int64)
    one_of[groups] = np.arange(len(groups))
    differing = np.zeros(len(one_of), bool)
    differing[groups[values != values[one_of[groups]]]] = True
    return differing[groups]


def _numbered(*keys: Ints) -> Ints:
    """(m,) a number from 0 for each different row of the keys, of which each is (m,)."""
    order = np.lexsort(keys)
    changes = np.zeros(len(order), bool)
    for key in keys:
        in_order = key[order]
        changes[1:] |= in_order[1:] != in_order[:-1]
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.cumsum(changes)
    return numbers


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
