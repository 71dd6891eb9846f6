"""`lossaudit` with shards of few rows, so that a short audit has many parts to be killed between.

python -m tests.torture.small_shards ROWS audit …
"""

import contextlib
import functools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from unittest import mock

_RANGE_BYTES = 64 * 1024
"""Of the merge, so that a short audit has several ranges too."""


@contextlib.contextmanager
def small_shards(rows: int) -> Iterator[None]:
    """The command's audits, in this process, have shards of so many rows."""
    from lossaudit.engine.run import options, passes
    from lossaudit.engine.table import merge

    @dataclass(frozen=True)
    class SmallShards(options.AuditOptions):
        shard_rows: int = rows

    small_ranges = functools.partial(merge.ranked, ranges=merge.Ranges(size=_RANGE_BYTES))
    with mock.patch.object(options, "AuditOptions", SmallShards), mock.patch.object(passes, "ranked", small_ranges):
        yield


if __name__ == "__main__":
    from lossaudit.cli.main import main

    with small_shards(int(sys.argv[1])):
        main(sys.argv[2:])
