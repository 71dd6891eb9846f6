"""Excel workbooks (.xlsx): a sheet's cells as people see them, as texts, which are then read as those of CSV files are.

Needs openpyxl, of the extra `excel`, which holds a workbook's texts in memory; a sheet has a million rows at most.
"""

import datetime
import itertools
import json
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import LossAuditError, Note, Option
from ..shortening import shortened
from .containers import DataFile, check_size, unpacked
from .csv_dialect import Dialect
from .csv_encoding import Encoding

EXCEL = ".xlsx"
_SAMPLE = 200
"""Rows that tell whether the first one is a header."""
_SHOWN = 10
_PIECE = 1000
_EXACT = 10**15
"""Numbers up to here have no more digits than Excel shows."""
_ESCAPED = re.compile(r"_x(00[01][0-9A-Fa-f]|005[Ff])_")
"""How a workbook writes control characters in texts, and the sign that begins them."""
_ZEROS = re.compile(r"0+")


@dataclass(frozen=True, kw_only=True)
class Sheet(DataFile):
    """A workbook's sheet, and the file that its texts were copied to."""

    copy: Path
    """A JSON list of cells for each row, the header too."""
    dialect: Dialect | None
    """Its header and first rows, as of a CSV file; None if it has none."""

    def rows(self) -> Iterator[list[list[str]]]:
        """The rows below the header, in pieces; none has more cells than the first row of all."""
        header = 1 if self.dialect is not None and self.dialect.header is not None else 0
        with self.copy.open(encoding="utf-8") as lines:
            rows = map(json.loads, itertools.islice(lines, header, None))
            while piece := list(itertools.islice(rows, _PIECE)):
                yield piece


def copied_sheet(file: DataFile, name: str | None, has_header: bool, folder: Path) -> tuple[Sheet, Note | None]:
    """Copies a sheet's texts to a file in `folder`; gives it, and what to tell about the choice of it.

    name: the sheet's; None for the first. Raises LossAuditError if there is no such sheet, or openpyxl isn't installed.
    """
    path = unpacked(file, folder)
    copy = folder / f"unpacked-sheet-{sum(1 for _ in folder.iterdir())}"
    with _workbook(file.path, path) as book:
        titles = [sheet.title for sheet in book.worksheets]
        if not titles:
            raise LossAuditError(f"{file.path} has no sheet of cells")
        if name is not None and name not in titles:
            shown = ", ".join(repr(shortened(title, 40)) for title in titles[:_SHOWN])
            raise LossAuditError(f"{file.path} has no sheet {name!r}; name one with ", Option("sheet"), f": {shown}")
        sheet = book.worksheets[titles.index(name or titles[0])]
        first = _write(file.path, _rows(sheet), copy)
    note: Note | None = None
    if name is None and len(titles) > 1:
        note = (
            f"{file.path} is read from its first sheet, {titles[0]!r}, of {len(titles)} (see ",
            Option("sheet"),
            ")",
        )
    dialect = _dialect(first, has_header) if first else None
    return Sheet(file.path, file.format, file.packing, file.note, copy=copy, dialect=dialect), note


@contextmanager
def _workbook(name: Path, path: Path) -> Iterator[Any]:
    try:
        import openpyxl
    except ModuleNotFoundError as error:
        raise LossAuditError(
            f"{name} is an Excel workbook, and reading one needs {error.name}, which isn't installed: "
            "pip install 'lossaudit[excel]', or save it as CSV"
        ) from error
    with zipfile.ZipFile(path) as archive:
        check_size(name, path.stat().st_size, sum(member.file_size for member in archive.infolist()))
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what it doesn't read, such as validations
        book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
        try:
            yield book
        finally:
            book.close()


def _rows(sheet: Any) -> Iterator[tuple[int, list[str]]]:
    """The texts of a sheet's rows up to their last cell with anything in it, and their numbers, without empty rows."""
    sheet.reset_dimensions()  # some programs write wrong ones
    for number, row in enumerate(sheet.iter_rows(), start=1):
        cells = [_shown(cell) for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            yield number, cells


def _shown(cell: Any) -> str:
    """A cell as its reader sees it, however wide its column is."""
    value = cell.value
    match value:
        case None:
            return ""
        case bool():
            return str(value).upper()
        case str():
            return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), value)
        case datetime.datetime():
            has_time = value.time() != datetime.time() or "h" in cell.number_format.lower()
            return value.isoformat(" ", "seconds") if has_time else value.date().isoformat()
        case datetime.date() | datetime.time():
            return value.isoformat()
        case float() if not value.is_integer() or abs(value) >= _EXACT:
            return f"{value:.15g}"
        case float() | int():
            return f"{int(value):0{len(cell.number_format) if _ZEROS.fullmatch(cell.number_format) else 0}d}"
        case _:
            return str(value)


def _write(name: Path, rows: Iterator[tuple[int, list[str]]], copy: Path) -> list[list[str]]:
    """Writes rows, none of them with more cells than the first; gives some of the first."""
    first: list[list[str]] = []
    with copy.open("w", encoding="utf-8") as file:
        for number, cells in rows:
            if len(first) <= _SAMPLE:
                first.append(cells)
            if len(cells) > len(first[0]):
                raise LossAuditError(
                    f"{name} cannot be read: row {number} of the sheet has more cells than its first "
                    f"({len(cells)}, not {len(first[0])})"
                )
            file.write(json.dumps(cells) + "\n")
    return first


def _dialect(first: list[list[str]], has_header: bool) -> Dialect:
    header = tuple(first[0]) if has_header else None
    others = tuple(map(tuple, first[1:]))
    return Dialect(Encoding("utf-8"), ",", header=header, width=len(first[0]), first_rows=others)
