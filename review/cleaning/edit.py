"""What decisions make of each row: another label, columns about the review, or nothing, where the row is left out."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.table.text_rows import Row

from ..label_writer import LabelWriter
from ..store import Decision
from .arrow_cells import with_cells, without_rows
from .told_columns import with_columns_told

ORIGINAL, REVIEW, DISCARDED = "label_original", "review", "discarded"
NOTE, TAGS = "review_note", "review_tags"


@dataclass(frozen=True)
class Edit:
    """The changes to each row of a dataset."""

    writer: LabelWriter
    decisions: Mapping[int, Decision]
    flag_discarded: bool
    review_columns: bool

    def check(self, columns: Iterable[str]) -> None:
        """Raises LossAuditError if the edit can't be made. columns: those of the source."""
        for row, decision in sorted(self.decisions.items()):
            if decision.label is not None:
                self.writer.check(row, decision.label)
        taken = sorted(set(self.added) & set(columns))
        if taken:
            raise LossAuditError(f"the dataset already has a column {taken[0]!r}, so none can be added; rename it")

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts that may be written into cells."""
        return tuple(self.writer.texts)

    def concerns(self, place: int) -> bool:
        """Whether a row may be written otherwise than it is."""
        decision = self.decisions.get(place)
        return bool(self.added) or (decision is not None and decision.verdict in ("relabel", "discard"))

    @cached_property
    def added(self) -> list[str]:
        """Names of the added columns; notes and tags have one if there are any."""
        made = self.decisions.values() if self.review_columns else ()
        return [
            *([ORIGINAL, REVIEW] if self.review_columns else []),
            *([NOTE] if any(decision.note for decision in made) else []),
            *([TAGS] if any(decision.tags for decision in made) else []),
            *([DISCARDED] if self.flag_discarded else []),
        ]

    @property
    def alike(self) -> dict[str, str]:
        """The column of the source whose kind an added one is of."""
        repeated = self.writer.repeated
        return {ORIGINAL: repeated} if self.review_columns and repeated is not None else {}

    def row(self, place: int, row: Row) -> Row | None:
        """A row as it will be written; None if it is left out."""
        decision = self.decisions.get(place)
        verdict = decision.verdict if decision else None
        if verdict == "discard" and not self.flag_discarded:
            return None
        given = self.writer.told(row)
        if decision is not None and decision.label is not None:
            row = row | self.writer.cells(row, decision.label)
        extra = {ORIGINAL: given, DISCARDED: verdict == "discard"} | _told(decision)
        return row | {name: extra[name] for name in self.added}

    def rows(self, rows: Iterable[Row]) -> Iterator[Row]:
        """All rows of the source as they will be written, without those that are left out."""
        edited = (self.row(place, row) for place, row in enumerate(rows))
        return (row for row in edited if row is not None)

    def table(self, start: int, table: pa.Table) -> pa.Table:
        """Rows as they will be written; undecided rows stay unchanged and aren't copied."""
        places = range(start, start + len(table))
        decided = [self.decisions.get(place) for place in places]
        original = self._original(table) if self.review_columns else None
        relabelled = {place: d.label for place, d in enumerate(decided) if d and d.label is not None}
        if relabelled:
            table = self._relabelled(table, relabelled)
        discarded = [bool(decision and decision.verdict == "discard") for decision in decided]
        told = [_told(decision) for decision in decided]
        extra = {
            ORIGINAL: original,
            DISCARDED: pa.array(discarded, pa.bool_()),
            **{name: pa.array([one[name] for one in told], pa.string()) for name in (REVIEW, NOTE, TAGS)},
        }
        for name in self.added:
            table = table.append_column(name, extra[name])
        if self.flag_discarded or not any(discarded):
            return table
        return without_rows(table, [place for place, is_out in enumerate(discarded) if is_out])

    def tables(self, tables: Iterable[pa.Table], start: int = 0, *, with_emptied: bool = True) -> Iterator[pa.Table]:
        """Tables that follow each other as they will be written. start: number of the first row.

        with_emptied: whether to keep tables that lose all of their rows.
        """
        for table in tables:
            edited = self.table(start, table)
            start += len(table)
            if with_emptied or len(edited) or not len(table):
                yield edited

    def schema(self, source: pa.Schema) -> pa.Schema:
        """The schema of the source's tables as they will be written, with its metadata."""
        return with_columns_told(source, self.table(0, source.empty_table()).schema, self.alike)

    def _relabelled(self, table: pa.Table, labels: Mapping[int, str]) -> pa.Table:
        """The table with new labels. labels: new labels by place in the table."""
        cells = table.select(self.writer.columns)
        rows = [row for place in labels for row in cells.slice(place, 1).to_pylist()]
        new = [self.writer.cells(row, label) for row, label in zip(rows, labels.values(), strict=True)]
        for name in self.writer.columns:
            at = table.schema.get_field_index(name)
            field = table.schema.field(at)
            try:
                column = with_cells(table[at], list(labels), [row[name] for row in new])
            except (pa.ArrowException, OverflowError) as error:
                raise LossAuditError(
                    f"column {name!r} holds {field.type}, which can't hold the new labels: {error}"
                ) from error
            table = table.set_column(at, field, column)
        return table

    def _original(self, table: pa.Table) -> pa.ChunkedArray | pa.Array:
        """The given labels, as a column."""
        if self.writer.repeated is not None:
            return table[self.writer.repeated]
        return pa.array([self.writer.told(row) for row in table.select(self.writer.columns).to_pylist()], pa.string())


def _told(decision: Decision | None) -> dict[str, str | None]:
    """What the columns about the review say of a decision."""
    if decision is None:
        return {REVIEW: None, NOTE: None, TAGS: None}
    return {REVIEW: decision.verdict, NOTE: decision.note or None, TAGS: ", ".join(decision.tags) or None}
