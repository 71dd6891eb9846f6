"""The outcome of each row: scored, or why not.

Only `ok` and `truncated` rows have a loss and are ranked; every other status says what kept the row out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from ..arrays import Ints

OK, TRUNCATED = "ok", "truncated"
EMPTY_TEXT, BAD_TEXT = "empty_text", "bad_text"
MISSING_LABEL, LABEL_NOT_IN_MODEL = "missing_label", "label_not_in_model"
FAILED = "failed"
RANKED = (OK, TRUNCATED)
STATUSES = (*RANKED, EMPTY_TEXT, MISSING_LABEL, LABEL_NOT_IN_MODEL, BAD_TEXT, FAILED)
"""docs/losses.md says what each means."""


_FAILED_SHARE, _FAILED_ROWS = 0.01, 10


def too_many_failed(failed: int, rows: int) -> bool:
    """Whether so many failures, of all rows, are more than a matter of single rows, so that a run must stop."""
    return failed > max(_FAILED_ROWS, _FAILED_SHARE * rows)


@dataclass(frozen=True)
class Outcomes:
    """The rows of a shard that aren't `ok`, by their place in it; the last status given to a row counts."""

    statuses: dict[int, str] = field(default_factory=dict)
    reasons: dict[int, str | None] = field(default_factory=dict)

    def say(self, status: str, rows: Ints | Mapping[int, str | None]) -> None:
        """Gives rows a status; a mapping also says why, where there is more to say."""
        if isinstance(rows, Mapping):
            self.reasons.update(rows)
        self.statuses.update(dict.fromkeys(map(int, rows), status))

    def of_rows(self, n: int) -> tuple[pa.Array, pa.Array]:
        """The status of each of n rows, and the reason where there is one."""
        statuses = [self.statuses.get(row, OK) for row in range(n)]
        return pa.array(statuses, pa.string()), pa.array([self.reasons.get(row) for row in range(n)], pa.string())
