"""Losses from heads that never saw the label: turns an encoder's bundle and a dataset into a losses table and a bundle.

The encoder runs once over the dataset (`engine/run/features.py`); each row's logits come from a head fitted on the
other folds (`heads.py`). The rest is as in an audit: a `Fit` makes the same passes over the shards
(`engine/run/passes.py`), scored by heads.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lossaudit.engine.arrays import Floats32, Ints
from lossaudit.engine.data.columns import find_label_column
from lossaudit.engine.data.rows import Rows
from lossaudit.engine.errors import LossAuditError, Option
from lossaudit.engine.labels.given import given_labels
from lossaudit.engine.labels.numbers import are_numbers
from lossaudit.engine.labels.spelling import OwnClasses, own_classes
from lossaudit.engine.model.bundle import FEATURES, Bundle, check_bundle_target
from lossaudit.engine.model.precision import Choice
from lossaudit.engine.model.tuning import Plan
from lossaudit.engine.run.audit import run_facts
from lossaudit.engine.run.features import States, encode_all, shard_logits
from lossaudit.engine.run.kept_parts import KeptParts, folder_for
from lossaudit.engine.run.options import AuditOptions
from lossaudit.engine.run.passes import Audited, Passes, quietly
from lossaudit.engine.run.reading import Reading
from lossaudit.engine.run.setup import Setup
from lossaudit.engine.run.shards import OnRows, OnStage, ShardJob, SourceRows, losses_part
from lossaudit.engine.run.tasks import AlignedColumn, SingleLabel
from lossaudit.engine.table.facts import Facts, OutOfSample
from lossaudit.engine.table.formats import check_output, write_table
from lossaudit.engine.table.states import states_path, write_states

from .config import CLASSIFIER
from .head_bundle import FittedHead, write_head_bundle
from .heads import Head, LabelledStates, check_installed, fit_head, out_of_fold_logits
from .neighbours import blend

FOLDS, SEED = 5, 0
LOSS, BLEND = "loss", "blend"
"""Scores of a fit: from heads alone, or from heads and the labels of the nearest texts (docs/noise.md)."""
LOSSES, BUNDLE = "losses.parquet", "bundle"
"""Names in the folder that a fit writes."""
_MOSTLY_DIFFERENT = 100
"""Number of rows above which a column of mostly different values isn't accepted as labels."""


@dataclass(frozen=True)
class Fitted:
    """The result of a fit."""

    audited: Audited
    bundle: Bundle
    """Encoder with a head fitted on all labelled rows."""
    weights: tuple[float, float] | None
    """Weights of heads and neighbours in the blend; None for heads alone."""
    states: Path | None
    """File with the states; None where they weren't to be kept."""


