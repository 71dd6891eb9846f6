"""Heads of classifiers, which turn the tokens' states into logits, and the pooling of encoders.

Each gets (rows, tokens, hidden) and returns (rows, classes) or (rows, hidden).
"""

import numpy as np
from onnx import TensorProto

from .family import Body
from .parts import MASK, TANH, Draft


def first_token(draft: Draft, states: str) -> str:
    """The first token's state, (rows, 1, hidden), in the form that `pruning.py` looks for."""
    return draft.add("Gather", [states, draft.constant(np.array([0], dtype=np.int64))], axis=1)


def mean_of_tokens(draft: Draft, states: str) -> str:
    """The mean of the tokens' states as one product per text, (rows, 1, hidden)."""
    axis = draft.constant(np.array([1], dtype=np.int64))
    mask = draft.add("Cast", [MASK], to=TensorProto.FLOAT)
    shares = draft.add("Div", [mask, draft.add("ReduceSum", [mask, axis], keepdims=1)])
    return draft.add("MatMul", [draft.add("Unsqueeze", [shares, axis]), states])


def squeezed(draft: Draft, state: str) -> str:
    """From (rows, 1, width) to (rows, width)."""
    return draft.add("Squeeze", [state, draft.constant(np.array([1], dtype=np.int64))])


def dense(draft: Draft, x: str, name: str, columns: int, rows: int) -> str:
    """A product with the tensors of a name, which for heads isn't within the encoder."""
    weight, bias = draft.tensors.take(f"{name}.weight", columns, rows), draft.tensors.take(f"{name}.bias", columns)
    return draft.linear(x, weight, bias)


def dense_then_classifier(draft: Draft, body: Body, classes: int, names: tuple[str, str], kind: str = TANH) -> str:
    """The first token's state through a square product, an activation and the last product, which `names` are of."""
    state = dense(draft, first_token(draft, body.states), names[0], body.hidden, body.hidden)
    return squeezed(draft, dense(draft, draft.activated(state, kind), names[1], classes, body.hidden))
