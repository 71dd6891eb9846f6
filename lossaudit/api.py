"""The functions that a notebook calls; each is a few lines over the rooms.

import lossaudit as la

bundle = la.export("my-model/", "bundle")
losses = la.audit(bundle, "reviews.csv")
losses.top(20)
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import pandas as pd

from lossaudit.engine.data.csv_dialect import NOTHING_ASKED, Asked
from lossaudit.engine.data.in_memory import ArrowStream, rows_in_memory, splits_in_memory
from lossaudit.engine.data.rows import Rows
from lossaudit.engine.data.source import open_dataset
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.model.bundle import Bundle
from lossaudit.engine.run.audit import Audit
from lossaudit.engine.run.kept_parts import folder_for
from lossaudit.engine.run.options import AuditOptions
from lossaudit.engine.table.formats import check_output, write_table
from lossaudit.engine.table.losses import LossesTable
from lossaudit.export.opening import export_model, extra, open_encoder, open_model
from lossaudit.review.apply import Cleaned, apply_decisions
from lossaudit.review.remaking import decided_before

from .losses import Losses


def export(model: str | Path, out: str | Path, *, multi_label: bool = False, fp16: bool = False) -> Bundle:
    """Exports a fine-tuned classifier to a bundle: the folder that an audit needs, without PyTorch.

    With the extra, `pip install 'lossaudit[export]'`, the bundle's graph is compared with PyTorch before it is written.
    Without it, lossaudit writes the graphs of common families by itself (docs/models.md). A folder that already holds
    the model as ONNX, in Optimum's layout (model.onnx, config.json and tokenizer.json), needs no PyTorch either.

    Args:
        model: A folder written by `save_pretrained`, a folder in Optimum's layout, or a hub name.
        out: The folder to write. It may be new, empty, or an older bundle, which is replaced.
        multi_label: Whether a text may have any number of the labels, for a model whose config.json doesn't say.
        fp16: Whether to also write a form for GPUs.

    Returns:
        The bundle.

    Raises:
        LossAuditError: The model can't be found, loaded or exported, its graph differs from PyTorch, the folder holds
            other files, or the model needs the extra.

    Examples:
        >>> bundle = la.export("my-model/", "bundle")
    """
    return export_model(model, Path(out), multi_label=multi_label, fp16=fp16)


def audit(
    model: Bundle | str | Path,
    dataset: datasets.Dataset | pd.DataFrame | ArrowStream | Mapping[str, Any] | str | Path,
    *,
    output: str | Path | None = None,
    config: str | None = None,
    split: str | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    header: bool = True,
    sheet: str | None = None,
    text_column: str | int | None = None,
    text_pair_column: str | int | None = None,
    label_column: str | int | None = None,
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
    """Scores every example of a dataset with a model and ranks the examples by loss.

    Columns and labels are matched first, so that a mismatch is an error before any work. It does what the command
    `lossaudit audit` does, and prints nothing.

    Args:
        model: A bundle, the path of one, or a checkpoint (folder or hub name). A checkpoint is exported once into a
            cache, which needs the extra `export` for some families.
        dataset: A `datasets.Dataset`, a DataFrame of pandas or polars, a table of pyarrow or of another library that
            offers Arrow's C stream, a `DatasetDict` or another dict of such tables by split, or a name: a CSV, TSV,
            JSON, JSON Lines, Parquet, Arrow or Excel file (compressed by gzip, bzip2, xz or zip, or not), a glob of
            such files, a `save_to_disk` folder, or a hub name.
        output: File for the losses table: .parquet, .jsonl, .json or .csv. Finished shards are then kept beside it
            until it is written, and the same call resumes after an interruption. Without it, the table stays in memory.
        config: Configuration of a hub dataset.
        split: Split of a hub or saved dataset; by default "train", or the only one. "all", or names with commas
            between them, are read as one dataset, and the table has a column `split`. All of a dict, by default.
        separator: Separator of CSV or TSV files; guessed if it isn't named.
        encoding: Encoding of CSV or TSV files; by default UTF-8, or UTF-16 if a file looks so.
        header: Whether CSV or TSV files, or an Excel sheet, have a header; if not, the columns are "0", "1" and so on.
        sheet: Sheet of an Excel workbook; by default the first one.
        text_column: Column with the text, or a field inside of one such as `data.text`; guessed if it isn't named.
        text_pair_column: Column with the second text, if the model reads pairs of texts.
        label_column: Column with the label, or with the set of labels for a multi-label model; guessed if it isn't
            named.
        label_map: The model's label for each given label whose name doesn't tell.
        limit: Reads only this many rows, from the first on; at least 1.
        max_length: Tokens at which a text is cut, from 8 to the model's maximum; by default that maximum.
        stride: Reads longer texts in windows that share this many tokens, instead of cutting them.
        threads: CPUs to use, at least 1; by default all available.
        provider: What runs the model: "cpu", "cuda" or "openvino". "auto" takes CUDA where it works, else the fastest
            of the others.
        precision: "fp32"; "int8" or, on a GPU, "fp16", which are faster and approximate; or "exact-top", which scores
            all rows in these and the top again in fp32. "auto" is exact-top where it saves time, else fp32.
        top: Rows of the ranking that are exact under exact-top, at least 1; by default 500. Naming it asks for
            exact-top.
        strict: Whether a row that can't get a loss (no label, no text, a failure) is an error.
        tune: Whether to measure what is fastest here. This takes a few seconds, once per bundle and machine.

    Returns:
        The losses table, highest loss first. If `dataset` is a DataFrame, `to_pandas` gives each row its index again.

    Raises:
        LossAuditError: The model or the dataset can't be read, columns or labels don't match the model, an option can't
            be met, too many rows fail, or the output can't be written.

    Examples:
        >>> losses = la.audit(bundle, "reviews.csv")
        >>> losses = la.audit("my-model/", "reviews.csv", output="losses.parquet", label_map={"sport": "Sports"})
    """
    bundle = model if isinstance(model, Bundle) else open_model(model)
    frame = dataset if isinstance(dataset, pd.DataFrame) else None
    index = None if frame is None else frame.index
    options = AuditOptions(
        text_column=_name_or_none(text_column),
        text_pair_column=_name_or_none(text_pair_column),
        label_column=_name_or_none(label_column),
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
    ).checked()
    if output is None:
        with _rows(dataset, config, split, None, Asked(separator, encoding, header, sheet)) as rows:
            return Losses(LossesTable.of(Audit(bundle, rows, options).run().table), index, frame)
    path = Path(output)
    check_output(path, _name_of(dataset))
    _keep_decisions(path)
    workplace = folder_for(path)
    with _rows(dataset, config, split, workplace, Asked(separator, encoding, header, sheet)) as rows:
        prepared = Audit(bundle, rows, options)
        with prepared.keep_parts(workplace) as kept:
            audited = prepared.run()
            write_table(audited.rows(), audited.schema, path, kept.scratch)
            kept.discard()
    return Losses(LossesTable.open(path), index, frame)


def fit(
    encoder: Bundle | str | Path,
    dataset: datasets.Dataset | pd.DataFrame | ArrowStream | Mapping[str, Any] | str | Path,
    output: str | Path,
    *,
    folds: int = 5,
    score: str = "blend",
    exact_labels: bool = False,
    keep_states: bool = True,
    config: str | None = None,
    split: str | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    header: bool = True,
    sheet: str | None = None,
    text_column: str | int | None = None,
    label_column: str | int | None = None,
    limit: int | None = None,
    max_length: int | None = None,
    threads: int | None = None,
    provider: str = "auto",
    precision: str = "auto",
    tune: bool = True,
) -> Losses:
    """Ranks a dataset by losses from heads that never saw the label, on the states of an encoder.

    No fine-tuned model is needed: the encoder reads each text once, and small heads are fitted on its states
    (docs/fit.md). It does what the command `lossaudit fit` does, and prints nothing. It needs the extra:
    `pip install 'lossaudit[fit]'`

    Args:
        encoder: An encoder's bundle, the path of one, or a checkpoint (folder or hub name): an encoder, a
            sentence-transformers model, or a fine-tuned classifier, whose encoder is used. A checkpoint is exported
            once into a cache.
        dataset: What `audit` accepts.
        output: Folder for `losses.parquet` and for `bundle`, a classifier whose head is fitted on all labelled rows. It
            may be new, empty, or of an earlier fit. Finished shards are kept in it until the table is written, and the
            same call resumes after an interruption.
        folds: Parts that the rows are split into, at least 2; each is scored by heads fitted on the others.
        score: "blend", which also uses the labels of the nearest texts, or "loss", which uses the heads alone.
        exact_labels: Whether spellings that differ only in case, blanks or separators are labels of their own, and
            `nan`, `N/A`, `None` and what else pandas reads as missing are labels.
        keep_states: Whether the states stay beside the losses, with which `rerank` learns better.
        config: Configuration of a hub dataset.
        split: Split of a hub or saved dataset; by default "train", or the only one. "all", or names with commas
            between them, are read as one dataset, and the table has a column `split`. All of a dict, by default.
        separator: Separator of CSV or TSV files; guessed if it isn't named.
        encoding: Encoding of CSV or TSV files; by default UTF-8, or UTF-16 if a file looks so.
        header: Whether CSV or TSV files, or an Excel sheet, have a header; if not, the columns are "0", "1" and so on.
        sheet: Sheet of an Excel workbook; by default the first one.
        text_column: Column with the text, or a field inside of one such as `data.text`; guessed if it isn't named.
        label_column: Column with the label; guessed if it isn't named.
        limit: Reads only this many rows, from the first on; at least 1.
        max_length: Tokens at which a text is cut, from 8 to the encoder's maximum; by default that maximum.
        threads: CPUs to use, at least 1; by default all available.
        provider: What runs the encoder: "cpu", "cuda" or "openvino". "auto" takes CUDA where it works, else the fastest
            of the others.
        precision: What computes the states: "fp32", "int8" or, on a GPU, "fp16"; "auto" takes the fastest.
        tune: Whether to measure what is fastest here. This takes a few seconds, once per encoder and machine.

    Returns:
        The losses table, highest loss first.

    Raises:
        LossAuditError: The encoder or the dataset can't be read, the labels can't be learned from, an option can't be
            met, the folder holds other files, or the encoder needs the extra `export`.

    Examples:
        >>> fitted = la.fit("my-encoder/", "reviews.csv", "fitted")
    """
    with extra("fit"):
        from lossaudit.export.fitting import LOSSES, Fit, check_target

    frame = dataset if isinstance(dataset, pd.DataFrame) else None
    index = None if frame is None else frame.index
    target = Path(output)
    folder = check_target(target, _name_of(dataset))
    _keep_decisions(target / LOSSES)
    options = AuditOptions(
        text_column=_name_or_none(text_column),
        label_column=_name_or_none(label_column),
        limit=limit,
        max_length=max_length,
        threads=threads,
        provider=provider,
        precision=precision,
        tune=tune,
    ).checked()
    with _rows(dataset, config, split, folder, Asked(separator, encoding, header, sheet)) as rows:
        bundle = encoder if isinstance(encoder, Bundle) else open_encoder(encoder)
        prepared = Fit(bundle, rows, options, folds, score, exact_labels, keep_states)
        with prepared.keep_parts(folder) as kept:
            prepared.run(kept, target)
            kept.discard()
    return Losses(LossesTable.open(target / LOSSES), index, frame)


def load(path: str | Path) -> Losses:
    """Opens a losses table that `audit`, `fit`, `Losses.save` or the command wrote.

    Args:
        path: The file: .parquet, .jsonl, .json or .csv. Parquet is read in pieces, the other formats as a whole.

    Returns:
        The losses table.

    Raises:
        LossAuditError: The file can't be read, or isn't a losses table.

    Examples:
        >>> losses = la.load("losses.parquet")
    """
    return Losses(LossesTable.open(Path(path)))


def apply(
    losses: str | Path,
    output: str | Path,
    *,
    dataset: str | Path | None = None,
    flag_discarded: bool = False,
    review_columns: bool = False,
    strict: bool = False,
) -> Cleaned:
    """Writes the dataset that a losses file was made from, with the labels that people decided.

    It does what the command `lossaudit apply` does, and prints nothing. Also writes OUTPUT.changes.json.

    Args:
        losses: The losses file, in any format.
        output: The file to write, in any format that `audit` reads, or a folder for a saved dataset.
        dataset: Where the dataset is now, if not where it was audited.
        flag_discarded: Whether discarded rows stay, with a column `discarded`, instead of being left out.
        review_columns: Whether to add the columns `label_original` and `review`.
        strict: Whether a decided text that is no longer in the dataset is an error.

    Returns:
        A `Cleaned`, described below.

    Raises:
        LossAuditError: There are no decisions, the dataset can't be found, has none of the decided texts, or doesn't
            show how it writes a label, or the output can't be written.

    Examples:
        >>> la.load("losses.parquet").decide(discard=[3])
        >>> la.apply("losses.parquet", "cleaned.csv").discarded
    """
    where = None if dataset is None else str(dataset)
    return apply_decisions(
        Path(losses),
        Path(output),
        dataset=where,
        flag_discarded=flag_discarded,
        review_columns=review_columns,
        strict=strict,
    )


def _keep_decisions(path: Path) -> None:
    """Has the decisions about a losses file keep its texts, before it is made anew."""
    with contextlib.suppress(LossAuditError):  # it can't be read, so there is nothing to take from it
        decided_before(path)


def _name_or_none(column: str | int | None) -> str | None:
    """The name of a column, which is a number in a DataFrame without names."""
    return None if column is None else str(column)


def _name_of(dataset: object) -> str | None:
    """The name of a dataset that isn't in memory."""
    return str(dataset) if isinstance(dataset, (str, Path)) else None


def _rows(
    dataset: datasets.Dataset | pd.DataFrame | ArrowStream | Mapping[str, Any] | str | Path,
    config: str | None,
    split: str | None,
    workplace: Path | None,
    asked: Asked,
) -> Rows:
    if isinstance(dataset, (str, Path)):
        return open_dataset(str(dataset), config, split, workplace, asked)
    if asked != NOTHING_ASKED:
        raise LossAuditError("separator, encoding, header and sheet are for files")
    if config is not None:
        raise LossAuditError("config is for hub datasets")
    if isinstance(dataset, Mapping):
        return splits_in_memory(dataset, split)
    if split is not None:
        raise LossAuditError("split is for datasets of several splits, and this is a single table")
    return rows_in_memory(dataset)
