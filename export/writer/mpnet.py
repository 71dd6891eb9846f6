"""MPNet: RoBERTa's positions and head, and attention scores that also depend on the distance between two tokens."""

import numpy as np

from lossaudit.engine.arrays import Floats32, Ints

from . import heads
from .family import Body, Family
from .parts import Attention, Draft, Layer, LayerNames, activation

_PAD, _BUCKETS, _FARTHEST = 1, 32, 128
"""Numbers that transformers' code has, whatever the config says: the padding token, the kinds of distances, and the
distance from which all are of one kind."""


def _body(draft: Draft) -> Body:
    settings, weights = draft.settings, draft.weights
    settings.one_of("relative_attention_num_buckets", _BUCKETS)
    settings.one_of("pad_token_id", _PAD)
    attention = Attention.of(settings.whole("hidden_size", 768), settings.whole("num_attention_heads", 12))
    hidden, epsilon = attention.hidden, settings.real("layer_norm_eps", 1e-12)
    inner, kind = settings.whole("intermediate_size", 3072), activation(settings, "hidden_act")
    vocabulary, rows = settings.whole("vocab_size", 30527), settings.whole("max_position_embeddings", 512)
    words = weights("embeddings.word_embeddings.weight", vocabulary, hidden)
    positions = weights("embeddings.position_embeddings.weight", rows, hidden)
    norm = [weights(f"embeddings.LayerNorm.{part}", hidden) for part in ("weight", "bias")]
    x = draft.add("Add", [draft.embedded(words), draft.embedded(positions, draft.positions_after_padding(_PAD))])
    x = draft.normalised(x, norm[0], norm[1], epsilon)
    limit = rows - _PAD - 1
    scores = _by_distance(draft, weights("encoder.relative_attention_bias.weight", _BUCKETS, attention.heads), limit)
    for number in range(settings.whole("num_hidden_layers", 12)):
        layer = Layer(draft, attention, _names(f"encoder.layer.{number}"), inner, kind, epsilon)
        x = layer.apply(x, scores)
    return Body(x, hidden, limit, _PAD, vocabulary)


def _names(layer: str) -> LayerNames:
    return LayerNames(
        f"{layer}.attention.attn.q",
        f"{layer}.attention.attn.k",
        f"{layer}.attention.attn.v",
        f"{layer}.attention.attn.o",
        f"{layer}.attention.LayerNorm",
        f"{layer}.intermediate.dense",
        f"{layer}.output.dense",
        f"{layer}.output.LayerNorm",
    )


def _by_distance(draft: Draft, table: Floats32, limit: int) -> str:
    """What each head adds to the score of two tokens, (1, heads, tokens, tokens). table: (kinds, heads)."""
    add, constant = draft.add, draft.constant
    distances = np.arange(1 - limit, limit)
    zero, one = constant(np.int64(0)), constant(np.int64(1))
    count = add("Squeeze", [draft.tokens()])
    positions = add("Range", [zero, count, one])
    keys = add("Unsqueeze", [positions, constant(np.array([0], dtype=np.int64))])
    queries = add("Unsqueeze", [positions, constant(np.array([1], dtype=np.int64))])
    place = add("Add", [add("Sub", [keys, queries]), constant(np.int64(limit - 1))])
    scores = add("Gather", [constant(table[buckets(distances)]), place])
    scores = add("Transpose", [scores], perm=[2, 0, 1])
    return add("Unsqueeze", [scores, constant(np.array([0], dtype=np.int64))])


def buckets(distances: Ints) -> Ints:
    """The kind of each distance: one for each small one, and fewer and fewer for larger ones, in both directions."""
    half = _BUCKETS // 2
    exact = half // 2
    far = np.abs(distances)
    share = np.log(np.maximum(far, 1).astype(np.float32) / exact) / np.float32(np.log(_FARTHEST / exact))
    large = np.minimum(exact + (share * (half - exact)).astype(np.int64), half - 1)
    return np.asarray(np.where(distances > 0, half, 0) + np.where(far < exact, far, large))


def _head(draft: Draft, body: Body, classes: int) -> str:
    return heads.dense_then_classifier(draft, body, classes, ("classifier.dense", "classifier.out_proj"))


MPNET = Family("MPNet", "mpnet", "MPNet", "mpnet.", _body, _head)
