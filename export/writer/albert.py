"""ALBERT: BERT's layers, of which several share weights, on embeddings that are narrower than the states."""

from . import heads
from .bert import embedded
from .family import Body, Family
from .parts import Attention, Draft, Layer, LayerNames, activation
from .settings import NotWrittenError


def _body(draft: Draft) -> Body:
    settings, weights = draft.settings, draft.weights
    settings.one_of("position_embedding_type", "absolute")
    settings.inert("down_scale_factor", "gap_size", "net_structure_type", "num_memory_blocks")  # of its first release
    attention = Attention.of(settings.whole("hidden_size", 4096), settings.whole("num_attention_heads", 64))
    inner, kind = settings.whole("intermediate_size", 16384), activation(settings, "hidden_act", "gelu_new")
    epsilon, width = settings.real("layer_norm_eps", 1e-12), settings.whole("embedding_size", 128)
    count, groups = settings.whole("num_hidden_layers", 12), settings.whole("num_hidden_groups", 1)
    if groups > count:
        raise NotWrittenError(f"its config.json has more num_hidden_groups ({groups}) than layers")
    x, limit = embedded(draft, width, epsilon, vocabulary=30000)
    name = "encoder.embedding_hidden_mapping_in"
    hidden = attention.hidden
    x = draft.linear(x, weights(f"{name}.weight", hidden, width), weights(f"{name}.bias", hidden))
    layers = [
        [
            Layer(
                draft,
                attention,
                _names(f"encoder.albert_layer_groups.{group}.albert_layers.{number}"),
                inner,
                kind,
                epsilon,
            )
            for number in range(settings.whole("inner_group_num", 1))
        ]
        for group in range(groups)
    ]
    for number in range(count):
        for layer in layers[int(number / (count / groups))]:
            x = layer.apply(x)
    pad_id = settings.whole("pad_token_id", 0, at_least=0)
    return Body(x, hidden, limit, pad_id, settings.whole("vocab_size", 30000))


def _names(layer: str) -> LayerNames:
    return LayerNames(
        f"{layer}.attention.query",
        f"{layer}.attention.key",
        f"{layer}.attention.value",
        f"{layer}.attention.dense",
        f"{layer}.attention.LayerNorm",
        f"{layer}.ffn",
        f"{layer}.ffn_output",
        f"{layer}.full_layer_layer_norm",
    )


def _head(draft: Draft, body: Body, classes: int) -> str:
    return heads.dense_then_classifier(draft, body, classes, (f"{draft.prefix}pooler", "classifier"))


ALBERT = Family(
    "ALBERT",
    "albert",
    "Albert",
    "albert.",
    _body,
    _head,
    types=True,
    leftovers=(r".*\.position_ids", r".*\.token_type_ids"),
)
