"""How rows are cut into shards."""

from dataclasses import dataclass

import numpy as np

from ..arrays import Ints

SHARD_ROWS = 4096
"""Rows that are tokenised and sorted together: enough to fill batches of every length, few enough to hold."""


@dataclass(frozen=True)
class Sharding:
    """Rows in shards of one size, of which the last may be shorter. A shard is named by its first row."""

    rows: int
    size: int = SHARD_ROWS

    @property
    def starts(self) -> range:
        """The first row of each shard."""
        return range(0, self.rows, self.size)

    def of_rows(self, ids: Ints) -> dict[int, Ints]:
        """Ascending ids, grouped by shard."""
        starts = ids // self.size * self.size
        return {int(start): ids[starts == start] for start in np.unique(starts)}
