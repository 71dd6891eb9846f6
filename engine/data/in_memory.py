"""Tables that a program holds in memory as `Rows`: DataFrames of pandas, and whatever offers Arrow's C stream.

Such are tables of pyarrow and DataFrames of polars, whose libraries aren't needed for it. Several may be splits.
"""

import numbers
from collections.abc import Mapping
from typing import Any, Protocol

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa

from ..errors import LossAuditError, brief
from .json_kinds import Kind, column_of
from .plain_types import NotTextsError, Plain
from .rows import Origin, Rows
from .splits import SplitRows, together, wanted_splits


class ArrowStream(Protocol):
    """A table that offers Arrow's C stream, such as a DataFrame of polars or a table of pyarrow."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """A capsule with the stream."""


def rows_in_memory(data: object) -> Rows:
    """The rows of a table in memory. Raises LossAuditError, naming the type of what isn't one."""
    if isinstance(data, datasets.Dataset):
        return Rows(data)
    if isinstance(data, pd.DataFrame):
        return _plain_rows("the DataFrame", _table_of(data))
    name = f"the {type(data).__module__.partition('.')[0]} {type(data).__name__}"
    if isinstance(data, pd.Series) or not hasattr(data, "__arrow_c_stream__"):
        raise LossAuditError(
            "a dataset must be a path, a datasets.Dataset, a DataFrame or another table that offers Arrow's C stream, "
            f"or a dict of these by split, not {type(data).__name__}"
        )
    try:
        return _plain_rows(name, pa.table(data))
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise LossAuditError(f"{name} can't be read: {brief(error)}") from error


def splits_in_memory(data: Mapping[str, object], asked: str | None) -> Rows:
    """The rows of tables in memory that are splits: of all as one dataset, or of those that are asked for.

    Raises LossAuditError if one isn't a table, or there is no such split.
    """
    parts = {str(name): part for name, part in data.items()}
    wanted = list(parts) if asked is None else wanted_splits("the dataset", list(parts), asked)
    rows = {name: rows_in_memory(parts[name]) for name in wanted}
    origin = Origin(None, split=asked, all_splits=tuple(parts))
    return SplitRows(rows, origin) if asked is None else together(rows, origin)


def _plain_rows(name: str, table: pa.Table) -> Rows:
    as_bytes: set[str] = set()
    while True:
        plain = Plain.of({name: table.schema}, as_bytes)
        try:
            return Rows(datasets.Dataset(plain.table(table)), notes=tuple((note,) for note in plain.notes))
        except NotTextsError as error:
            as_bytes.add(error.column)


def _table_of(frame: pd.DataFrame) -> pa.Table:
    """The columns of a DataFrame, without its index."""
    columns = [_column(frame.iloc[:, place]) for place in range(frame.shape[1])]
    return pa.Table.from_arrays(columns, names=[str(name) for name in frame.columns])


def _column(series: pd.Series) -> pa.Array | pa.ChunkedArray:
    """A column as Arrow has it; cells of several types as JSON, and those of types that Arrow hasn't as texts."""
    try:
        column = pa.array(series, from_pandas=True)
        if not isinstance(column.type, pa.BaseExtensionType):  # those of pandas hold other numbers than are shown
            return column
    except (pa.ArrowException, ValueError, TypeError, OverflowError, AttributeError):
        pass
    values = [None if _is_missing(value) else _plain(value) for value in series]
    if all(value is None or isinstance(value, (str, bool, int, float, list, dict)) for value in values):
        try:
            return column_of(values, Kind.of(values).type)
        except (pa.ArrowException, ValueError, TypeError, OverflowError):
            pass
    return pa.array([None if value is None else str(value) for value in values], pa.string())


def _is_missing(value: object) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and np.isnan(value))


def _plain(value: Any) -> Any:
    """A number or text of numpy as one of Python."""
    if isinstance(value, (np.generic, numbers.Number)) and hasattr(value, "item"):
        return value.item()
    return str(value) if isinstance(value, str) else value
