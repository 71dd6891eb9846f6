"""What a notebook calls: models, datasets and arrays come in, losses go out; a few lines over the rooms each.

import lossaudit as la

bundle = la.export("my-model/", "bundle")
losses = la.audit(bundle, "reviews.csv")
losses.top(20)
"""

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import ArrayLike

from lossaudit.engine.arrays import Floats, Ints
from lossaudit.engine.data.rows import Rows
from lossaudit.engine.data.source import open_dataset
from lossaudit.engine.data.texts import Text
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.model.bundle import MULTI_LABEL, Bundle, is_bundle
from lossaudit.engine.model.precision import Wish, choose
from lossaudit.engine.model.scoring import encode_shard
from lossaudit.engine.run.audit import Audit
from lossaudit.engine.run.kept_parts import folder_for
from lossaudit.engine.run.options import AuditOptions
from lossaudit.engine.run.sharding import Sharding
from lossaudit.engine.run.shards import encoder_of, load_scorer
from lossaudit.engine.run.tasks import MultiLabel
from lossaudit.engine.scores.loss import Scores
from lossaudit.engine.scores.loss import score as score_logits
from lossaudit.engine.scores.multi_label import MultiLabelScores
from lossaudit.engine.scores.multi_label import score_labels as score_label_logits
from lossaudit.engine.table.formats import write_table
from lossaudit.engine.table.losses import Losses as LossesTable
from lossaudit.engine.table.ranking import Filters
from lossaudit.engine.table.summary import SetTally, Summary, Tally

_SHOWN = 20
"""Rows that a notebook shows."""


