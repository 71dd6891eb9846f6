"""The audit, from a bundle and a dataset to the ranked losses table.

`Audit` decides everything first (columns, labels, precision), so that a mistake shows before any work and the
command can say what was decided; `run` then makes the passes over the shards.
"""

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets

from lossaudit.version import __version__

from ..data.rows import Rows
from ..errors import LossAuditError, Option
from ..labels.alignment import LabelAlignment
from ..model import backends
from ..model.bundle import Bundle
from ..model.precision import Choice
from ..table.facts import Facts, RunFacts, SourceFacts
from .kept_parts import KeptParts
from .options import AuditOptions
from .passes import Audited, Passes, ScoreShards, quietly
from .reading import Reading
from .setup import Setup
from .shards import OnStage, ShardJob, score_here
from .tasks import task_of


class Audit:
    """A prepared audit: what is read of the dataset, its labels, and what will compute the losses."""

    def __init__(self, bundle: Bundle, rows: Rows | datasets.Dataset, options: AuditOptions | None = None) -> None:
        """Raises LossAuditError if the dataset, the labels or the options don't fit the bundle."""
        bundle.check_judges()
        self.bundle = bundle
        self.options = options = options or AuditOptions()
        self.task = task = task_of(bundle.manifest.task, bundle.manifest.labels)
        self.reading = reading = Reading.open(
            rows, options, lambda features: task.find_columns(features, options.label_column, options.label_map)
        )
        self.setup = Setup(bundle, reading, options)
        try:
            self._labels, self._sample = reading.survey(
                lambda pieces: task.align(reading.label_columns, pieces, reading.features, options.label_map)
            )
        except LossAuditError as error:
            others = reading.other_label_columns() if options.label_column is None else []
            if not others:
                raise
            where = (
                f". If the labels aren't in {reading.shown([reading.label_column or ''])[0]}, name another column, "
                f"{', '.join(others)}, with "
            )
            raise LossAuditError(*error.parts, where, Option("label_column")) from error
        self._kept: KeptParts | None = None

    def __len__(self) -> int:
        return len(self.reading.rows)

    @property
    def alignment(self) -> LabelAlignment:
        """Which of the model's labels each given label is."""
        return self._labels.alignment

    @functools.cached_property
    def choice(self) -> Choice:
        """What computes the losses. The first time a bundle is used, measuring it takes a few seconds."""
        return self.setup.choose(self._sample)

    @functools.cached_property
    def job(self) -> ShardJob:
        """What a shard's part depends on."""
        return self.setup.job(self.task, self._labels)

    def keep_parts(self, folder: Path, restart: bool = False, elsewhere: str | None = None) -> KeptParts:
        """Keeps each finished shard in `folder` (or `elsewhere`), and resumes from those already there."""
        self._kept = kept = KeptParts.open(folder, self._identity(), restart, elsewhere)
        if kept.choice is not None:
            self.choice = kept.choice
        return kept

    def run(self, on_stage: OnStage = quietly, score_shards: ScoreShards = score_here) -> Audited:
        """Scores and ranks all rows; see `Passes.run`. score_shards: scores them here, or on a cluster."""
        kept = self._kept or KeptParts.in_scratch(self._identity())
        audited = Passes(self.job, self.reading, self.choice, kept, self.options.strict).run(on_stage, score_shards)
        facts = run_facts(self.job, self.reading, self.choice, audited)
        return replace(audited, schema=facts.stored_in(audited.schema))

    def _identity(self) -> dict[str, Any]:
        """What must be the same for this audit to reuse another one's shards."""
        return {
            "bundle": self.bundle.manifest.digest,
            **self.setup.identity,
            "label column": self.reading.label_column,
            "label map": dict(self.options.label_map),
            "top": self.options.top,
        }


def run_facts(job: ShardJob, reading: Reading, choice: Choice, audited: Audited) -> Facts:
    """What a losses table says about the run that made it (docs/losses.md)."""
    model, origin = job.bundle.manifest.source, reading.rows.origin
    pair = reading.text_pair_column
    versions = dict(zip(backends.available(), backends.versions(), strict=True))
    return Facts(
        model=model.name,
        revision=model.revision,
        task=job.task.name,
        labels=job.task.labels,
        text_column=job.names[reading.text_column],
        text_pair_column=pair and job.names[pair],
        max_length=job.max_length,
        stride=job.stride,
        precision=choice.precision,
        graph=choice.first.graph,
        backend=choice.first.backend,
        exact_top=choice.top if audited.exact else None,
        run=RunFacts({"lossaudit": __version__, **versions}, audited.scored, round(audited.seconds, 3)),
        source=SourceFacts(
            name=origin.name if origin else None,
            config=origin.config if origin else None,
            split=origin.split if origin else None,
            splits=reading.rows.splits or None,
            separator=origin.asked.separator if origin else None,
            encoding=origin.asked.encoding if origin else None,
            header=origin.asked.header if origin and origin.dialects else None,
            sheet=origin.asked.sheet if origin else None,
            limit=reading.limit,
            rows=len(reading.rows),
            fingerprint=reading.rows.fingerprint,
            text_column=reading.text_column,
            text_pair_column=pair,
            label_column=reading.label_column,
        ),
        given=job.labels.facts(reading.features, job.names),
    )