class Fit:
    """A prepared fit: the dataset's columns and classes, and how the states will be computed."""

    def __init__(
        self,
        encoder: Bundle,
        rows: Rows | datasets.Dataset,
        options: AuditOptions | None = None,
        folds: int = FOLDS,
        score: str = BLEND,
        exact_labels: bool = False,
        keep_states: bool = True,
    ) -> None:
        """encoder: a features bundle. score: LOSS or BLEND. exact_labels: whether each spelling is a class of its own.

        keep_states: whether the states stay beside the losses, for orders that learn from decisions.

        Raises LossAuditError for inputs that don't match.
        """
        check_installed()
        if score not in (BLEND, LOSS):
            raise LossAuditError(f"there is no score {score!r}; there are {BLEND!r} and {LOSS!r}")
        if encoder.manifest.task != FEATURES:
            raise LossAuditError(
                f"{encoder.folder} is the bundle of a classifier, which doesn't return states; "
                "name the checkpoint of an encoder or of the classifier"
            )
        self.options = options = options or AuditOptions()
        self.encoder = encoder
        self.folds, self.score, self._keep_states = folds, score, keep_states
        self.reading = reading = Reading.open(
            rows, options, lambda features: find_label_column(features, options.label_column)
        )
        # States have no exact top; asking for the smallest one shows whether int8 is faster.
        top = 1 if options.precision == "auto" else None
        self.setup = Setup(encoder, reading, replace(options, top=top))
        column = reading.label_column
        assert column is not None  # find_label_column raises otherwise
        given, self._sample = reading.survey(
            lambda pieces: given_labels((table[column] for _, table in pieces()), reading.features[column])
        )
        self.own = own_classes(given, exact_labels)
        """The dataset's labels, and those that were taken for others or for missing."""
        self.classes = _classes(self.own, column, folds)
        """Number of rows per label, in the order of the logits."""
        self.task = SingleLabel(tuple(self.classes))
        self.labels = AlignedColumn(column, self.own.aligned(self.task.labels), self.task.labels)

    @property
    def rare(self) -> dict[str, int]:
        """The labels with fewer rows than folds: the heads that judge them saw few of them, or none."""
        return {label: rows for label, rows in self.classes.items() if rows < self.folds}

    @property
    def of_a_classifier(self) -> bool:
        """Whether the encoder was fine-tuned to classify: if on these rows, its states know their labels."""
        return self.encoder.manifest.architecture.endswith(CLASSIFIER)

    def keep_parts(self, folder: Path, restart: bool = False) -> KeptParts:
        """Keeps each finished shard's states in `folder`, and resumes from those that are there."""
        kept = KeptParts.open(folder, self.identity, restart)
        if kept.choice is not None:
            self.choice = kept.choice
        return kept

    @functools.cached_property
    def choice(self) -> Choice:
        """How the states are computed. The first use of an encoder takes a few seconds to measure this."""
        return _for_states(self.setup.choose(self._sample), self.encoder)

    def run(self, kept: KeptParts, target: Path, on_stage: OnStage = quietly) -> Fitted:
        """Writes the losses table and the bundle into the folder `target`, and reports stages to `on_stage`.

        kept: see `keep_parts`; it isn't cleared. Raises LossAuditError as `Passes.run` does, and if no head can be
        fitted; finished states are kept.
        """
        if kept.choice is None:
            kept.decide(self.choice)
        heads = _Heads(self, kept, on_stage)
        job = self.setup.job(self.task, self.labels)
        with KeptParts.open(kept.scratch / "losses", {}) as parts:
            passes = Passes(job, self.reading, self.choice, parts, self.options.strict)
            audited = replace(passes.run(on_stage, heads.score), scored=heads.encoded)
            fitted = FittedHead(heads.of_all, self.task.labels, self.setup.max_length, heads.fitted)
            bundle = write_head_bundle(self.encoder, fitted, target / BUNDLE)
            facts = replace(
                run_facts(job, self.reading, self.choice, audited),
                out_of_sample=OutOfSample(self.folds, SEED, self.score, heads.weights),
            )
            audited = replace(audited, schema=facts.stored_in(audited.schema))
            write_table(audited.rows(), audited.schema, target / LOSSES, kept.scratch)
            states = write_states(heads.states.states, target / LOSSES) if self._keep_states else None
            if states is None:
                states_path(target / LOSSES).unlink(missing_ok=True)  # an earlier fit's
        return Fitted(audited, bundle, heads.weights, states)

    @property
    def identity(self) -> dict[str, Any]:
        """What must be the same for another run's states to be reused; labels and folds may differ."""
        return {"encoder": self.encoder.manifest.digest, **self.setup.identity}


