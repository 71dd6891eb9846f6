"""What to tell about how CSV and TSV files are read, and which headers are refused. Dialects come in, words go out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import Either, LossAuditError, Note, Option
from ..shortening import shortened
from .bad_lines import BadLineError
from .csv_dialect import Asked, Dialect, Quotes
from .names import LABEL_NAMES, PAIRS, TEXT_NAMES
from .rows import Origin

_CALLED = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_USUAL = {*TEXT_NAMES, *LABEL_NAMES, *(name for pair in PAIRS for name in pair)}
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")
_LONG = 100
"""Characters that hardly a column's name has."""
_SHOWN = 5
NO_HEADER = Either("header=False", Option("no_header", True))


@dataclass(frozen=True)
class ReadFile:
    """A file that was read."""

    path: Path
    dialect: Dialect | None
    """How it is written; None for a file without anything."""
    rows: int
    usual_separator: str
    """The separator that its name promises."""
    mended: tuple[int, ...] = ()
    """The lines whose quotes were taken for text."""


def notes_of(files: Sequence[ReadFile], asked: Asked) -> list[Note]:
    """What the user should know of how files were read: what was guessed, and what isn't usual."""
    by_note: dict[Note, list[Path]] = {}
    for file in files:
        for note in _notes(file, asked):
            by_note.setdefault(note, []).append(file.path)
    notes: list[Note] = []
    for note, paths in by_note.items():
        some = (f"{paths[0]} is",) if len(paths) == 1 else (f"{len(paths):,} files ({paths[0]} and others) are",)
        notes.append((*some, " read ", *note))
    empty = [file.path for file in files if not file.rows]
    if empty and len(empty) < len(files):
        some = (f"{empty[0]} has",) if len(empty) == 1 else (f"{len(empty):,} files ({empty[0]} and others) have",)
        notes.append((*some, " no rows"))
    return notes


def _notes(file: ReadFile, asked: Asked) -> list[Note]:
    dialect, notes = file.dialect, list[Note]()
    if dialect is None:
        return []
    if dialect.separator != file.usual_separator and asked.separator is None:
        called = f"with {_CALLED.get(dialect.separator, repr(dialect.separator))} between cells"
        how: Note = (" (guessed; see ", Option("separator"), ")")
        notes.append((called, *([", as the first line says"] if dialect.has_separator_line else how)))
    if dialect.encoding.name != "utf-8" and asked.encoding is None:
        notes.append((f"as {dialect.encoding.name.upper()}",))
    if dialect.quotes in _QUOTES:
        notes.append((_QUOTES[dialect.quotes],))
    if dialect.skips_blanks:
        notes.append(("without the blanks between separators and cells",))
    if file.mended:
        lines = f"{len(file.mended):,} lines" if len(file.mended) > 1 else "1 line"
        notes.append(
            (f"with quotes as text in {lines}, where they don't enclose a cell (first: line {file.mended[0]})",)
        )
    if looks_like_a_row(dialect):
        notes.append(("with names of columns from its first line, though that looks like a row; see ", NO_HEADER))
    return notes


_QUOTES = {
    Quotes.NONE: "with quotes as text, since not all of them enclose a cell",
    Quotes.BACKSLASH: r"with \" as a quote in a cell",
    Quotes.SINGLE: "with single quotes around cells, which aren't part of them",
}


def looks_like_a_row(dialect: Dialect) -> bool:
    """Whether the header has what the first rows have in the same columns, or what names hardly are."""
    header = dialect.header
    if header is None or any(name.strip().lower() in _USUAL for name in header):
        return False
    named = [name for name in header if name]
    if named == [str(place) for place in range(len(named))]:  # as pandas writes columns without names
        return False
    columns = [[row[place] for row in dialect.first_rows if len(row) > place] for place in range(len(header))]
    return any(
        len(name) > _LONG
        or (name and name in cells)
        or (_is_number(name) and bool(cells) and all(map(_is_number, filter(None, cells))))
        for name, cells in zip(header, columns, strict=True)
    )


def doubt_of(origin: Origin | None) -> Note:
    """The end of an error about a column that isn't found, where the first line of a file looks like a row."""
    read = zip(origin.files, origin.dialects, strict=True) if origin and origin.dialects else ()
    doubted = [path for path, dialect in read if dialect and looks_like_a_row(dialect)]
    if not doubted:
        return ()
    return (f". The first line of {doubted[0]} looks like a row; if there is no header, say so with ", NO_HEADER)


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell.strip()) is not None


def check_title(dialect: Dialect) -> None:
    """Raises BadLineError for a first line that is one cell above lines of more."""
    header = dialect.header or ()
    filled = [name for name in header if name.strip()]
    if len(filled) != 1 or not header[0].strip() or header[0].strip().lower() in _USUAL:
        return
    wider = sum(sum(map(bool, row)) > 1 for row in dialect.first_rows)
    if dialect.first_rows and wider > len(dialect.first_rows) / 2:
        raise BadLineError(
            f"looks like a title ({shortened(filled[0], 60)!r}), not like the names of the columns; delete the "
            "lines above those",
            1 + dialect.has_separator_line,
        )


def check_together(files: Sequence[tuple[Path, Dialect | None]]) -> None:
    """Raises LossAuditError for a file whose header has no name in common with that of the first one."""
    named = [(path, dialect) for path, dialect in files if dialect is not None and dialect.header is not None]
    for path, dialect in named[1:]:
        first, columns = named[0][0], named[0][1].columns
        if not {name.strip() for name in dialect.columns} & {name.strip() for name in columns}:
            raise LossAuditError(
                f"the first line of {path} names no column of {first}: {_listed(dialect.columns)}, not "
                f"{_listed(columns)}; is its header missing? ",
                *("If no file has one, say so with ", NO_HEADER),
            )


def _listed(names: Sequence[str]) -> str:
    shown = [repr(shortened(name, 40)) for name in names[:_SHOWN]]
    return ", ".join([*shown, *(["…"] if len(names) > _SHOWN else [])])
