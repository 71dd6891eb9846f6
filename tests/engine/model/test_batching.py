"""Batches by token budget."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lossaudit.engine.model.batching import batches_by_token_budget

LENGTHS = st.lists(st.integers(0, 600), max_size=80).map(lambda lengths: np.array(lengths, dtype=np.int64))
BUDGETS = st.integers(1, 2048)


@given(LENGTHS, BUDGETS)
def test_each_row_is_in_one_batch(lengths, budget):
    rows = [int(row) for batch in batches_by_token_budget(lengths, budget) for row in batch]
    assert sorted(rows) == list(range(len(lengths)))


@given(LENGTHS, BUDGETS)
def test_a_padded_batch_keeps_to_the_budget_unless_its_row_is_alone(lengths, budget):
    for batch in batches_by_token_budget(lengths, budget):
        assert len(batch) > 0
        assert len(batch) == 1 or len(batch) * lengths[batch].max() <= budget


@given(LENGTHS, BUDGETS)
def test_batches_go_from_long_to_short_and_equal_rows_stay_in_order(lengths, budget):
    rows = [int(row) for batch in batches_by_token_budget(lengths, budget) for row in batch]
    assert rows == sorted(rows, key=lambda row: (-lengths[row], row))


@given(LENGTHS, BUDGETS)
def test_a_batch_is_closed_only_where_one_more_row_would_exceed_the_budget(lengths, budget):
    for batch in batches_by_token_budget(lengths, budget)[:-1]:
        assert (len(batch) + 1) * max(1, lengths[batch].max()) > budget


def test_sorting_saves_padding():
    lengths = np.array([500, 5] * 50)
    padded = sum(len(batch) * lengths[batch].max() for batch in batches_by_token_budget(lengths, 1024))
    assert padded < 1.1 * lengths.sum()
