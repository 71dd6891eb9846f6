"""The audit: a bundle and a dataset come in, the ranked losses table goes out.

`Audit` decides everything first (columns, labels, precision), so that a mistake shows before any work and the
command can say what was decided; `run` then goes shard by shard. Nothing holds all texts or all losses.
"""

import dataclasses
import functools
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa

from lossaudit.version import __version__

from ..cpus import usable_cpus
from ..data.columns import check_text_pair_column, find_text_column
from ..data.rows import Rows
from ..data.source import locate
from ..data.texts import Text, texts_of
from ..errors import SAME_AGAIN, LossAuditError, Option
from ..labels.alignment import LabelAlignment
from ..model import backends
from ..model.bundle import Bundle
from ..model.encoding import TextEncoder
from ..model.precision import Choice, choice_from, choose
from ..model.tuning import Plan
from ..scores.exact_top import ExactTop
from ..table.merge import ranked
from ..table.outcomes import too_many_failed
from ..table.schema import source_names, with_facts
from ..table.summary import Summary, Tally
from .kept_parts import KeptParts, part_stem
from .rescoring import Rescoring
from .shards import SHARD_ROWS, OnRows, OnStage, ShardJob, encoder_of, score_here
from .tasks import Columns, LabelReader, task_of

_SAMPLE_ROWS = 256
"""Rows that plans are measured on, spread over the dataset."""
_WORTH_MEASURING = 1000
"""Rows below which measuring takes longer than it can save."""

ScoreShards = Callable[[ShardJob, Plan, Rows, list[int], OnRows], Iterator[tuple[int, pa.Table]]]
"""`shards.score_here`, or a cluster's way to do the same."""


def quietly(stage: str, rows: int) -> Callable[[int], None]:  # noqa: ARG001
    """An `OnStage` that tells nobody."""
    return lambda done: None


@dataclass(frozen=True)
class AuditOptions:
    """What a user may ask for; None leaves it to the audit."""

    text_column: str | None = None
    text_pair_column: str | None = None
    """The column with the second texts, where the model reads pairs."""
    label_column: str | None = None
    label_map: Mapping[str, str] = field(default_factory=dict)
    """Given label → the model's label, where names don't say it."""
    limit: int | None = None
    """Only the first rows of the dataset."""
    max_length: int | None = None
    """Tokens at which a text is cut; at most, and by default, the model's own maximum."""
    stride: int | None = None
    """Reads a longer text in windows that share so many tokens, instead of cutting it."""
    threads: int | None = None
    provider: str = "auto"
    precision: str = "auto"
    """See `engine/model/precision.py`."""
    top: int | None = None
    """Rows of the ranking that must be exact under exact-top."""
    tune: bool = True
    """Whether to measure what is fastest here, the first time a bundle is used."""
    strict: bool = False
    """Whether a row without a loss is an error."""


@dataclass(frozen=True)
class Audited:
    """What an audit gives."""

    rows: Callable[[], Iterator[pa.Table]]
    """Gives the losses table by falling loss, in pieces, once."""
    schema: pa.Schema
    """Of the losses table, with the run's facts."""
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


