"""The audited dataset's rows as its own files have them, to be written again with other labels.

A losses table's facts come in, rows as dicts or as Arrow tables go out. Text files are read as text: what `datasets`
makes of them (00123 a number, a date a time) isn't what they say.
"""

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, cast

import pandas as pd
import pyarrow as pa

from lossaudit.engine.data.rows import Rows
from lossaudit.engine.data.source import open_dataset
from lossaudit.engine.errors import Function, LossAuditError
from lossaudit.engine.files import ending_of
from lossaudit.engine.table.losses import Losses

TEXT_ENDINGS = (".csv", ".tsv", ".jsonl", ".json")
_ROWS = 4096


@dataclass(frozen=True)
class Source:
    """An audited dataset, and whether its rows go as text or as Arrow tables."""

    rows: Rows
    as_text: bool

    @property
    def has_texts_alone(self) -> bool:
        """Whether every cell is a text, as in CSV."""
        files = self.rows.origin.files if self.rows.origin else ()
        return self.as_text and bool(files) and ending_of(files[0]) in (".csv", ".tsv")

    def check(self) -> None:
        """Raises LossAuditError if text files hold fewer or more rows than the audit saw."""
        if self.as_text:
            for _ in self.cells(()):
                pass

    def cells(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The cells of some columns in all rows. Raises LossAuditError at the end if the audit saw fewer or more."""
        count = 0
        pieces: Iterator[list[dict[str, Any]]] = (
            text_rows(self.rows)
            if self.as_text
            else (table.select(list(columns)).to_pylist() for table in arrow_rows(self.rows))
        )
        for piece in pieces:
            yield from piece
            count += len(piece)
        if count != len(self.rows):
            raise LossAuditError(f"the files hold {count:,} rows where the audit saw {len(self.rows):,}; audit again")


def open_source(losses: Losses, workplace: Path | None = None) -> Rows:
    """The dataset that was audited. workplace: see `open_dataset`.

    Raises LossAuditError if it can't be told, is gone, or changed since.
    """
    source = losses.facts.get("source") or {}
    if not source.get("name"):
        raise LossAuditError(
            f"{losses.path} doesn't say which dataset was audited; `apply` needs the Parquet file that `",
            Function("audit"),
            "` wrote from a file, a saved or a hub dataset",
        )
    rows = open_dataset(source["name"], source.get("config"), source.get("split"), workplace)
    if rows.fingerprint != source.get("fingerprint"):
        raise LossAuditError(
            f"{source['name']} has changed since it was audited, so its rows may be others; audit it again"
        )
    return rows


def is_text(rows: Rows) -> bool:
    """Whether the dataset is in text files."""
    files = rows.origin.files if rows.origin else ()
    return bool(files) and ending_of(files[0]) in TEXT_ENDINGS


def text_rows(rows: Rows) -> Iterator[list[dict[str, Any]]]:
    """The rows of text files in pieces; cells of CSV and TSV are strings."""
    for file in rows.origin.files if rows.origin else ():
        ending = ending_of(file)
        if ending in (".csv", ".tsv"):
            separator = "\t" if ending == ".tsv" else ","
            with pd.read_csv(file, sep=separator, chunksize=_ROWS, dtype=str, na_filter=False) as pieces:
                for piece in pieces:
                    yield [{str(name): value for name, value in row.items()} for row in piece.to_dict("records")]
        else:
            yield from _json_rows(file)


def arrow_rows(rows: Rows) -> Iterator[pa.Table]:
    """The rows of any dataset in pieces."""
    return (table for _, table in rows.shards(_ROWS))


def _json_rows(file: Path) -> Iterator[list[dict[str, Any]]]:
    with open_text(file) as opened:
        if opened.read(1) == "[":
            opened.seek(0)
            yield json.load(opened)
            return
        opened.seek(0)
        piece = []
        for line in filter(str.strip, opened):
            piece.append(json.loads(line))
            if len(piece) == _ROWS:
                yield piece
                piece = []
        yield piece


def open_text(path: Path, mode: str = "r") -> TextIO:
    """Opens a text file for reading ("r") or writing ("w"), through gzip where its name ends in .gz."""
    encoding, newline = ("utf-8", "") if mode == "w" else ("utf-8-sig", None)
    opened = gzip.open if path.suffix == ".gz" else open
    return cast(TextIO, opened(path, f"{mode}t", encoding=encoding, newline=newline))
