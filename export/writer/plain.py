"""Attention in operators of the ONNX standard, for families whose attention ONNX Runtime has no fused operator for.

If a graph needs only the first token's state, its last layer has one query per text, and runs on (rows, 1, hidden).
"""

import numpy as np

from ..pruning import LOWEST, mask_bias
from .parts import Draft


def padding_scores(draft: Draft) -> str:
    """What is added to the scores of keys that are padding, (rows, 1, 1, tokens)."""
    return mask_bias(draft.editor, [1, 2])


def numbers(draft: Draft) -> str:
    """The positions of the batch's tokens from 0, (tokens,)."""
    count = draft.add("Squeeze", [draft.tokens()])
    return draft.add("Range", [draft.constant(np.int64(0)), count, draft.constant(np.int64(1))])


def distances(draft: Draft) -> str:
    """Position of the key minus position of the query, (tokens, tokens)."""
    positions = numbers(draft)
    keys, queries = (draft.add("Unsqueeze", [positions, draft.constant(np.array([axis]))]) for axis in (0, 1))
    return draft.add("Sub", [keys, queries])


def window_scores(draft: Draft, reach: int, padding: str) -> str:
    """The scores of `padding`, and as low ones for keys that are farther away than `reach`: (rows, 1, tokens, tokens).

    The lower one, not the sum: two of the lowest numbers would add up to an infinity.
    """
    far = draft.add("Greater", [draft.add("Abs", [distances(draft)]), draft.constant(np.int64(reach))])
    lowest, zero = draft.constant(LOWEST), draft.constant(np.float32(0))
    return draft.add("Min", [draft.add("Where", [far, lowest, zero]), padding])


def row_of_first(draft: Draft, scores: str) -> str:
    """The scores of the first query, (…, 1, tokens), of (…, tokens, tokens)."""
    zero, one, axis = (draft.constant(np.array([number], dtype=np.int64)) for number in (0, 1, 2))
    return draft.add("Slice", [scores, zero, one, axis])


def by_head(draft: Draft, x: str, heads: int, width: int) -> str:
    """(rows, tokens, heads × width) to (rows, tokens, heads, width)."""
    return draft.add("Reshape", [x, draft.constant(np.array([0, 0, heads, width], dtype=np.int64))])


def context(draft: Draft, query: str, key: str, value: str, added: str) -> str:
    """The contexts (rows, queries, heads × width) of (rows, tokens, heads, width) each. added: to the scores."""
    add = draft.add
    query, value = (add("Transpose", [x], perm=[0, 2, 1, 3]) for x in (query, value))
    scores = add("MatMul", [query, add("Transpose", [key], perm=[0, 2, 3, 1])])
    weights = add("Softmax", [add("Add", [scores, added])], axis=-1)
    found = add("Transpose", [add("MatMul", [weights, value])], perm=[0, 2, 1, 3])
    return add("Reshape", [found, draft.constant(np.array([0, 0, -1], dtype=np.int64))])


def rotary_tables(draft: Draft, base: float, width: int, limit: int) -> tuple[str, str]:
    """Cosines and sines of the angles by which a head's numbers are turned, (tokens, 1, width / 2) each; rounded where
    PyTorch rounds. limit: the most tokens."""
    exponents = (np.arange(0, width, 2) / np.float32(width)).astype(np.float32)
    frequencies = (1.0 / np.float64(base) ** exponents).astype(np.float32)
    angles = (np.arange(limit, dtype=np.float32)[:, None] * frequencies)[:, None]
    return draft.first_rows(np.cos(angles)), draft.first_rows(np.sin(angles))


def rotated(draft: Draft, x: str, cosines: str, sines: str) -> str:
    """(rows, tokens, heads, width), in which each pair of a number of the first half and one of the second is turned by
    the angle of its position."""
    add = draft.add
    first, second = draft.editor.add_split("Split", [x], outputs=2, axis=-1)
    turned = (
        add("Sub", [add("Mul", [first, cosines]), add("Mul", [second, sines])]),
        add("Add", [add("Mul", [second, cosines]), add("Mul", [first, sines])]),
    )
    return add("Concat", list(turned), axis=-1)
