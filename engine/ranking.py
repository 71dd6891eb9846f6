"""The top of a losses table: its rows in pieces come in, the places of the n rows of highest loss go out."""

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.table import rank

PLACE = "place"
"""The column that says where in the whole table a row stands, from 0."""


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

    @property
    def columns(self) -> list[str]:
        """The columns of a losses table that ranking and filtering look at."""
        looked_at = {"label_name": self.given, "prediction_name": self.predicted, "truncated": self.truncated}
        return ["id", "loss", *(name for name, wanted in looked_at.items() if wanted)]


def places_of_top(pieces: Iterable[pa.Table], n: int, filters: Filters) -> list[int]:
    """Where the n rows (fewer if there aren't as many) of highest loss stand, by falling loss, ties by id.

    pieces: `filters.columns` of the table and PLACE, in memory one at a time. A row without a loss is no suspect.
    Raises LossAuditError if a filter names a label that the table hasn't.
    """
    best: pa.Table | None = None
    names: dict[str, set[str]] = {"label_name": set(), "prediction_name": set()}
    for piece in pieces:
        keep = pc.is_valid(piece["loss"])
        for column, wanted in (("label_name", filters.given), ("prediction_name", filters.predicted)):
            if wanted is not None:
                here = {str(value) for value in piece[column].unique().to_pylist() if value is not None}
                names[column] |= here
                found = [name for name in here if name.casefold() == wanted.casefold()]
                keep = pc.and_(keep, pc.is_in(piece[column], value_set=pa.array(found, type=pa.string())))
        least = filters.min_loss
        if best is not None and len(best) == n:  # what is below the n-th can't get in
            least = max(best["loss"][-1].as_py(), least or 0.0)
        if least is not None:
            keep = pc.and_(keep, pc.greater_equal(piece["loss"], least))
        if filters.truncated:
            keep = pc.and_(keep, piece["truncated"])
        passing = piece.filter(keep)
        if len(passing):
            best = rank(passing if best is None else pa.concat_tables([best, passing])).slice(0, n)
    _check_name(filters.given, names["label_name"], "--given")
    _check_name(filters.predicted, names["prediction_name"], "--predicted")
    return [] if best is None else list(best[PLACE].to_pylist())


def _check_name(wanted: str | None, names: set[str], option: str) -> None:
    if wanted is not None and wanted.casefold() not in {name.casefold() for name in names}:
        listed = ", ".join(sorted(names))
        raise LossAuditError(f"{option} {wanted!r}: there is no such label; the table has {listed}")
