"""The shard function, from source rows to their part of the losses table.

One machine runs it in a loop, a cluster in many processes: a `ShardJob` is all that it depends on, so a shard's part
is the same wherever and whenever it is made.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from ..data.rows import Split
from ..data.texts import Texts, texts_of
from ..labels.given import MISSING, NOT_IN_MODEL
from ..model import backends
from ..model.bundle import Bundle
from ..model.encoding import TextEncoder
from ..model.scoring import EncodedShard, Scorer, ShardLogits, encode_shard, one_ahead
from ..model.tuning import Plan
from ..table import outcomes
from ..table.outcomes import Outcomes
from .shard_table import JudgedRows, score_columns, shard_table
from .tasks import LabelReader, Task

OnRows = Callable[[int], None]
"""Called with the number of rows that were just done."""
OnStage = Callable[[str, int], OnRows]
"""Called with the name of a stage and its number of rows; returns the `OnRows` for it."""


@dataclass(frozen=True)
class ShardJob:
    """What a shard's part depends on, besides its rows."""

    bundle: Bundle
    task: Task
    labels: LabelReader
    text_columns: tuple[str, ...]
    """The text column, or the two columns of text pairs."""
    names: Mapping[str, str | None]
    """Name of each source column in the losses table (see `schema.source_names`)."""
    splits: tuple[Split, ...]
    """The splits that are read as one dataset; () where it is a single one."""
    max_length: int
    stride: int | None = None
    """Tokens that the windows of a long text share; None where it is cut at the maximum instead."""


@dataclass(frozen=True)
class SourceRows:
    """Source rows, and their texts."""

    start: int
    """The first row's position in the dataset."""
    table: pa.Table
    texts: Texts

    @classmethod
    def read(cls, job: ShardJob, start: int, table: pa.Table) -> Self:
        """Reads the texts of rows, of which the first is row `start`."""
        return cls(start, table, texts_of(table, job.text_columns))


@dataclass(frozen=True)
class EncodedRows:
    """A shard's rows, read and tokenised."""

    source: SourceRows
    tokens: EncodedShard


def encoder_of(bundle: Bundle, max_length: int, stride: int | None = None) -> TextEncoder:
    """A bundle's tokenizer, which cuts texts at `max_length` tokens, or with a stride into windows of so many."""
    manifest = bundle.manifest
    return TextEncoder(bundle.tokenizer, max_length, manifest.pad_id, manifest.truncation_side, stride)


def load_scorer(bundle: Bundle, plan: Plan) -> Scorer:
    """A bundle's graph, loaded to be run by a plan. Raises LossAuditError if it can't be."""
    runner = backends.load(plan.backend, bundle.file_of(plan.graph), plan.workers, plan.threads)
    return Scorer(runner, plan.workers, plan.budget, len(bundle.manifest.labels))


def losses_part(job: ShardJob, rows: SourceRows, scored: ShardLogits, precision: str) -> pa.Table:
    """The part of source rows, from the scores of their texts. precision: that of the scores."""
    given = job.labels.read(rows.table)
    said = Outcomes()
    said.say(outcomes.TRUNCATED, np.flatnonzero(scored.truncated))
    said.say(outcomes.LABEL_NOT_IN_MODEL, np.flatnonzero(given.codes == NOT_IN_MODEL))
    said.say(outcomes.MISSING_LABEL, np.flatnonzero(given.codes == MISSING))
    said.say(outcomes.FAILED, scored.failed)
    said.say(outcomes.EMPTY_TEXT, rows.texts.empty)
    said.say(outcomes.BAD_TEXT, rows.texts.bad)
    judged = JudgedRows(rows.table, rows.start, given, said, scored, precision)
    return shard_table(judged, job.task, job.names, job.splits)


class ShardScorer:
    """A job with a loaded graph. Close it, or use it in a `with`."""

    def __init__(self, job: ShardJob, plan: Plan) -> None:
        """Raises LossAuditError if the bundle's files can't be loaded."""
        self._job = job
        self._precision = job.bundle.graph(plan.graph).precision
        self._encoder = encoder_of(job.bundle, job.max_length, job.stride)
        self._scorer = load_scorer(job.bundle, plan)

    def encode(self, start: int, source: pa.Table) -> EncodedRows:
        """Tokenises source rows, of which the first is row `start` of the dataset."""
        rows = SourceRows.read(self._job, start, source)
        return EncodedRows(rows, encode_shard(rows.texts.values, self._encoder))

    def score(self, rows: EncodedRows, on_rows: OnRows = lambda rows: None) -> pa.Table:
        """The part of some rows, in their order. `on_rows` is called with the number of rows done."""
        scored = self._scorer.score(rows.tokens, on_rows)
        texts = rows.source.texts
        on_rows(len(texts.empty) + len(texts.bad) + len(rows.tokens.failed))
        return losses_part(self._job, rows.source, scored, self._precision)

    def score_again(self, part: pa.Table, on_rows: OnRows = lambda rows: None) -> pa.Table:
        """Rows of a losses table, all with a loss, scored again by this graph; their other columns are unchanged."""
        job = self._job
        names = [name for column in job.text_columns if (name := job.names[column]) is not None]
        texts = texts_of(part, names)
        scored = self._scorer.score(encode_shard(texts.values, self._encoder), on_rows)
        said = Outcomes()
        said.say(outcomes.TRUNCATED, np.flatnonzero(scored.truncated))
        said.say(outcomes.FAILED, scored.failed)
        status, reasons = said.of_rows(len(part))
        scores = score_columns(job.task.labels_of(part), scored, self._precision, job.task)
        changed = {name: scores[name] for name in scores.column_names} | {"status": status, "status_reason": reasons}
        for column, values in changed.items():
            schema = job.task.schema
            part = part.set_column(schema.get_field_index(column), schema.field(column), values)
        return part

    def close(self) -> None:
        self._scorer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def score_here(
    job: ShardJob, plan: Plan, sources: Iterator[tuple[int, pa.Table]], on_rows: OnRows
) -> Iterator[tuple[int, pa.Table]]:
    """Scores shards in this process. sources: their rows, with the first one's number, as for the parts."""
    with ShardScorer(job, plan) as scorer:
        for encoded in one_ahead(scorer.encode(start, source) for start, source in sources):
            yield encoded.source.start, scorer.score(encoded, on_rows)
