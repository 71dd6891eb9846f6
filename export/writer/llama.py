"""Llama, Qwen2 and Qwen3: decoders with rotary positions, RMS normalisation and gated feed-forward parts, in which
several heads of queries may share one of keys and values."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from lossaudit.engine.arrays import Floats32

from . import causal, plain
from .family import Body, Family
from .parts import Draft
from .settings import NotWrittenError, Settings


@dataclass(frozen=True)
class _Kind:
    """What distinguishes a family."""

    input_biases: bool | None
    """Whether queries, keys and values have biases; None if attention_bias says so, for the output too."""
    normalises_heads: bool
    mlp_biases: bool
    """Whether mlp_bias says if the feed-forward part has biases; it has none in the others."""
    head_width: int | None
    """Default; None for a share of the states' width."""


_LLAMA = _Kind(None, False, True, None)
_QWEN2 = _Kind(True, False, False, None)
_QWEN3 = _Kind(None, True, False, 128)


@dataclass(frozen=True)
class _Shape:
    """What all layers share."""

    hidden: int
    heads: int
    groups: int
    """Number of heads of keys and values."""
    width: int
    """Width of a head."""
    inner: int
    epsilon: float
    input_biases: bool
    output_biases: bool
    mlp_biases: bool
    normalises_heads: bool


@dataclass(frozen=True)
class _Tokens:
    """Which tokens ask, and what they know of the others."""

    cosines: str
    """Of queries, broadcast to (rows, queries, heads, width / 2)."""
    sines: str
    scores: str
    """What is added to the scores, broadcast to (rows, groups, heads of a group, queries, tokens)."""


def _body(draft: Draft, kind: _Kind) -> Body:
    causal.check_classifier(draft)
    settings = draft.settings
    settings.inert("sliding_window", "max_window_layers")  # unless use_sliding_window
    settings.one_of("use_sliding_window", False)
    settings.one_of("pretraining_tp", 1)
    settings.one_of("hidden_act", "silu")
    shape = _shape(settings, kind)
    count, limit = settings.whole("num_hidden_layers", 32), settings.whole("max_position_embeddings", 2048)
    types = settings.structure("layer_types")
    if types not in (None, ["full_attention"] * count):
        raise NotWrittenError("its config.json has layer_types other than full_attention for each layer")
    vocabulary = settings.whole("vocab_size", 32000)
    x = draft.embedded(draft.weights("embed_tokens.weight", vocabulary, shape.hidden))
    last = causal.Last(draft)
    everything, alone = _askers(draft, last, _base(settings), shape, limit)
    for number in range(count):
        x = _layer(draft, x, f"layers.{number}", shape, everything, (last, alone) if number == count - 1 else None)
    pad = settings.structure("pad_token_id")
    return Body(
        _rms(draft, x, "norm", shape), shape.hidden, limit, 0 if pad is None else int(pad), vocabulary, "the last token"
    )


