"""The records that a person reviews: the n rows of a losses table with the highest loss.

100,000 rows with 1,000 classes would be a hundred million objects, so `Records` makes each record on demand.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, overload

import pyarrow as pa
import pyarrow.compute as pc

from lossaudit.engine.arrays import Ints
from lossaudit.engine.errors import Function, LossAuditError
from lossaudit.engine.shortening import shortened
from lossaudit.engine.table.losses import LossesTable
from lossaudit.engine.table.schema import SPLITS, own_schema

from .examples import Example, example_columns, example_of

_LONGEST_METADATA = 300
"""Characters of a metadata text that are kept; it only accompanies the example."""


@dataclass(frozen=True)
class DoubtedSet:
    """The labels of a multi-label record, which has sets instead of one given and one predicted label."""

    given: tuple[str, ...]
    predicted: tuple[str, ...]
    """Labels with a probability of at least a half; both sets are in the model's order."""
    worst: str
    """Label that is doubted most: a given one that may be wrong, or one that may be missing."""
    probability: float
    """The model's probability of `worst`."""

    @property
    def is_given(self) -> bool:
        """Whether `worst` is among the given labels."""
        return self.worst in self.given

    @property
    def sureness(self) -> float:
        """How sure the model is about `worst`, from 0.5 to 1."""
        return max(self.probability, 1 - self.probability)

    @property
    def told(self) -> str:
        """The doubt in words."""
        return f"{self.worst} ({'given' if self.is_given else 'missing'}, {self.probability:.0%})"


@dataclass(frozen=True)
class Record:
    """One example and the reasons to doubt it."""

    row: int
    """`id` in the losses table."""
    rank: int
    """Rank in the order of the records, 1 for the first."""
    text: str
    label: str
    """Name of the given label; for a multi-label record, all names, separated by commas."""
    prediction: str
    """Name of the prediction, or names as in `label`."""
    probabilities: tuple[tuple[str, float], ...]
    """(label, probability) pairs, highest first; all classes if the losses table has them, else only the prediction."""
    loss: float
    metadata: dict[str, Any]
    """The split, if several were audited, and scalars of the source's other columns; long texts are shortened."""
    text_pair: str | None = None
    """Second text of a pair."""
    doubt: DoubtedSet | None = None
    """Sets of a multi-label record."""


