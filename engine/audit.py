"""The audit: a bundle and a dataset come in, the ranked losses table goes out.

`Audit` decides everything first (columns, labels, precision), so that a mistake shows before any work and the
command can say what was decided; `run` then goes shard by shard.
"""

import dataclasses
import functools
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lossaudit.engine import backends, scoring
from lossaudit.engine.bundle import Bundle
from lossaudit.engine.columns import find_label_column, find_text_column
from lossaudit.engine.cpus import usable_cpus
from lossaudit.engine.encoding import TextEncoder
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.exact_top import ExactTop, exact_top
from lossaudit.engine.kept_parts import KeptParts
from lossaudit.engine.labels import align
from lossaudit.engine.loss import Floats, Ints, score
from lossaudit.engine.precision import Choice, choice_from, choose
from lossaudit.engine.scoring import Scorer
from lossaudit.engine.summary import Summary, summarise
from lossaudit.engine.table import rank, shard_table, source_names, with_facts
from lossaudit.engine.tuning import Plan
from lossaudit.version import __version__

SHARD_ROWS = 4096
"""Rows that are tokenised and sorted together: enough to fill batches of every length, few enough to hold."""
_SAMPLE_ROWS = 256
"""Rows that plans are measured on, spread over the dataset."""
_WORTH_MEASURING = 1000
"""Rows below which measuring takes longer than it can save."""

OnStage = Callable[[str, int], Callable[[int], None]]
"""Told of a stage and its rows; gives the function to tell of rows done."""


def _quietly(stage: str, rows: int) -> Callable[[int], None]:  # noqa: ARG001
    return lambda done: None


@dataclass(frozen=True)
class AuditOptions:
    """What a user may ask for; None leaves it to the audit."""

    text_column: str | None = None
    label_column: str | None = None
    label_map: Mapping[str, str] = field(default_factory=dict)
    """Given label → the model's label, where names don't say it."""
    limit: int | None = None
    """Only the first rows of the dataset."""
    max_length: int | None = None
    """Tokens at which a text is cut; at most, and by default, the model's own maximum."""
    threads: int | None = None
    provider: str = "auto"
    precision: str = "auto"
    """See `engine/precision.py`."""
    top: int | None = None
    """Rows of the ranking that must be exact under exact-top."""
    tune: bool = True
    """Whether to measure what is fastest here, the first time a bundle is used."""


@dataclass(frozen=True)
class Audited:
    """What an audit gives."""

    table: pa.Table
    """The losses table, by falling loss."""
    summary: Summary
    exact: ExactTop | None
    """Under exact-top, which rows were scored again, and the margin."""
    scored: int
    """Rows that this run scored; the others were kept from an interrupted one."""
    seconds: float
    """Wall-clock time of tokenising, scoring and ranking."""