class Losses:
    """A losses table (docs/losses.md), in memory or in a file that is read as it is needed; the highest loss first."""

    def __init__(self, table: LossesTable, index: "pd.Index[Any] | None" = None) -> None:
        """Made by `audit` and `load`. index: of the DataFrame that was audited."""
        self._table = table
        self._index = index

    def __len__(self) -> int:
        """Rows, those without a loss among them."""
        return len(self._table)

    @property
    def facts(self) -> dict[str, Any]:
        """Model, labels, dataset, precision; {} for a file that carries none."""
        return self._table.facts

    def top(
        self,
        n: int = _SHOWN,
        *,
        given: str | None = None,
        predicted: str | None = None,
        min_loss: float | None = None,
        truncated: bool = False,
    ) -> "Losses":
        """The n rows of highest loss, of a given or predicted label, from a loss on, or of texts that were cut.

        Raises LossAuditError for a label that the table hasn't.
        """
        rows = self._table.top(n, Filters(given, predicted, min_loss, truncated))
        return Losses(LossesTable.of(rows), self._index)

    def to_arrow(self) -> pa.Table:
        """The whole table, in memory."""
        schema = self._table.schema
        return pa.Table.from_batches([batch.cast(schema) for batch in self._table.batches()], schema=schema)

    def to_pandas(self) -> pd.DataFrame:
        """The whole table; where a DataFrame was audited, each row has its index again."""
        frame = cast(pd.DataFrame, self.to_arrow().to_pandas())
        return frame if self._index is None else frame.set_axis(self._index[frame["id"]])

    def to_dataset(self) -> datasets.Dataset:
        """The whole table as a dataset."""
        return datasets.Dataset(self.to_arrow().replace_schema_metadata())

    def summary(self) -> Summary:
        """Accuracy, mean loss, what the model disagrees with most (pairs, or labels of multi-label tables), and the
        rows without a loss.

        Raises LossAuditError if no row has a loss, or the table is of an older version.
        """
        tally = (SetTally if self._table.is_multi_label else Tally)(len(self.facts.get("labels") or ()))
        missing = [name for name in tally.columns if name not in self._table.schema.names]
        if missing:
            raise LossAuditError(f"{self._table.path} has no column {missing[0]!r}; run the audit again")
        for batch in self._table.batches(tally.columns):
            tally.add(pa.table(batch))
        if not tally.ranked:
            raise LossAuditError(f"{self._table.path} has no row with a loss")
        return tally.summary()

    def ids(self) -> Ints:
        """(n,) positions in the dataset of the rows with a loss, rising; `labels` and `pred_probs` go with them."""
        return np.asarray(self._ranked(["id"])["id"].to_numpy(), dtype=np.int64)

    def labels(self) -> Ints:
        """(n,) class indices of the labels, in the order of `ids`; of a multi-label model (n, classes) of 0 and 1.

        Raises LossAuditError for a multi-label table of a format that doesn't say the order of the model's labels.
        """
        if self._table.is_multi_label:
            names = self.facts.get("labels")
            if not names:
                raise LossAuditError(f"{self._table.path} doesn't say the order of the labels; save it as .parquet")
            return np.asarray(MultiLabel(tuple(names)).labels_of(self._ranked(["labels"])), dtype=np.int64)
        return np.asarray(self._ranked(["label"])["label"].to_numpy(), dtype=np.int64)

    def pred_probs(self) -> Floats:
        """(n, classes) the model's probabilities, in the order of `ids`; what cleanlab calls by this name.

        Raises LossAuditError for a table without probabilities.
        """
        if "probabilities" not in self._table.schema.names:
            raise LossAuditError(f"{self._table.path} has no probabilities; run the audit again")
        found = self._ranked(["probabilities"])["probabilities"].combine_chunks()
        return np.asarray(found.values.to_numpy(), dtype=np.float64).reshape(len(found), -1)

    def save(self, path: str | Path) -> Path:
        """Writes the table beside `path` and renames it into place; its ending decides the format."""
        pieces = (pa.table(batch) for batch in self._table.batches())
        write_table(pieces, self._table.schema, Path(path))
        return Path(path)

    def _ranked(self, columns: list[str]) -> pa.Table:
        """Some columns of the rows with a loss, in the dataset's order."""
        batches = (pa.table(batch) for batch in self._table.batches([*dict.fromkeys(["id", "loss", *columns])]))
        table = pa.concat_tables([batch.filter(batch["loss"].is_valid()) for batch in batches])
        return table.sort_by("id").combine_chunks()

    def __repr__(self) -> str:
        return f"<lossaudit.Losses: {len(self):,} rows of {self.facts.get('model', self._table.path)}>"

    def _repr_html_(self) -> str:
        """The top rows, for notebooks."""
        texts = self._table.text_columns
        worst = ["worst_label"] if self._table.is_multi_label else []
        columns = ["id", "loss", "label_name", "prediction_name", *worst, "probability", *texts]
        rows = self._table.top(_SHOWN).select(columns).to_pylist()
        names = ["id", "loss", "given", "predicted", *worst, "probability", *texts]
        head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
        body = "".join(f"<tr>{''.join(f'<td>{_shown(value)}</td>' for value in row.values())}</tr>" for row in rows)
        more = f"<p>{len(self):,} rows, the {len(rows)} of highest loss shown</p>"
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def audit(
    model: Bundle | str | Path,
    dataset: "datasets.Dataset | pd.DataFrame | str | Path",
    *,
    output: str | Path | None = None,
    config: str | None = None,
    split: str | None = None,
    text_column: str | None = None,
    text_pair_column: str | None = None,
    label_column: str | None = None,
    label_map: Mapping[str, str] | None = None,
    limit: int | None = None,
    max_length: int | None = None,
    stride: int | None = None,
    threads: int | None = None,
    provider: str = "auto",
    precision: str = "auto",
    top: int | None = None,
    strict: bool = False,
    tune: bool = True,
) -> Losses:
    """Scores every example of a dataset with a model and ranks them by loss.

    model: a bundle, its folder, or a checkpoint that is exported into a cache. dataset: a `datasets.Dataset`, a
    DataFrame, a file, a glob, a saved or a hub dataset. output: a file for the losses table; with it, finished shards
    are kept beside it and the same call goes on after an interruption; without it the table is in memory. The other
    arguments are the options of `lossaudit audit`. Raises LossAuditError for whatever doesn't fit.
    """
    bundle = model if isinstance(model, Bundle) else _bundle(str(model))
    index = dataset.index if isinstance(dataset, pd.DataFrame) else None
    options = AuditOptions(
        text_column=text_column,
        text_pair_column=text_pair_column,
        label_column=label_column,
        label_map=label_map or {},
        limit=limit,
        max_length=max_length,
        stride=stride,
        threads=threads,
        provider=provider,
        precision=precision,
        top=top,
        strict=strict,
        tune=tune,
    )
    workplace = None if output is None else folder_for(Path(output))
    prepared = Audit(bundle, _rows(dataset, config, split, workplace), options)
    if output is None or workplace is None:
        return Losses(LossesTable.of(prepared.run().table), index)
    path = Path(output)
    with prepared.keep_parts(workplace) as kept:
        audited = prepared.run()
        write_table(audited.rows(), audited.schema, path)
        kept.discard()
    return Losses(LossesTable.open(path), index)


