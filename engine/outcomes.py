"""What becomes of each row: scored, or why not. Texts, labels and failures come in, a status a row goes out.

Only `ok` and `truncated` rows have a loss and are ranked; every other status says what kept the row out.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

if TYPE_CHECKING:  # `top` reads tables without loading a tokenizer
    from lossaudit.engine.encoding import Text

OK, TRUNCATED = "ok", "truncated"
EMPTY_TEXT, BAD_TEXT = "empty_text", "bad_text"
MISSING_LABEL, LABEL_NOT_IN_MODEL = "missing_label", "label_not_in_model"
FAILED = "failed"
RANKED = (OK, TRUNCATED)
STATUSES = (*RANKED, EMPTY_TEXT, MISSING_LABEL, LABEL_NOT_IN_MODEL, BAD_TEXT, FAILED)
"""docs/losses.md says what each means."""


_FAILED_SHARE, _FAILED_ROWS = 0.01, 10


def too_many_failed(failed: int, rows: int) -> bool:
    """Whether so many failures, of all rows, are no matter of single rows any more, so that a run is to stop."""
    return failed > max(_FAILED_ROWS, _FAILED_SHARE * rows)


@dataclass(frozen=True)
class Outcomes:
    """The rows of a shard that aren't `ok`, by their place in it; the last one said of a row counts."""

    statuses: dict[int, str] = field(default_factory=dict)
    reasons: dict[int, str | None] = field(default_factory=dict)

    def say(self, status: str, rows: "NDArray[np.int64] | Mapping[int, str | None]") -> None:
        """Gives rows a status; a mapping also says why, where there is more to say."""
        if isinstance(rows, Mapping):
            self.reasons.update(rows)
        self.statuses.update(dict.fromkeys(map(int, rows), status))

    def of_rows(self, n: int) -> tuple[pa.Array, pa.Array]:
        """The status of each of n rows, and the reason where there is one."""
        statuses = [self.statuses.get(row, OK) for row in range(n)]
        return pa.array(statuses, pa.string()), pa.array([self.reasons.get(row) for row in range(n)], pa.string())


@dataclass(frozen=True)
class Texts:
    """The texts of n rows, or their pairs of texts."""

    values: "Sequence[Text | None]"
    """(n,); None where there is nothing to score."""
    empty: dict[int, str | None]
    """Rows without a text, or with a blank one; of pairs, which columns have none."""
    bad: dict[int, str]
    """Rows that hold no text, and what they hold instead."""


def texts_of(rows: pa.Table, columns: Sequence[str]) -> Texts:
    """The texts of one column, or the pairs of two, which need both."""
    halves = [read_texts(rows[column]) for column in columns]
    if len(halves) == 1:
        return halves[0]
    cells = zip(*(half.values for half in halves), strict=True)
    pairs = [(a, b) if isinstance(a, str) and isinstance(b, str) else None for a, b in cells]
    bad: dict[int, list[str]] = {}
    empty: dict[int, list[str]] = {}
    for column, half in zip(columns, halves, strict=True):
        for row, what in half.bad.items():
            bad.setdefault(row, []).append(f"{column}: {what}")
        for row in half.empty:
            empty.setdefault(row, []).append(f"no text in {column}")
    return Texts(
        pairs,
        {row: ", ".join(reasons) for row, reasons in empty.items() if row not in bad},
        {row: ", ".join(reasons) for row, reasons in bad.items()},
    )


def read_texts(column: pa.ChunkedArray) -> Texts:
    """The texts of a column of strings, or of the values of several types that `datasets` keeps as JSON."""
    bad: dict[int, str] = {}
    if isinstance(column.type, pa.JsonType):
        values = [None if cell is None else json.loads(cell) for cell in column.cast(pa.string()).to_pylist()]
        bad = {row: f"not a text but {_kind(value)}" for row, value in enumerate(values) if not _is_text(value)}
    else:
        try:
            values = column.to_pylist()
        except UnicodeDecodeError:  # Arrow takes a file's word for it that strings are UTF-8
            values = [_decoded(cell) for cell in column.cast(pa.large_binary()).to_pylist()]
            bad = {row: "not UTF-8" for row, value in enumerate(values) if isinstance(value, bytes)}
    texts = [value if isinstance(value, str) and value and not value.isspace() else None for value in values]
    empty = [row for row, text in enumerate(texts) if text is None and row not in bad]
    return Texts(texts, dict.fromkeys(empty), bad)


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _kind(value: object) -> str:
    return {bool: "true or false", int: "a number", float: "a number", list: "a list"}.get(type(value), "an object")


def _decoded(cell: bytes | None) -> str | bytes | None:
    try:
        return None if cell is None else cell.decode()
    except UnicodeDecodeError:
        return cell
