"""The bins in which a report counts losses, lengths and probabilities. They don't depend on the data, so one pass fills
them."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LEAST_DECADE, MOST_DECADE = -6, 2
"""Bins of losses range from 10⁻⁶ to 10² nats; losses outside count in the outermost bins."""
LOSS_BINS_A_DECADE = 20
LOSS_EDGES: Floats = 10 ** np.linspace(LEAST_DECADE, MOST_DECADE, (MOST_DECADE - LEAST_DECADE) * LOSS_BINS_A_DECADE + 1)
"""The bins' edges (bins + 1,), in nats."""
LENGTH_EDGES: Ints = np.array([1, *(base << power for power in range(10) for base in (8, 12))], dtype=np.int64)
"""First lengths of the bins of tokens; the last bin has no end."""
CONFIDENCE_BINS = 15
"""Number of bins of probabilities, of equal width as in Guo et al. 2017."""


def loss_bins(losses: Floats) -> Ints:
    """(n,) the bin of each loss, in nats."""
    return np.clip(np.searchsorted(LOSS_EDGES, losses, side="right") - 1, 0, len(LOSS_EDGES) - 2)


def length_bins(tokens: Ints) -> Ints:
    """(n,) the bin of each number of tokens."""
    return np.clip(np.searchsorted(LENGTH_EDGES, tokens, side="right") - 1, 0, len(LENGTH_EDGES) - 1)


def confidence_bins(probabilities: Floats) -> Ints:
    """(n,) the bin of each probability; a bin includes its upper edge."""
    return np.clip(np.ceil(probabilities * CONFIDENCE_BINS).astype(np.int64) - 1, 0, CONFIDENCE_BINS - 1)


def loss_quantiles(counts: Ints, shares: tuple[float, ...]) -> tuple[float, ...]:
    """Quantiles of the counted losses, to within a bin (12 %). counts: (loss bins,), not all 0.

    Within a bin, rows are assumed to be evenly spread over the logarithm.
    """
    reached = np.cumsum(counts)
    found = []
    for share in shares:
        wanted = share * reached[-1]
        at = int(np.searchsorted(reached, wanted))
        inside = (wanted - (reached[at] - counts[at])) / max(counts[at], 1)
        found.append(float(LOSS_EDGES[at] * (LOSS_EDGES[at + 1] / LOSS_EDGES[at]) ** inside))
    return tuple(found)
