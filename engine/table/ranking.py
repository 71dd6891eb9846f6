"""The top of a losses table: finds the places of the n rows with the highest loss, reading the table in pieces."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..arrays import Ints
from ..errors import LossAuditError, Option
from .schema import is_multi_label

PLACE = "place"
"""Column with the place of a row in the whole table, from 0."""
LOSS, URGENCY = "loss", "urgency"
"""Columns that rows are ranked by, highest first: the loss, or how early a row comes in a learned order."""


@dataclass(frozen=True)
class Filters:
    """Which rows to look at; a row must pass all that are given."""

    given: str | None = None
    """Name of the given label, in any case."""
    predicted: str | None = None
    """Name of the predicted label, in any case."""
    min_loss: float | None = None
    truncated: bool = False
    """Only texts that were cut at the model's maximum length."""
    conflicts: bool = False
    """Only rows whose text has another given label in another row, those of the same text together."""
    leaks: bool = False
    """Only rows whose text is in another split too, those of the same text together."""

    def columns(self, labels: "LabelColumns") -> list[str]:
        """The columns of a losses table that ranking and filtering look at."""
        looked_at = {labels.given: self.given, labels.predicted: self.predicted, "truncated": self.truncated}
        return ["id", "loss", *(name for name, wanted in looked_at.items() if wanted)]


@dataclass(frozen=True)
class LabelColumns:
    """Where a losses table names the labels."""

    given: str
    predicted: str


ONE_LABEL, LABEL_SETS = LabelColumns("label_name", "prediction_name"), LabelColumns("labels", "predictions")


def label_columns(names: Sequence[str]) -> LabelColumns:
    """The label columns of a losses table with columns of these names."""
    return LABEL_SETS if is_multi_label(names) else ONE_LABEL


def places_of_top(
    pieces: Iterable[pa.Table],
    n: int,
    filters: Filters,
    labels: LabelColumns = ONE_LABEL,
    among: Ints | None = None,
    by: str = LOSS,
) -> list[int]:
    """The places of the n rows (or fewer) of highest loss, or urgency, highest first, ties by id.

    pieces: `filters.columns` of the table, PLACE and the column that `by` names, one at a time in memory. Rows without
    a loss don't count; a row with several labels has each of them. among: the places of the only rows to look at.
    Raises LossAuditError if a filter names a label that the table doesn't have.
    """
    best: pa.Table | None = None
    names: dict[str, set[str]] = {labels.given: set(), labels.predicted: set()}
    for piece in pieces:
        keep = pc.is_valid(piece["loss"])
        for column, wanted in ((labels.given, filters.given), (labels.predicted, filters.predicted)):
            if wanted is not None:
                here = {str(value) for value in _flat(piece[column]).unique().to_pylist() if value is not None}
                names[column] |= here
                found = [name for name in here if name.casefold() == wanted.casefold()]
                keep = pc.and_(keep, _has_one(piece[column], pa.array(found, type=pa.string())))
        if filters.min_loss is not None:
            keep = pc.and_(keep, pc.greater_equal(piece["loss"], filters.min_loss))
        if best is not None and len(best) == n:  # rows below the n-th can't get in
            keep = pc.and_(keep, pc.greater_equal(piece[by], best[by][-1]))
        if filters.truncated:
            keep = pc.and_(keep, piece["truncated"])
        if among is not None:
            keep = pc.and_(keep, pc.is_in(piece[PLACE], value_set=pa.array(among)))
        passing = piece.filter(keep)
        if len(passing):
            best = rank(passing if best is None else pa.concat_tables([best, passing]), by).slice(0, n)
    _check_name(filters.given, names[labels.given], "given")
    _check_name(filters.predicted, names[labels.predicted], "predicted")
    return [] if best is None else list(best[PLACE].to_pylist())


def _flat(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.list_flatten(column) if pa.types.is_list(column.type) else column


def _has_one(column: pa.ChunkedArray, names: pa.Array) -> pa.Array:
    """Whether each row's label, or one of its labels, is among the names."""
    if not pa.types.is_list(column.type):
        return pc.is_in(column, value_set=names)
    lists = column.combine_chunks()
    rows = pc.list_parent_indices(lists).filter(pc.is_in(pc.list_flatten(lists), value_set=names))
    return pc.is_in(pa.array(np.arange(len(lists))), value_set=rows)


def _check_name(wanted: str | None, names: set[str], option: str) -> None:
    if wanted is not None and wanted.casefold() not in {name.casefold() for name in names}:
        listed = ", ".join(sorted(names))
        raise LossAuditError(Option(option), f" {wanted!r}: there is no such label; the table has {listed}")


def rank(table: pa.Table, by: str = LOSS) -> pa.Table:
    """The table with the highest loss, or urgency, first, ties by ascending id."""
    return table.take(pc.sort_indices(table, sort_keys=[(by, "descending"), ("id", "ascending")]))
