"""Writes the cleaned dataset: a losses file and its decisions come in, the whole dataset with new labels goes out.

Column order and the label's type are the source's. The source itself is never written to.
"""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lossaudit.engine.data.rows import Rows
from lossaudit.engine.data.source import quiet_datasets
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.files import ending_of, file_beside, files_of, folder_beside
from lossaudit.engine.run.kept_parts import folder_for
from lossaudit.engine.table.losses import Losses
from lossaudit.engine.table.schema import storable

from .label_sets import names_of, shown
from .label_writers import LabelWriter
from .source_labels import writer_of
from .source_rows import TEXT_ENDINGS, Source, arrow_rows, is_text, open_source, open_text, text_rows
from .store import Decision, DecisionStore

ENDINGS = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
ORIGINAL, REVIEW, DISCARDED = "label_original", "review", "discarded"
Row = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """A given label and the one that people gave instead; of multi-label rows, the sets' names between commas."""

    given: str
    new: str
    rows: int


@dataclass(frozen=True)
class LabelChange:
    """How many multi-label rows got a label, and how many lost it."""

    label: str
    added: int
    removed: int


@dataclass(frozen=True)
class Cleaned:
    """What was done to a dataset."""

    source: str
    rows: int
    """Of the source."""
    written: int
    relabelled: int
    discarded: int
    kept: int
    """Rows whose label a person found right."""
    unsure: int
    changes: tuple[Change, ...]
    """The most frequent first."""
    labels: tuple[LabelChange, ...] | None
    """Of multi-label rows: how often each label was added or taken away, the most often first."""


def apply_decisions(
    losses_path: Path, output: Path, *, flag_discarded: bool = False, review_columns: bool = False
) -> Cleaned:
    """Writes the dataset behind a losses file with the labels that people decided on.

    output: a file in any format that `audit` reads (.gz too, but for Parquet), or a folder for a saved dataset.
    flag_discarded: keep discarded rows, and say so in a column, instead of leaving them out. review_columns: add the
    given label and the decision. Also writes OUTPUT.changes.json. Raises LossAuditError if the dataset can't be
    opened, has changed since the audit, or doesn't say how it writes a label.
    """
    losses = Losses.open(losses_path)
    rows = open_source(losses, folder_for(output))
    _check_output(output, rows)
    with DecisionStore.open(losses_path, create=False) as store:
        decisions = store.decisions()
    source = Source(rows, as_text=is_text(rows) and ending_of(output) in TEXT_ENDINGS)
    edit = _Edit(writer_of(losses, source, decisions), decisions, flag_discarded, review_columns)
    edit.check(rows.features)
    written = _Writing(source, edit).write(output)
    cleaned = _cleaned(losses, rows, decisions, written)
    with file_beside(output.with_name(f"{output.name}.changes.json")) as temporary:
        told = asdict(cleaned)
        if cleaned.labels is None:
            del told["labels"]
        temporary.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return cleaned