def _shape(settings: Settings, kind: _Kind) -> _Shape:
    hidden, heads = settings.whole("hidden_size", 4096), settings.whole("num_attention_heads", 32)
    width = settings.whole("head_dim", kind.head_width or max(1, hidden // heads))
    groups = settings.whole("num_key_value_heads", heads)
    if width % 2 or heads % groups:
        raise NotWrittenError(f"its heads ({heads}, of the width {width}) don't fit {groups} heads of keys")
    biases = kind.input_biases
    if biases is None:
        biases = settings.one_of("attention_bias", False, True)
    return _Shape(
        hidden=hidden,
        heads=heads,
        groups=groups,
        width=width,
        inner=settings.whole("intermediate_size", 11008),
        epsilon=settings.real("rms_norm_eps", 1e-6),
        input_biases=biases,
        output_biases=biases and kind.input_biases is None,
        mlp_biases=kind.mlp_biases and settings.one_of("mlp_bias", False, True),
        normalises_heads=kind.normalises_heads,
    )


def _base(settings: Settings) -> float:
    """The base of the rotary positions, where transformers 4 and 5 write it."""
    settings.one_of("rope_scaling", None)
    older: Any = settings.structure("rope_theta")
    newer = settings.structure("rope_parameters")
    if newer is None:
        return settings.real("rope_theta", 10_000.0)
    if not isinstance(newer, dict) or set(newer) != {"rope_theta", "rope_type"} or newer["rope_type"] != "default":
        raise NotWrittenError("its config.json has rope_parameters that aren't the plain ones")
    if older not in (None, newer["rope_theta"]):
        raise NotWrittenError("its config.json has a rope_theta that isn't that of its rope_parameters")
    return Settings(settings.path, newer).real("rope_theta", 0.0)


def _askers(draft: Draft, last: causal.Last, base: float, shape: _Shape, limit: int) -> tuple[_Tokens, _Tokens]:
    """All tokens, and the last one."""
    add = draft.add
    cosines, sines = plain.rotary_tables(draft, base, shape.width, limit)
    one, two, ones = (draft.constant(np.array(axes, dtype=np.int64)) for axes in ([1], [2], [1, 2, 3]))
    of_all = causal.scores_of_later(draft, last.numbers, add("Unsqueeze", [last.numbers, one]))
    of_last = add("Unsqueeze", [causal.scores_of_later(draft, last.numbers, last.place), ones])
    own = [add("Unsqueeze", [last.of(add("Squeeze", [part, one])), two]) for part in (cosines, sines)]
    return _Tokens(cosines, sines, of_all), _Tokens(own[0], own[1], of_last)


def _layer(
    draft: Draft, x: str, name: str, shape: _Shape, everything: _Tokens, alone: tuple[causal.Last, _Tokens] | None
) -> str:
    """The layer's output, of the last token alone if `alone` is given."""
    keys = queries = _rms(draft, x, f"{name}.input_layernorm", shape)
    asking = everything
    if alone is not None:
        last, asking = alone
        queries, x = last.of(keys), last.of(x)
    context = _attention(draft, queries, keys, f"{name}.self_attn", shape, asking, everything)
    x = draft.add("Add", [x, context])
    own = _rms(draft, x, f"{name}.post_attention_layernorm", shape)
    linear = partial(_linear, draft, has_bias=shape.mlp_biases)
    gate = linear(own, f"{name}.mlp.gate_proj", shape.inner, shape.hidden)
    gate = draft.add("Mul", [gate, draft.add("Sigmoid", [gate])])
    inner = draft.add("Mul", [gate, linear(own, f"{name}.mlp.up_proj", shape.inner, shape.hidden)])
    return draft.add("Add", [x, linear(inner, f"{name}.mlp.down_proj", shape.hidden, shape.inner)])


def _attention(
    draft: Draft, queries: str, keys: str, name: str, shape: _Shape, asking: _Tokens, everything: _Tokens
) -> str:
    add, width, groups = draft.add, shape.width, shape.groups

    def projected(x: str, kind: str, heads: int) -> str:
        made = _linear(draft, x, f"{name}.{kind}_proj", heads * width, shape.hidden, shape.input_biases)
        made = plain.by_head(draft, made, heads, width)
        normalises = shape.normalises_heads and kind != "v"
        return _rms(draft, made, f"{name}.{kind}_norm", shape, width) if normalises else made

    def grouped(x: str, heads: int) -> str:
        sizes = np.array([0, 0, groups, heads // groups, width], dtype=np.int64)
        return add("Reshape", [x, draft.constant(sizes)])

    query = plain.rotated(draft, projected(queries, "q", shape.heads), asking.cosines, asking.sines)
    query = add("Mul", [query, draft.constant(np.float32(width**-0.5))])
    key = plain.rotated(draft, projected(keys, "k", groups), everything.cosines, everything.sines)
    query = add("Transpose", [grouped(query, shape.heads)], perm=[0, 2, 3, 1, 4])
    key = add("Transpose", [grouped(key, groups)], perm=[0, 2, 3, 4, 1])
    value = add("Transpose", [grouped(projected(keys, "v", groups), groups)], perm=[0, 2, 3, 1, 4])
    weights = add("Softmax", [add("Add", [add("MatMul", [query, key]), asking.scores])], axis=-1)
    context = add("Transpose", [add("MatMul", [weights, value])], perm=[0, 3, 1, 2, 4])
    context = add("Reshape", [context, draft.constant(np.array([0, 0, shape.heads * width], dtype=np.int64))])
    return _linear(draft, context, f"{name}.o_proj", shape.hidden, shape.heads * width, shape.output_biases)


def _linear(draft: Draft, x: str, name: str, columns: int, rows: int, has_bias: bool) -> str:
    bias: Floats32 | None = draft.weights(f"{name}.bias", columns) if has_bias else None
    return draft.linear(x, draft.weights(f"{name}.weight", columns, rows), bias)


def _rms(draft: Draft, x: str, name: str, shape: _Shape, width: int | None = None) -> str:
    """A tensor divided by the root of its mean square, and scaled."""
    add = draft.add
    square = add("ReduceMean", [add("Mul", [x, x])], axes=[-1], keepdims=1)
    root = add("Sqrt", [add("Add", [square, draft.constant(np.float32(shape.epsilon))])])
    weight = draft.constant(draft.weights(f"{name}.weight", width or shape.hidden))
    return add("Mul", [add("Div", [x, root]), weight])


def _family(name: str, model_type: str, stem: str, kind: _Kind) -> Family:
    body = partial(_body, kind=kind)
    return Family(name, model_type, stem, "model.", body, causal.head, plain=True, leftovers=(r".*\.inv_freq",))


LLAMA = _family("Llama", "llama", "Llama", _LLAMA)
QWEN2 = _family("Qwen2", "qwen2", "Qwen2", _QWEN2)
QWEN3 = _family("Qwen3", "qwen3", "Qwen3", _QWEN3)
