"""The losses table: one row per example, the model's figures first and the source's own columns after them.

`run/shard_table.py` makes it from a shard's scores; facts.py has what is stored with it. docs/losses.md describes it.
"""

import json
from collections.abc import Iterable, Sequence

import pyarrow as pa

from ..data.utf8 import mended

SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("label", pa.int64()),
        ("label_name", pa.string()),
        ("prediction", pa.int64()),
        ("prediction_name", pa.string()),
        ("probability", pa.float64()),
        ("label_probability", pa.float64()),
        ("loss", pa.float64()),
        ("margin", pa.float64()),
        ("tokens", pa.int64()),
        ("unknown_tokens", pa.int64()),
        ("truncated", pa.bool_()),
        ("precision", pa.string()),
        ("status", pa.string()),
        ("status_reason", pa.string()),
        ("probabilities", pa.list_(pa.float32())),
    ]
)
"""Columns of a single-label model's table."""
SETS = pa.schema(
    [("labels", pa.list_(pa.string())), ("predictions", pa.list_(pa.string())), ("worst_label", pa.string())]
)
MULTI_LABEL_SCHEMA = pa.schema([*SCHEMA, *SETS])
"""Columns of a multi-label model's table."""
SPLITS = pa.schema([("split", pa.string()), ("also_in", pa.string())])
"""Columns of a table of several splits, after the others of its own."""
REQUIRED = ("id", "label_name", "prediction_name", "probability", "loss")
"""The columns that a losses table of any version has."""


def own_schema(names: Sequence[str]) -> pa.Schema:
    """The columns of its own that a losses table with columns of these names may have, in the order of the table.

    A multi-label one, and one of several splits, have more right after the probabilities: a source's column may be
    called `labels` too.
    """
    behind = list(names[names.index("probabilities") + 1 :]) if "probabilities" in names else []
    sets = behind[: len(SETS)] == SETS.names
    behind = behind[len(SETS) if sets else 0 :]
    return schema_of(MULTI_LABEL_SCHEMA if sets else SCHEMA, behind[: len(SPLITS)] == SPLITS.names)


def schema_of(schema: pa.Schema, several_splits: bool) -> pa.Schema:
    """A task's columns, and where several splits are read those of splits."""
    return pa.schema([*schema, *SPLITS]) if several_splits else schema


def is_multi_label(names: Sequence[str]) -> bool:
    """Whether a losses table with columns of these names is that of a multi-label model."""
    return SETS.names[0] in own_schema(names).names


def storable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column as any reader of the table can read it. Of values of several types, texts stay, others become JSON."""
    if isinstance(column.type, pa.JsonType):
        cells = column.cast(pa.string()).to_pylist()
        values = [json.loads(cell) if cell is not None and cell.startswith('"') else cell for cell in cells]
        return pa.chunked_array([values], type=pa.string())
    return mended(column)


def source_names(
    columns: Iterable[str], same_as_label: str | None, schema: pa.Schema = SCHEMA
) -> dict[str, str | None]:
    """The name of each source column in the losses table: its own, after `source_` if it is one of ours.

    same_as_label: the column, if any, that holds exactly the values of our `label`; if its name is the same too, it
    isn't repeated (None). schema: our own columns.
    """
    columns = list(columns)
    taken = {*schema.names, *columns}
    names: dict[str, str | None] = {}
    for column in columns:
        new_name: str | None = column
        if column in schema.names:
            new_name = f"source_{column}"
            while new_name in taken:
                new_name = f"source_{new_name}"
            taken.add(new_name)
            if column == same_as_label == "label":
                new_name = None
        names[column] = new_name
    return names
