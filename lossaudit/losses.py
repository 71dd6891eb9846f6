"""`lossaudit.Losses`: a losses table in Python, for notebooks and other tools."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast, overload

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa

from lossaudit.engine.arrays import Floats, Ints
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.run.tasks import MultiLabel
from lossaudit.engine.scratch import Scratch
from lossaudit.engine.table.facts import stored_facts
from lossaudit.engine.table.formats import write_table
from lossaudit.engine.table.learned import read_learned
from lossaudit.engine.table.losses import LossesTable
from lossaudit.engine.table.ranking import Filters
from lossaudit.engine.table.summary import SetTally, Summary, Tally, with_repeats
from lossaudit.review.apply import Cleaned, apply_to
from lossaudit.review.notebook import as_frame, carry_over, cleaned_frame, decide
from lossaudit.review.relearning import Reranking, rerank

from .html import as_html

_SHOWN = 20
"""Rows shown in a notebook."""


class Losses:
    """A losses table, highest loss first, in memory or in a file that is read as needed.

    docs/losses.md describes its columns. `audit`, `fit` and `load` make it. `len(losses)` is the number of all
    rows, including those without a loss. A notebook displays its top as a table.
    """

    def __init__(
        self, table: LossesTable, index: pd.Index[Any] | None = None, audited: pd.DataFrame | None = None
    ) -> None:
        """Made by `audit`, `fit` and `load`. audited: the DataFrame that was audited, and its index then."""
        self._table = table
        self._index = index
        self._audited = audited
        self._decided: LossesTable | None = None
        self._scratch: Scratch | None = None  # for decisions about losses in memory

    def __len__(self) -> int:
        """The number of rows, including those without a loss."""
        return len(self._table)

    @property
    def facts(self) -> dict[str, Any]:
        """The facts of the run (model, labels, dataset, precision and more), as docs/losses.md lists them.

        A Parquet file has them in its metadata; other formats have them in a file beside it, named after it with
        `.facts.json`. They are empty if that is missing, or isn't of this table.

        Examples:
            >>> losses.facts["labels"]
        """
        return stored_facts(self._table.schema)

    def top(
        self,
        n: int = _SHOWN,
        *,
        given: str | None = None,
        predicted: str | None = None,
        min_loss: float | None = None,
        truncated: bool = False,
        conflicts: bool = False,
        leaks: bool = False,
        by: str | None = None,
    ) -> Losses:
        """The most suspicious rows among those that match all given filters.

        Args:
            n: How many rows; there are fewer if fewer match.
            given: Only rows with this given label, in upper or lower case.
            predicted: Only rows with this predicted label, in upper or lower case.
            min_loss: Only rows with at least this loss, in nats.
            truncated: Only texts that were cut at the maximum length.
            conflicts: Only rows whose text has another given label in another row. Rows with the same text come
                together, and the text with the highest loss comes first.
            leaks: Only rows whose text is also in another of the audited splits, in the same order. With `conflicts`,
                only those with different given labels.
            by: "loss", for the highest losses, or "learned", for the order that `rerank` has learned, which adds the
                column `p_wrong`; by default the learned order, once there is one.

        Returns:
            These rows, the most suspicious first; among equal losses, the lowest id comes first.

        Raises:
            LossAuditError: No row of the table has the label, the table has no texts to compare, or is not of several
                splits, no order has been learned, or a file can't be read.

        Examples:
            >>> losses.top(5, given="Business", min_loss=2.0)
            >>> losses.top(100, conflicts=True)
        """
        if by not in (None, "learned", "loss"):
            raise LossAuditError(f"there is no order {by!r}; there are 'learned' and 'loss'")
        learned = None if by == "loss" or conflicts or leaks else read_learned(self._table.path)
        if learned is None and by == "learned":
            raise LossAuditError(f"no order has been learned for {self._table.path} yet; call `rerank`")
        rows = self._table.top(n, Filters(given, predicted, min_loss, truncated, conflicts, leaks), learned)
        top = Losses(LossesTable.of(rows), self._index, self._audited)
        top._decided, top._scratch = self._decidable(), self._scratch
        return top

    def rerank(self) -> Reranking:
        """Learns from the decisions about these losses which of the other rows have a wrong label.

        The order, and each row's probability that its label is wrong, go into a small file beside the losses, which
        `top` follows from now on. The losses stay as they are, and the same decisions give the same order
        (docs/rerank.md).

        Returns:
            A `Reranking`, described below.

        Raises:
            LossAuditError: There are no decisions, the losses are only in memory, or a file can't be read or written.

        Examples:
            >>> losses = la.load("losses.parquet")
            >>> losses.rerank().expected
            >>> losses.top(50).to_pandas()["p_wrong"]
        """
        return rerank(self._table)

    def to_arrow(self) -> pa.Table:
        """The whole table as a `pyarrow.Table`, in memory.

        Raises:
            LossAuditError: The table's file can't be read.

        Examples:
            >>> losses.to_arrow().column_names
        """
        schema = self._table.schema
        return pa.Table.from_batches([batch.cast(schema) for batch in self._table.batches()], schema=schema)

    def to_pandas(self) -> pd.DataFrame:
        """The whole table as a DataFrame; if a DataFrame was audited, each row has its index again.

        Raises:
            LossAuditError: The table's file can't be read.

        Examples:
            >>> frame = losses.to_pandas()
            >>> frame[frame["loss"] > 2.0]
        """
        frame = cast(pd.DataFrame, self.to_arrow().to_pandas())
        return frame if self._index is None else frame.set_axis(self._index[frame["id"]])

    def to_dataset(self) -> datasets.Dataset:
        """The whole table as a `datasets.Dataset`.

        Raises:
            LossAuditError: The table's file can't be read.

        Examples:
            >>> losses.to_dataset().select(range(3))
        """
        return datasets.Dataset(self.to_arrow().replace_schema_metadata())

    def summary(self) -> Summary:
        """The figures of the audit: accuracy, mean loss, disagreements, identical texts and rows without a loss.

        Returns:
            A `Summary`, described below.

        Raises:
            LossAuditError: No row has a loss, or an older version of lossaudit wrote the table.

        Examples:
            >>> losses.summary().accuracy
        """
        tally = (SetTally if self._table.is_multi_label else Tally)(len(self._table.facts.labels or ()))
        missing = [name for name in tally.columns if name not in self._table.schema.names]
        if missing:
            raise LossAuditError(f"{self._table.path} has no column {missing[0]!r}; run the audit again")
        for batch in self._table.batches(tally.columns):
            tally.add(pa.table(batch))
        if not tally.ranked:
            raise LossAuditError(f"{self._table.path} has no row with a loss")
        return with_repeats(tally.summary(), self._table.repeats())

    def ids(self) -> Ints:
        """The positions in the dataset of rows with a loss, ascending; `labels` and `pred_probs` have the same order.

        Returns:
            An array of shape (rows with a loss,).

        Raises:
            LossAuditError: The table's file can't be read.

        Examples:
            >>> losses.ids()
        """
        return np.asarray(self._ranked(["id"])["id"].to_numpy(), dtype=np.int64)

    def labels(self) -> Ints:
        """The given labels of the rows with a loss, in the order of `ids`.

        Returns:
            Class indices, of shape (rows with a loss,); for a multi-label model 0 and 1, of shape (rows with a loss,
            labels of the model).

        Raises:
            LossAuditError: A multi-label table is in a format that doesn't keep the order of the model's labels.

        Examples:
            >>> losses.labels()
        """
        if self._table.is_multi_label:
            names = self._table.facts.labels
            if not names:
                raise LossAuditError(f"{self._table.path} doesn't say the order of the labels; save it as .parquet")
            return np.asarray(MultiLabel(names).labels_of(self._ranked(["labels"])), dtype=np.int64)
        return np.asarray(self._ranked(["label"])["label"].to_numpy(), dtype=np.int64)

    def pred_probs(self) -> Floats:
        """The model's probabilities for the rows with a loss, in the order of `ids`; cleanlab uses the same name.

        Returns:
            An array of shape (rows with a loss, labels of the model).

        Raises:
            LossAuditError: The table has no probabilities.

        Examples:
            >>> losses.pred_probs().shape
        """
        if "probabilities" not in self._table.schema.names:
            raise LossAuditError(f"{self._table.path} has no probabilities; run the audit again")
        found = self._ranked(["probabilities"])["probabilities"].combine_chunks()
        return np.asarray(found.values.to_numpy(), dtype=np.float64).reshape(len(found), -1)

    def save(self, path: str | Path) -> Path:
        """Writes the table to a file, and the decisions about losses in memory beside it.

        The file is written beside its final place and renamed into it.

        Args:
            path: The file, which is replaced if it exists. Its extension decides the format: .parquet, .jsonl, .json
                or .csv.

        Returns:
            The path.

        Raises:
            LossAuditError: The extension is another one, or the file can't be written there.

        Examples:
            >>> losses.save("losses.jsonl")
        """
        pieces = (pa.table(batch) for batch in self._table.batches())
        write_table(pieces, self._table.schema, Path(path))
        if self._scratch is not None:
            carry_over(self._decidable(), Path(path))
        return Path(path)

    def decisions(self) -> pd.DataFrame:
        """The decisions about these losses that count, whoever made them, in the order of ids.

        Returns:
            A DataFrame with the columns id, given, verdict (relabel, keep, unsure or discard), label (the new one),
            annotator, made_at and origin; if a DataFrame was audited, with its index.

        Raises:
            LossAuditError: The decisions can't be read.

        Examples:
            >>> losses.decisions()["verdict"].value_counts()
        """
        frame = as_frame(self._decidable())
        return frame if self._index is None else frame.set_axis(self._index[frame["id"]])

    def decide(
        self,
        labels: Mapping[int, str | Sequence[str]] = MappingProxyType({}),
        *,
        keep: Iterable[int] = (),
        unsure: Iterable[int] = (),
        discard: Iterable[int] = (),
        annotator: str = "python",
    ) -> None:
        """Stores decisions about rows, named by their `id`, where `lossaudit review` and `apply` find them too.

        Decisions about losses in a file are stored beside it; those about losses in memory last as long as these.

        Args:
            labels: The right label of rows, or the set of all right labels for a multi-label model. The given label
                counts as keeping it.
            keep: Rows whose given label is right.
            unsure: Rows of which nobody can tell.
            discard: Rows that shouldn't be in the dataset.
            annotator: Who decides.

        Raises:
            LossAuditError: There is no such row or label, a row is named twice, or the decisions can't be stored.

        Examples:
            >>> losses.decide({0: "Sports"}, keep=[1, 2], discard=[3])
        """
        verdicts = {"keep": keep, "unsure": unsure, "discard": discard}
        decide(self._decidable(), labels, verdicts, annotator)

    @overload
    def apply(
        self,
        output: None = None,
        *,
        dataset: pd.DataFrame | None = None,
        flag_discarded: bool = False,
        review_columns: bool = False,
        strict: bool = False,
    ) -> pd.DataFrame: ...

    @overload
    def apply(
        self,
        output: str | Path,
        *,
        dataset: str | Path | None = None,
        flag_discarded: bool = False,
        review_columns: bool = False,
        strict: bool = False,
    ) -> Cleaned: ...

    def apply(
        self,
        output: str | Path | None = None,
        *,
        dataset: pd.DataFrame | str | Path | None = None,
        flag_discarded: bool = False,
        review_columns: bool = False,
        strict: bool = False,
    ) -> Cleaned | pd.DataFrame:
        """The audited dataset with the decided labels: written to a file, or the DataFrame that was audited.

        Args:
            output: The file to write, as for `lossaudit apply`, or a folder for a saved dataset. Without it, the
                DataFrame that was audited is returned with the new labels; its index, columns and types stay.
            dataset: Where the dataset is now, if not where it was audited, or the DataFrame if it isn't at hand.
            flag_discarded: Whether discarded rows stay, with a column `discarded`, instead of being left out.
            review_columns: Whether to add the columns `label_original` and `review`.
            strict: Whether a decided text that is no longer in the dataset is an error.

        Returns:
            A `Cleaned`, described below, or without an output a new DataFrame.

        Raises:
            LossAuditError: The dataset can't be found, has none of the decided texts, or doesn't show how it writes a
                label, or the output can't be written.

        Examples:
            >>> losses.apply("cleaned.csv").relabelled
        """
        options: dict[str, Any] = {"flag_discarded": flag_discarded, "review_columns": review_columns, "strict": strict}
        if output is not None:
            if isinstance(dataset, pd.DataFrame):
                raise LossAuditError("a DataFrame is returned, not written; leave output out, and save what comes back")
            return apply_to(
                self._decidable(), Path(output), dataset=None if dataset is None else str(dataset), **options
            )
        frame = self._audited if dataset is None else dataset
        if not isinstance(frame, pd.DataFrame):
            raise LossAuditError("no DataFrame was audited; name an output to write the dataset to")
        return cleaned_frame(self._decidable(), frame, **options)

    def _decidable(self) -> LossesTable:
        """The table that decisions are about, in a file or with a scratch folder for them."""
        if self._decided is None and self._table.path.is_file():
            self._decided = self._table
        if self._decided is None:
            self._scratch = Scratch()
            self._decided = self._table.at(self._scratch.path / self._table.path.name)
        return self._decided

    def _ranked(self, columns: list[str]) -> pa.Table:
        """Some columns of the rows with a loss, in the dataset's order."""
        batches = (pa.table(batch) for batch in self._table.batches([*dict.fromkeys(["id", "loss", *columns])]))
        table = pa.concat_tables([batch.filter(batch["loss"].is_valid()) for batch in batches])
        return table.sort_by("id").combine_chunks()

    def __repr__(self) -> str:
        return f"<lossaudit.Losses: {len(self):,} rows of {self._table.facts.model or self._table.path}>"

    def _repr_html_(self) -> str:
        """The top rows, for notebooks."""
        return as_html(self._table, _SHOWN)
