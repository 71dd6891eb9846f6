"""DeBERTa-v2 and v3: attention scores in which content meets distance, in both directions.

The score of a query and a key is (q·k + q·P(d) + k·R(d)) / scale, where d is their distance, and P and R are
projections of the distances' embeddings. The weights alone decide those, so they are constants here.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from onnx import TensorProto

from lossaudit.engine.arrays import Floats32, Ints

from . import heads, plain
from .family import Body, Family
from .parts import ACTIVATIONS, MASK, TANH, TYPES, Attention, Draft, activation
from .settings import NotWrittenError, Settings

_TO_POSITION, _TO_CONTENT = "c2p", "p2c"
"""Names of the two parts of a score that know the distance: of a query's content, and of a key's."""


@dataclass(frozen=True)
class _Shape:
    """What all layers share."""

    attention: Attention
    inner: int
    activation: str
    epsilon: float
    kinds: tuple[str, ...]
    """The parts of a score that know the distance; they count for the scale even if `distances` is None."""
    shares_keys: bool
    """Whether distances are projected as content is."""

    @property
    def width(self) -> int:
        """Width of a head."""
        return self.attention.hidden // self.attention.heads

    @property
    def scale(self) -> np.float32:
        """Factor of the scores."""
        return np.float32((self.width * (1 + len(self.kinds))) ** -0.5)


@dataclass(frozen=True)
class _Distances:
    """The distances between the tokens of a batch, as tensors of the graph."""

    embeddings: Floats32
    """(kinds of distances, hidden)"""
    down: str
    """The kind of each distance from tokens - 1 down to -tokens, (2 × tokens,)."""
    up: str
    """The kind of each distance from 1 - tokens up to tokens."""
    first: str
    """The kind of the distance of the first token to each, (tokens,)."""
    count: str
    """Number of tokens, (1,)."""

    def skewed(self, draft: Draft, x: str) -> str:
        """(rows, heads, tokens, 2 × tokens) to (rows, heads, tokens, tokens): each row begins one place before the
        one above it does, the first at tokens - 1. That is what dealing the numbers out to shorter rows does."""
        add, constant, count = draft.add, draft.constant, self.count
        zero, one, two, three = (constant(np.array([number], dtype=np.int64)) for number in range(4))
        begin, width = add("Sub", [count, one]), add("Sub", [add("Mul", [count, two]), one])
        end = add("Add", [begin, add("Mul", [count, width])])
        x = add("Reshape", [x, constant(np.array([0, 0, -1], dtype=np.int64))])
        x = add("Slice", [x, begin, end, two])
        x = add("Reshape", [x, add("Concat", [zero, zero, count, width], axis=0)])
        return add("Slice", [x, zero, count, three])


def _body(draft: Draft) -> Body:
    settings = draft.settings
    settings.inert("legacy")
    shape, epsilon = _shape(settings), settings.real("layer_norm_eps", 1e-7)
    count, limit = settings.whole("num_hidden_layers", 24), settings.whole("max_position_embeddings", 512)
    vocabulary, hidden = settings.whole("vocab_size", 128_100), shape.attention.hidden
    settings.one_of("attention_head_size", shape.width)
    x = _embedded(draft, hidden, vocabulary, limit, epsilon)
    distances = _distances(draft, hidden, limit, epsilon)
    padding, convolve = plain.padding_scores(draft), settings.whole("conv_kernel_size", 0, at_least=0)
    for number in range(count):
        first_alone = draft.first_alone and number == count - 1 and not (number == 0 and convolve)
        before, x = x, _layer(draft, x, f"encoder.layer.{number}", shape, distances, padding, first_alone)
        if number == 0 and convolve:
            x = _convolved(draft, before, x, convolve, shape)
    return Body(x, hidden, limit, settings.whole("pad_token_id", 0, at_least=0), vocabulary)


def _shape(settings: Settings) -> _Shape:
    kinds = settings.structure("pos_att_type") or []
    if isinstance(kinds, str):
        kinds = [kind.strip() for kind in kinds.lower().split("|")]
    if not isinstance(kinds, list) or not set(map(str, kinds)) <= {_TO_POSITION, _TO_CONTENT}:
        raise NotWrittenError(f"its config.json has pos_att_type: {kinds!r}")
    return _Shape(
        Attention.of(settings.whole("hidden_size", 1536), settings.whole("num_attention_heads", 24)),
        settings.whole("intermediate_size", 6144),
        activation(settings, "hidden_act"),
        settings.real("layer_norm_eps", 1e-7),
        tuple(dict.fromkeys(kinds)),
        settings.one_of("share_att_key", False, True),
    )


def _embedded(draft: Draft, hidden: int, vocabulary: int, limit: int, epsilon: float) -> str:
    settings, weights = draft.settings, draft.weights
    width = settings.whole("embedding_size", hidden)
    x = draft.embedded(weights("embeddings.word_embeddings.weight", vocabulary, width))
    if settings.one_of("position_biased_input", True, False):
        x = draft.add("Add", [x, draft.first_rows(weights("embeddings.position_embeddings.weight", limit, width))])
    types = settings.whole("type_vocab_size", 0, at_least=0)
    if types:
        table = weights("embeddings.token_type_embeddings.weight", types, width)
        of_type = draft.embedded(table, TYPES) if draft.reads_types else draft.constant(table[0])
        x = draft.add("Add", [x, of_type])
    if width != hidden:
        x = draft.linear(x, weights("embeddings.embed_proj.weight", hidden, width), None)
    return _normalised(draft, x, "embeddings.LayerNorm", hidden, epsilon)


def _distances(draft: Draft, hidden: int, limit: int, epsilon: float) -> _Distances | None:
    settings, add, constant = draft.settings, draft.add, draft.constant
    farthest, count = _whole_or_none(settings, "max_relative_positions"), _whole_or_none(settings, "position_buckets")
    normalises = settings.one_of("norm_rel_ebd", "none", "layer_norm") == "layer_norm"
    if not settings.one_of("relative_attention", False, True):
        return None
    farthest = farthest or limit
    half = count or farthest
    table = draft.weights("encoder.rel_embeddings.weight", 2 * half, hidden)
    if normalises:
        weight, bias = (draft.weights(f"encoder.LayerNorm.{part}", hidden) for part in ("weight", "bias"))
        centred = table - table.mean(axis=1, keepdims=True)
        table = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + np.float32(epsilon)) * weight + bias
    kinds = (buckets(np.arange(-limit, limit + 1), count, farthest) + half).clip(0, 2 * half - 1)
    tokens, most = draft.tokens(), constant(np.array([limit], dtype=np.int64))
    begin, end = add("Sub", [most, tokens]), add("Add", [most, tokens])
    zero = constant(np.array([0], dtype=np.int64))
    down, up, first = (constant(part) for part in (kinds[-2::-1], kinds[1:], kinds[limit::-1]))
    down, up = (add("Slice", [part, begin, end, zero]) for part in (down, up))
    return _Distances(table, down, up, add("Slice", [first, zero, tokens, zero]), tokens)


def _whole_or_none(settings: Settings, name: str) -> int | None:
    """A size; None where it is negative or left out."""
    value = settings.structure(name)
    return None if value is None or (type(value) is int and value < 1) else settings.whole(name, 0)


def buckets(distances: Ints, count: int | None, farthest: int) -> Ints:
    """The kind of each distance: its own up to half of `count`, then one for more and more, rounded as in PyTorch."""
    if count is None:
        return distances
    middle = count // 2
    if middle < 2 or farthest - 1 <= middle:
        raise NotWrittenError(f"its config.json has position_buckets: {count} for distances up to {farthest}")
    far = np.where(np.abs(distances) < middle, middle - 1, np.abs(distances))
    logarithm = np.log((far / np.float32(middle)).astype(np.float32))
    share = logarithm / np.log(np.float32((farthest - 1) / middle))
    kinds = np.ceil(share * np.float32(middle - 1)).astype(np.int64) + middle
    return np.asarray(np.where(far <= middle, distances, kinds * np.sign(distances)))


def _layer(
    draft: Draft, x: str, name: str, shape: _Shape, distances: _Distances | None, padding: str, first_alone: bool
) -> str:
    """The layer's output, of the first token alone if the others aren't needed."""
    hidden, inner = shape.attention.hidden, shape.inner
    keys, x = x, heads.first_token(draft, x) if first_alone else x
    context = _attention(draft, x, keys, f"{name}.attention.self", shape, distances, padding)
    context = _linear(draft, context, f"{name}.attention.output.dense", hidden, hidden)
    x = _normalised(draft, draft.add("Add", [x, context]), f"{name}.attention.output.LayerNorm", hidden, shape.epsilon)
    own = draft.activated(_linear(draft, x, f"{name}.intermediate.dense", inner, hidden), shape.activation)
    own = _linear(draft, own, f"{name}.output.dense", hidden, inner)
    return _normalised(draft, draft.add("Add", [x, own]), f"{name}.output.LayerNorm", hidden, shape.epsilon)


def _attention(
    draft: Draft, queries: str, keys: str, name: str, shape: _Shape, distances: _Distances | None, padding: str
) -> str:
    hidden, heads_of = shape.attention.hidden, partial(_by_head, draft, shape)
    of = {kind: _weights(draft, f"{name}.{kind}_proj", hidden) for kind in ("query", "key", "value")}
    query = heads_of(draft.linear(queries, *(part * shape.scale for part in of["query"])))
    key, value = (heads_of(draft.linear(keys, *of[kind])) for kind in ("key", "value"))
    added = padding
    if distances is not None:
        one_query = queries != keys
        if _TO_POSITION in shape.kinds:
            projected = of["key"] if shape.shares_keys else _weights(draft, f"{name}.pos_key_proj", hidden)
            table = _projected(distances, projected, shape)
            added = draft.add("Add", [added, _to_position(draft, query, table, distances, one_query)])
        if _TO_CONTENT in shape.kinds:
            projected = of["query"] if shape.shares_keys else _weights(draft, f"{name}.pos_query_proj", hidden)
            table = _projected(distances, projected, shape) * shape.scale
            added = draft.add("Add", [added, _to_content(draft, key, table, distances, one_query)])
    return plain.context(draft, query, key, value, added)


def _projected(distances: _Distances, weights: tuple[Floats32, Floats32], shape: _Shape) -> Floats32:
    """(kinds of distances, heads, width)"""
    made = distances.embeddings @ weights[0].T + weights[1]
    return np.asarray(made.reshape(len(made), shape.attention.heads, shape.width), dtype=np.float32)


def _to_position(draft: Draft, query: str, table: Floats32, distances: _Distances, one_query: bool) -> str:
    """The scores of queries and the distances of keys, (rows, heads, queries, keys)."""
    kinds = distances.first if one_query else distances.down
    rows = draft.add("Transpose", [draft.embedded(table, kinds)], perm=[1, 2, 0])
    scores = draft.add("MatMul", [draft.add("Transpose", [query], perm=[0, 2, 1, 3]), rows])
    return scores if one_query else distances.skewed(draft, scores)


def _to_content(draft: Draft, key: str, table: Floats32, distances: _Distances, one_query: bool) -> str:
    """The scores of keys and the distances of queries, (rows, heads, queries, keys)."""
    add = draft.add
    if one_query:
        products = add("Mul", [key, draft.embedded(table, distances.first)])
        scores = add("ReduceSum", [products, draft.constant(np.array([3], dtype=np.int64))], keepdims=0)
        scores = add("Transpose", [scores], perm=[0, 2, 1])
        return add("Unsqueeze", [scores, draft.constant(np.array([2], dtype=np.int64))])
    rows = add("Transpose", [draft.embedded(table, distances.up)], perm=[1, 2, 0])
    scores = add("MatMul", [add("Transpose", [key], perm=[0, 2, 1, 3]), rows])
    return add("Transpose", [distances.skewed(draft, scores)], perm=[0, 1, 3, 2])


def _convolved(draft: Draft, before: str, x: str, size: int, shape: _Shape) -> str:
    """The first layer's output and, added to it, a convolution of what the layer reads."""
    settings, weights, hidden, add = draft.settings, draft.weights, shape.attention.hidden, draft.add
    if size % 2 == 0:
        raise NotWrittenError(f"its config.json has conv_kernel_size: {size}, which is even")
    groups = settings.whole("conv_groups", 1)
    if hidden % groups:
        raise NotWrittenError(f"its config.json has conv_groups: {groups}, which don't divide its width of {hidden}")
    kind = (ACTIVATIONS | {"tanh": TANH})[settings.one_of("conv_act", "tanh", *ACTIVATIONS)]
    kernel = draft.constant(weights("encoder.conv.conv.weight", hidden, hidden // groups, size))
    bias = draft.constant(weights("encoder.conv.conv.bias", hidden))
    mask = add("Unsqueeze", [add("Cast", [MASK], to=TensorProto.FLOAT), draft.constant(np.array([2], dtype=np.int64))])
    tokens = add("Transpose", [add("Mul", [before, mask])], perm=[0, 2, 1])
    made = add("Conv", [tokens, kernel, bias], group=groups, pads=[size // 2, size // 2])
    made = draft.activated(add("Mul", [add("Transpose", [made], perm=[0, 2, 1]), mask]), kind)
    return _normalised(draft, add("Add", [x, made]), "encoder.conv.LayerNorm", hidden, shape.epsilon)


def _by_head(draft: Draft, shape: _Shape, x: str) -> str:
    return plain.by_head(draft, x, shape.attention.heads, shape.width)


def _weights(draft: Draft, name: str, columns: int, rows: int | None = None) -> tuple[Floats32, Floats32]:
    return draft.weights(f"{name}.weight", columns, rows or columns), draft.weights(f"{name}.bias", columns)


def _linear(draft: Draft, x: str, name: str, columns: int, rows: int) -> str:
    return draft.linear(x, *_weights(draft, name, columns, rows))


def _normalised(draft: Draft, x: str, name: str, hidden: int, epsilon: float) -> str:
    weight, bias = (draft.weights(f"{name}.{part}", hidden) for part in ("weight", "bias"))
    return draft.normalised(x, weight, bias, epsilon)


def _head(draft: Draft, body: Body, classes: int) -> str:
    draft.settings.one_of("pooler_hidden_size", body.hidden)
    kind = activation(draft.settings, "pooler_hidden_act")
    return heads.dense_then_classifier(draft, body, classes, ("pooler.dense", "classifier"), kind)


DEBERTA = Family(
    "DeBERTa",
    "deberta-v2",
    "DebertaV2",
    "deberta.",
    _body,
    _head,
    types=True,
    plain=True,
    leftovers=(r".*\.position_ids", r".*embeddings\.position_embeddings\.weight"),
)