def fit(
    encoder: Bundle | str | Path,
    dataset: "datasets.Dataset | pd.DataFrame | str | Path",
    output: str | Path,
    *,
    folds: int = 5,
    score: str = "blend",
    config: str | None = None,
    split: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    limit: int | None = None,
    max_length: int | None = None,
    threads: int | None = None,
    provider: str = "auto",
    precision: str = "auto",
    tune: bool = True,
) -> Losses:
    """Ranks a dataset by losses from heads that never saw the label, on the states of an encoder (docs/fit.md).

    encoder: a features bundle, or an encoder's or classifier's checkpoint. output: a folder for `losses.parquet` and
    `bundle`, which has a head fitted on all rows; the same call goes on after an interruption. The other arguments are
    the options of `lossaudit fit`. Needs the extra `fit`. Raises LossAuditError for whatever doesn't fit.
    """
    from lossaudit.export.fitting import LOSSES, Fit, check_target

    index = dataset.index if isinstance(dataset, pd.DataFrame) else None
    target = Path(output)
    folder = check_target(target, str(dataset) if isinstance(dataset, (str, Path)) else None)
    rows = _rows(dataset, config, split, folder)
    options = AuditOptions(
        text_column=text_column,
        label_column=label_column,
        limit=limit,
        max_length=max_length,
        threads=threads,
        provider=provider,
        precision=precision,
        tune=tune,
    )
    prepared = Fit(encoder if isinstance(encoder, Bundle) else _encoder(str(encoder)), rows, options, folds, score)
    with prepared.keep_parts(folder) as kept:
        prepared.run(kept, target)
        kept.discard()
    return Losses(LossesTable.open(target / LOSSES), index)


def score(
    bundle: Bundle,
    texts: Sequence[str],
    labels: ArrayLike | Sequence[Sequence[str]],
    *,
    text_pairs: Sequence[str] | None = None,
    precision: str = "fp32",
) -> Scores | MultiLabelScores:
    """What the model says of texts in memory, in their order.

    texts: n strings. text_pairs: the n second texts, where the model reads pairs. labels: (n,) class indices, or names
    as in `bundle.manifest.labels`; for a multi-label model n lists of names, or (n, classes) of 0 and 1. precision:
    fp32 or int8. Returns arrays of n (see `Scores`, `MultiLabelScores`). Raises LossAuditError for texts and labels
    that don't go together.
    """
    bundle.check_judges()
    classes, multi_label = bundle.manifest.labels, bundle.manifest.task == MULTI_LABEL
    given = (_label_sets if multi_label else _class_indices)(labels, classes, len(texts))
    read: Sequence[Text] = texts
    if text_pairs is not None:
        bundle.check_reads_pairs()
        if len(text_pairs) != len(texts):
            raise LossAuditError(f"there are {len(texts)} texts, but {len(text_pairs)} second ones")
        read = list(zip(texts, text_pairs, strict=True))
    plan = choose(bundle, Wish(precision, provider="cpu"), len(texts)).first
    encoder, sharding = encoder_of(bundle, bundle.manifest.max_length), Sharding(len(texts))
    with load_scorer(bundle, plan) as scorer:
        shards = {
            start: scorer.score(encode_shard(read[start : start + sharding.size], encoder)) for start in sharding.starts
        }
    failed = [(start + row, why) for start, shard in shards.items() for row, why in shard.failed.items()]
    if failed:
        raise LossAuditError(f"the model fails on text {failed[0][0]}: {failed[0][1]}")
    logits = np.concatenate([np.empty((0, len(classes)), np.float32), *(shard.logits for shard in shards.values())])
    return score_label_logits(logits, given) if multi_label else score_logits(logits, given)


