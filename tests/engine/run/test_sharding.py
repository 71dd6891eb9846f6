"""How rows are cut into shards."""

import numpy as np
import pytest

from lossaudit.engine.run.sharding import SHARD_ROWS, Sharding


@pytest.mark.parametrize(
    ("rows", "size", "starts"),
    [(0, 4, []), (3, 4, [0]), (4, 4, [0]), (5, 4, [0, 4]), (SHARD_ROWS + 1, None, [0, 4096])],
)
def test_a_shard_is_called_by_its_first_row(rows, size, starts):
    sharding = Sharding(rows) if size is None else Sharding(rows, size)
    assert list(sharding.starts) == starts


def test_rows_by_their_shards():
    found = Sharding(20, 8).of_rows(np.array([0, 7, 8, 19]))
    assert {start: ids.tolist() for start, ids in found.items()} == {0: [0, 7], 8: [8], 16: [19]}
