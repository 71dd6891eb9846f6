"""Finds the decided examples in the dataset as it is now, which may have changed since the audit.

A losses file, its decisions and the source's rows come in. The decisions by the rows that they are about now go out,
with those whose texts aren't there, and the given labels of the rows.
"""

from array import array
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lossaudit.engine.arrays import Ints
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.labels.alignment import spelling_key
from lossaudit.engine.table.identity import text_key
from lossaudit.engine.table.losses import LossesTable

from .audited_rows import AuditedRows
from .examples import Example, as_texts, example_columns, example_of, examples_of
from .label_writers import NO_LABEL, Labelled, label_columns_of
from .matching import Known, found_among
from .store import Decision, Gone

_ROWS = 4096


@dataclass(frozen=True)
class Placed:
    """Where decisions are in the source as it is now."""

    decisions: Mapping[int, Decision]
    """By row of the source."""
    original: Mapping[int, Decision]
    """The same decisions, by row of the losses file."""
    gone: Sequence[Gone]
    """Those about examples that the source doesn't have."""
    labelled: Labelled


def placed(losses: LossesTable, source: AuditedRows, decisions: Mapping[int, Decision]) -> Placed:
    """Where the decisions about a losses file are in its source: by row number, or by text where the source changed."""
    if source.is_as_audited:
        return Placed(decisions, decisions, (), lambda: _labels_of(losses, len(source)))
    now = _Now.of(losses, source)
    examples = examples_of(losses, decisions)
    known = [Known(row, examples[row]) for row in sorted(examples)]
    there = now.with_texts({one.example.text_key for one in known})
    by_row = {example.row: example for example in there}
    found = found_among(known, {row: by_row[row] for row in examples if row in by_row}, lambda: there)
    return Placed(
        {example.row: replace(decisions[row], row=example.row) for row, example in found.items()},
        {row: decisions[row] for row in found},
        [Gone(decisions[one.number], one.example.start) for one in known if one.number not in found],
        now.labelled,
    )


def _labels_of(losses: LossesTable, rows: int) -> tuple[Ints, Sequence[str]]:
    """The labels as `Labelled` gives them."""
    names, labels = dict[str, int](), np.full(rows, NO_LABEL)
    for batch in losses.batches(["id", "label", "label_name"]):
        table = pa.table(batch).filter(pc.and_(pc.is_valid(batch["label"]), pc.is_valid(batch["label_name"])))
        found = table["label_name"].combine_chunks().cast(pa.string()).dictionary_encode()
        numbers = np.array([names.setdefault(name, len(names)) for name in found.dictionary.to_pylist()], np.int64)
        labels[table["id"].to_numpy()] = numbers[found.indices.to_numpy()]
    return labels, list(names)


@dataclass(frozen=True)
class _Now:
    """The rows of the source as it is now."""

    keys: Ints
    """Of the texts of each row, as by `_short`."""
    cells: Ints
    """Number of each row's label cells, among those that differ."""
    given: Sequence[str]
    """The given label that cells of each number mean; "" where the losses file doesn't show it."""

    @classmethod
    def of(cls, losses: LossesTable, source: AuditedRows) -> "_Now":
        """A cell means the label that it names, else the one that most of the rows with the same texts have."""
        facts, labels = losses.facts.source, label_columns_of(losses, source)
        texts = [name for name in (facts.text_column, facts.text_pair_column) if name is not None]
        for name in (*texts, *labels):
            if name not in source.features and source.field(name) is None:
                raise LossAuditError(f"{source.name} has no column {name!r}, which {losses.path} was made from")
        keys, cells, numbers = array("q"), array("q"), dict[str, int]()
        named, given = _Names(losses), list[str]()
        for row in source.cells([*texts, *labels]):
            keys.append(_short(text_key(as_texts(row.get(name) for name in texts))))
            held = [row.get(name) for name in labels]
            cells.append(numbers.setdefault(repr(held), len(numbers)))
            if len(numbers) > len(given):
                given.append(named.label(held))
        rows, names = np.array(cells, np.int64), list[str]()
        means = _given_of(np.array(keys, np.int64), losses, names)
        pairs, counts = np.unique(np.stack([rows, means])[:, means != NO_LABEL], axis=1, return_counts=True)
        for number, label in pairs[:, np.argsort(-counts, kind="stable")].T.tolist():
            given[number] = given[number] or names[label]
        return cls(np.array(keys, np.int64), rows, given)

    def with_texts(self, keys: Collection[str]) -> list[Example]:
        """The rows with some texts."""
        whole = {_short(key): key for key in keys}
        places = np.flatnonzero(np.isin(self.keys, list(whole))).tolist()
        return [Example(at, whole[int(self.keys[at])], self.given[self.cells[at]], "") for at in places]

    def labelled(self) -> tuple[Ints, Sequence[str]]:
        """The labels as `Labelled` gives them."""
        known = np.array([bool(name) for name in self.given])
        return np.where(known[self.cells], self.cells, NO_LABEL), self.given


class _Names:
    """The labels by the cells that name them, where rows have one label each."""

    def __init__(self, losses: LossesTable) -> None:
        self._by_value: dict[str, str] = {}
        self._by_name: dict[str, str] = {}
        if not losses.is_multi_label:
            names, values = losses.label_names, losses.facts.given.values or ()
            self._by_value = {str(value): name for name, value in zip(names, values, strict=False) if value is not None}
            self._by_name = {spelling_key(name): name for name in names}

    def label(self, cells: Sequence[object]) -> str:
        """The label; "" if none is named."""
        cell = cells[0][0] if isinstance(cells[0], list) and len(cells[0]) == 1 else cells[0]
        return self._by_value.get(str(cell)) or self._by_name.get(spelling_key(str(cell)), "")


def _given_of(keys: Ints, losses: LossesTable, names: list[str]) -> Ints:
    """Places in `names` of the labels that the losses file has for rows with these texts; `names` is filled.

    NO_LABEL where it has no such row, or rows with several labels.
    """
    columns, numbers = example_columns(losses), dict[str, int]()
    theirs, labels = array("q"), array("q")
    for batch in losses.batches(columns, _ROWS):
        for row in batch.to_pylist():
            example = example_of(row, columns)
            theirs.append(_short(example.text_key))
            labels.append(numbers.setdefault(example.given, len(numbers)))
    names.extend(numbers)
    pairs = np.unique(np.stack([np.array(theirs, np.int64), np.array(labels, np.int64)]), axis=1)
    texts, counts = np.unique(pairs[0], return_counts=True)
    own, label = pairs[:, np.isin(pairs[0], texts[counts == 1])]
    if not len(own):
        return np.full(len(keys), NO_LABEL)
    at = np.minimum(np.searchsorted(own, keys), len(own) - 1)
    return np.where(own[at] == keys, label[at], NO_LABEL)


def _short(key: str) -> int:
    return int(key[:15] or "0", 16)