class Audit:
    """One audit, prepared: the opened dataset, its columns and labels, and what will compute the losses."""

    def __init__(self, bundle: Bundle, dataset: datasets.Dataset, options: AuditOptions | None = None) -> None:
        """Raises LossAuditError for whatever of the dataset, the labels or the options doesn't fit the bundle."""
        self.options = options = options or AuditOptions()
        self.bundle = bundle
        if options.limit is not None:
            dataset = dataset.select(range(min(options.limit, len(dataset))))
        self._rows = dataset.with_format("arrow")
        features = dataset.features
        self.label_column = find_label_column(features, options.label_column)
        self.text_column = find_text_column(features, options.text_column, self.label_column)
        manifest = bundle.manifest
        self.alignment = align(
            self._column(self.label_column), features[self.label_column], manifest.labels, options.label_map
        )
        self._refuse_missing_text()
        same = self.label_column if self.alignment.identity else None
        self._names = source_names(features, same)
        if options.max_length is not None and options.max_length > manifest.max_length:
            raise LossAuditError(
                f"--max-length {options.max_length} is more than the model's own {manifest.max_length} tokens"
            )
        self.max_length = options.max_length or manifest.max_length
        self.cpus = min(options.threads or usable_cpus(), usable_cpus())
        self._encoder = TextEncoder(bundle.tokenizer, self.max_length, manifest.pad_id, manifest.truncation_side)
        if options.provider != "auto":
            backends.check_available(options.provider)
        self._kept: KeptParts | None = None

    def keep_parts(self, folder: Path, restart: bool = False) -> KeptParts:
        """Keeps each finished shard in `folder`, and goes on with those that are there (see `kept_parts.py`)."""
        self._kept = kept = KeptParts.open(folder, self._identity(), restart)
        if kept.facts:
            self.choice = choice_from(kept.facts)
        return kept

    def __len__(self) -> int:
        return len(self._rows)

    @functools.cached_property
    def choice(self) -> Choice:
        """What computes the losses. The first time a bundle is used, measuring it takes a few seconds."""
        options = self.options
        sample = None
        if options.tune and len(self) >= _WORTH_MEASURING:
            rows = np.linspace(0, len(self) - 1, num=min(_SAMPLE_ROWS, len(self)), dtype=np.int64)
            sample = self._encoder.encode(self._rows[rows.tolist()][self.text_column].to_pylist())
        return choose(self.bundle, options.precision, options.top, options.provider, self.cpus, len(self), sample)

    def run(self, on_stage: OnStage = _quietly) -> Audited:
        """Scores and ranks all rows. `on_stage` is told what begins, and of the rows done."""
        choice = self.choice
        begun = time.perf_counter()
        parts = self._parts_kept()
        table = self._score_all(choice.first, parts, on_stage)
        exact = None
        if choice.again is not None:
            table, exact = self._with_exact_top(table, choice.top, choice.again, on_stage)
        table = rank(table)
        summary = summarise(table, len(self.bundle.manifest.labels))
        scored = len(table) - sum(map(len, parts.values()))
        return Audited(with_facts(table, self._facts(exact)), summary, exact, scored, time.perf_counter() - begun)

    def _score_all(self, plan: Plan, kept: dict[int, pa.Table], on_stage: OnStage) -> pa.Table:
        """The losses table of every row, in the dataset's order. kept: the shards that are done, by first row."""
        done = on_stage("Scoring", len(self))
        parts = dict(kept)
        done(sum(map(len, parts.values())))
        missing = [start for start in range(0, len(self), SHARD_ROWS) if start not in parts]
        shards = (np.arange(start, min(start + SHARD_ROWS, len(self))) for start in missing)
        with self._scorer(plan) as scorer:
            for source, ids, shard in scoring.one_ahead(map(self._encoded, shards)):
                start = int(ids[0])
                parts[start] = self._table(source, ids, scorer.score(shard, done), plan)
                if self._kept is not None:
                    self._kept.write(start, parts[start])
        return pa.concat_tables([parts[start] for start in sorted(parts)])

    def _parts_kept(self) -> dict[int, pa.Table]:
        """The shards that were scored before, by their first row."""
        if self._kept is None:
            return {}
        if not self._kept.facts:
            self._kept.decide(dataclasses.asdict(self.choice))
        found = {start: self._kept.read(start) for start in range(0, len(self), SHARD_ROWS)}
        return {start: part for start, part in found.items() if part is not None}

    def _with_exact_top(self, table: pa.Table, top: int, plan: Plan, on_stage: OnStage) -> tuple[pa.Table, ExactTop]:
        """The table with its top K, and the rows that might have been in it, scored again."""
        again: list[pa.Table] = []
        with self._scorer(plan) as scorer:

            def rescore(ids: Ints) -> Floats:
                done = on_stage(f"Scoring the top {top} again", len(ids))
                parts = []
                for start in range(0, len(ids), SHARD_ROWS):
                    source, part, shard = self._encoded(ids[start : start + SHARD_ROWS])
                    parts.append(self._table(source, part, scorer.score(shard, done), plan))
                again.extend(parts)
                return np.asarray(pa.concat_tables(parts)["loss"].to_numpy(), dtype=np.float64)

            exact = exact_top(table["loss"].to_numpy(), top, rescore)
        kept = np.ones(len(table), dtype=np.bool_)
        kept[exact.rows] = False
        return pa.concat_tables([table.filter(pa.array(kept)), *again]), exact

    def _scorer(self, plan: Plan) -> Scorer:
        runner = backends.load(plan.backend, self.bundle.file_of(plan.graph), plan.workers, plan.threads)
        return Scorer(runner, plan.workers, plan.budget)

    def _encoded(self, ids: Ints) -> tuple[pa.Table, Ints, scoring.EncodedShard]:
        """Source rows, their ids, and their tokens."""
        source: pa.Table = self._rows[ids.tolist()]
        return source, ids, scoring.encode_shard(source[self.text_column].to_pylist(), self._encoder)

    def _table(self, source: pa.Table, ids: Ints, shard: scoring.ShardLogits, plan: Plan) -> pa.Table:
        classes = self.bundle.manifest.labels
        model = self.bundle.file_of(plan.graph)
        if shard.logits.shape[1] != len(classes):
            raise LossAuditError(
                f"{model} gives {shard.logits.shape[1]} logits for {len(classes)} labels; export it again"
            )
        labels = self.alignment.indices(source[self.label_column])
        try:
            scores = score(shard.logits, labels)
        except ValueError as error:
            raise LossAuditError(
                f"{model} fails in rows {ids[0]}…{ids[-1]}: {error}; export the model again"
            ) from error
        precision = self.bundle.graph(plan.graph).precision
        return shard_table(source, ids, labels, scores, shard, precision, classes, self._names)

    def _column(self, name: str) -> pa.ChunkedArray:
        return self._rows.select_columns([name])[:][name]

    def _refuse_missing_text(self) -> None:
        texts = self._column(self.text_column)
        if texts.null_count:
            row = pc.index(pc.is_null(texts), True).as_py()
            raise LossAuditError(
                f"row {row} has no text in column {self.text_column!r} ({texts.null_count} such rows); leave them out"
            )

    def _identity(self) -> dict[str, Any]:
        """What makes another audit's shards of use to this one."""
        options = self.options
        return {
            "lossaudit": __version__,
            "bundle": hashlib.sha256(self.bundle.manifest.to_json().encode()).hexdigest()[:16],
            "dataset": self._rows._fingerprint,
            "rows": len(self),
            "shard rows": SHARD_ROWS,
            "text column": self.text_column,
            "label column": self.label_column,
            "label map": dict(options.label_map),
            "max length": self.max_length,
            "precision": options.precision,
            "top": options.top,
            "provider": options.provider,
        }

    def _facts(self, exact: ExactTop | None) -> dict[str, Any]:
        source = self.bundle.manifest.source
        return {
            "model": source.name,
            "revision": source.revision,
            "labels": list(self.bundle.manifest.labels),
            "text_column": self._names[self.text_column],
            "label_column": self._names[self.label_column] or "label",
            "max_length": self.max_length,
            "precision": self.choice.precision,
            "graph": self.choice.first.graph,
            "backend": self.choice.first.backend,
            "exact_top": self.choice.top if exact else None,
        }
