"""A losses table on disk: what `audit` wrote, and `top`, `review`, `log` and `apply` read.

Parquet is read in pieces, so ten million rows need no more memory than ten thousand; the text formats are read whole.
"""

import functools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..arrays import Ints
from ..data.arrow_types import is_text
from ..data.names import PAIRS, TEXT_NAMES
from ..errors import LossAuditError, Option, brief
from .facts import Facts
from .formats import check_losses, read_table
from .learned import P_WRONG, Learned
from .ranking import PLACE, URGENCY, Filters, LabelColumns, label_columns, places_of_top
from .repeats import RepeatFinder, Repeats, SameTexts
from .schema import REQUIRED, SETS, SPLITS, is_multi_label, own_schema

_PIECE_ROWS = 65_536
_TEXT_ROWS = 4096
"""Rows whose texts are held at once."""


class LossesTable:
    """The rows of a losses table, in the order of the file."""

    def __init__(self, path: Path, schema: pa.Schema, rows: int, source: "pq.ParquetFile | pa.Table") -> None:
        """See `open`."""
        self.path = path
        self.schema = schema
        self.facts = Facts.of(schema)
        """The audit's facts; all missing where the file's format carries none."""
        self._rows = rows
        self._source = source

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens a losses table in any of the formats. Raises LossAuditError if it isn't one."""
        if path.suffix.lower() != ".parquet" or not path.is_file():
            table = read_table(path)
            return cls(path, table.schema, len(table), table)
        try:
            file = pq.ParquetFile(path, page_checksum_verification=True)
            schema = file.schema_arrow
        except (OSError, ValueError, pa.ArrowException) as error:
            raise LossAuditError(f"{path} can't be read: {brief(error)}") from error
        check_losses(schema, path)
        return cls(path, schema, file.metadata.num_rows, file)

    @classmethod
    def of(cls, table: pa.Table) -> Self:
        """A losses table in memory."""
        return cls(Path("the table"), table.schema, len(table), table)

    def at(self, path: Path) -> Self:
        """The same table under another path, which files beside it are named after."""
        return type(self)(path, self.schema, self._rows, self._source)

    def __len__(self) -> int:
        return self._rows

    @property
    def is_multi_label(self) -> bool:
        """Whether its rows have sets of labels (docs/losses.md)."""
        return is_multi_label(self.schema.names)

    @property
    def has_splits(self) -> bool:
        """Whether it is of several splits, and so has the columns of `schema.SPLITS`."""
        return SPLITS.names[-1] in own_schema(self.schema.names).names

    @property
    def text_column(self) -> str | None:
        """The text column: as the audit's facts name it, else guessed from names and types."""
        told = self.facts.text_column
        if told in self.schema.names:
            return str(told)
        own = own_schema(self.schema.names)
        others = {*own.names, *self.label_columns}
        texts = [f.name for f in self.schema if f.name not in others and is_text(f.type)]
        return next((name for name in TEXT_NAMES if name in texts), texts[0] if texts else None)

    @property
    def text_pair_column(self) -> str | None:
        """The column with the second text of each row; None where rows have a single text."""
        told = self.facts.text_pair_column
        return told if told in self.schema.names else None

    @property
    def text_columns(self) -> list[str]:
        """The text column and, for pairs, that of the second texts; [] in a table without texts."""
        return [name for name in (self.text_column, self.text_pair_column) if name is not None]

    @property
    def label_columns(self) -> list[str]:
        """The source's columns that hold the labels: one, or a column of 0 and 1 for each label."""
        given = self.facts.given
        columns = (given.form.columns if given.form else None) or ()
        return [name for name in (given.column, *columns) if name]

    @property
    def required(self) -> list[str]:
        """The columns that have a value in every row with a loss."""
        return [*REQUIRED, *(SETS.names if self.is_multi_label else ())]

    @functools.cached_property
    def label_names(self) -> tuple[str, ...]:
        """The model's labels by class index: as in the audit's facts, else those that occur in the table."""
        if self.facts.labels is not None:
            return self.facts.labels
        if self.is_multi_label:
            return tuple(sorted(self._seen_in_sets()))
        seen = self._seen_classes
        return tuple(sorted(seen, key=lambda name: (seen[name], name)))

    @property
    def probability_names(self) -> tuple[str, ...]:
        """The labels that the entries of `probabilities` belong to; () where that isn't certain."""
        if "probabilities" not in self.schema.names:
            return ()
        if self.facts.labels is not None:
            return self.label_names
        # A set gives no class indices.
        shows_all = not self.is_multi_label and sorted(self._seen_classes.values()) == [*range(len(self.label_names))]
        return self.label_names if shows_all else ()

    def _seen_in_sets(self) -> set[str]:
        """The labels that occur in a multi-label table."""
        seen: set[str] = set()
        for batch in self.batches(SETS.names):
            for name in SETS.names:
                column = pc.list_flatten(batch[name]) if pa.types.is_list(batch[name].type) else batch[name]
                seen.update(filter(None, column.unique().to_pylist()))
        return seen

    @functools.cached_property
    def _seen_classes(self) -> dict[str, float]:
        """The labels that occur in the table, each with its class index (infinity where the table has none)."""
        seen: dict[str, float] = {}
        for index, name in (("label", "label_name"), ("prediction", "prediction_name")):
            has_index = index in self.schema.names
            for batch in self.batches([index, name] if has_index else [name]):
                for pair in pa.table(batch).group_by(batch.schema.names).aggregate([]).to_pylist():
                    # A given label without a class index isn't one of the model's.
                    if pair[name] is not None and not (has_index and pair[index] is None):
                        seen[pair[name]] = pair[index] if has_index else math.inf
        return seen

    def top(self, n: int, filters: Filters | None = None, learned: Learned | None = None) -> pa.Table:
        """The n rows (or fewer) of highest loss that pass, highest loss first, ties by id.

        learned: another order to show the rows in, which adds the column P_WRONG; conflicts and leaks are always in the
        order of `ranked_together`. Raises LossAuditError if a filter names a label that the table doesn't have or needs
        other columns, or the file can't be read.
        """
        filters = filters or Filters()
        if filters.truncated and "truncated" not in self.schema.names:
            raise LossAuditError(f"{self.path} has no column 'truncated'; leave ", Option("truncated"), " out")
        if filters.conflicts or filters.leaks:
            return self.take(self.ranked_together(self._repeats_for(filters), filters)[:n].tolist())
        pieces = self._with_places(filters.columns(self._labels))
        if learned is None:
            return self.take(places_of_top(pieces, n, filters, self._labels))
        urgent = (piece.append_column(URGENCY, [learned.urgency(piece["id"].to_numpy())]) for piece in pieces)
        found = self.take(places_of_top(urgent, n, filters, self._labels, by=URGENCY))
        names = [name for name in found.column_names if name != P_WRONG]
        return found.select(names).append_column(P_WRONG, learned.p_wrong_of(found["id"].to_numpy()))

    def _repeats_for(self, filters: Filters) -> SameTexts:
        """The conflicts or leaks, or what is both, as the filters ask."""
        if not self._compared:
            option = Option("conflicts" if filters.conflicts else "leaks")
            raise LossAuditError(f"{self.path} has no column with texts; leave ", option, " out")
        if filters.leaks and not self.has_splits:
            raise LossAuditError(f"{self.path} is not an audit of several splits; leave ", Option("leaks"), " out")
        found = self.repeats()
        if filters.conflicts:
            return found.conflicting_leaks if filters.leaks else found.conflicts
        return found.leaks

    def repeats(self) -> Repeats:
        """The rows with a loss whose text has another given label in another row, or is in another split too.

        There are none in a table without texts. Raises LossAuditError if the table's file can't be read.
        """
        texts = self._compared
        finder = RepeatFinder(len(self), texts, self._labels.given, SPLITS.names[0] if self.has_splits else None)

        def pieces() -> Iterator[pa.Table]:
            ours = [name for name in finder.columns if name not in texts]
            for batch in self.batches(finder.columns, _TEXT_ROWS) if texts else ():
                rows = self._cast(pa.table(batch).select(ours))
                for column in texts:
                    rows = rows.append_column(column, batch[column])
                yield rows

        for rows in pieces():
            finder.add(rows)
        return finder.found(pieces)

    def ranked_together(self, same: SameTexts, filters: Filters | None = None) -> Ints:
        """The places of the rows that pass: texts by the highest loss of their rows, rows of the same text together."""
        filters = filters or Filters()
        pieces = self._with_places(filters.columns(self._labels))
        places = places_of_top(pieces, len(same.places), filters, self._labels, same.places)
        return same.together(np.array(places, np.int64))

    @property
    def _labels(self) -> LabelColumns:
        return label_columns(self.schema.names)

    @property
    def _compared(self) -> list[str]:
        """The columns that say whether two rows have the same text."""
        columns = self.text_columns
        if self.facts.text_column is None:  # a text format doesn't say that rows are pairs, but names do
            names = set(self.schema.names)
            halves = [half for pair in PAIRS if names.issuperset(pair) and {*pair} & {*columns} for half in pair]
            columns = list(dict.fromkeys([*columns, *halves]))
        return columns if all(is_text(self.schema.field(name).type) for name in columns) else []

    def batches(self, columns: Sequence[str] | None = None, rows: int = _PIECE_ROWS) -> Iterator[pa.RecordBatch]:
        """All rows in pieces of at most `rows`, of all columns or some.

        Raises LossAuditError if the file can't be read.
        """
        if isinstance(self._source, pa.Table):
            yield from self._source.select(columns or self.schema.names).to_batches(max_chunksize=rows)
            return
        try:
            yield from self._source.iter_batches(batch_size=rows, columns=columns)
        except (OSError, pa.ArrowException) as error:
            raise LossAuditError(f"{self.path} is damaged: {brief(error)}; run the audit again") from error

    def pieces(self, columns: Sequence[str], rows: int = _PIECE_ROWS) -> Iterator[pa.Table]:
        """Some of the audit's own columns as `batches` gives them, in the types of `table.own_schema`.

        Raises LossAuditError if the file can't be read, or a column holds something else.
        """
        for batch in self.batches(columns, rows):
            yield self._cast(pa.table(batch).select(columns))

    def _with_places(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        place = 0
        for piece in self.pieces(columns):
            yield piece.append_column(PLACE, pa.array(np.arange(place, place + len(piece))))
            place += len(piece)

    def _cast(self, piece: pa.Table) -> pa.Table:
        """The audit's own columns in the types that they have now; another program may have written the file."""
        try:
            own = own_schema(self.schema.names)
            return piece.cast(pa.schema([own.field(name) for name in piece.column_names]))
        except pa.ArrowException as error:
            raise LossAuditError(f"{self.path} is not a losses table: {brief(error)}") from error

    def take(self, places: Sequence[int], columns: Sequence[str] | None = None) -> pa.Table:
        """Rows, whole or some of their columns, by their places in the file from 0, in the order of `places`."""
        wanted = np.asarray(places, dtype=np.int64)
        names = None if columns is None else list(columns)
        if isinstance(self._source, pa.Table):
            return _selected(self._source, names).take(pa.array(wanted))
        order = np.argsort(wanted, kind="stable")
        rising = wanted[order]
        parts, start = [_selected(self.schema.empty_table(), names)], 0
        for group in range(self._source.num_row_groups):
            stop = start + self._source.metadata.row_group(group).num_rows
            here = rising[np.searchsorted(rising, start) : np.searchsorted(rising, stop)]
            if len(here):
                parts.append(self._read_group(group, names).take(pa.array(here - start)))
            start = stop
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return pa.concat_tables(parts).take(pa.array(back))

    def places_of(self, ids: Ints) -> Ints:
        """The places in the file of rows by their `id`. Raises LossAuditError for one that the table doesn't have."""
        found = np.concatenate([piece["id"].to_numpy() for piece in self.pieces(["id"])]) if len(self) else ids[:0]
        rising = np.argsort(found, kind="stable")
        places = rising[np.minimum(np.searchsorted(found, ids, sorter=rising), len(found) - 1)] if len(found) else ids
        missing = ids[found[places] != ids] if len(found) else ids
        if len(missing):
            raise LossAuditError(f"{self.path} has no row {missing[0]}")
        return np.asarray(places, dtype=np.int64)

    def _read_group(self, group: int, columns: list[str] | None) -> pa.Table:
        assert not isinstance(self._source, pa.Table)
        try:
            return _selected(self._source.read_row_group(group, columns=columns), columns)
        except (OSError, pa.ArrowException) as error:
            raise LossAuditError(f"{self.path} is damaged: {brief(error)}; run the audit again") from error


def _selected(table: pa.Table, columns: list[str] | None) -> pa.Table:
    return table if columns is None else table.select(columns)
