"""Writes the graph of a checkpoint: a folder with config.json and safetensors comes in, an ONNX model goes out.

A checkpoint that isn't exactly what a family's sequence classifier is in transformers isn't guessed at: it raises
`NotWrittenError`, with the reason.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from lossaudit.engine.errors import Function, LossAuditError

from . import albert, bert, deberta, distilbert, gpt2, heads, llama, modernbert, mpnet
from .family import Body, Family
from .parts import Draft
from .settings import NotWrittenError, Settings
from .tensors import MissingTensorError, Tensors

FAMILIES = {
    family.model_type: family
    for family in (
        albert.ALBERT,
        bert.BERT,
        bert.CAMEMBERT,
        bert.ELECTRA,
        bert.ROBERTA,
        bert.XLM_ROBERTA,
        deberta.DEBERTA,
        distilbert.DISTILBERT,
        gpt2.GPT2,
        llama.LLAMA,
        llama.QWEN2,
        llama.QWEN3,
        modernbert.MODERNBERT,
        mpnet.MPNET,
    )
}
"""The families that can be written, by transformers' `model_type`."""
_ADAPTER = "adapter_config.json"
"""File of an adapter, which changes the weights that lie beside it."""


class UnknownFamilyError(NotWrittenError):
    """There is no writer for a family."""


@dataclass(frozen=True)
class Written:
    """A graph that was written, and what it expects."""

    model: onnx.ModelProto
    family: Family
    limit: int | None
    """The most tokens that it has positions for; None without a limit."""
    pad_id: int
    """The token that it knows as padding."""
    hidden: int
    """Width of the tokens' states."""
    vocabulary: int
    """Number of tokens that have embeddings."""
    applied: tuple[str, ...] | None
    """What was done to layers that are in their final form; None if they are to be rewritten."""


def family_of(config: dict[str, Any]) -> Family:
    """The family of a config.json. Raises NotWrittenError if there is no writer for it."""
    found = FAMILIES.get(str(config.get("model_type")))
    if found is None:
        raise UnknownFamilyError(f"its model_type is {config.get('model_type')!r}")
    return found


def write_classifier(folder: Path, config: dict[str, Any], classes: int, reads_types: bool | None) -> Written:
    """The graph of a sequence classifier, from token ids to logits.

    config: its config.json. reads_types: whether the tokenizer gives tokens their types; None if it doesn't say.
    Raises NotWrittenError for what the family's writer doesn't know, LossAuditError for files that are broken.
    """
    family = family_of(config)
    named = config.get("architectures")
    if named != [family.classifier]:
        raise NotWrittenError(f"its config.json has architectures: {named!r}, not [{family.classifier!r}]")

    def finish(draft: Draft, body: Body) -> str:
        try:
            return family.head(draft, body, classes)
        except MissingTensorError as error:
            raise LossAuditError(
                f"{folder} has no trained classification head (no weights for {error.name}); "
                "name a model that was fine-tuned to classify text, or use `",
                Function("fit"),
                "`, which needs none",
            ) from error

    return _written(folder, config, family, reads_types, finish)


def write_encoder(
    folder: Path, config: dict[str, Any], pool: Callable[[Draft, str], str], reads_types: bool | None
) -> Written:
    """The graph of an encoder, from token ids to states pooled by a function of `heads.py`. See `write_classifier`."""

    def finish(draft: Draft, body: Body) -> str:
        return heads.squeezed(draft, pool(draft, body.states))

    family = family_of(config)
    return _written(folder, config, family, reads_types, finish, pool is heads.first_token)


def _written(
    folder: Path,
    config: dict[str, Any],
    family: Family,
    reads_types: bool | None,
    finish: Callable[[Draft, Body], str],
    first_alone: bool | None = None,
) -> Written:
    """first_alone: whether only the first token's state of an encoder is needed; None for a classifier."""
    if (folder / _ADAPTER).is_file():
        raise NotWrittenError(f"it has an {_ADAPTER}, whose adapter changes its weights")
    settings, tensors = Settings(folder / "config.json", config), Tensors(folder)
    prefix = family.prefix if tensors.has_prefix(family.prefix) else ""
    leftovers = [*family.leftovers, *(() if first_alone is None else _of_heads(prefix))]
    if first_alone is None:
        first_alone = family.reads_first(settings)
    draft = Draft(settings, tensors, prefix, family.types if reads_types is None else reads_types, first_alone)
    body = family.body(draft)
    logits = finish(draft, body)
    settings.check_all_read()
    tensors.check_all_taken(leftovers)
    applied = None
    if family.plain:
        applied = (f"last layer for {body.read} alone" if first_alone else "last layer whole: all tokens are read",)
    return Written(draft.finished(logits), family, body.limit, body.pad_id, body.hidden, body.vocabulary, applied)


def _of_heads(prefix: str) -> list[str]:
    """Patterns of the tensors that an encoder is used without: the pooler's, and what stands outside the encoder."""
    return [rf"{re.escape(prefix)}pooler\..*", *([rf"(?!{re.escape(prefix)}).*"] if prefix else [])]
