"""Copies CSV and TSV files, and sheets, as an Arrow stream. Files come in, a file of rows goes out, as they stand.

Arrow reads the blocks that it is sure to read as `csv_rows` does, since it is several times as fast.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from ..arrays import Ints
from ..errors import Note
from .arrow_types import without
from .bad_lines import BadLineError
from .containers import DataFile
from .csv_dialect import Asked, Dialect, Quotes, dialect_of, usual_separator
from .csv_lines import blocks_of
from .csv_notes import ReadFile, check_title, check_together, notes_of
from .csv_rows import MisreadError, Parser, other_dialects
from .excel import Sheet

_READ_BYTES = 1 << 20
"""What Arrow gives one thread at a time."""
_QUOTE, _LF, _CR = b'"\n\r'
_MARK = b"\xef\xbb\xbf"
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"
_LOOKS = (pa.null(), pa.int64(), pa.float64(), pa.bool_(), pa.string())


Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class CopiedCsv:
    """What was read of CSV files."""

    rows: int
    dialects: tuple[Dialect | None, ...]
    """How each file is written; None for a file without anything."""
    notes: tuple[Note, ...]
    """What the user should know of that."""
    looks: Mapping[str, pa.DataType]
    """The first type of null, whole numbers, numbers, truths and texts that all cells of a column can be read as."""


def copy_csv(files: Sequence[DataFile], asked: Asked, copy: Path) -> CopiedCsv:
    """Writes the rows of all files to `copy`, with the columns of all, null where a row has none.

    Raises BadLineError, OSError, and LossAuditError for files whose headers don't go together.
    """
    dialects = []
    for file in files:
        with _naming(file, files):
            dialects.append(_first_dialect(file, asked))
    check_together([(file.path, dialect) for file, dialect in zip(files, dialects, strict=True)])
    names = list[str]()
    columns = [_joined(dialect.columns if dialect else [], names) for dialect in dialects]
    done: list[ReadFile] = []
    with copy.open("wb") as sink:
        stream = _Stream(sink, names)
        for file, dialect, own in zip(files, dialects, columns, strict=True):
            with _naming(file, files):
                done.append(stream.add(file, dialect, own))
        sink.write(_END_OF_STREAM)
    return CopiedCsv(
        sum(file.rows for file in done),
        tuple(file.dialect for file in done),
        tuple(notes_of(done, asked)),
        {name: _LOOKS[look] for name, look in stream.looks.items()},
    )


def count_csv(file: DataFile, dialect: Dialect | None) -> int:
    """How many rows a file has."""
    return sum(len(table) for table in _tables(file, Parser(dialect))) if dialect else 0


@contextmanager
def _naming(file: DataFile, files: Sequence[DataFile]) -> Iterator[None]:
    """Names the file in errors, if it is one of several."""
    try:
        yield
    except BadLineError as error:
        if len(files) > 1:
            raise error.of(file.path) from error
        raise


def _first_dialect(file: DataFile, asked: Asked) -> Dialect | None:
    dialect = file.dialect if isinstance(file, Sheet) else dialect_of(file, asked)
    if dialect is not None:
        check_title(dialect)
    return dialect


def _joined(columns: Sequence[str], names: list[str]) -> list[str]:
    """A file's columns, by earlier files' names if only the blanks around them differ. Adds those that are new."""
    joined: list[str] = []
    for column in columns:
        twins = [name for name in names if name.strip() == column.strip() and name not in (*columns, *joined)]
        joined.append(twins[0] if column not in names and twins else column)
    names += [name for name in joined if name not in names]
    return joined


class _Stream:
    """The rows of files, one after another, as an Arrow stream of texts."""

    def __init__(self, sink: IO[bytes], names: Sequence[str]) -> None:
        self._sink = sink
        self._schema = pa.schema([(name, pa.string()) for name in names])
        self.looks = dict.fromkeys(names, 0)
        """The place of each column's type in _LOOKS."""
        sink.write(self._schema.serialize())

    def add(self, file: DataFile, dialect: Dialect | None, columns: Sequence[str]) -> ReadFile:
        """Writes the rows of a file. columns: the names of its columns here.

        Where quotes turn out not to fit, what was written of it goes, and it is read by another dialect.
        """
        if dialect is None:
            return ReadFile(file.path, None, 0, usual_separator(file))
        begin, looks = self._sink.tell(), dict(self.looks)
        try:
            return self._written(file, dialect, columns)
        except MisreadError as error:
            misread = error
        for other in other_dialects(file, dialect, misread):
            self._sink.seek(begin)
            self._sink.truncate()
            self.looks = dict(looks)
            try:
                return self._written(file, other, columns)
            except MisreadError:
                continue
        raise misread

    def _written(self, file: DataFile, dialect: Dialect, columns: Sequence[str]) -> ReadFile:
        parser, rows = Parser(dialect), 0
        for table in _tables(file, parser):
            cells = dict(zip(columns, table.columns, strict=True))
            for name, column in cells.items():
                while not _may_be(column, _LOOKS[self.looks[name]]):
                    self.looks[name] += 1
            nothing = pa.chunked_array([pa.nulls(len(table), pa.string())])
            whole = pa.Table.from_arrays([cells.get(name, nothing) for name in self._schema.names], schema=self._schema)
            for batch in whole.to_batches():
                self._sink.write(batch.serialize())
            rows += len(table)
        return ReadFile(file.path, dialect, rows, usual_separator(file), tuple(parser.mended))


