"""Uses every public name as a typed program would. It is type-checked, never run (test_types.py)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, assert_type

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

import lossaudit as la
from lossaudit import export
from lossaudit.engine.scores.loss import Scores
from lossaudit.engine.scores.multi_label import MultiLabelScores
from lossaudit.engine.table.summary import Summary
from lossaudit.review.apply import Cleaned
from lossaudit.review.relearning import Reranking


def models(name: str, folder: Path) -> la.Bundle:
    assert_type(la.export(name, "bundle"), la.Bundle)
    assert_type(export(folder, folder, multi_label=True, fp16=True), la.Bundle)
    assert_type(la.Bundle.load("bundle").manifest.labels, tuple[str, ...])
    return la.Bundle.load(folder)


def tables(bundle: la.Bundle, frame: pd.DataFrame, dataset: datasets.Dataset, table: pa.Table, path: Path) -> None:
    assert_type(la.audit(bundle, frame), la.Losses)
    assert_type(la.audit("bundle", dataset, label_map={"a": "b"}, top=5, strict=True, tune=False), la.Losses)
    assert_type(la.audit(path, path, output=path, limit=5, max_length=8, stride=0, threads=1), la.Losses)
    assert_type(la.fit(bundle, frame, "fitted", folds=3, score="loss", exact_labels=True, keep_states=False), la.Losses)
    assert_type(la.audit(bundle, table, text_column=0, label_column=1), la.Losses)
    assert_type(la.audit(bundle, {"train": frame, "test": dataset}, split="all"), la.Losses)
    assert_type(la.load(path), la.Losses)


def scores(bundle: la.Bundle, texts: Sequence[str], labels: list[list[str]]) -> None:
    assert_type(la.score(bundle, texts, ["a", "b"]), Scores | MultiLabelScores)
    assert_type(la.score(bundle, texts, labels, text_pairs=texts, precision="int8").loss, NDArray[np.float64])
    assert_type(la.cross_entropy([[0.0, 1.0]], [0]), NDArray[np.float64])


def members(losses: la.Losses) -> None:
    assert_type(len(losses), int)
    assert_type(losses.facts, dict[str, Any])
    assert_type(losses.top(5, given="a", predicted="b", min_loss=1, truncated=True, conflicts=True), la.Losses)
    assert_type(losses.top(by="loss", leaks=True), la.Losses)
    assert_type(losses.rerank(), Reranking)
    assert_type(losses.decisions(), pd.DataFrame)
    losses.decide({0: "a", 1: ["b"]}, keep=[2], unsure=[3], discard=range(4, 6), annotator="ada")
    assert_type(losses.apply("cleaned.csv", dataset="data.csv", flag_discarded=True), Cleaned)
    assert_type(losses.apply(review_columns=True, strict=True), pd.DataFrame)
    assert_type(la.apply("losses.parquet", "cleaned.csv", dataset=None), Cleaned)
    assert_type(losses.summary(), Summary)
    assert_type(losses.ids(), NDArray[np.int64])
    assert_type(losses.labels(), NDArray[np.int64])
    assert_type(losses.pred_probs(), NDArray[np.float64])
    assert_type(losses.save("losses.csv"), Path)
    frame: pd.DataFrame = losses.to_pandas()
    table: pa.Table = losses.to_arrow()
    dataset: datasets.Dataset = losses.to_dataset()
    print(frame, table, dataset)


def errors() -> str:
    try:
        return la.__version__
    except la.LossAuditError as error:
        return str(error)
