"""The facts of a losses table in a text format, which has no room for them: in a JSON file beside it.

They count only while they fit the table's ids and losses, in any order of rows: the table may have been replaced.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..errors import LossAuditError
from ..files import file_beside
from .facts import FACTS_KEY, stored_facts

_FACTS, _TABLE = "facts", "table"


@dataclass
class Sum:
    """A sum over rows that doesn't depend on their order, nor on digits of losses that a spreadsheet would drop."""

    rows: int = 0
    total: int = 0

    def add(self, piece: pa.Table) -> None:
        ids = piece["id"].to_numpy(zero_copy_only=False).astype(np.uint64)
        losses = piece["loss"].cast(pa.float64()).to_numpy(zero_copy_only=False)
        with np.errstate(over="ignore"):
            rounded = np.nan_to_num(losses.astype(np.float32)).view(np.uint32)
            mixed = (ids + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) ^ rounded
            mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
            self.total = (self.total + int((mixed ^ (mixed >> np.uint64(32))).sum(dtype=np.uint64))) % 2**64
        self.rows += len(piece)

    def told(self) -> dict[str, Any]:
        return {"rows": self.rows, "sum": f"{self.total:016x}"}


def facts_path(path: Path) -> Path:
    """The file with the facts of a table in a text format."""
    return path.with_name(f"{path.name}.facts.json")


def check_facts_path(path: Path) -> None:
    """Raises LossAuditError if another program's file is where the facts of the table at `path` would be."""
    beside = facts_path(path)
    if beside.exists() and _read(beside) is None:
        raise LossAuditError(f"{beside} exists and doesn't hold the facts of a losses table; move it away")


def summed(pieces: Iterator[pa.Table], into: Sum) -> Iterator[pa.Table]:
    """The pieces of a table, added up on their way."""
    for piece in pieces:
        into.add(piece)
        yield piece


def write_facts(path: Path, schema: pa.Schema, table: Sum) -> None:
    """Writes the facts in a schema beside the table at `path`, if there are any."""
    if facts := stored_facts(schema):
        with file_beside(facts_path(path)) as temporary:
            told = json.dumps({_TABLE: table.told(), _FACTS: facts}, ensure_ascii=False, indent=1)
            temporary.write_text(told + "\n", encoding="utf-8")


def with_facts(path: Path, table: pa.Table) -> pa.Table:
    """A table that was read from `path`, with the facts that are beside it, if they are of this table."""
    found = _read(facts_path(path))
    if found is None:
        return table
    there = Sum()
    there.add(table)
    if found[_TABLE] != there.told():
        return table
    return table.replace_schema_metadata({FACTS_KEY: json.dumps(found[_FACTS], ensure_ascii=False).encode()})


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    fits = isinstance(found, dict) and isinstance(found.get(_FACTS), dict) and isinstance(found.get(_TABLE), dict)
    return found if fits else None
