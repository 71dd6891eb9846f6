"""Reads the rows of the audited dataset as its own files have them, to be written again with other labels.

Text files are read as text, since `datasets` would change values: 00123 would become a number, a date a time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from lossaudit.engine.data.containers import DataFile, ending_of, recognised
from lossaudit.engine.data.csv_dialect import NOTHING_ASKED, Asked, Dialect
from lossaudit.engine.data.fields import Field, fields_of
from lossaudit.engine.data.first_bytes import ENDINGS, TEXT_FORMATS
from lossaudit.engine.data.json_rows import rows_of
from lossaudit.engine.data.rows import Rows
from lossaudit.engine.data.source import open_dataset
from lossaudit.engine.data.splits import ALL, SplitRows, wanted_splits
from lossaudit.engine.errors import LossAuditError, Option
from lossaudit.engine.files import files_of
from lossaudit.engine.run.kept_parts import folder_for
from lossaudit.engine.table.losses import LossesTable
from lossaudit.engine.table.text_rows import TEXT_ENDINGS, Row

ROWS = 4096


@dataclass(frozen=True)
class CsvSource:
    """A CSV or TSV file, and how it is read."""

    file: DataFile
    dialect: Dialect

    def goes_on(self, other: "CsvSource") -> bool:
        """Whether the rows of another file can follow this one's in one file."""
        one, two = self.dialect, other.dialect
        alike = ("separator", "quotes", "header", "width", "skips_blanks", "universal", "mends")
        return one.encoding.name == two.encoding.name and all(getattr(one, a) == getattr(two, a) for a in alike)


