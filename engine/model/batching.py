"""Length-bucketed batches: cuts the rows of a shard, by their token counts, into lists to run together.

Rows of similar length share a batch, so little is padded: on AG News 1 % of the tokens instead of 108 %
(docs/design.md). Batches depend on the lengths alone, never on threads or timing.
"""

import numpy as np

from ..arrays import Ints


def batches_by_token_budget(lengths: Ints, budget: int) -> list[Ints]:
    """Cuts n rows into batches so that rows × longest row ≤ budget.

    lengths: (n,) tokens of each row. budget: tokens of a padded batch, ≥ 1; a row longer than the budget
    gets a batch of its own. Returns arrays of row positions, which together hold each of 0…n-1 once,
    the longest rows first (if memory runs out, it does so at once) and equal ones in their order.
    """
    order = np.argsort(-lengths, kind="stable").astype(np.int64)
    batches = []
    start = 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        rows = max(1, budget // longest)
        batches.append(order[start : start + rows])
        start += rows
    return batches
