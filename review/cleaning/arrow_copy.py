"""Copies Arrow and Feather files, batch by batch: the decided cells change; schema, metadata and compression stay."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from .comparing import DifferentError, compare_tables
from .edit import Edit
from .form import Form

_FILE = b"ARROW1"
_CODECS = {b"\x04\x22\x4d\x18": "lz4", b"\x28\xb5\x2f\xfd": "zstd"}
"""How compressed buffers begin, after 8 bytes with their length."""
_LOOKED_AT = 1 << 16


@dataclass(frozen=True)
class ArrowCopy(Form):
    """A file of Arrow's IPC, as a file (which Feather is too) or as a stream."""

    source: Path
    edit: Edit

    def write(self, place: Path, name: str) -> None:  # noqa: ARG002
        with _opened(self.source) as reader:
            schema = self.edit.schema(reader.schema)
            new = pa.ipc.new_file if _is_file(self.source) else pa.ipc.new_stream
            with new(place, schema, options=pa.ipc.IpcWriteOptions(compression=_codec(self.source))) as writer:
                for table in self._edited(reader):
                    writer.write_table(table.cast(schema))

    def check(self, place: Path, name: str) -> int:  # noqa: ARG002
        with _opened(self.source) as source, _opened(place) as copy:
            if not copy.schema.equals(self.edit.schema(source.schema), check_metadata=True):
                raise DifferentError("its schema or metadata is another one")
            return compare_tables(self._edited(source), copy.tables())

    def _edited(self, reader: "_Reader") -> Iterator[pa.Table]:
        edited = (table.combine_chunks() for table in self.edit.tables(reader.tables(), with_emptied=False))
        labels = self.edit.writer.columns
        if any(pa.types.is_dictionary(reader.schema.field(name).type) for name in labels):
            # A file has one dictionary for all of its batches.
            yield pa.concat_tables(list(edited) or [reader.schema.empty_table()]).unify_dictionaries()
        else:
            yield from edited


@contextlib.contextmanager
def _opened(path: Path) -> Iterator["_Reader"]:
    with pa.memory_map(str(path)) as mapped:
        reader = pa.ipc.open_file(mapped) if _is_file(path) else pa.ipc.open_stream(mapped)
        batches = map(reader.get_batch, range(reader.num_record_batches)) if _is_file(path) else iter(reader)
        yield _Reader(reader.schema, batches)


@dataclass(frozen=True)
class _Reader:
    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]

    def tables(self) -> Iterator[pa.Table]:
        return (pa.Table.from_batches([batch]) for batch in self.batches)


def _is_file(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_FILE)) == _FILE


def _codec(path: Path) -> str | None:
    """How the buffers of a file are compressed, as the first that is not empty tells."""
    with pa.memory_map(str(path)) as mapped:
        mapped.seek(8 if _is_file(path) else 0)  # a file is a stream between marks
        with contextlib.suppress(OSError, pa.ArrowException):  # of writers that leave the second mark's message out
            for message in pa.ipc.MessageReader.open_stream(mapped):
                if message.type == "record batch" and message.body is not None:
                    body = message.body.slice(0, min(message.body.size, _LOOKED_AT)).to_pybytes()
                    starts = (body[at : at + 4] for at in range(8, len(body), 8))
                    return next((_CODECS[start] for start in starts if start in _CODECS), None)
    return None
