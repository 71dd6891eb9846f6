"""Copies Parquet files, row group by row group: the decided cells change, schema, metadata and compression stay."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lossaudit.engine.errors import LossAuditError, brief

from .comparing import DifferentError, compare_tables
from .edit import Edit
from .form import Form

_ENCODINGS = ("DELTA_BINARY_PACKED", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY", "BYTE_STREAM_SPLIT")
"""What values are stored in where not in a dictionary, beside the usual way."""


@dataclass(frozen=True)
class ParquetCopy(Form):
    """A Parquet file, or several of one schema."""

    sources: Sequence[Path]
    edit: Edit

    def write(self, place: Path, name: str) -> None:  # noqa: ARG002
        with _opened(self.sources[0]) as file:
            schema = self.edit.schema(file.schema_arrow)
            options = _as_written(file, self.edit.added)
        with pq.ParquetWriter(place, schema, **options) as writer:
            for table in self._edited():
                writer.write_table(table.cast(schema), row_group_size=max(len(table), 1))

    def check(self, place: Path, name: str) -> int:  # noqa: ARG002
        with _opened(self.sources[0]) as source, _opened(place) as file:
            if not file.schema_arrow.equals(self.edit.schema(source.schema_arrow), check_metadata=True):
                raise DifferentError("its schema or metadata is another one")
            return compare_tables(self._edited(), map(file.read_row_group, range(file.num_row_groups)))

    def _edited(self) -> Iterator[pa.Table]:
        """The row groups as they will be; those that lose all of their rows are left out."""
        return self.edit.tables(self._row_groups(), with_emptied=False)

    def _row_groups(self) -> Iterator[pa.Table]:
        for path in self.sources:
            with _opened(path) as file:
                yield from map(file.read_row_group, range(file.num_row_groups))


def are_of_one_schema(files: Sequence[Path]) -> bool:
    """Whether the rows of Parquet files can be in one file, with the metadata of each."""
    if len(files) == 1:
        return True
    schemas = [pq.read_schema(file) for file in files]
    return all(schema.equals(schemas[0], check_metadata=True) for schema in schemas)


def _opened(path: Path) -> pq.ParquetFile:
    # Otherwise JSON and UUID columns would become texts and bytes.
    try:
        return pq.ParquetFile(path, arrow_extensions_enabled=True)
    except pa.ArrowNotImplementedError as error:
        raise LossAuditError(
            f"{path} can't be copied whole, since Arrow can't read all of its columns ({brief(error)}); write the "
            "cleaned dataset in another format, without them"
        ) from error


def _as_written(file: pq.ParquetFile, added: list[str]) -> dict[str, Any]:
    """What to tell a writer so that it writes as the file is written, as far as the file shows it."""
    told = file.metadata
    columns = [told.row_group(0).column(at) for at in range(told.num_columns)] if told.num_row_groups else []
    options = {
        "version": told.format_version,
        "store_schema": b"ARROW:schema" in (told.metadata or {}),
        "use_compliant_nested_type": not any(".list.item" in column.path_in_schema for column in columns),
        "use_deprecated_int96_timestamps": any(column.physical_type == "INT96" for column in columns),
        "store_decimal_as_integer": any(
            column.logical_type.type == "DECIMAL" and column.physical_type.startswith("INT")
            for column in map(file.schema.column, range(told.num_columns))
        ),
        "write_page_index": any(column.has_column_index for column in columns),
    }
    if not columns:
        return options
    first, label = columns[0], {column.path_in_schema: _codec(column) for column in columns}
    encodings = {
        column.path_in_schema: next((name for name in _ENCODINGS if name in column.encodings), None)
        for column in columns
        if not column.has_dictionary_page
    }
    return options | {
        "compression": label | dict.fromkeys(added, _codec(first)),
        "use_dictionary": [*(c.path_in_schema for c in columns if c.has_dictionary_page), *added],
        "column_encoding": {path: encoding for path, encoding in encodings.items() if encoding} or None,
        "write_statistics": [*(c.path_in_schema for c in columns if c.is_stats_set), *added],
        "sorting_columns": told.row_group(0).sorting_columns or None,
    }


def _codec(column: Any) -> str:
    return "NONE" if column.compression == "UNCOMPRESSED" else str(column.compression)
