"""The losses table: one row an example, the model's figures first and the source's own columns behind them.

`shard_table` makes it from a shard's scores; `facts` travel with it in the Arrow schema's metadata (and so
in Parquet): which model and data it came from and which column holds the text. docs/losses.md describes it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lossaudit.engine.loss import Ints, score
from lossaudit.engine.outcomes import Outcomes
from lossaudit.engine.utf8 import mended

if TYPE_CHECKING:  # `top` reads tables without loading a runtime
    from lossaudit.engine.scoring import ShardLogits

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
TEXT_NAMES = ("text", "sentence", "content", "document", "review", "question", "description", "body", "title")
"""What a column with the text is usually called, the likeliest first."""
_FACTS = b"lossaudit"


def shard_table(
    source: pa.Table,
    start: int,
    labels: Ints,
    label_names: Sequence[str | None],
    outcomes: Outcomes,
    shard: "ShardLogits",
    precision: str,
    classes: tuple[str, ...],
    renamed: Mapping[str, str | None],
) -> pa.Table:
    """The losses table of a shard: n source rows, and what became of each.

    start: the first row's position in the dataset. labels: (n,) class indices, below 0 where a row has none.
    label_names: (n,) of the given labels. precision: what computed the scores. renamed: see `source_names`.
    """
    n = len(source)
    names = np.array([*classes, None], dtype=object)
    given = np.where(labels >= 0, names[np.maximum(labels, -1)], np.array(label_names, dtype=object))
    status, reasons = outcomes.of_rows(n)
    scores = score_columns(labels, shard, precision, classes)
    ours = {
        **{name: scores[name] for name in scores.column_names},
        "id": np.arange(start, start + n),
        "label": pa.array(labels, mask=labels < 0),
        "label_name": pa.array(given, type=pa.string()),
        "status": status,
        "status_reason": reasons,
    }
    table = pa.table([ours[name] for name in SCHEMA.names], schema=SCHEMA)
    for name in source.column_names:
        new_name = renamed[name]
        if new_name is not None:
            table = table.append_column(new_name, storable(source[name]))
    return table


def score_columns(labels: Ints, shard: "ShardLogits", precision: str, classes: tuple[str, ...]) -> pa.Table:
    """The columns that the model's logits decide, of n rows; nothing where a row has no logits or no label."""
    scored = np.isfinite(shard.logits).all(axis=1)
    given = labels[scored]
    scores = score(shard.logits[scored], np.maximum(given, 0))
    without_label = given < 0
    m = len(given)
    class_names = pa.array(classes, type=pa.string())
    offsets = np.arange(0, (m + 1) * len(classes), len(classes))
    columns = {
        "prediction": scores.prediction,
        "prediction_name": class_names.take(pa.array(scores.prediction)),
        "probability": scores.probability,
        "label_probability": pa.array(scores.label_probability, mask=without_label),
        "loss": pa.array(scores.loss, mask=without_label),
        "margin": pa.array(scores.margin, mask=without_label),
        "tokens": shard.tokens[scored],
        "unknown_tokens": shard.unknown[scored],
        "truncated": shard.truncated[scored],
        "precision": pa.repeat(precision, m),
        "probabilities": pa.ListArray.from_arrays(
            pa.array(offsets, pa.int32()), pa.array(scores.probabilities.ravel(), pa.float32())
        ),
    }
    table = pa.table(list(columns.values()), schema=pa.schema([SCHEMA.field(name) for name in columns]))
    return table.take(pa.array(np.cumsum(scored) - 1, mask=~scored))


def storable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column that any reader of the table reads. Of values of several types, texts stay, others become JSON."""
    if isinstance(column.type, pa.JsonType):
        cells = column.cast(pa.string()).to_pylist()
        values = [json.loads(cell) if cell is not None and cell.startswith('"') else cell for cell in cells]
        return pa.chunked_array([values], type=pa.string())
    return mended(column)


def source_names(columns: Iterable[str], same_as_label: str | None) -> dict[str, str | None]:
    """What each source column is called in the losses table: its own name, unless that is one of ours.

    Then it is `source_` and its name. same_as_label: the column, if any, that holds the very values of
    our `label`; where it is called so too it isn't repeated (None).
    """
    columns = list(columns)
    taken = {*SCHEMA.names, *columns}
    names: dict[str, str | None] = {}
    for column in columns:
        new_name: str | None = column
        if column in SCHEMA.names:
            new_name = f"source_{column}"
            while new_name in taken:
                new_name = f"source_{new_name}"
            taken.add(new_name)
            if column == same_as_label == "label":
                new_name = None
        names[column] = new_name
    return names


def rank(table: pa.Table) -> pa.Table:
    """The table by falling loss, ties by rising id."""
    return table.take(pc.sort_indices(table, sort_keys=[("loss", "descending"), ("id", "ascending")]))


def with_facts(schema: pa.Schema, facts: dict[str, Any]) -> pa.Schema:
    """The schema with facts of the run (anything JSON holds) in its metadata."""
    return schema.with_metadata({_FACTS: json.dumps(facts, ensure_ascii=False).encode()})


def facts_of(schema: pa.Schema) -> dict[str, Any]:
    """The facts of a table with this schema, {} where it carries none (it was read from CSV or JSON)."""
    stored = (schema.metadata or {}).get(_FACTS)
    try:
        facts = json.loads(stored) if stored else {}
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}