class Records(Sequence[Record]):
    """The n rows with a loss that have the highest (or all of them), highest first, as records made on demand."""

    def __init__(self, losses: LossesTable, n: int, ids: Ints | None = None) -> None:
        """ids: rows in another order, of which the first n are taken instead.

        Raises LossAuditError if the losses file has no texts, or rows in which something is missing.
        """
        if losses.text_column is None:
            raise LossAuditError(
                f"{losses.path} has no column with the texts, so there is nothing to review; run `",
                Function("audit"),
                "` again, which adds them to the table",
            )
        self.text_columns = losses.text_columns
        """Names of the text column, or of both columns of pairs."""
        self.is_multi_label = losses.is_multi_label
        self.required = losses.required
        """Columns that each record needs, besides its texts."""
        rows = losses.top(n) if ids is None else losses.take(losses.places_of(ids[:n]).tolist())
        self.table = _checked(rows, self.required, self.text_columns, losses.path)
        """Rows of the records, ranked, with the columns of the losses table."""
        self._classes = losses.probability_names
        self._identifying = example_columns(losses)
        ours = set(own_schema(self.table.column_names).names) - set(SPLITS.names)
        shown = {*ours, *self.text_columns, *losses.label_columns}
        self._metadata = [name for name in self.table.column_names if name not in shown]
        self.searchable = [name for name in self._metadata if _is_scalar(self.table.schema.field(name).type)]
        """Names of the other columns whose cells can be read as texts."""

    def __len__(self) -> int:
        return len(self.table)

    @overload
    def __getitem__(self, place: int) -> Record: ...

    @overload
    def __getitem__(self, place: slice) -> list[Record]: ...

    def __getitem__(self, place: int | slice) -> Record | list[Record]:
        if isinstance(place, slice):
            return [self[index] for index in range(*place.indices(len(self)))]
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        start = place % len(self)
        return self._record(self.table.slice(start, 1).to_pylist()[0], start + 1)

    def __iter__(self) -> Iterator[Record]:
        rank = 0
        for batch in self.table.to_batches(max_chunksize=1024):
            for row in batch.to_pylist():
                rank += 1
                yield self._record(row, rank)

    def examples(self, places: Sequence[int]) -> dict[int, Example]:
        """The examples of the records at these places from 0, by row."""
        rows = self.table.select(self._identifying).take(pa.array(places, type=pa.int64())).to_pylist()
        return {row["id"]: example_of(row, self._identifying) for row in rows}

    def _record(self, row: dict[str, Any], rank: int) -> Record:
        text, *pair = (str(row[name] or "") for name in self.text_columns)
        return Record(
            row=row["id"],
            rank=rank,
            text=text,
            label=row["label_name"],
            prediction=row["prediction_name"],
            probabilities=self._probabilities(row),
            loss=row["loss"],
            metadata={name: value for name in self._metadata if (value := _scalar(row[name])) is not None},
            text_pair=pair[0] if pair else None,
            doubt=self.doubt(row),
        )

    def doubt(self, row: Mapping[str, Any]) -> DoubtedSet | None:
        """The sets of a row of a multi-label table; None for other tables."""
        if not self.is_multi_label:
            return None
        return DoubtedSet(tuple(row["labels"]), tuple(row["predictions"]), row["worst_label"], row["probability"])

    def _probabilities(self, row: dict[str, Any]) -> tuple[tuple[str, float], ...]:
        stored = row.get("probabilities")
        if stored is None or len(stored) != len(self._classes):
            return ((row["worst_label" if self.is_multi_label else "prediction_name"], row["probability"]),)
        # `sorted` keeps the order of equally likely classes, so that the prediction, the first of them, stays first.
        return tuple(sorted(zip(self._classes, stored, strict=True), key=lambda pair: -pair[1]))


def _is_scalar(kind: pa.DataType) -> bool:
    texts = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    others = pa.types.is_integer(kind) or pa.types.is_temporal(kind) or pa.types.is_boolean(kind)
    return bool(texts or others)


def records_of(losses: LossesTable, n: int) -> list[Record]:
    """Exactly n records (fewer if fewer rows have a loss), highest loss first.

    Raises LossAuditError if the losses file has no texts.
    """
    return list(Records(losses, n))


def _checked(table: pa.Table, needed: Sequence[str], texts: Sequence[str], path: Path) -> pa.Table:
    """The table with the columns that a record needs, cast to their types. Raises LossAuditError for missing values."""
    own = own_schema(table.column_names)
    kinds = {name: own.field(name).type for name in needed} | dict.fromkeys(texts, pa.large_string())
    for name, kind in kinds.items():
        at = table.schema.get_field_index(name)
        try:
            table = table.set_column(at, name, table[name].cast(kind))
        except pa.ArrowException as error:
            raise LossAuditError(f"{path}: column {name!r} has the type {table[name].type}, not {kind}") from error
        if name not in texts and (table[name].null_count or _has_null_items(table[name])):
            raise LossAuditError(f"{path} isn't a losses table: it has rows with a loss but without {name}")
    return table


def _has_null_items(column: pa.ChunkedArray) -> bool:
    return pa.types.is_list(column.type) and bool(pc.list_flatten(column).null_count)


def _scalar(value: object) -> object:
    """A value that JSON can represent and a person can read at a glance; None for anything else."""
    if isinstance(value, str):
        return shortened(value, _LONGEST_METADATA)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (bool, int)):
        return value
    return str(value) if isinstance(value, (date, datetime, time, Decimal)) else None
