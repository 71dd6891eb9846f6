"""The examples that decisions are about: what a row of a losses table is, in a form that outlives the table."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lossaudit.engine.shortening import shortened
from lossaudit.engine.table.identity import given_key, text_key
from lossaudit.engine.table.losses import LossesTable

_START = 200
"""Characters of a text that are kept, for people to recognise an example whose text has gone."""


@dataclass(frozen=True)
class Example:
    """A row of a losses table."""

    row: int
    """`id` in the losses table."""
    text_key: str
    given: str
    """Given label, as `identity.given_key` has it."""
    start: str
    """Beginning of the text."""


def example_columns(losses: LossesTable) -> list[str]:
    """The columns of a losses table that `example_of` reads."""
    return ["id", "labels" if losses.is_multi_label else "label_name", *losses.text_columns]


def example_of(row: Mapping[str, Any], columns: Sequence[str]) -> Example:
    """The example of a row of a losses table. columns: as `example_columns` gives them."""
    place, given, *texts = (row[name] for name in columns)
    said = as_texts(texts)
    start = shortened(" ".join(" / ".join(filter(None, said)).split()), _START)
    return Example(place, text_key(said), given_key(given), start)


def as_texts(cells: Iterable[object]) -> list[str | None]:
    """The texts in the cells of a row."""
    return [None if cell is None else str(cell) for cell in cells]


def examples_of(losses: LossesTable, rows: Iterable[int]) -> dict[int, Example]:
    """The examples of some rows, by row; rows that the table doesn't have are left out."""
    columns, wanted = example_columns(losses), pa.array(sorted(set(rows)), type=pa.int64())
    found: dict[int, Example] = {}
    for batch in losses.batches(columns) if len(wanted) else ():
        for row in batch.filter(pc.is_in(batch["id"].cast(pa.int64()), value_set=wanted)).to_pylist():
            found[row["id"]] = example_of(row, columns)
    return found


def hash_of_ranking(losses: LossesTable) -> str:
    """A hash of ids, losses and given labels; each column has its own, so that the bounds of batches don't matter."""
    columns = {name: hashlib.sha256() for name in ("id", "loss", "label_name")}
    for batch in losses.batches(list(columns)):
        columns["id"].update(batch["id"].to_numpy(zero_copy_only=False).astype("<i8").tobytes())
        columns["loss"].update(batch["loss"].to_numpy(zero_copy_only=False).astype("<f8").tobytes())
        columns["label_name"].update("".join(f"{name}\0" for name in batch["label_name"].to_pylist()).encode())
    return hashlib.sha256("".join(column.hexdigest() for column in columns.values()).encode()).hexdigest()