class _Heads:
    """Scores shards with heads on the encoder's states."""

    def __init__(self, fit: Fit, kept: KeptParts, on_stage: OnStage) -> None:
        self._fit, self._kept, self._on_stage = fit, kept, on_stage
        self.encoded = 0
        """Number of rows whose states were computed in this run."""
        self.states: States
        """States of all rows."""
        self.of_all: Head
        """Head fitted on all labelled rows."""
        self.fitted = 0
        """Number of rows that `of_all` was fitted on."""
        self.weights: tuple[float, float] | None = None
        """Weights of heads and neighbours, once they are blended."""

    def score(
        self, job: ShardJob, plan: Plan, sources: Iterator[tuple[int, pa.Table]], on_rows: OnRows
    ) -> Iterator[tuple[int, pa.Table]]:
        """A `passes.ScoreShards`; `sources` must contain all shards."""
        reading = self._fit.reading
        self.states = states = encode_all(job, plan, reading, self._kept, on_rows)
        self.encoded = states.encoded
        labels = np.concatenate([job.labels.read(table).labels for _, table in reading.shards()])
        logits = self._logits(states, labels)
        precision = job.bundle.graph(plan.graph).precision
        for start, source in sources:
            scored = shard_logits(self._kept, start, logits[start : start + len(source)])
            yield start, losses_part(job, SourceRows.read(job, start, source), scored, precision)

    def _logits(self, states: States, labels: Ints) -> Floats32:
        """(n, classes): out of fold for labelled rows, from `of_all` for the others, NaN without a state."""
        fit = self._fit
        labelled = (labels >= 0) & (states.texts >= 0)
        others = (labels < 0) & (states.texts >= 0)
        if not labelled.any():
            raise LossAuditError("no row has both a label and a text that the encoder can read: nothing can be fitted")
        done = self._on_stage("Fitting heads", len(labels))
        shares = np.diff(np.linspace(0, len(labels), fit.folds + 1).astype(int)).tolist()
        logits = np.full((len(labels), len(fit.classes)), np.nan, dtype=np.float32)
        features = np.asarray(states.states) if labelled.all() else states.states[labelled]
        rows = LabelledStates(features, labels[labelled], states.texts[labelled], len(fit.classes))
        out_of_fold = out_of_fold_logits(rows, fit.folds, SEED, lambda fold: done(shares[fold - 1]))
        if fit.score == BLEND:
            on_texts = self._on_stage("Asking the nearest texts", len(np.unique(rows.groups)))
            blended = blend(out_of_fold, rows, SEED, on_texts=on_texts)
            out_of_fold, self.weights = blended.logits, (blended.own, blended.neighbours)
        logits[labelled] = out_of_fold
        self.of_all, self.fitted = fit_head(features, rows.labels, rows.classes), len(features)
        logits[others] = self.of_all.logits(states.states[others])
        return logits


def check_target(target: Path, dataset: str | None = None) -> Path:
    """The folder that keeps the states of a fit that writes the folder `target`. Call it before the work.

    Raises LossAuditError if `target` holds anything but a fit, or can't be written.
    """
    losses = target / LOSSES
    check_output(losses, dataset)
    check_bundle_target(target / BUNDLE)
    states = folder_for(losses)
    found = {path.name for path in target.iterdir()} if target.exists() else set()
    if found and not found & {LOSSES, BUNDLE, states.name}:
        raise LossAuditError(f"{target} holds other files; name a new folder or one from an earlier fit")
    if losses.exists() and not _is_of_a_fit(losses):
        raise LossAuditError(f"{losses} isn't from a fit; name a new folder or one from an earlier fit")
    return states


def _is_of_a_fit(losses: Path) -> bool:
    try:
        return Facts.of(pq.read_schema(losses)).out_of_sample is not None
    except (OSError, pa.ArrowException):
        return False


def _for_states(choice: Choice, encoder: Bundle) -> Choice:
    """The faster form alone if an audit would use it with an exact top, which heads don't need."""
    if choice.again is None:
        return replace(choice, why=choice.why.partition(" with an exact top")[0])
    precision = encoder.graph(choice.first.graph).precision
    return replace(choice, precision=precision, again=None, why="faster here, and as good for heads")


def _classes(own: OwnClasses, column: str, folds: int) -> dict[str, int]:
    """Number of rows per label: a ClassLabel's in its order; otherwise numbers by value, names alphabetically."""
    if folds < 2:
        raise LossAuditError(
            Option("folds", folds), ": each row's head is fitted on the other folds, so use at least 2"
        )
    given, rows = own.given, own.rows
    labelled = sum(rows.values())
    if len(rows) < 2:
        what = f"has only the label {next(iter(rows))!r}" if rows else "has no labels"
        raise LossAuditError(f"the column {column!r} {what}; a head needs at least two labels")
    if labelled < folds:
        raise LossAuditError(f"only {labelled:,} rows have a label, fewer than ", Option("folds", folds), "; lower it")
    if len(rows) == labelled or (labelled > _MOSTLY_DIFFERENT and 2 * len(rows) > labelled):
        raise LossAuditError(
            f"the column {column!r} holds {len(rows):,} different values in {labelled:,} rows, too many to be labels; "
            "name another with ",
            Option("label_column"),
        )
    blank = next((key for key, name in given.names.items() if not name.strip()), None)
    if blank is not None:
        raise LossAuditError(f"the label of row {given.labels[blank].first} is blank; name it, or leave it empty")
    if given.class_names is not None:
        return dict(rows)
    numbers = are_numbers(rows)
    return {name: rows[name] for name in sorted(rows, key=lambda name: (float(name) if numbers else 0, name))}
