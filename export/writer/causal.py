"""What decoders share: attention to earlier tokens alone, and heads that read the last token.

Batches are padded on the right, so the last token's state is that of the text alone, and no padding needs a mask.
"""

import numpy as np
from onnx import TensorProto

from ..pruning import LOWEST
from . import heads, plain
from .family import Body
from .parts import IDS, MASK, Draft
from .settings import NotWrittenError


class Last:
    """The last token of each row of a batch, as transformers finds it: the last that isn't the config's padding token,
    or if there is none, the last of the text."""

    def __init__(self, draft: Draft) -> None:
        add, constant = draft.add, draft.constant
        self._draft = draft
        self.numbers = plain.numbers(draft)
        pad = draft.settings.structure("pad_token_id")
        if pad is None:
            own = add("Cast", [MASK], to=TensorProto.BOOL)
        else:
            pad = draft.settings.whole("pad_token_id", 0, at_least=0)
            own = add("Not", [add("Equal", [IDS, constant(np.int64(pad))])])
        places = add("Mul", [add("Cast", [own], to=TensorProto.INT64), self.numbers])
        self.place = add("ReduceMax", [places], axes=[1], keepdims=1)
        """(rows, 1)"""
        picked = add("Cast", [add("Equal", [self.numbers, self.place])], to=TensorProto.FLOAT)
        self._picked = add("Unsqueeze", [picked, constant(np.array([1], dtype=np.int64))])

    def of(self, x: str) -> str:
        """(rows, tokens, width) or (tokens, width) to (rows, 1, width), by a product with one 1 and 0s: exact."""
        return self._draft.add("MatMul", [self._picked, x])


def scores_of_later(draft: Draft, numbers: str, queries: str) -> str:
    """What is added to the scores of keys that come later than the queries: (…, queries, tokens).

    queries: their positions, (…, queries, 1).
    """
    later = draft.add("Greater", [numbers, queries])
    return draft.add("Where", [later, draft.constant(LOWEST), draft.constant(np.float32(0))])


def head(draft: Draft, body: Body, classes: int) -> str:
    """The last token's logits; the body gives (rows, 1, hidden)."""
    weight = draft.tensors.take("score.weight", classes, body.hidden)
    return heads.squeezed(draft, draft.linear(body.states, weight, None))


def check_classifier(draft: Draft) -> None:
    """Raises NotWrittenError if all tokens' states are wanted."""
    if not draft.first_alone:
        raise NotWrittenError("it is a decoder, whose tokens don't know what follows them")
