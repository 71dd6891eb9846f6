"""The records that a person reviews: a losses table comes in, its n rows of highest loss go out as records.

A table of 100,000 rows and 1,000 classes would be a hundred million objects, so `Records` makes each when asked.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, overload

import pyarrow as pa

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.losses import Losses
from lossaudit.engine.table import SCHEMA

_NEEDED = ("id", "label_name", "prediction_name", "probability", "loss")
_LONGEST_METADATA = 300
"""Characters of a metadata text that are kept: it stands beside the example, it isn't the example."""


@dataclass(frozen=True)
class Record:
    """One example and why it is doubted."""

    row: int
    """`id` in the losses table."""
    rank: int
    """1 for the highest loss."""
    text: str
    label: str
    """Name of the given label."""
    prediction: str
    probabilities: tuple[tuple[str, float], ...]
    """(label, probability), falling; all classes where the losses table has them, else the prediction alone."""
    loss: float
    metadata: dict[str, Any]
    """Scalars of the source's other columns; long texts are shortened."""


class Records(Sequence[Record]):
    """The n rows of highest loss (fewer if fewer have one), by falling loss, as records made on demand."""

    def __init__(self, losses: Losses, n: int) -> None:
        """Raises LossAuditError if the losses file holds no texts, or rows that aren't whole."""
        text = losses.text_column
        if text is None:
            raise LossAuditError(
                f"{losses.path} has no column with the texts, so there is nothing to look at; "
                "run `lossaudit audit` again, which writes them beside the losses"
            )
        self.table = _checked(losses.top(n), text, losses.path)
        """The rows themselves, ranked: the losses table's columns."""
        self.text_column = text
        self._classes = probability_names(losses)
        label_column = losses.facts.get("label_column")
        self._metadata = [name for name in self.table.column_names if name not in {*SCHEMA.names, text, label_column}]

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

    def _record(self, row: dict[str, Any], rank: int) -> Record:
        return Record(
            row=row["id"],
            rank=rank,
            text=str(row[self.text_column] or ""),
            label=row["label_name"],
            prediction=row["prediction_name"],
            probabilities=self._probabilities(row),
            loss=row["loss"],
            metadata={name: value for name in self._metadata if (value := _scalar(row[name])) is not None},
        )

    def _probabilities(self, row: dict[str, Any]) -> tuple[tuple[str, float], ...]:
        stored = row.get("probabilities")
        if stored is None or len(stored) != len(self._classes):
            return ((row["prediction_name"], row["probability"]),)
        # `sorted` keeps the classes' order among equals, as the prediction itself is the first of the highest.
        return tuple(sorted(zip(self._classes, stored, strict=True), key=lambda pair: -pair[1]))


def records_of(losses: Losses, n: int) -> list[Record]:
    """Exactly n records (fewer if fewer rows have a loss), by falling loss.

    Raises LossAuditError if the losses file holds no texts.
    """
    return list(Records(losses, n))


def _checked(table: pa.Table, text: str, path: Path) -> pa.Table:
    """The table with the columns that a record needs in the types that they should have, and nothing missing."""
    for name, kind in {**{name: SCHEMA.field(name).type for name in _NEEDED}, text: pa.large_string()}.items():
        at = table.schema.get_field_index(name)
        try:
            table = table.set_column(at, name, table[name].cast(kind))
        except pa.ArrowException as error:
            raise LossAuditError(f"{path}: column {name!r} holds {table[name].type}, not {kind}") from error
        if name != text and table[name].null_count:
            raise LossAuditError(f"{path} is no losses table: it has rows with a loss and without {name}")
    return table


def label_names(losses: Losses) -> list[str]:
    """The model's labels by class index: as the audit says, else those that the table happens to show."""
    labels = losses.facts.get("labels")
    if isinstance(labels, list):
        return [str(label) for label in labels]
    seen = _seen_classes(losses)
    return sorted(seen, key=lambda name: (seen[name], name))


def probability_names(losses: Losses) -> list[str]:
    """What the entries of `probabilities` are called, [] where that can't be told for sure."""
    if "probabilities" not in losses.schema.names:
        return []
    names = label_names(losses)
    told = "labels" in losses.facts or sorted(_seen_classes(losses).values()) == list(range(len(names)))
    return names if told else []


def _seen_classes(losses: Losses) -> dict[str, float]:
    """The labels that stand in the table, each with its class index (infinity where the table has none)."""
    seen: dict[str, float] = {}
    for index, name in (("label", "label_name"), ("prediction", "prediction_name")):
        has_index = index in losses.schema.names
        for batch in losses.batches([index, name] if has_index else [name]):
            for pair in pa.table(batch).group_by(batch.schema.names).aggregate([]).to_pylist():
                # A given label without a class index isn't one of the model's.
                if pair[name] is not None and not (has_index and pair[index] is None):
                    seen[pair[name]] = pair[index] if has_index else math.inf
    return seen


def _scalar(value: object) -> object:
    """A value that JSON can hold and a person can read at a glance; None for anything else."""
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_METADATA else value[: _LONGEST_METADATA - 1] + "…"
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (bool, int)):
        return value
    return str(value) if isinstance(value, (date, datetime, time, Decimal)) else None
