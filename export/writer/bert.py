"""BERT and the families whose encoder is BERT's: RoBERTa, XLM-R, CamemBERT and ELECTRA."""

import functools

from . import heads
from .family import Body, Family
from .parts import GELU, TANH, TYPES, Attention, Draft, Layer, LayerNames, activation

_BUFFERS = (r".*\.position_ids", r".*\.token_type_ids")


def _body(draft: Draft, hidden: int = 768, heads: int = 12, pad_id: int | None = None, narrow: bool = False) -> Body:
    """hidden, heads: defaults. pad_id: default in the families that count positions from the padding token; None in the
    others. narrow: whether embeddings may be narrower than states."""
    settings = draft.settings
    settings.one_of("position_embedding_type", "absolute")
    settings.inert("summary_activation", "summary_last_dropout", "summary_type", "summary_use_proj")  # multiple choice
    epsilon = settings.real("layer_norm_eps", 1e-12)
    attention = Attention.of(settings.whole("hidden_size", hidden), settings.whole("num_attention_heads", heads))
    hidden = attention.hidden
    width = settings.whole("embedding_size", 128) if narrow else hidden
    inner, kind = settings.whole("intermediate_size", 1024 if narrow else 3072), activation(settings, "hidden_act")
    x, limit = embedded(draft, width, epsilon, pad_id)
    if width != hidden:
        name = "embeddings_project"
        x = draft.linear(x, draft.weights(f"{name}.weight", hidden, width), draft.weights(f"{name}.bias", hidden))
    for number in range(settings.whole("num_hidden_layers", 12)):
        names = LayerNames.like_bert(f"encoder.layer.{number}")
        x = Layer(draft, attention, names, inner, kind, epsilon).apply(x)
    return Body(
        x,
        hidden,
        limit,
        settings.whole("pad_token_id", pad_id or 0, at_least=0),
        settings.whole("vocab_size", 30522),
    )


def embedded(
    draft: Draft, width: int, epsilon: float, pad_id: int | None = None, vocabulary: int = 30522
) -> tuple[str, int]:
    """The tokens' embeddings, and the most tokens. pad_id: see `_body`. vocabulary: default of its size."""
    settings, weights = draft.settings, draft.weights
    limit = settings.whole("max_position_embeddings", 512)
    words = weights("embeddings.word_embeddings.weight", settings.whole("vocab_size", vocabulary), width)
    positions = weights("embeddings.position_embeddings.weight", limit, width)
    types = weights("embeddings.token_type_embeddings.weight", settings.whole("type_vocab_size", 2), width)
    if not draft.reads_types:
        positions = positions + types[0]
    if pad_id is None:
        position = draft.first_rows(positions)
    else:
        pad_id = settings.whole("pad_token_id", pad_id, at_least=0)
        limit -= pad_id + 1
        position = draft.embedded(positions, draft.positions_after_padding(pad_id))
    x = draft.add("Add", [draft.embedded(words), position])
    if draft.reads_types:
        x = draft.add("Add", [x, draft.embedded(types, TYPES)])
    norm = [weights(f"embeddings.LayerNorm.{part}", width) for part in ("weight", "bias")]
    return draft.normalised(x, norm[0], norm[1], epsilon), limit


def _pooler_head(draft: Draft, body: Body, classes: int) -> str:
    names = f"{draft.prefix}pooler.dense", "classifier"
    return heads.dense_then_classifier(draft, body, classes, names)


def _own_head(draft: Draft, body: Body, classes: int, kind: str = TANH) -> str:
    return heads.dense_then_classifier(draft, body, classes, ("classifier.dense", "classifier.out_proj"), kind)


def _like_roberta(name: str, model_type: str, stem: str) -> Family:
    return Family(name, model_type, stem, "roberta.", functools.partial(_body, pad_id=1), _own_head, leftovers=_BUFFERS)


BERT = Family("BERT", "bert", "Bert", "bert.", _body, _pooler_head, types=True, leftovers=_BUFFERS)
ROBERTA = _like_roberta("RoBERTa", "roberta", "Roberta")
XLM_ROBERTA = _like_roberta("XLM-R", "xlm-roberta", "XLMRoberta")
CAMEMBERT = _like_roberta("CamemBERT", "camembert", "Camembert")
ELECTRA = Family(
    "ELECTRA",
    "electra",
    "Electra",
    "electra.",
    functools.partial(_body, hidden=256, heads=4, narrow=True),
    functools.partial(_own_head, kind=GELU),
    types=True,
    leftovers=_BUFFERS,
)
