"""Makes the losses table of a shard from its source rows, labels and logits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..data.rows import Split
from ..labels.given import GivenLabels
from ..model.scoring import ShardLogits
from ..table.outcomes import Outcomes
from ..table.schema import schema_of, storable
from .tasks import Labels, Task


@dataclass(frozen=True)
class JudgedRows:
    """Source rows and their outcomes."""

    source: pa.Table
    start: int
    """The first row's position in the dataset."""
    given: GivenLabels
    outcomes: Outcomes
    scored: ShardLogits
    precision: str
    """What computed the logits."""


def shard_table(
    rows: JudgedRows, task: Task, names: Mapping[str, str | None], splits: Sequence[Split] = ()
) -> pa.Table:
    """The losses table of a shard. names: the source columns' names in it (see `schema.source_names`).

    splits: those that are read as one dataset.
    """
    n, start = len(rows.source), rows.start
    status, reasons = rows.outcomes.of_rows(n)
    scores = score_columns(rows.given.labels, rows.scored, rows.precision, task)
    ours = {
        **{name: scores[name] for name in scores.column_names},
        **task.given_columns(rows.given),
        "id": np.arange(start, start + n),
        "status": status,
        "status_reason": reasons,
    }
    if splits:
        stops = np.cumsum([split.rows for split in splits])
        of_rows = np.searchsorted(stops, ours["id"], side="right")
        ours["split"] = pa.array([split.name for split in splits]).take(pa.array(of_rows))
        ours["also_in"] = pa.nulls(n, pa.string())  # that shows once all shards are there
    schema = schema_of(task.schema, bool(splits))
    table = pa.table([ours[name] for name in schema.names], schema=schema)
    for name in rows.source.column_names:
        new_name = names[name]
        if new_name is not None:
            table = table.append_column(new_name, storable(rows.source[name]))
    return table


def score_columns(labels: Labels, shard: ShardLogits, precision: str, task: Task) -> pa.Table:
    """The columns computed from the logits of n rows; null where a row has no logits or no label."""
    scored = np.isfinite(shard.logits).all(axis=1)
    columns = {
        **task.score_columns(shard.logits[scored], labels[scored]),
        "tokens": shard.tokens[scored],
        "unknown_tokens": shard.unknown[scored],
        "truncated": shard.truncated[scored],
        "precision": pa.repeat(precision, int(scored.sum())),
    }
    table = pa.table(list(columns.values()), schema=pa.schema([task.schema.field(name) for name in columns]))
    return table.take(pa.array(np.cumsum(scored) - 1, mask=~scored))