def load(path: str | Path) -> Losses:
    """A losses table that `audit` or `save` wrote, in any format. Raises LossAuditError if the file isn't one."""
    return Losses(LossesTable.open(Path(path)))


def _bundle(model: str) -> Bundle:
    if is_bundle(model):
        return Bundle.load(model)
    from lossaudit.export.adopted import cached_adoption, is_onnx_folder

    if is_onnx_folder(model):
        return cached_adoption(model)
    from lossaudit.export.exporter import cached_bundle

    return cached_bundle(model, lambda step: None)


def _class_indices(labels: Any, classes: tuple[str, ...], n: int) -> Ints:
    """(n,) from indices or names."""
    given = np.asarray(labels)
    if given.shape != (n,):
        raise LossAuditError(f"there are {n} texts, but labels of the shape {given.shape}")
    if given.dtype.kind in "UO":
        _check_names({str(name) for name in given}, classes)
        given = np.array([classes.index(str(name)) for name in given], dtype=np.int64)
    if given.size and (given.dtype.kind not in "iu" or given.min() < 0 or given.max() >= len(classes)):
        raise LossAuditError(f"labels must be names, or whole numbers from 0 to {len(classes) - 1}")
    return given.astype(np.int64)


def _label_sets(labels: Any, classes: tuple[str, ...], n: int) -> Ints:
    """(n, classes) of 0 and 1 from that, or from n lists of names."""
    if len(labels) != n or any(isinstance(cell, str) or not isinstance(cell, Iterable) for cell in labels):
        raise LossAuditError(f"the labels of {n} texts must be {n} lists of names, or {n} rows of 0 and 1")
    names = [list(cell) for cell in labels]
    if all(isinstance(name, str) for cell in names for name in cell):
        _check_names({name for cell in names for name in cell}, classes)
        return np.array([[label in cell for label in classes] for cell in names], dtype=np.int64).reshape(
            n, len(classes)
        )
    if any(len(cell) != len(classes) for cell in names) or not np.isin(names, (0, 1)).all():
        raise LossAuditError(f"labels must be names, or a 0 or 1 for each of the model's {len(classes)} labels")
    return np.array(names, dtype=np.int64)


def _check_names(names: set[str], classes: tuple[str, ...]) -> None:
    unknown = sorted(names - set(classes))
    if unknown:
        raise LossAuditError(f"the label {unknown[0]!r} is not in the model; it has {', '.join(classes)}")


def _encoder(model: str) -> Bundle:
    if is_bundle(model):
        return Bundle.load(model)
    from lossaudit.export.encoder import cached_encoder

    return cached_encoder(model)


def _rows(
    dataset: "datasets.Dataset | pd.DataFrame | str | Path",
    config: str | None,
    split: str | None,
    workplace: Path | None,
) -> Rows:
    if isinstance(dataset, (str, Path)):
        return open_dataset(str(dataset), config, split, workplace)
    if config is not None or split is not None:
        raise LossAuditError("config and split are for hub and saved datasets")
    if isinstance(dataset, pd.DataFrame):
        try:
            return Rows(datasets.Dataset.from_pandas(dataset, preserve_index=False))
        except (pa.ArrowException, ValueError, TypeError) as error:
            raise LossAuditError(f"the DataFrame can't be read: {error}") from error
    if isinstance(dataset, datasets.Dataset):
        return Rows(dataset)
    raise LossAuditError(f"a dataset is a datasets.Dataset, a DataFrame or a path, not {type(dataset).__name__}")


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    text = str(value)
    return html.escape(text if len(text) <= 200 else f"{text[:199]}…")
