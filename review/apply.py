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

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.files import ending_of, file_beside, files_of, folder_beside
from lossaudit.engine.losses import Losses
from lossaudit.engine.rows import Rows
from lossaudit.engine.source import quiet
from lossaudit.engine.table import storable
from lossaudit.review.records import label_names
from lossaudit.review.source_rows import TEXT_ENDINGS, arrow_rows, is_text, open_source, open_text, text_rows
from lossaudit.review.store import Decision, DecisionStore

ENDINGS = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
ORIGINAL, REVIEW, DISCARDED = "label_original", "review", "discarded"
Row = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """A given label and the one that people gave instead."""

    given: str
    new: str
    rows: int


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
    rows = open_source(losses)
    _check_output(output, rows)
    with DecisionStore.open(losses_path, create=False) as store:
        decisions = store.decisions()
    label_column = losses.facts["source"]["label_column"]
    pieces = _Pieces(rows, label_column, as_text=is_text(rows) and ending_of(output) in TEXT_ENDINGS)
    edit = _Edit(label_column, decisions, _values(losses, pieces, decisions), flag_discarded, review_columns)
    edit.check_names(rows.features)
    written = pieces.write(edit, output)
    cleaned = _cleaned(losses, rows, decisions, written)
    with file_beside(output.with_name(f"{output.name}.changes.json")) as temporary:
        temporary.write_text(json.dumps(asdict(cleaned), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return cleaned


@dataclass(frozen=True)
class _Edit:
    """What is done to each row."""

    label_column: str
    decisions: Mapping[int, Decision]
    values: Mapping[str, Any]
    """What the label column holds for each label's name."""
    flag_discarded: bool
    review_columns: bool

    def check_names(self, columns: Iterable[str]) -> None:
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
        given = row.get(self.label_column)
        if decision is not None and decision.label is not None:
            row = row | {self.label_column: self.values[decision.label]}
        extra = {ORIGINAL: given, REVIEW: verdict, DISCARDED: verdict == "discard"}
        return row | {name: extra[name] for name in self.added}

    def table(self, start: int, table: pa.Table) -> pa.Table:
        """Rows as they are to be written; all but the decided ones are left as they are, without a copy."""
        places = range(start, start + len(table))
        decided = [self.decisions.get(place) for place in places]
        column = table[self.label_column]
        if any(decision and decision.label is not None for decision in decided):
            given = column.to_pylist()
            new = [
                self.values[decision.label] if decision and decision.label is not None else value
                for decision, value in zip(decided, given, strict=True)
            ]
            at = table.schema.get_field_index(self.label_column)
            table = table.set_column(at, table.schema.field(at), pa.chunked_array([new], type=column.type))
        discarded = np.array([bool(decision and decision.verdict == "discard") for decision in decided])
        extra = {
            ORIGINAL: column,
            REVIEW: pa.array([decision and decision.verdict for decision in decided], pa.string()),
            DISCARDED: pa.array(discarded),
        }
        for name in self.added:
            table = table.append_column(name, extra[name])
        return table if self.flag_discarded else table.filter(pa.array(~discarded))


@dataclass(frozen=True)
class _Pieces:
    """The source in pieces, as text or as Arrow tables, and how to write them."""

    rows: Rows
    label_column: str
    as_text: bool

    def labels(self, places: Iterable[int]) -> dict[int, Any]:
        """What the label column holds in some rows."""
        wanted, start = sorted(places), 0
        found: dict[int, Any] = {}
        pieces: Iterator[list[Any]]
        if self.as_text:
            pieces = ([row.get(self.label_column) for row in piece] for piece in text_rows(self.rows))
        else:
            pieces = (table[self.label_column].to_pylist() for table in arrow_rows(self.rows))
        for labels in pieces:
            found |= {place: labels[place - start] for place in wanted if start <= place < start + len(labels)}
            start += len(labels)
        if start != len(self.rows):
            raise LossAuditError(f"the files hold {start:,} rows where the audit saw {len(self.rows):,}; audit again")
        return found

    def write(self, edit: _Edit, output: Path) -> int:
        """Writes all rows; gives how many."""
        if self.as_text:
            with file_beside(output) as temporary:
                return _write_text(self._edited_rows(edit), [*self.rows.features, *edit.added], temporary, output)
        tables = self._edited_tables(edit)
        if ending_of(output) == ".parquet":
            with file_beside(output) as temporary:
                return _write_arrow(tables, lambda schema: pq.ParquetWriter(temporary, schema, compression="zstd"))
        if ending_of(output) in TEXT_ENDINGS:
            dicts = (row for table in tables for row in _storable(table).to_pylist())
            with file_beside(output) as temporary:
                return _write_text(dicts, [*self.rows.features, *edit.added], temporary, output)
        with folder_beside(output, "dataset_info.json") as folder, TemporaryDirectory(dir=output.parent) as beside:
            # `datasets` makes the folder's files from one that holds the rows.
            stream = f"{beside}/rows.arrow"
            written = _write_arrow(tables, lambda schema: pa.ipc.new_stream(stream, schema))
            with quiet():
                datasets.Dataset.from_file(stream).save_to_disk(folder)
            return written

    def _edited_rows(self, edit: _Edit) -> Iterator[Row]:
        place = 0
        for piece in text_rows(self.rows):
            for row in piece:
                edited = edit.row(place, row)
                if edited is not None:
                    yield edited
                place += 1

    def _edited_tables(self, edit: _Edit) -> Iterator[pa.Table]:
        start = 0
        for table in arrow_rows(self.rows):
            yield edit.table(start, table)
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


def _values(losses: Losses, pieces: _Pieces, decisions: Mapping[int, Decision]) -> dict[str, Any]:
    """What the source's label column holds for each label that was decided on: as in a row that has it already."""
    wanted = {decision.label for decision in decisions.values() if decision.label is not None}
    names = label_names(losses)
    first: dict[str, int] = {}
    for batch in losses.batches(["id", "label", "label_name"]):
        for row in batch.to_pylist():
            if row["label"] is not None and row["label_name"] in wanted:
                first[row["label_name"]] = min(row["id"], first.get(row["label_name"], row["id"]))
    held = pieces.labels(first.values())
    values = {name: held[place] for name, place in first.items()}
    known = dict(zip(names, losses.facts.get("label_values") or [], strict=False))
    for name in sorted(wanted - set(values)):
        if name not in names:
            raise LossAuditError(f"the decisions name a label {name!r}, which the model doesn't have")
        value = known.get(name)
        if value is None and not _holds_names(pieces.rows.features[pieces.label_column]):
            raise LossAuditError(
                f"no row of the dataset has the label {name!r}, so how its column writes it isn't known; "
                "decide these rows otherwise, or add a row with it"
            )
        value = name if value is None else value
        values[name] = str(value) if pieces.as_text and isinstance(next(iter(held.values()), ""), str) else value
    return values


def _holds_names(feature: object) -> bool:
    return isinstance(feature, datasets.Value) and feature.dtype in ("string", "large_string")


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
    relabelled = {row: decision.label for row, decision in decisions.items() if decision.label is not None}
    given: dict[int, str] = {}
    for batch in losses.batches(["id", "label_name"]):
        given |= {row["id"]: row["label_name"] for row in batch.to_pylist() if row["id"] in relabelled}
    changes = Counter((str(given[row]), str(new)) for row, new in relabelled.items())
    ordered = sorted(changes.items(), key=lambda item: (-item[1], item[0]))
    return Cleaned(
        source=rows.origin.name if rows.origin else "",
        rows=len(rows),
        written=written,
        relabelled=verdicts["relabel"],
        discarded=verdicts["discard"],
        kept=verdicts["keep"],
        unsure=verdicts["unsure"],
        changes=tuple(Change(old, new, count) for (old, new), count in ordered),
    )
