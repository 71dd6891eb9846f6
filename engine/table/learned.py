"""The order that decisions taught, kept in a small Parquet file beside the losses, which never change.

`engine/learning/` makes such an order; `top` and everything that shows rows reads it.
"""

import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..arrays import Bools, Floats, Ints
from ..errors import LossAuditError, brief
from ..files import file_beside

P_WRONG = "p_wrong"
"""Column with the probability that a row's label is wrong."""
_KEY = b"lossaudit"
_SCHEMA = pa.schema([("id", pa.int64()), (P_WRONG, pa.float64()), ("decided", pa.bool_())])
_END = 1_048_576
"""Bytes at the end of a losses file that identify it, with its size; the figures of a Parquet file are among them."""


@dataclass(frozen=True)
class Learned:
    """The rows with a loss, those to look at first."""

    ids: Ints
    """(n,) `id` in the losses table."""
    p_wrong: Floats
    """(n,) the probability that the label is wrong."""
    decided: Bools
    """(n,); decided rows come last."""
    lessons: int
    """Number of rows that were decided as wrong or right."""
    decisions: str
    """A hash of the decisions, the same for the same ones."""

    def expected(self, n: int) -> int:
        """How many labels of the next n undecided rows are expected to be wrong."""
        return round(float(self.p_wrong[~self.decided][:n].sum()))

    def urgency(self, ids: Ints) -> Ints:
        """(ids,) numbers that rise with how early a row comes; 0 for those that the order doesn't have."""
        return np.where(self._has(ids), len(self.ids) - self._ranks(ids), 0)

    def p_wrong_of(self, ids: Ints) -> pa.Array:
        """(ids,) the probabilities of rows; null for those that the order doesn't have."""
        return pa.array(self.p_wrong[self._ranks(ids)], mask=~self._has(ids))

    @functools.cached_property
    def _rising(self) -> Ints:
        return np.argsort(self.ids, kind="stable")

    def _ranks(self, ids: Ints) -> Ints:
        """(ids,) places in the order, of any row for those that it doesn't have."""
        found = np.searchsorted(self.ids, ids, sorter=self._rising)
        return self._rising[np.minimum(found, len(self.ids) - 1)]

    def _has(self, ids: Ints) -> Bools:
        return np.asarray(self.ids[self._ranks(ids)] == ids)


def learned_path(losses_path: Path) -> Path:
    """The path of the learned order of a losses file: beside it, with its whole name."""
    return losses_path.with_name(f"{losses_path.name}.learned.parquet")


def write_learned(learned: Learned, losses_path: Path) -> Path:
    """Writes a learned order beside its losses file; the same order gives the same bytes.

    Raises LossAuditError if it can't be written.
    """
    facts = {"losses": fingerprint(losses_path), "lessons": learned.lessons, "decisions": learned.decisions}
    schema = _SCHEMA.with_metadata({_KEY: json.dumps(facts).encode()})
    path = learned_path(losses_path)
    with file_beside(path) as beside:
        pq.write_table(pa.table([learned.ids, learned.p_wrong, learned.decided], schema=schema), beside)
    return path


def read_learned(losses_path: Path) -> Learned | None:
    """The learned order beside a losses file; None where there is none, or that of a table which was there before.

    Raises LossAuditError if the order can't be read.
    """
    path = learned_path(losses_path)
    if not path.is_file() or not losses_path.is_file():
        return None
    try:
        table = pq.read_table(path).cast(_SCHEMA)
        facts = json.loads((pq.read_schema(path).metadata or {})[_KEY])
        about, lessons, decisions = str(facts["losses"]), int(facts["lessons"]), str(facts["decisions"])
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise LossAuditError(f"{path} isn't a learned order, or is damaged: {brief(error)}; remove it") from error
    if about != fingerprint(losses_path):
        return None
    if not len(table) or any(table[name].null_count for name in _SCHEMA.names):
        raise LossAuditError(f"{path} isn't a learned order; remove it")
    ids, p_wrong, decided = (table[name].to_numpy() for name in _SCHEMA.names)
    return Learned(ids, p_wrong, decided, lessons, decisions)


def fingerprint(path: Path) -> str:
    """What tells a losses file from another: its size, and a hash of its end. Raises OSError."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _END))
        return f"{size}-{hashlib.sha256(file.read()).hexdigest()}"
