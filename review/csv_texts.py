"""Reads the CSV that people bring with decisions: exports of ours, of spreadsheets and of annotation programs."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from lossaudit.engine.errors import LossAuditError, brief

_SEPARATORS = ",;\t"


def rows_of(file: Path, text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a text by the names of its header, each with where it is, for messages. file: named in these.

    Raises LossAuditError for what isn't CSV, and for a row with more or fewer cells than the header.
    """
    separator = max(_SEPARATORS, key=text.partition("\n")[0].count)
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for row in rows:
            where = f"{file}, line {rows.line_num}"
            if None in row or None in row.values():
                raise LossAuditError(f"{where}, has more or fewer cells than the header")
            yield where, row
    except csv.Error as error:
        raise LossAuditError(f"{file}, line {rows.line_num}, can't be read: {brief(error)}") from error