class Audit:
    """One audit, prepared: the opened dataset, its columns and labels, and what will compute the losses."""

    def __init__(self, bundle: Bundle, rows: Rows | datasets.Dataset, options: AuditOptions | None = None) -> None:
        """Raises LossAuditError for whatever of the dataset, the labels or the options doesn't fit the bundle."""
        bundle.check_judges()
        self.options = options = options or AuditOptions()
        self.bundle = bundle
        self.rows = (rows if isinstance(rows, Rows) else Rows(rows)).first(options.limit)
        if not len(self.rows):
            raise LossAuditError("the dataset has no rows")
        features = self.rows.features
        self.task = task_of(bundle.manifest.task, bundle.manifest.labels)
        label_columns = self.task.find_columns(features, options.label_column, options.label_map)
        self.label_column = label_columns if isinstance(label_columns, str) else None
        """None where each of the model's labels has a column of its own."""
        self.text_pair_column = pair = options.text_pair_column
        if pair is not None:
            check_text_pair_column(features, pair, self.label_column)
        self.text_column = find_text_column(features, options.text_column, self.label_column, pair)
        manifest = bundle.manifest
        if options.max_length is not None and options.max_length > manifest.max_length:
            raise LossAuditError(
                Option("max_length", options.max_length),
                f" is more than the model's own {manifest.max_length} tokens",
            )
        self.max_length = options.max_length or manifest.max_length
        self._check_reading()
        self.cpus = min(options.threads or usable_cpus(), usable_cpus())
        if options.provider != "auto":
            backends.check_available(options.provider)
        self._labels, self._sample = self._surveyed(label_columns)
        same = self.label_column if self.alignment.identity else None
        self._names = source_names(features, same, self.task.schema)
        self._kept: KeptParts | None = None

    def keep_parts(self, folder: Path, restart: bool = False, elsewhere: str | None = None) -> KeptParts:
        """Keeps each finished shard in `folder` (or `elsewhere`), and goes on with those that are there."""
        self._kept = kept = KeptParts.open(folder, self._identity(), restart, elsewhere)
        if kept.facts:
            self.choice = choice_from(kept.facts)
        return kept

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def alignment(self) -> LabelAlignment:
        """Which of the model's labels each given one is."""
        return self._labels.alignment

    @functools.cached_property
    def choice(self) -> Choice:
        """What computes the losses. The first time a bundle is used, measuring it takes a few seconds."""
        options = self.options
        sample = None
        if options.tune and len(self) >= _WORTH_MEASURING and self._sample:
            sample = self._encoder.encode(self._sample)
        return choose(self.bundle, options.precision, options.top, options.provider, self.cpus, len(self), sample)

    @property
    def note_on_pairs(self) -> str | None:
        """What to know of the model's way to read pairs, where they are asked for."""
        if self.text_pair_column is None or self._encoder.separates_pairs:
            return None
        return "the model's tokenizer has no template for pairs: it puts nothing between the two texts"

    @functools.cached_property
    def _encoder(self) -> TextEncoder:
        return encoder_of(self.bundle, self.max_length, self.options.stride)

    def _check_reading(self) -> None:
        """Raises LossAuditError for pairs or a stride that the model can't read by."""
        if self.text_pair_column is not None:
            self.bundle.check_reads_pairs()
            if self.options.stride is not None:
                raise LossAuditError(
                    Option("stride"),
                    " doesn't go with ",
                    Option("text_pair_column"),
                    ": it makes windows of a single text",
                )
        if self.options.stride is not None:
            _ = self._encoder  # refuses a stride that leaves no new tokens

    def run(self, on_stage: OnStage = quietly, score_shards: ScoreShards = score_here) -> Audited:
        """Scores and ranks all rows. `on_stage` is told what begins, and of the rows done.

        score_shards: what scores the shards that aren't there; this process, if not a cluster. Raises LossAuditError
        when too many rows fail, or, under `strict`, any row has no loss; the parts that are done stay.
        """
        choice, begun = self.choice, time.perf_counter()
        kept = self._kept or KeptParts.in_scratch(self._identity())
        if not kept.facts:
            kept.decide(dataclasses.asdict(choice))
        scored, with_loss = self._score_all(kept, choice, on_stage, score_shards)
        rescoring = Rescoring(self._job, kept, len(self))
        exact = None
        if choice.again is not None:
            tally = self.task.tally()
            add = functools.partial(self._add, tally)
            exact = rescoring.make_exact(choice.top, with_loss, choice.again, on_stage, add)
        tally = self.task.tally()
        for part in rescoring.parts():
            tally.add(part)
        self._check_any(tally)
        losses = functools.partial(rescoring.parts, ["id", "loss"])
        seconds = time.perf_counter() - begun
        return Audited(
            rows=lambda: ranked(rescoring.parts, losses, len(self), kept.scratch),
            schema=with_facts(part.schema, self._facts(exact, scored, seconds)),
            summary=tally.summary(),
            exact=exact,
            scored=scored,
            seconds=seconds,
        )

    @property
    def _job(self) -> ShardJob:
        return ShardJob(
            self.bundle,
            self.task,
            self.text_column,
            self._labels,
            self._names,
            self.max_length,
            self.text_pair_column,
            self.options.stride,
        )

    def _score_all(
        self, kept: KeptParts, choice: Choice, on_stage: OnStage, score_shards: ScoreShards
    ) -> tuple[int, int]:
        """Makes the part of every shard that isn't there; gives how many rows that were, and all rows with a loss."""
        done = on_stage("Scoring", len(self))
        tally = self.task.tally()
        missing = []
        for start in range(0, len(self), SHARD_ROWS):
            part = kept.read(part_stem(start))
            if part is None:
                missing.append(start)
            else:
                tally.add(part)
                done(len(part))
        self._check(tally)
        before = tally.rows
        for start, part in score_shards(self._job, choice.first, self.rows, missing, done):
            self._add(tally, part)
            kept.write(part_stem(start), part)
        self._check_any(tally)
        return tally.rows - before, tally.ranked

    def _add(self, tally: Tally, part: pa.Table) -> None:
        """Counts a part in. Raises LossAuditError where the audit can't go on with it."""
        tally.add(part)
        self._check(tally)

    def _check_any(self, tally: Tally) -> None:
        if not tally.ranked:
            why = f"; {tally.first_failure}" if tally.failed else ""
            raise LossAuditError(f"no row has a loss: {self._unranked(tally)}{why}")

    def _check(self, tally: Tally) -> None:
        if too_many_failed(tally.failed, len(self)):
            kept = () if self._kept is None else ("the shards before are kept: ", SAME_AGAIN, " to resume from them, ")
            raise LossAuditError(
                f"the model fails on {tally.failed:,} of {tally.rows:,} rows so far ({tally.first_failure}); ",
                *kept,
                "export the model again, or use another ",
                Option("provider"),
            )
        if self.options.strict and tally.ranked < tally.rows:
            raise LossAuditError(
                Option("strict", True),
                f": {self._unranked(tally)}; mend these rows or leave ",
                Option("strict"),
                " out",
            )

    def _unranked(self, tally: Tally) -> str:
        """The rows without a loss, and where the first of each kind is."""
        where = locate(self.rows.origin, [seen.first for seen in tally.unranked.values()])
        return ", ".join(
            f"{seen.rows:,} {status} (first: {where[seen.first]})" for status, seen in tally.unranked.items()
        )

    def _surveyed(self, label_columns: Columns) -> tuple[LabelReader, list[Text]]:
        """The labels that the dataset gives, and the texts of some rows, in one pass mostly."""
        texts: dict[int, list[Text]] = {}
        columns = [name for name in (self.text_column, self.text_pair_column) if name is not None]
        wanted = np.unique(np.linspace(0, len(self.rows) - 1, num=_SAMPLE_ROWS, dtype=np.int64))

        def pieces() -> Iterator[tuple[int, pa.Table]]:
            for start, table in self.rows.shards(SHARD_ROWS):
                here = wanted[(wanted >= start) & (wanted < start + len(table))] - start
                found = texts_of(table.take(pa.array(here)), columns).values
                texts[start] = [text for text in found if text is not None]
                yield start, table

        labels = self.task.align(label_columns, pieces, self.rows.features, self.options.label_map)
        return labels, [text for some in texts.values() for text in some]

    def _identity(self) -> dict[str, Any]:
        """What makes another audit's shards of use to this one."""
        options = self.options
        return {
            "lossaudit": __version__,
            "bundle": hashlib.sha256(self.bundle.manifest.to_json().encode()).hexdigest()[:16],
            "dataset": self.rows.fingerprint,
            "rows": len(self),
            "shard rows": SHARD_ROWS,
            "text column": self.text_column,
            "text pair column": self.text_pair_column,
            "label column": self.label_column,
            "label map": dict(options.label_map),
            "max length": self.max_length,
            "stride": options.stride,
            "precision": options.precision,
            "top": options.top,
            "provider": options.provider,
        }

    def _facts(self, exact: ExactTop | None, scored: int, seconds: float) -> dict[str, Any]:
        """docs/losses.md describes them."""
        model, origin = self.bundle.manifest.source, self.rows.origin
        pair = self.text_pair_column
        return {
            "model": model.name,
            "revision": model.revision,
            "task": self.bundle.manifest.task,
            "labels": list(self.bundle.manifest.labels),
            "text_column": self._names[self.text_column],
            "text_pair_column": pair and self._names[pair],
            "max_length": self.max_length,
            "stride": self.options.stride,
            "precision": self.choice.precision,
            "graph": self.choice.first.graph,
            "backend": self.choice.first.backend,
            "exact_top": self.choice.top if exact else None,
            "run": {
                "versions": {
                    "lossaudit": __version__,
                    **dict(zip(backends.available(), backends.versions(), strict=True)),
                },
                "scored": scored,
                "seconds": round(seconds, 3),
            },
            "source": {
                "name": origin.name if origin else None,
                "config": origin.config if origin else None,
                "split": origin.split if origin else None,
                "limit": self.options.limit,
                "rows": len(self),
                "fingerprint": self.rows.fingerprint,
                "text_column": self.text_column,
                "text_pair_column": pair,
                "label_column": self.label_column,
            },
            **self._labels.facts(self.rows.features, self._names),
        }
