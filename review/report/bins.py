"""The bins that a report counts losses, lengths and probabilities in. They don't depend on the data, so one pass fills
them. Arrays come in, bin numbers go out."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LEAST_DECADE, MOST_DECADE = -6, 2
"""Losses are told apart from 10⁻⁶ to 10² nats; those beyond are counted in the outermost bins."""
LOSS_BINS_A_DECADE = 20
LOSS_EDGES: Floats = 10 ** np.linspace(LEAST_DECADE, MOST_DECADE, (MOST_DECADE - LEAST_DECADE) * LOSS_BINS_A_DECADE + 1)
"""(bins + 1,) in nats."""
LENGTH_EDGES: Ints = np.array([1, *(base << power for power in range(10) for base in (8, 12))], dtype=np.int64)
"""Where bins of tokens begin; the last one has no end."""
CONFIDENCE_BINS = 15
"""Of equal width, as Guo et al. 2017 take them."""


def loss_bins(losses: Floats) -> Ints:
    """(n,) the bin of each loss, in nats."""
    return np.clip(np.searchsorted(LOSS_EDGES, losses, side="right") - 1, 0, len(LOSS_EDGES) - 2)


def length_bins(tokens: Ints) -> Ints:
    """(n,) the bin of each number of tokens."""
    return np.clip(np.searchsorted(LENGTH_EDGES, tokens, side="right") - 1, 0, len(LENGTH_EDGES) - 1)


def confidence_bins(probabilities: Floats) -> Ints:
    """(n,) the bin of each probability; a bin holds its upper edge."""
    return np.clip(np.ceil(probabilities * CONFIDENCE_BINS).astype(np.int64) - 1, 0, CONFIDENCE_BINS - 1)


def loss_quantiles(counts: Ints, shares: tuple[float, ...]) -> tuple[float, ...]:
    """Losses below which these shares of the counted rows lie, to within a bin (12 %). counts: (loss bins,), not all 0.

    Within a bin, rows are taken as evenly spread over the logarithm.
    """
    reached = np.cumsum(counts)
    found = []
    for share in shares:
        wanted = share * reached[-1]
        at = int(np.searchsorted(reached, wanted))
        inside = (wanted - (reached[at] - counts[at])) / max(counts[at], 1)
        found.append(float(LOSS_EDGES[at] * (LOSS_EDGES[at + 1] / LOSS_EDGES[at]) ** inside))
    return tuple(found)