@dataclass(frozen=True)
class _Edit:
    """What is done to each row."""

    writer: LabelWriter
    decisions: Mapping[int, Decision]
    flag_discarded: bool
    review_columns: bool

    def check(self, columns: Iterable[str]) -> None:
        """Raises LossAuditError where it can't be done. columns: of the source."""
        for row, decision in sorted(self.decisions.items()):
            if decision.label is not None:
                self.writer.check(row, decision.label)
        taken = sorted(set(self.added) & set(columns))
        if taken:
            raise LossAuditError(f"the dataset has a column {taken[0]!r} already; rename it to have one added")

    @property
    def added(self) -> list[str]:
        """The columns that are added."""
        return [*([ORIGINAL, REVIEW] if self.review_columns else []), *([DISCARDED] if self.flag_discarded else [])]

    def row(self, place: int, row: Row) -> Row | None:
        """A row as it is to be written; None if it is left out."""
        decision = self.decisions.get(place)
        verdict = decision.verdict if decision else None
        if verdict == "discard" and not self.flag_discarded:
            return None
        given = self.writer.told(row)
        if decision is not None and decision.label is not None:
            row = row | self.writer.cells(row, decision.label)
        extra = {ORIGINAL: given, REVIEW: verdict, DISCARDED: verdict == "discard"}
        return row | {name: extra[name] for name in self.added}

    def table(self, start: int, table: pa.Table) -> pa.Table:
        """Rows as they are to be written; all but the decided ones are left as they are, without a copy."""
        places = range(start, start + len(table))
        decided = [self.decisions.get(place) for place in places]
        original = self._original(table) if self.review_columns else None
        relabelled = {place: d.label for place, d in enumerate(decided) if d and d.label is not None}
        if relabelled:
            table = self._relabelled(table, relabelled)
        discarded = np.array([bool(decision and decision.verdict == "discard") for decision in decided])
        extra = {
            ORIGINAL: original,
            REVIEW: pa.array([decision and decision.verdict for decision in decided], pa.string()),
            DISCARDED: pa.array(discarded),
        }
        for name in self.added:
            table = table.append_column(name, extra[name])
        return table if self.flag_discarded else table.filter(pa.array(~discarded))

    def _relabelled(self, table: pa.Table, labels: Mapping[int, str]) -> pa.Table:
        """labels: by place in the table."""
        rows = table.select(self.writer.columns).to_pylist()
        for place, label in labels.items():
            rows[place] = self.writer.cells(rows[place], label)
        for name in self.writer.columns:
            at = table.schema.get_field_index(name)
            kind = table.schema.field(at).type
            try:
                column = pa.chunked_array([[row[name] for row in rows]], type=kind)
            except pa.ArrowException as error:
                raise LossAuditError(
                    f"column {name!r} holds {kind}, which can't hold the new labels: {error}"
                ) from error
            table = table.set_column(at, table.schema.field(at), column)
        return table

    def _original(self, table: pa.Table) -> pa.ChunkedArray | pa.Array:
        """What the cells say, as a column."""
        columns = self.writer.columns
        if len(columns) == 1:
            return table[columns[0]]
        return pa.array([self.writer.told(row) for row in table.select(columns).to_pylist()], pa.string())


@dataclass(frozen=True)
class _Writing:
    """The source's rows, edited and written."""

    source: Source
    edit: _Edit

    def write(self, output: Path) -> int:
        """Writes all rows; gives how many."""
        if self.source.as_text:
            with file_beside(output) as temporary:
                return _write_text(
                    self._edited_rows(), [*self.source.rows.features, *self.edit.added], temporary, output
                )
        tables = self._edited_tables()
        if ending_of(output) == ".parquet":
            with file_beside(output) as temporary:
                return _write_arrow(tables, lambda schema: pq.ParquetWriter(temporary, schema, compression="zstd"))
        if ending_of(output) in TEXT_ENDINGS:
            dicts = (row for table in tables for row in _storable(table).to_pylist())
            with file_beside(output) as temporary:
                return _write_text(dicts, [*self.source.rows.features, *self.edit.added], temporary, output)
        with (
            folder_beside(output, "dataset_info.json", private=True) as folder,
            TemporaryDirectory(dir=output.parent) as beside,
        ):
            # `datasets` makes the folder's files from one that holds the rows.
            stream = f"{beside}/rows.arrow"
            written = _write_arrow(tables, lambda schema: pa.ipc.new_stream(stream, schema))
            with quiet_datasets():
                datasets.Dataset.from_file(stream).save_to_disk(folder)
            return written

    def _edited_rows(self) -> Iterator[Row]:
        place = 0
        for piece in text_rows(self.source.rows):
            for row in piece:
                edited = self.edit.row(place, row)
                if edited is not None:
                    yield edited
                place += 1

    def _edited_tables(self) -> Iterator[pa.Table]:
        start = 0
        for table in arrow_rows(self.source.rows):
            yield self.edit.table(start, table)
            start += len(table)


