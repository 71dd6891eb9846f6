"""GPT-2: a decoder with learned positions, whose products keep their weights as (rows, columns)."""

from dataclasses import dataclass

import numpy as np

from . import causal, plain
from .family import Body, Family
from .parts import Attention, Draft, activation


@dataclass(frozen=True)
class _Shape:
    """What all layers share."""

    attention: Attention
    inner: int
    activation: str
    epsilon: float


def _body(draft: Draft) -> Body:
    causal.check_classifier(draft)
    settings = draft.settings
    settings.inert("summary_activation", "summary_proj_to_labels", "summary_type", "summary_use_proj", "n_ctx")
    settings.inert("attn_pdrop", "embd_pdrop", "resid_pdrop")
    settings.one_of("scale_attn_weights", True)
    settings.one_of("scale_attn_by_inverse_layer_idx", False)
    settings.one_of("reorder_and_upcast_attn", False)
    attention = Attention.of(settings.whole("n_embd", 768), settings.whole("n_head", 12))
    hidden = attention.hidden
    inner = settings.whole("n_inner", 4 * hidden)
    kind = activation(settings, "activation_function", "gelu_new")
    shape = _Shape(attention, inner, kind, settings.real("layer_norm_epsilon", 1e-5))
    count, limit = settings.whole("n_layer", 12), settings.whole("n_positions", 1024)
    vocabulary = settings.whole("vocab_size", 50257)
    x = draft.embedded(draft.weights("wte.weight", vocabulary, hidden))
    x = draft.add("Add", [x, draft.first_rows(draft.weights("wpe.weight", limit, hidden))])
    last = causal.Last(draft)
    for number in range(count):
        x = _layer(draft, x, f"h.{number}", shape, last, number == count - 1)
    pad = settings.structure("pad_token_id")
    return Body(
        _normalised(draft, x, "ln_f", shape),
        hidden,
        limit,
        0 if pad is None else int(pad),
        vocabulary,
        "the last token",
    )


def _layer(draft: Draft, x: str, name: str, shape: _Shape, last: causal.Last, alone: bool) -> str:
    """The layer's output, of the last token alone if the others aren't needed."""
    hidden, add = shape.attention.hidden, draft.add
    keys = queries = _normalised(draft, x, f"{name}.ln_1", shape)
    one, ones = (draft.constant(np.array(axes, dtype=np.int64)) for axes in ([1], [1, 2]))
    if alone:
        queries, x = last.of(keys), last.of(x)
        scores = add("Unsqueeze", [causal.scores_of_later(draft, last.numbers, last.place), ones])
    else:
        scores = causal.scores_of_later(draft, last.numbers, add("Unsqueeze", [last.numbers, one]))
    stacked = draft.weights(f"{name}.attn.c_attn.weight", hidden, 3 * hidden)
    biases = np.split(draft.weights(f"{name}.attn.c_attn.bias", 3 * hidden), 3)
    weights = np.split(stacked, 3, axis=1)
    width = hidden // shape.attention.heads
    scale = np.float32(width**-0.5)
    weights[0], biases[0] = weights[0] * scale, biases[0] * scale
    query, key, value = (
        plain.by_head(draft, draft.linear(source, weight.T, bias), shape.attention.heads, width)
        for source, weight, bias in zip((queries, keys, keys), weights, biases, strict=True)
    )
    context = plain.context(draft, query, key, value, scores)
    x = add("Add", [x, _linear(draft, context, f"{name}.attn.c_proj", hidden, hidden)])
    own = _linear(draft, _normalised(draft, x, f"{name}.ln_2", shape), f"{name}.mlp.c_fc", hidden, shape.inner)
    own = draft.activated(own, shape.activation)
    return add("Add", [x, _linear(draft, own, f"{name}.mlp.c_proj", shape.inner, hidden)])


def _linear(draft: Draft, x: str, name: str, rows: int, columns: int) -> str:
    weight = draft.weights(f"{name}.weight", rows, columns)
    return draft.linear(x, weight.T, draft.weights(f"{name}.bias", columns))


def _normalised(draft: Draft, x: str, name: str, shape: _Shape) -> str:
    weight, bias = (draft.weights(f"{name}.{part}", shape.attention.hidden) for part in ("weight", "bias"))
    return draft.normalised(x, weight, bias, shape.epsilon)


GPT2 = Family(
    "GPT-2", "gpt2", "GPT2", "transformer.", _body, causal.head, plain=True, leftovers=(r".*\.attn\.(masked_)?bias",)
)
