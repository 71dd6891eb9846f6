"""Reads what export needs from a model's config.json and tokenizer_config.json, without transformers.

Neither file is trusted: a field of the wrong type is an error that names it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tokenizers import Tokenizer

from lossaudit.engine.errors import Function, LossAuditError, Option, brief
from lossaudit.engine.model.bundle import CLASSIFY, MULTI_LABEL

CONFIG, TOKENIZER_CONFIG = "config.json", "tokenizer_config.json"
CLASSIFIER = "ForSequenceClassification"
"""End of the architecture's name in a checkpoint with a classification head."""
_MULTI_LABEL = "multi_label_classification"
"""The problem_type that transformers gives multi-label models."""
_KINDS = {
    True: ("Albert", "Bert", "DebertaV2", "Electra", "PreTrained"),
    False: ("Camembert", "DistilBert", "GPT2", "Llama", "MPNet", "Qwen2", "Roberta", "XLMRoberta"),
}
"""Whether tokenizers give tokens their types, by the start of transformers' class."""


@dataclass(frozen=True)
class ModelConfig:
    """A config.json."""

    architecture: str
    model_type: str
    problem_type: str | None
    labels: tuple[str, ...] | None
    """Names in the order of the logits; None if the file has no id2label."""
    classes: int
    """Number of logits, as transformers reads it."""
    heads: int
    """Number of attention heads; 0 if unknown."""
    hidden: int
    """Width of the states; 0 if unknown."""
    max_position_embeddings: int | None
    pad_token_id: int | None

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads the folder's config.json. Raises LossAuditError if it is missing or can't be used."""
        path = folder / CONFIG
        data = read_object(path)
        model_type = _field(path, data, str, "model_type") or "unknown"
        architectures = _field(path, data, list, "architectures") or [model_type]
        labels = _labels(path, _field(path, data, dict, "id2label"))
        return cls(
            architecture=str(architectures[0]),
            model_type=model_type,
            problem_type=_field(path, data, str, "problem_type"),
            labels=labels,
            classes=len(labels) if labels else _field(path, data, int, "num_labels") or 2,
            heads=_field(path, data, int, "num_attention_heads", "n_heads", "n_head") or 0,
            hidden=_field(path, data, int, "hidden_size", "dim", "n_embd", "d_model") or 0,
            max_position_embeddings=_field(path, data, int, "max_position_embeddings", "n_positions"),
            pad_token_id=_field(path, data, int, "pad_token_id"),
        )


@dataclass(frozen=True)
class TokenizerConfig:
    """A tokenizer_config.json; what it leaves out defaults as in transformers."""

    model_max_length: int
    truncation_side: str
    pad_token_id: int | None
    gives_types: bool | None
    """Whether it gives each token its type; None if that depends on the model."""

    @classmethod
    def read(cls, folder: Path, tokenizer: Tokenizer) -> Self:
        """Reads the folder's tokenizer_config.json, if it has one. Raises LossAuditError if it can't be used."""
        path = folder / TOKENIZER_CONFIG
        data = read_object(path) if path.is_file() else {}
        pad = data.get("pad_token")
        pad = pad.get("content") if isinstance(pad, dict) else pad
        side = _field(path, data, str, "truncation_side") or "right"
        if side not in ("left", "right"):
            raise LossAuditError(f"{path}: truncation_side is {side!r}; it must be left or right")
        return cls(
            model_max_length=int(_field(path, data, (int, float), "model_max_length") or 10**30),
            truncation_side=side,
            pad_token_id=tokenizer.token_to_id(pad) if isinstance(pad, str) else None,
            gives_types=_gives_types(path, data),
        )


def task_of_config(name: str, problem_type: str | None, classes: int, multi_label: bool = False) -> str:
    """A model's task, `CLASSIFY` or `MULTI_LABEL` of `engine/model/bundle.py`.

    multi_label: treat the model as multi-label if its config doesn't say. Raises LossAuditError for a regression
    model, or if the config contradicts multi_label.
    """
    if problem_type == "regression" or classes == 1:
        raise LossAuditError(
            f"{name} is a regression model; the loss of a label needs a classifier with at least two classes"
        )
    if multi_label and problem_type not in (None, _MULTI_LABEL):
        raise LossAuditError(
            f"{name} says problem_type {problem_type!r} in its config.json; leave ", Option("multi_label"), " out"
        )
    return MULTI_LABEL if multi_label or problem_type == _MULTI_LABEL else CLASSIFY


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises LossAuditError if it is missing or something else."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LossAuditError(
            f"{path.parent} has no {path.name}, which names the labels (and no manifest.json, so it isn't a bundle "
            "from `",
            Function("export"),
            "`)",
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise LossAuditError(f"{path} can't be read: {brief(error)}") from error
    if not isinstance(data, dict):
        raise LossAuditError(f"{path} can't be used: it isn't a JSON object")
    return data


def _field(path: Path, data: dict[str, Any], kind: type | tuple[type, ...], *names: str) -> Any:
    """The value of the first of `names` that has one; None if none does."""
    for name in names:
        value = data.get(name)
        if value is None:
            continue
        if not isinstance(value, kind) or isinstance(value, bool):
            raise LossAuditError(f"{path} can't be used: its field {name!r} has the wrong type")
        return value
    return None


def _gives_types(path: Path, data: dict[str, Any]) -> bool | None:
    inputs = _field(path, data, list, "model_input_names")
    if inputs is not None:
        return "token_type_ids" in inputs
    kind = (_field(path, data, str, "tokenizer_class") or "").removesuffix("Fast").removesuffix("Tokenizer")
    known = [gives for gives, kinds in _KINDS.items() if kind in kinds]
    return known[0] if known else None


def _labels(path: Path, id2label: dict[str, Any] | None) -> tuple[str, ...] | None:
    if not id2label:
        return None
    missing = [index for index in range(len(id2label)) if not str(id2label.get(str(index), "")).strip()]
    if missing:
        raise LossAuditError(
            f"{path}: id2label has no label {missing[0]}; it must number {len(id2label)} labels from 0"
        )
    return tuple(str(id2label[str(index)]) for index in range(len(id2label)))