def _write_arrow(tables: Iterator[pa.Table], writer_of: Callable[[pa.Schema], Any]) -> int:
    first = next(tables)
    # The features that `datasets` keeps in the schema wouldn't know of added columns.
    schema = datasets.Features.from_arrow_schema(first.schema).arrow_schema
    with writer_of(schema) as writer:
        writer.write_table(first.cast(schema))
        written = len(first)
        for table in tables:
            writer.write_table(table.cast(schema))
            written += len(table)
    return written


def _write_text(rows: Iterator[Row], columns: list[str], path: Path, output: Path) -> int:
    """Writes rows in the text format of `output`'s name to `path`, which ends like it."""
    written = 0
    ending = ending_of(output)
    with open_text(path, "w") as file:
        if ending in (".csv", ".tsv"):
            table = csv.writer(file, delimiter="\t" if ending == ".tsv" else ",", lineterminator="\n")
            table.writerow(columns)
            for row in rows:
                table.writerow([_cell(row.get(name)) for name in columns])
                written += 1
        else:
            start, between, end = ("[\n", ",\n", "\n]\n") if ending == ".json" else ("", "\n", "\n")
            file.write(start)
            for row in rows:
                file.write((between if written else "") + json.dumps(row, ensure_ascii=False, default=str))
                written += 1
            file.write(end)
    return written


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, (dict, list)) else value


def _storable(table: pa.Table) -> pa.Table:
    return pa.table({name: storable(table[name]) for name in table.column_names})


def _check_output(output: Path, rows: Rows) -> None:
    ending = ending_of(output)
    if ending and ending not in ENDINGS:
        raise LossAuditError(
            f"can't tell the format of {output}; its name must end in {', '.join(ENDINGS)}, "
            "or have no ending for a saved dataset's folder"
        )
    if ending and output.is_dir():
        raise LossAuditError(f"{output} is a folder; name a file in it")
    if output.exists() and rows.origin is not None:
        files = [*rows.origin.files, *files_of(rows.origin.name), Path(rows.origin.name)]
        if any(file.exists() and output.samefile(file) for file in files):
            raise LossAuditError(f"{output} is the audited dataset itself; name another to write to")


def _cleaned(losses: Losses, rows: Rows, decisions: Mapping[int, Decision], written: int) -> Cleaned:
    verdicts = Counter(decision.verdict for decision in decisions.values())
    changes, labels = _changes(losses, {row: d.label for row, d in decisions.items() if d.label is not None})
    return Cleaned(
        source=rows.origin.name if rows.origin else "",
        rows=len(rows),
        written=written,
        relabelled=verdicts["relabel"],
        discarded=verdicts["discard"],
        kept=verdicts["keep"],
        unsure=verdicts["unsure"],
        changes=changes,
        labels=labels,
    )


def _changes(
    losses: Losses, relabelled: Mapping[int, str]
) -> tuple[tuple[Change, ...], tuple[LabelChange, ...] | None]:
    """What was changed to what; of multi-label rows also label by label."""
    sets = losses.is_multi_label
    column = "labels" if sets else "label_name"
    given: dict[int, Any] = {}
    for batch in losses.batches(["id", column]):
        given |= {row["id"]: row[column] for row in batch.to_pylist() if row["id"] in relabelled}
    if not sets:
        return _counted((str(given[row]), new) for row, new in relabelled.items()), None
    pairs = [(given[row] or [], names_of(new)) for row, new in relabelled.items()]
    added = Counter(name for old, new in pairs for name in set(new) - set(old))
    removed = Counter(name for old, new in pairs for name in set(old) - set(new))
    changed = sorted(added | removed, key=lambda name: (-added[name] - removed[name], name))
    return (
        _counted((shown(old), shown(new)) for old, new in pairs),
        tuple(LabelChange(name, added[name], removed[name]) for name in changed),
    )


def _counted(pairs: Iterable[tuple[str, str]]) -> tuple[Change, ...]:
    ordered = sorted(Counter(pairs).items(), key=lambda item: (-item[1], item[0]))
    return tuple(Change(old, new, count) for (old, new), count in ordered)
