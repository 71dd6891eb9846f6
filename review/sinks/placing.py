"""Finds the rows of a losses file that a sink's records are about: by row number and text, else by text alone."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lossaudit.engine.table.identity import text_key
from lossaudit.engine.table.losses import LossesTable

from ..label_sets import LabelSets
from . import Held

_ROWS = 4096


@dataclass(frozen=True)
class Row:
    """A row of a losses file, as far as an answer needs it."""

    number: int
    given: str | None
    """Given label, or given set as decisions store it."""
    text: str | None
    """Text; None where the losses file has no texts."""
    text_pair: str | None

    def is_of(self, held: Held) -> bool:
        return self.text is None or held.has_texts(self.text, self.text_pair)


def placed(records: Sequence[Held], losses: LossesTable) -> list[Row | None]:
    """The row of each record; None if the losses file doesn't have it.

    Records of the same text are about different rows of it, in the order of both, unless they have the same name.
    """
    search = _Search({row.number: row for row in _rows(losses, {held.row for held in records if held.row is not None})})
    at_their_rows = [search.at_its_row(held) for held in records]
    left = [held for held, row in zip(records, at_their_rows, strict=True) if row is None and held.text is not None]
    if left and losses.text_columns:
        search.learn(_rows(losses), {key for held in left for key in _keys(held.text, held.text_pair)})
    return [row or search.by_text(held) for held, row in zip(records, at_their_rows, strict=True)]


class _Search:
    def __init__(self, by_number: Mapping[int, Row]) -> None:
        self._by_number = by_number
        self._by_text: dict[str, list[Row]] = defaultdict(list)
        self._taken: set[int] = set()
        self._named: dict[tuple[str, str], Row] = {}

    def learn(self, rows: Iterable[Row], wanted: Collection[str]) -> None:
        """Remembers the rows with these texts."""
        for row in sorted(rows, key=lambda row: row.number) if wanted else ():
            for key in {*_keys(row.text, row.text_pair)} & {*wanted}:
                self._by_text[key].append(row)

    def at_its_row(self, held: Held) -> Row | None:
        row = self._by_number.get(held.row) if held.row is not None else None
        if row is None or not row.is_of(held):
            return None
        self._taken.add(row.number)
        return row

    def by_text(self, held: Held) -> Row | None:
        keys = _keys(held.text, held.text_pair)
        key = next((key for key in keys if key in self._by_text), None)
        if key is None:
            return None
        if held.name is not None and (held.name, key) in self._named:
            return self._named[held.name, key]
        rows = self._by_text[key]
        row = next((row for row in rows if row.number not in self._taken), rows[-1])
        self._taken.add(row.number)
        if held.name is not None:
            self._named[held.name, key] = row
        return row


def _keys(text: str | None, pair: str | None) -> list[str]:
    """What is the same for the same texts; the second also if a program changed blanks and the ends of lines."""
    if text is None:
        return []
    texts = [text] if pair is None else [text, pair]
    return [text_key(texts), "~" + text_key([" ".join(one.split()) for one in texts])]


def _rows(losses: LossesTable, numbers: Collection[int] | None = None) -> Iterator[Row]:
    """The rows, or those of some numbers."""
    texts = losses.text_columns
    sets = LabelSets(losses.label_names) if losses.is_multi_label else None
    given = "label_name" if sets is None else "labels"
    wanted = None if numbers is None else pa.array(sorted(numbers), type=pa.int64())
    for batch in losses.batches(["id", given, *texts], _ROWS):
        rows = batch if wanted is None else batch.filter(pc.is_in(batch["id"].cast(pa.int64()), value_set=wanted))
        for row in rows.to_pylist():
            text, pair = [*(str(row[name] or "") for name in texts), None, None][:2]
            yield Row(row["id"], _given(row[given], sets), text, pair)


def _given(label: Any, sets: LabelSets | None) -> str | None:
    if sets is None:
        return str(label)
    return None if label is None else sets.stored(label)