@dataclass(frozen=True)
class AuditedRows:
    """An audited dataset, and whether its rows are copied from text to text or as Arrow tables."""

    rows: Rows
    as_text: bool
    is_as_audited: bool = True
    """Whether the rows are those that were audited; else the dataset has changed since."""

    @classmethod
    def open(cls, losses: LossesTable, output: Path, dataset: str | None = None) -> Self:
        """The dataset that was audited, to be written to `output`. dataset: where it is now, if not where it was.

        Raises LossAuditError if it isn't known, or is gone.
        """
        source = losses.facts.source
        name = dataset or source.name
        if not name:
            raise LossAuditError(
                f"{losses.path} doesn't say which dataset was audited; name it with ", Option("dataset")
            )
        asked = Asked(source.separator, source.encoding, source.header is not False, source.sheet)
        try:
            rows = open_dataset(name, source.config, source.split, folder_for(output), asked)
        except LossAuditError as error:
            if dataset is not None or Path(name).exists():
                raise
            raise LossAuditError(*error.parts, "; if it has moved, name it with ", Option("dataset")) from error
        files = rows.origin.files if rows.origin else ()
        in_text = bool(files) and recognised(files[0]).format in TEXT_FORMATS
        as_text = in_text and ending_of(output) in TEXT_ENDINGS
        return cls(rows, as_text, is_as_audited=rows.fingerprint == source.fingerprint)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def name(self) -> str:
        return (self.rows.origin.name if self.rows.origin else None) or ""

    @property
    def features(self) -> Mapping[str, Any]:
        return self.rows.features

    def field(self, name: str) -> Field | None:
        """What a name means that is no column's: a field inside of a column."""
        return next(iter(fields_of(self.features, (name,))), None)

    def feature(self, name: str) -> Any:
        """The feature of a column, or of a field inside of one; that of numbers for texts that are all numbers."""
        field = self.field(name)
        return self.rows.looks[name] if field is None else field.feature

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that hold the rows."""
        return tuple(self.rows.origin.files) if self.rows.origin else ()

    @cached_property
    def data_files(self) -> list[DataFile]:
        """The same, and what they are."""
        return [recognised(file) for file in self.files]

    @property
    def csv_files(self) -> list[CsvSource]:
        """CSV and TSV files, and how they are read; those without anything are left out."""
        dialects = self.rows.origin.dialects if self.rows.origin else ()
        files = zip(self.data_files, dialects, strict=True)
        return [CsvSource(file, dialect) for file, dialect in files if dialect is not None]

    @property
    def asked(self) -> Asked:
        """How CSV and TSV files are written, where the user said so."""
        return self.rows.origin.asked if self.rows.origin else NOTHING_ASKED

    @property
    def format(self) -> str:
        """The format of its files, by their usual ending; "" for a saved or a hub dataset."""
        return self.data_files[0].format if self.files else ""

    @property
    def splits(self) -> Mapping[str, Rows]:
        """The rows of each split, if several were audited as one dataset; else {}."""
        return self.rows.parts if isinstance(self.rows, SplitRows) else {}

    @property
    def all_splits(self) -> tuple[str, ...]:
        """The names of the dataset's splits; () where it has none."""
        return self.rows.origin.all_splits if self.rows.origin else ()

    @property
    def split(self) -> str | None:
        """The one split that was audited, of those that the dataset has."""
        origin = self.rows.origin
        if origin is None or self.splits or not self.all_splits:
            return None
        return wanted_splits(self.name, self.all_splits, origin.split, slices=True)[0]

    def other_splits(self) -> Mapping[str, Rows]:
        """The rows of the splits that weren't audited."""
        origin = self.rows.origin
        if origin is None or not origin.name or len(self.splits) == len(self.all_splits):
            return {}
        whole = open_dataset(origin.name, origin.config, ALL)
        parts = whole.parts if isinstance(whole, SplitRows) else {}
        return {name: rows for name, rows in parts.items() if name not in self.splits}

    @property
    def places(self) -> list[Path]:
        """All files and folders of the dataset, by every name."""
        return [*self.files, *files_of(self.name), Path(self.name)]

    @property
    def has_texts_alone(self) -> bool:
        """Whether every cell is a text, as in CSV."""
        return self.as_text and self.format in (".csv", ".tsv")

    def check(self) -> None:
        """Raises LossAuditError if text files have fewer or more rows than the audit saw."""
        if self.as_text:
            for _ in self.cells(()):
                pass

    def cells(self, columns: Sequence[str]) -> Iterator[Row]:
        """The cells of some columns in all rows. Raises LossAuditError at the end if the audit saw fewer or more."""
        count = 0
        fields = [field for column in columns if (field := self.field(column)) is not None]
        wanted = [name for name in columns if name in self.features] + [field.column for field in fields]
        pieces = self.dicts() if self.as_text else (table.select(wanted).to_pylist() for table in self.tables())
        for piece in pieces:
            for row in piece:
                yield row | {field.name: field.value_in(row.get(field.column)) for field in fields} if fields else row
            count += len(piece)
        if count != len(self.rows):
            raise LossAuditError(f"the files have {count:,} rows, but the audit saw {len(self.rows):,}; audit again")

    def dicts(self) -> Iterator[list[Row]]:
        """The rows of text files, in pieces; cells of CSV and TSV files are strings."""
        if self.has_texts_alone:
            yield from map(_in_texts, self.tables())
            return
        for file in self.files:
            yield from rows_of(file)

    def tables(self) -> Iterator[pa.Table]:
        """The rows of any dataset, in pieces."""
        return (table for _, table in self.rows.shards(ROWS))


def rows_written(place: Path, name: str, asked: Asked = NOTHING_ASKED) -> Iterator[Row]:
    """The rows of a text file as they are read from it; cells of CSV and TSV files are strings.

    name: its final one. asked: how CSV and TSV files are written, where the user said so.
    """
    if ENDINGS[ending_of(Path(name))] == ".json":
        for piece in rows_of(place):
            yield from piece
        return
    with open_dataset(str(place), asked=asked) as rows:
        for _, table in rows.shards(ROWS):
            yield from _in_texts(table)


def _in_texts(table: pa.Table) -> list[Row]:
    return [{name: cell or "" for name, cell in row.items()} for row in table.to_pylist()]
