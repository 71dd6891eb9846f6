"""Several splits of a dataset as one: which of them are read, and their rows, one split after another."""

import copy
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Self

import pyarrow as pa
from datasets import Features

from ..errors import LossAuditError, Option
from .plain_types import Plain, is_bytes
from .rows import Origin, Rows, Split

ALL = "all"
"""What stands for every split of a dataset."""


def wanted_splits(dataset: str, available: Sequence[str], asked: str | None, slices: bool = False) -> list[str]:
    """The splits to read, as they were asked for: "train", or the only one, if none was.

    slices: whether a split may be a slice, such as train[:10%]. Raises LossAuditError, naming the splits, if one isn't
    among them, or nothing says which to read.
    """
    if asked is None:
        chosen = ["train"] if "train" in available else list(available) if len(available) == 1 else []
    elif asked in available:
        chosen = [asked]
    else:
        chosen = list(available) if asked == ALL else [name.strip() for name in asked.split(",")]
    names = [name_of(split) if slices else split for split in chosen]
    if not names or not set(names) <= set(available):
        raise LossAuditError(
            f"{dataset} has the splits {', '.join(available)}; name one with ",
            Option("split"),
            ", several with commas between them, or all with ",
            Option("split", ALL),
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise LossAuditError(Option("split", asked), f" names the split {twice} twice")
    return chosen


def name_of(split: str) -> str:
    """The name of a split, or of the one that a slice such as train[:10%] is cut from."""
    return split.partition("[")[0]


class SplitRows(Rows):
    """The rows of several splits, one after another, with the columns that any of them has (null in the others)."""

    def __init__(self, parts: Mapping[str, Rows], origin: Origin) -> None:
        """parts: the splits' own rows. Raises LossAuditError if they hold a column in different ways."""
        self.parts = dict(parts)
        """The rows of each split, with its own columns alone."""
        self.notes = tuple(dict.fromkeys(note for rows in parts.values() for note in rows.notes))
        schemas = {f"split {name}": Features(rows.features).arrow_schema for name, rows in parts.items()}
        binary = {field.name for schema in schemas.values() for field in schema if is_bytes(field.type)}
        self._plain = Plain.of(schemas, binary)
        self.features = self.looks = dict(self._plain.features)
        self.origin = replace(origin, splits=tuple(Split(name, len(rows)) for name, rows in parts.items()))
        told = (f"{name} {rows.fingerprint}" for name, rows in parts.items())
        self.fingerprint = hashlib.sha256("\n".join(told).encode()).hexdigest()[:32]

    def first(self, limit: int | None) -> Self:
        """The first `limit` rows; all if None."""
        rows, left = copy.copy(self), len(self) if limit is None else limit
        rows.parts = {}
        for name, part in self.parts.items():
            rows.parts[name] = part.first(left)
            left -= len(rows.parts[name])
        return rows

    def close(self) -> None:
        """Deletes the working copies of splits in files."""
        for part in self.parts.values():
            part.close()

    def __len__(self) -> int:
        return sum(map(len, self.parts.values()))

    def take(self, start: int, stop: int) -> pa.Table:
        """The rows from `start` up to `stop`."""
        taken = [self._plain.features.arrow_schema.empty_table()]
        for part in self.parts.values():
            if start < len(part) and stop > 0:
                taken.append(self._aligned(part.take(max(start, 0), stop)))
            start, stop = start - len(part), stop - len(part)
        return pa.concat_tables(taken)

    def _in_order(self) -> Iterator[pa.Table]:
        for part in self.parts.values():
            if len(part):
                yield from map(self._aligned, part._in_order())

    def _aligned(self, table: pa.Table) -> pa.Table:
        """A split's rows with the columns of all splits, in their order."""
        return table if table.schema.equals(self._plain.features.arrow_schema) else self._plain.table(table)


def together(parts: Mapping[str, Rows], origin: Origin) -> Rows:
    """The rows of the splits that were asked for, as one dataset; of a single one its own, unless "all" are."""
    asked = origin.split
    if asked is not None and asked not in origin.all_splits and (asked == ALL or "," in asked):
        return SplitRows(parts, origin)
    (rows,) = parts.values()
    rows.origin = origin
    return rows
