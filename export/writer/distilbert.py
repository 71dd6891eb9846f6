"""DistilBERT: BERT's layers under other names, without types and without a pooler in the encoder."""

from . import heads
from .family import Body, Family
from .parts import RELU, Attention, Draft, Layer, LayerNames, activation

_EPSILON = 1e-12


def _body(draft: Draft) -> Body:
    settings, weights = draft.settings, draft.weights
    attention = Attention.of(settings.whole("dim", 768), settings.whole("n_heads", 12))
    inner, kind = settings.whole("hidden_dim", 3072), activation(settings, "activation")
    settings.inert("sinusoidal_pos_embds")  # the checkpoint holds the positions, however they began
    hidden, limit = attention.hidden, settings.whole("max_position_embeddings", 512)
    vocabulary = settings.whole("vocab_size", 30522)
    words = weights("embeddings.word_embeddings.weight", vocabulary, hidden)
    positions = weights("embeddings.position_embeddings.weight", limit, hidden)
    norm = [weights(f"embeddings.LayerNorm.{part}", hidden) for part in ("weight", "bias")]
    x = draft.add("Add", [draft.embedded(words), draft.first_rows(positions)])
    x = draft.normalised(x, norm[0], norm[1], _EPSILON)
    for number in range(settings.whole("n_layers", 6)):
        x = Layer(draft, attention, _names(f"transformer.layer.{number}"), inner, kind, _EPSILON).apply(x)
    return Body(x, hidden, limit, settings.whole("pad_token_id", 0, at_least=0), vocabulary)


def _names(layer: str) -> LayerNames:
    return LayerNames(
        f"{layer}.attention.q_lin",
        f"{layer}.attention.k_lin",
        f"{layer}.attention.v_lin",
        f"{layer}.attention.out_lin",
        f"{layer}.sa_layer_norm",
        f"{layer}.ffn.lin1",
        f"{layer}.ffn.lin2",
        f"{layer}.output_layer_norm",
    )


def _head(draft: Draft, body: Body, classes: int) -> str:
    return heads.dense_then_classifier(draft, body, classes, ("pre_classifier", "classifier"), RELU)


DISTILBERT = Family("DistilBERT", "distilbert", "DistilBert", "distilbert.", _body, _head)
