"""The audit: a bundle and a dataset come in, the ranked losses table goes out.

`Audit` decides everything first (columns, labels, provider), so that a mistake shows before any work and
the command can say what was decided; `run` then goes shard by shard.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.compute as pc

from lossaudit.engine.bundle import Bundle
from lossaudit.engine.columns import find_label_column, find_text_column
from lossaudit.engine.cpus import usable_cpus
from lossaudit.engine.encoding import TextEncoder
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.labels import align
from lossaudit.engine.loss import score
from lossaudit.engine.scoring import score_texts
from lossaudit.engine.session import Session
from lossaudit.engine.summary import Summary, summarise
from lossaudit.engine.table import rank, shard_table, source_names, with_facts

SHARD_ROWS = 4096
"""Rows that are tokenised and sorted together: enough to fill batches of every length, few enough to hold."""


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


@dataclass(frozen=True)
class Audited:
    """What an audit gives."""

    table: pa.Table
    """The losses table, by falling loss."""
    summary: Summary
    max_length: int
    """Tokens at which texts were cut."""
    seconds: float
    """Wall-clock time of tokenising, scoring and ranking."""


class Audit:
    """One audit, prepared: holds the loaded graph and the opened dataset."""

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
        self.threads = min(options.threads or usable_cpus(), usable_cpus())
        self._encoder = TextEncoder(bundle.tokenizer, self.max_length, manifest.pad_id)
        self._session = Session(bundle.model, options.provider, self.threads)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def provider(self) -> str:
        """ONNX Runtime's execution provider that was taken."""
        return self._session.provider

    def run(self, on_rows: Callable[[int], None] = lambda rows: None) -> Audited:
        """Scores and ranks all rows. `on_rows` is called with the number of rows done since its last call."""
        begun = time.perf_counter()
        shards = [self._shard(start, on_rows) for start in range(0, len(self), SHARD_ROWS)]
        table = rank(pa.concat_tables(shards))
        summary = summarise(table, len(self.bundle.manifest.labels))
        return Audited(with_facts(table, self._facts()), summary, self.max_length, time.perf_counter() - begun)

    def _shard(self, start: int, on_rows: Callable[[int], None]) -> pa.Table:
        source: pa.Table = self._rows[start : start + SHARD_ROWS]
        labels = self.alignment.indices(source[self.label_column])
        shard = score_texts(source[self.text_column].to_pylist(), self._encoder, self._session, on_rows)
        classes = self.bundle.manifest.labels
        if shard.logits.shape[1] != len(classes):
            raise LossAuditError(
                f"{self.bundle.model} gives {shard.logits.shape[1]} logits for {len(classes)} labels; export it again"
            )
        try:
            scores = score(shard.logits, labels)
        except ValueError as error:
            raise LossAuditError(
                f"in rows {start}…{start + len(labels) - 1}: {error}; export the model again"
            ) from error
        return shard_table(source, start, labels, scores, shard, classes, self._names)

    def _column(self, name: str) -> pa.ChunkedArray:
        return self._rows.select_columns([name])[:][name]

    def _refuse_missing_text(self) -> None:
        texts = self._column(self.text_column)
        if texts.null_count:
            row = pc.index(pc.is_null(texts), True).as_py()
            raise LossAuditError(
                f"row {row} has no text in column {self.text_column!r} ({texts.null_count} such rows); leave them out"
            )

    def _facts(self) -> dict[str, Any]:
        source = self.bundle.manifest.source
        return {
            "model": source.name,
            "revision": source.revision,
            "labels": list(self.bundle.manifest.labels),
            "text_column": self._names[self.text_column],
            "label_column": self._names[self.label_column] or "label",
            "max_length": self.max_length,
            "provider": self.provider,
        }
