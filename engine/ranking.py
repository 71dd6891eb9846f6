"""The top of a losses table: filters in, the n rows of highest loss out."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.table import SCHEMA, TEXT_NAMES, facts_of, rank


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


def top(table: pa.Table, n: int, filters: Filters) -> pa.Table:
    """The n rows (fewer if there aren't as many) of highest loss, ties by id.

    Raises LossAuditError if a filter names a label that the table hasn't.
    """
    keep = pc.is_valid(table["loss"])
    if filters.given is not None:
        keep = pc.and_(keep, _has_name(table, "label_name", filters.given, "--given"))
    if filters.predicted is not None:
        keep = pc.and_(keep, _has_name(table, "prediction_name", filters.predicted, "--predicted"))
    if filters.min_loss is not None:
        keep = pc.and_(keep, pc.greater_equal(table["loss"], filters.min_loss))
    if filters.truncated:
        if "truncated" not in table.column_names:
            raise LossAuditError("this losses table has no column 'truncated'; leave --truncated out")
        keep = pc.and_(keep, table["truncated"])
    return rank(table.filter(keep)).slice(0, n)


def text_column(table: pa.Table) -> str | None:
    """The column that holds the text: the audit's own word for it, else a guess from names and types."""
    told = facts_of(table).get("text_column")
    if told in table.column_names:
        return str(told)
    texts = [f.name for f in table.schema if f.name not in SCHEMA.names and _is_text(f.type)]
    return next((name for name in TEXT_NAMES if name in texts), texts[0] if texts else None)


def _has_name(table: pa.Table, column: str, name: str, option: str) -> pa.ChunkedArray:
    names = [str(value) for value in table[column].unique().to_pylist()]
    found = [value for value in names if value.casefold() == name.casefold()]
    if not found:
        raise LossAuditError(f"{option} {name!r}: there is no such label; the table has {', '.join(sorted(names))}")
    return pc.is_in(table[column].cast(pa.string()), value_set=pa.array(found, type=pa.string()))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