def _may_be(cells: pa.ChunkedArray, kind: pa.DataType) -> bool:
    if pa.types.is_null(kind):
        return bool(cells.null_count == len(cells))
    try:
        cells.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _tables(file: DataFile, parser: Parser) -> Iterator[pa.Table]:
    """The rows of a file in pieces, with as many columns as it has."""
    dialect = parser.dialect
    if isinstance(file, Sheet):
        yield from (_table(rows, dialect.width) for rows in file.rows())
        return
    blocks = blocks_of(file, dialect.encoding, dialect.universal)
    for block in blocks:
        if parser.awaits_header:
            block = parser.behind_header(block, blocks)
        table = _by_arrow(block, dialect)
        if table is None:
            parser.add(block)
            table = _table([cells for cells, role in parser.records(blocks) if role == "row"], dialect.width)
        else:
            parser.skip(block, len(table))
        if len(table):
            yield table


def _table(rows: list[list[str]], width: int) -> pa.Table:
    whole = [row if len(row) == width else [*row, *[""] * (width - len(row))][:width] for row in rows]
    columns = [pa.chunked_array([column], pa.string()) for column in zip(*whole, strict=True)] if rows else []
    return pa.Table.from_arrays(
        [without(column, pc.equal(column, "")) for column in columns], [str(place) for place in range(len(columns))]
    )


def _by_arrow(block: bytes, dialect: Dialect) -> pa.Table | None:
    """The rows of a block, if Arrow is sure to read them as they are meant: each is a line."""
    simple = dialect.quotes in (Quotes.DOUBLED, Quotes.NONE) and not dialect.skips_blanks and not dialect.universal
    if not simple or not dialect.separator.isascii() or dialect.width < 2 or not block:
        return None
    text = np.frombuffer(block, np.uint8)
    breaks = np.flatnonzero(text == _LF)
    quote = _quote_in(block, text, breaks, dialect)
    if quote is None or block.startswith(_MARK) or _has_lone_return(block):  # Arrow leaves a mark out
        return None
    lengths = np.diff(breaks, prepend=-1, append=len(block)) - 1
    if (lengths[: len(breaks)] < 2).any():  # Arrow takes a blank line for a row
        return None
    names = [str(place) for place in range(dialect.width)]
    try:
        table = pa_csv.read_csv(
            pa.BufferReader(block),
            pa_csv.ReadOptions(column_names=names, block_size=max(_READ_BYTES, int(lengths.max()) + 2)),
            pa_csv.ParseOptions(
                delimiter=dialect.separator,
                quote_char=quote,
                ignore_empty_lines=False,
            ),
            pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid:
        return None
    return table if len(table) == len(breaks) + (not block.endswith(b"\n")) else None


def _has_lone_return(block: bytes) -> bool:
    return b"\r" in block and block.count(b"\r") != block.count(b"\r\n")


def _quote_in(block: bytes, text: Bytes, breaks: Ints, dialect: Dialect) -> str | Literal[False] | None:
    """What opens and closes cells in a block whose lines are records each; False for nothing.

    None where a record may have several lines, or quotes that csv.writer wouldn't write.
    """
    if dialect.quotes is Quotes.NONE or b'"' not in block:
        return False
    quotes = np.flatnonzero(text == _QUOTE)
    ahead = text[np.maximum(quotes - 1, 0)]
    if not ((ahead == ord(dialect.separator)) | (ahead == _LF) | (quotes == 0)).any():
        return False
    if len(quotes) % 2 or (np.searchsorted(quotes, breaks) % 2).any():
        return None
    # Each run of quotes: whether a cell is open before it, and whether the run opens or closes one.
    runs = np.flatnonzero(np.diff(quotes, prepend=-2) > 1)
    lengths = np.diff(runs, append=len(quotes))
    is_open, turns = runs % 2 == 1, lengths % 2 == 1
    firsts, lasts = quotes[runs], quotes[runs + lengths - 1]
    separator = ord(dialect.separator)
    before, after = text[np.maximum(firsts - 1, 0)], text[np.minimum(lasts + 1, len(text) - 1)]
    begins = (before == separator) | (before == _LF) | (firsts == 0)
    ends = (after == separator) | (after == _LF) | (after == _CR) | (lasts == len(text) - 1)
    return '"' if np.where(is_open, ~turns | ends, begins & (turns | ends)).all() else None
