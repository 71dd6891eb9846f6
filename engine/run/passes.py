"""The passes over a dataset's shards: score each, perhaps score the top once more, then rank all rows.

Nothing holds all texts or all losses in memory.
"""

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from ..data.rows import Split
from ..data.source import locate
from ..errors import SAME_AGAIN, LossAuditError, Option
from ..model.precision import Choice
from ..model.tuning import Plan
from ..scores.exact_top import ExactTop
from ..table.merge import ranked
from ..table.outcomes import too_many_failed
from ..table.ranking import label_columns
from ..table.repeats import RepeatFinder, SameTexts
from ..table.schema import SPLITS
from ..table.summary import Summary, Tally, with_repeats
from .kept_parts import KeptParts, part_stem
from .reading import Reading
from .rescoring import Rescoring
from .shards import OnRows, OnStage, ShardJob, score_here

ScoreShards = Callable[[ShardJob, Plan, Iterator[tuple[int, pa.Table]], OnRows], Iterator[tuple[int, pa.Table]]]
"""`shards.score_here`, or another way to do the same."""


def quietly(stage: str, rows: int) -> Callable[[int], None]:  # noqa: ARG001
    """An `OnStage` that shows nothing."""
    return lambda done: None


@dataclass(frozen=True)
class Audited:
    """The result of an audit."""

    rows: Callable[[], Iterator[pa.Table]]
    """Yields the losses table in pieces, highest loss first; it can be called once."""
    schema: pa.Schema
    """Schema of the losses table, with the run's facts."""
    summary: Summary
    exact: ExactTop | None
    """Under exact-top, which rows were scored again, and the margin."""
    scored: int
    """Rows that this run scored; the others were kept from an interrupted one."""
    seconds: float
    """Wall-clock time of tokenising and scoring."""

    @functools.cached_property
    def table(self) -> pa.Table:
        """The whole losses table, in memory."""
        return pa.concat_tables(self.rows()).cast(self.schema)


def _marked(pieces: Iterator[pa.Table], leaks: SameTexts, splits: Sequence[Split]) -> Iterator[pa.Table]:
    """Rows of a table of several splits, with the other splits that have their texts."""
    for piece in pieces:
        if splits:
            field = SPLITS.field("also_in")
            others = leaks.other_splits(piece["id"].to_numpy())
            piece = piece.set_column(piece.schema.get_field_index(field.name), field, others)
        yield piece


@dataclass(frozen=True)
class Passes:
    """Everything that is done with the rows of a dataset."""

    job: ShardJob
    reading: Reading
    choice: Choice
    """What scores the shards, and the top again."""
    kept: KeptParts
    strict: bool = False
    """Whether a row without a loss is an error."""

    def run(self, on_stage: OnStage = quietly, score_shards: ScoreShards = score_here) -> Audited:
        """Scores and ranks all rows. `on_stage` is called when a stage begins.

        score_shards: scores the shards that aren't kept yet. The returned schema is still without facts. Raises
        LossAuditError if too many rows fail or, under `strict`, any row has no loss; finished parts stay.
        """
        choice, kept, begun = self.choice, self.kept, time.perf_counter()
        if kept.choice is None:
            kept.decide(choice)
        scored, with_loss = self._score_all(on_stage, score_shards)
        rescoring = Rescoring(self.job, kept, self.reading.sharding)
        exact = None
        if choice.again is not None:
            add = functools.partial(self._add, self.job.task.tally())
            exact = rescoring.make_exact(choice.top, with_loss, choice.again, on_stage, add)
        tally, finder = self.job.task.tally(), self._repeat_finder()
        for part in rescoring.parts():
            tally.add(part)
            finder.add(part)
        self._check_any(tally)
        repeats = finder.found(functools.partial(rescoring.parts, ["id", *finder.columns]))
        losses = functools.partial(rescoring.parts, ["id", "loss"])
        return Audited(
            rows=lambda: _marked(
                ranked(rescoring.parts, losses, len(self.reading.rows), kept.scratch), repeats.leaks, self.job.splits
            ),
            schema=part.schema,
            summary=with_repeats(tally.summary(), repeats),
            exact=exact,
            scored=scored,
            seconds=time.perf_counter() - begun,
        )

    def _repeat_finder(self) -> RepeatFinder:
        texts = [self.job.names[column] or column for column in self.reading.text_columns]
        split = SPLITS.names[0] if self.job.splits else None
        return RepeatFinder(len(self.reading.rows), texts, label_columns(self.job.task.schema.names).given, split)

    def _score_all(self, on_stage: OnStage, score_shards: ScoreShards) -> tuple[int, int]:
        """Scores every shard that isn't kept yet; returns how many rows that were, and how many rows have a loss."""
        done = on_stage("Scoring", len(self.reading.rows))
        tally = self.job.task.tally()
        missing = []
        for start in self.reading.sharding.starts:
            part = self.kept.read(part_stem(start))
            if part is None:
                missing.append(start)
            else:
                tally.add(part)
                done(len(part))
        self._check(tally)
        before = tally.rows
        if missing:
            sources = self.reading.shards(frozenset(missing))
            for start, part in score_shards(self.job, self.choice.first, sources, done):
                self._add(tally, part)
                self.kept.write(part_stem(start), part)
        self._check_any(tally)
        return tally.rows - before, tally.ranked

    def _add(self, tally: Tally, part: pa.Table) -> None:
        """Counts a part. Raises LossAuditError if the audit has to stop there."""
        tally.add(part)
        self._check(tally)

    def _check_any(self, tally: Tally) -> None:
        if not tally.ranked:
            why = f"; {tally.first_failure}" if tally.failed else ""
            raise LossAuditError(f"no row has a loss: {self._unranked(tally)}{why}")

    def _check(self, tally: Tally) -> None:
        if too_many_failed(tally.failed, len(self.reading.rows)):
            kept = ("finished shards are kept: ", SAME_AGAIN, " to resume from them, ") if self.kept.stay else ()
            raise LossAuditError(
                f"the model fails on {tally.failed:,} of {tally.rows:,} rows so far ({tally.first_failure}); ",
                *kept,
                "export the model again, or use another ",
                Option("provider"),
            )
        if self.strict and tally.ranked < tally.rows:
            raise LossAuditError(
                Option("strict", True),
                f": {self._unranked(tally)}; fix these rows or leave ",
                Option("strict"),
                " out",
            )

    def _unranked(self, tally: Tally) -> str:
        """The rows without a loss, and where the first of each kind is."""
        where = locate(self.reading.rows.origin, [seen.first for seen in tally.unranked.values()])
        return ", ".join(
            f"{seen.rows:,} {status} (first: {where[seen.first]})" for status, seen in tally.unranked.items()
        )
