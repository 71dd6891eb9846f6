"""The losses table: one row an example, the model's figures first and the source's own columns behind them.

`shard_table` makes it from a shard's scores; `facts` travel with it in the Arrow schema's metadata (and so
in Parquet): which model and data it came from and which column holds the text. docs/losses.md describes it.
"""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:  # `top` reads tables without loading a runtime
    from lossaudit.engine.loss import Ints, Scores
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
        ("truncated", pa.bool_()),
        ("precision", pa.string()),
    ]
)
TEXT_NAMES = ("text", "sentence", "content", "document", "review", "question", "description", "body", "title")
"""What a column with the text is usually called, the likeliest first."""
_FACTS = b"lossaudit"


def shard_table(
    source: pa.Table,
    ids: "Ints",
    labels: "Ints",
    scores: "Scores",
    shard: "ShardLogits",
    precision: str,
    names: tuple[str, ...],
    renamed: dict[str, str | None],
) -> pa.Table:
    """The losses table of a shard: n source rows, their scores, and the model's label names.

    ids: (n,) their positions in the dataset. precision: what computed the scores. renamed: see `source_names`.
    """
    label_names = pa.array(names, type=pa.string())
    ours = pa.table(
        {
            "id": ids,
            "label": labels,
            "label_name": label_names.take(pa.array(labels)),
            "prediction": scores.prediction,
            "prediction_name": label_names.take(pa.array(scores.prediction)),
            "probability": scores.probability,
            "label_probability": scores.label_probability,
            "loss": scores.loss,
            "margin": scores.margin,
            "tokens": shard.tokens,
            "truncated": shard.truncated,
            "precision": pa.repeat(precision, len(labels)),
        },
        schema=SCHEMA,
    )
    for name in source.column_names:
        new_name = renamed[name]
        if new_name is not None:
            ours = ours.append_column(new_name, source[name])
    return ours


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


def with_facts(table: pa.Table, facts: dict[str, Any]) -> pa.Table:
    """The table with facts of the run (anything JSON holds) in its schema's metadata."""
    return table.replace_schema_metadata({_FACTS: json.dumps(facts, ensure_ascii=False).encode()})


def facts_of(table: pa.Table) -> dict[str, Any]:
    """The facts of a table, {} where it carries none (it was read from CSV or JSON)."""
    stored = (table.schema.metadata or {}).get(_FACTS)
    try:
        facts = json.loads(stored) if stored else {}
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}
