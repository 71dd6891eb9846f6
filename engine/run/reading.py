"""What is read of a dataset: its rows, the columns of texts and labels, and what a survey finds.

A mistake in column names shows here, before any work. Nothing here knows a model.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import datasets
import numpy as np
import pyarrow as pa

from ..data.columns import find_text_column, find_text_pair_column, other_label_columns
from ..data.csv_notes import doubt_of
from ..data.fields import Field, fields_of
from ..data.rows import Rows
from ..data.texts import Text, texts_of
from ..errors import LossAuditError, Part
from ..labels.survey import Pieces
from ..shortening import shortened
from .options import AuditOptions
from .sharding import Sharding
from .tasks import Columns

_SAMPLE_ROWS = 256
"""Rows whose texts a survey keeps, spread over the dataset."""
_SHOWN_VALUES = 5
"""First values of a column that a message shows."""

T = TypeVar("T")


@dataclass(frozen=True)
class Reading:
    """The rows of a dataset, in shards, and the columns that matter."""

    rows: Rows
    limit: int | None
    """Number of rows asked for; None for all."""
    sharding: Sharding
    text_column: str
    text_pair_column: str | None
    """The column with the second texts, where rows are pairs."""
    label_columns: Columns
    fields: tuple[Field, ...] = ()
    """Columns that are fields of others."""

    @classmethod
    def open(
        cls,
        rows: Rows | datasets.Dataset,
        options: AuditOptions,
        find_labels: Callable[[Mapping[str, Any]], Columns],
    ) -> Self:
        """Finds the columns. find_labels: finds those of the labels among a dataset's features.

        Raises LossAuditError if there are no rows, or a column can't be found or holds something else.
        """
        rows = (rows if isinstance(rows, Rows) else Rows(rows)).first(options.limit)
        if not len(rows):
            raise LossAuditError("the dataset has no rows")
        fields = fields_of(rows.features, (options.text_column, options.text_pair_column, options.label_column))
        features = _with(fields, rows.looks)
        with _hinted(_on_folders(rows), *doubt_of(rows.origin)):
            labels = find_labels(features)
        label, pair = _single(labels), options.text_pair_column
        with _hinted(*doubt_of(rows.origin)):
            if pair is not None:
                pair = find_text_pair_column(features, pair, label)
            text = find_text_column(features, options.text_column, label, pair)
        return cls(rows, options.limit, Sharding(len(rows), options.shard_rows), text, pair, labels, fields)

    @property
    def features(self) -> dict[str, Any]:
        """The dataset's columns with their `datasets` features, and after them the fields that are read as columns."""
        return _with(self.fields, self.rows.features)

    @property
    def label_column(self) -> str | None:
        """The label column; None where each of the model's labels has a column of its own."""
        return _single(self.label_columns)

    def other_label_columns(self) -> list[str]:
        """The columns that might hold the labels too, each with its first values, to be shown."""
        names = [] if self.label_column is None else other_label_columns(self.features, self.label_column)
        return self.shown([name for name in names if name not in self.text_columns])

    def shown(self, names: Sequence[str]) -> list[str]:
        """Columns by their names and first values."""
        head = next(self.shards())[1].select(names).slice(0, _SHOWN_VALUES) if names else {}
        return [
            f"{name} ({', '.join(shortened(str(cell), 20) for cell in head[name].to_pylist())} …)" for name in names
        ]

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The text column, or the two columns of text pairs."""
        return tuple(name for name in (self.text_column, self.text_pair_column) if name is not None)

    def shards(self, starts: Collection[int] | None = None) -> Iterator[tuple[int, pa.Table]]:
        """The source rows of the shards that start at these rows, or of all, each with its first row's number."""
        wanted = self.sharding.starts if starts is None else starts
        for start, table in self.rows.shards(self.sharding.size, wanted.__contains__):
            for field in self.fields:
                table = table.append_column(field.name, field.column_of(table))
            yield start, table

    def survey(self, find: Callable[[Pieces], T]) -> tuple[T, list[Text]]:
        """What `find` makes of the dataset, and the texts of some rows; in one pass, unless `find` needs more."""
        texts: dict[int, list[Text]] = {}
        wanted = np.unique(np.linspace(0, len(self.rows) - 1, num=_SAMPLE_ROWS, dtype=np.int64))

        def pieces() -> Iterator[tuple[int, pa.Table]]:
            for start, table in self.shards():
                here = wanted[(wanted >= start) & (wanted < start + len(table))] - start
                found = texts_of(table.take(pa.array(here)), self.text_columns).values
                texts[start] = [text for text in found if text is not None]
                yield start, table

        found = find(pieces)
        return found, [text for some in texts.values() for text in some]


def _with(fields: Sequence[Field], features: Mapping[str, Any]) -> dict[str, Any]:
    return {**features, **{field.name: field.feature for field in fields}}


@contextmanager
def _hinted(*hints: Part) -> Iterator[None]:
    """Adds hints to an error."""
    try:
        yield
    except LossAuditError as error:
        if any(hints):
            raise LossAuditError(*error.parts, *hints) from error
        raise


def _on_folders(rows: Rows) -> str:
    """The end of an error about a label that isn't found, where files lie in several folders."""
    folders = sorted({file.parent.name for file in rows.origin.files}) if rows.origin else []
    if len(folders) < 2:
        return ""
    return (
        f". The files are in the folders {', '.join(folders[:_SHOWN_VALUES])}{' …' * (len(folders) > _SHOWN_VALUES)}; "
        "if those names are the labels, write them into a column of the files"
    )


def _single(columns: Columns) -> str | None:
    return columns if isinstance(columns, str) else None
