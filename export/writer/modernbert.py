"""ModernBERT: normalisation before each part, rotary positions, layers that see all tokens or only near ones, GeGLU."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lossaudit.engine.arrays import Floats32

from . import heads, plain
from .family import Body, Family
from .parts import Attention, Draft, activation
from .settings import NotWrittenError, Settings

_GLOBAL, _LOCAL = "full_attention", "sliding_attention"
_INERT = (
    "decoder_bias",
    "deterministic_flash_attn",
    "initializer_cutoff_factor",
    "reference_compile",
    "repad_logits_with_grad",
    "sparse_pred_ignore_index",
    "sparse_prediction",
)
"""Keys of its masked language model and of how it is run."""


@dataclass(frozen=True)
class _Kind:
    """What the layers of a kind share."""

    cosines: str
    """(tokens, 1, width / 2)"""
    sines: str
    added: str
    """What is added to the scores, (rows, 1, 1 or tokens, tokens)."""


@dataclass(frozen=True)
class _Shape:
    """What all layers share."""

    attention: Attention
    inner: int
    activation: str
    epsilon: float
    norm_bias: bool
    attention_bias: bool
    mlp_bias: bool

    @property
    def width(self) -> int:
        """Width of a head."""
        return self.attention.hidden // self.attention.heads


def _body(draft: Draft) -> Body:
    settings = draft.settings
    settings.inert(*_INERT)
    shape = _Shape(
        Attention.of(settings.whole("hidden_size", 768), settings.whole("num_attention_heads", 12)),
        settings.whole("intermediate_size", 1152),
        activation(settings, "hidden_activation"),
        settings.real("norm_eps", 1e-5),
        settings.one_of("norm_bias", False, True),
        settings.one_of("attention_bias", False, True),
        settings.one_of("mlp_bias", False, True),
    )
    if shape.width % 2:
        raise NotWrittenError(f"the width of its heads, {shape.width}, is odd")
    count, limit = settings.whole("num_hidden_layers", 22), settings.whole("max_position_embeddings", 8192)
    vocabulary = settings.whole("vocab_size", 50368)
    words = draft.weights("embeddings.tok_embeddings.weight", vocabulary, shape.attention.hidden)
    x = _normalised(draft, draft.embedded(words), "embeddings.norm", shape)
    kinds = _kinds(draft, shape, limit)
    for number, kind in enumerate(_layer_types(settings, count)):
        first_alone = draft.first_alone and number == count - 1
        x = _layer(draft, x, number, shape, kinds[kind], first_alone)
    x = _normalised(draft, x, "final_norm", shape)
    return Body(x, shape.attention.hidden, limit, settings.whole("pad_token_id", 50283, at_least=0), vocabulary)


def _layer_types(settings: Settings, count: int) -> list[str]:
    every = settings.whole("global_attn_every_n_layers", 3)
    types = settings.structure("layer_types")
    if types is None:
        return [_LOCAL if number % every else _GLOBAL for number in range(count)]
    if not isinstance(types, list) or len(types) != count or not set(map(str, types)) <= {_GLOBAL, _LOCAL}:
        raise NotWrittenError(f"its config.json has layer_types that aren't {count} of {_GLOBAL} and {_LOCAL}")
    return [str(kind) for kind in types]


def _bases(settings: Settings) -> dict[str, float]:
    """The base of the rotary positions of each kind, where transformers 4 and 5 write it."""
    settings.one_of("rope_scaling", None)
    found = {
        _GLOBAL: settings.real("global_rope_theta", 160_000.0),
        _LOCAL: settings.real("local_rope_theta", 10_000.0),
    }
    newer = settings.structure("rope_parameters")
    if newer is None:
        return found
    usual = {"rope_theta", "rope_type"}
    for kind in found:
        one: Any = newer.get(kind) if isinstance(newer, dict) else None
        if not isinstance(one, dict) or set(one) != usual or one["rope_type"] != "default":
            raise NotWrittenError(f"its config.json has rope_parameters that aren't the plain ones of {kind}")
        found[kind] = Settings(settings.path, one).real("rope_theta", 0.0)
    return found


def _kinds(draft: Draft, shape: _Shape, limit: int) -> dict[str, _Kind]:
    padding = plain.padding_scores(draft)
    near = plain.window_scores(draft, draft.settings.whole("local_attention", 128) // 2, padding)
    made = {}
    for kind, base in _bases(draft.settings).items():
        cosines, sines = plain.rotary_tables(draft, base, shape.width, limit)
        made[kind] = _Kind(cosines, sines, padding if kind == _GLOBAL else near)
    return made


def _layer(draft: Draft, x: str, number: int, shape: _Shape, kind: _Kind, first_alone: bool) -> str:
    """The layer's output, of the first token alone if the others aren't needed."""
    name = f"layers.{number}"
    keys = queries = x if number == 0 else _normalised(draft, x, f"{name}.attn_norm", shape)
    if first_alone:
        queries, x = heads.first_token(draft, keys), heads.first_token(draft, x)
    context = _attention(draft, queries, keys, name, shape, kind, first_alone)
    hidden = shape.attention.hidden
    x = draft.add("Add", [x, _linear(draft, context, f"{name}.attn.Wo", hidden, hidden, shape.attention_bias)])
    return draft.add("Add", [x, _feed_forward(draft, _normalised(draft, x, f"{name}.mlp_norm", shape), name, shape)])


def _attention(draft: Draft, queries: str, keys: str, layer: str, shape: _Shape, kind: _Kind, first_alone: bool) -> str:
    hidden, count, width = shape.attention.hidden, shape.attention.heads, shape.width
    weights = np.split(draft.weights(f"{layer}.attn.Wqkv.weight", 3 * hidden, hidden), 3)
    biases: list[Floats32 | None] = [None] * 3
    if shape.attention_bias:
        biases = list(np.split(draft.weights(f"{layer}.attn.Wqkv.bias", 3 * hidden), 3))
    scale = np.float32(width**-0.5)
    weights[0], biases[0] = weights[0] * scale, None if biases[0] is None else biases[0] * scale
    query, key, value = (
        plain.by_head(draft, draft.linear(x, weight, bias), count, width)
        for x, weight, bias in zip((queries, keys, keys), weights, biases, strict=True)
    )
    key = plain.rotated(draft, key, kind.cosines, kind.sines)
    if first_alone:  # its position is 0, which rotates nothing
        return plain.context(draft, query, key, value, plain.row_of_first(draft, kind.added))
    query = plain.rotated(draft, query, kind.cosines, kind.sines)
    return plain.context(draft, query, key, value, kind.added)


def _feed_forward(draft: Draft, x: str, layer: str, shape: _Shape) -> str:
    weights = np.split(draft.weights(f"{layer}.mlp.Wi.weight", 2 * shape.inner, shape.attention.hidden), 2)
    biases: list[Floats32 | None] = [None] * 2
    if shape.mlp_bias:
        biases = list(np.split(draft.weights(f"{layer}.mlp.Wi.bias", 2 * shape.inner), 2))
    inner, gate = (draft.linear(x, weight, bias) for weight, bias in zip(weights, biases, strict=True))
    inner = draft.add("Mul", [draft.activated(inner, shape.activation), gate])
    return _linear(draft, inner, f"{layer}.mlp.Wo", shape.attention.hidden, shape.inner, shape.mlp_bias)


def _linear(draft: Draft, x: str, name: str, columns: int, rows: int, has_bias: bool) -> str:
    bias = draft.weights(f"{name}.bias", columns) if has_bias else None
    return draft.linear(x, draft.weights(f"{name}.weight", columns, rows), bias)


def _normalised(draft: Draft, x: str, name: str, shape: _Shape) -> str:
    hidden = shape.attention.hidden
    bias = draft.weights(f"{name}.bias", hidden) if shape.norm_bias else None
    return draft.normalised(x, draft.weights(f"{name}.weight", hidden), bias, shape.epsilon)


def _reads_first(settings: Settings) -> bool:
    return bool(settings.one_of("classifier_pooling", "cls", "mean") == "cls")


def _head(draft: Draft, body: Body, classes: int) -> str:
    settings, tensors, hidden = draft.settings, draft.tensors, body.hidden
    pool = heads.first_token if draft.first_alone else heads.mean_of_tokens
    bias = tensors.take("head.dense.bias", hidden) if settings.one_of("classifier_bias", False, True) else None
    x = draft.linear(pool(draft, body.states), tensors.take("head.dense.weight", hidden, hidden), bias)
    x = draft.activated(x, activation(settings, "classifier_activation"))
    norm_bias = tensors.take("head.norm.bias", hidden) if settings.one_of("norm_bias", False, True) else None
    epsilon = settings.real("norm_eps", 1e-5)
    x = draft.normalised(x, tensors.take("head.norm.weight", hidden), norm_bias, epsilon)
    return heads.squeezed(draft, heads.dense(draft, x, "classifier", classes, hidden))


MODERNBERT = Family(
    "ModernBERT", "modernbert", "ModernBert", "model.", _body, _head, plain=True, reads_first=_reads_first
)
