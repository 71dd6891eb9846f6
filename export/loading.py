"""Loads a checkpoint as a transformers model and tokenizer.

No code of the checkpoint runs. Remote code is off; weights come from safetensors or, where there are only old
`pytorch_model.bin` files, through torch's weights-only loader, which builds nothing but tensors.
"""

from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from lossaudit.engine.errors import Function, LossAuditError, brief

from .checkpoint import Checkpoint
from .config import task_of_config


def load_model(checkpoint: Checkpoint, multi_label: bool = False) -> tuple[transformers.PreTrainedModel, str]:
    """The sequence classifier, in fp32 and evaluation mode, and its task (see `config.task_of_config`).

    Raises LossAuditError for another task, a missing trained head, or unsafe or broken weights.
    """
    try:
        config = load_config(checkpoint)
        task = task_of_config(checkpoint.name, config.problem_type, config.num_labels, multi_label)
        model, missing = load_weights(AutoModelForSequenceClassification, checkpoint, config)
    except LossAuditError:
        raise
    except Exception as error:  # transformers raises OSError, ValueError, KeyError, RuntimeError, UnpicklingError …
        raise LossAuditError(f"{checkpoint.name} can't be loaded as a sequence classifier: {brief(error)}") from error
    if missing:
        raise LossAuditError(
            f"{checkpoint.name} has no trained classification head (no weights for {', '.join(missing[:4])}); "
            "name a model that was fine-tuned to classify text, or use `",
            Function("fit"),
            "`, which needs none",
        )
    return model, task


def load_config(checkpoint: Checkpoint) -> transformers.PretrainedConfig:
    """A checkpoint's config. Raises transformers' own errors if it can't be read."""
    config = AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=False)
    newer = getattr(config, "rope_parameters", None)
    if isinstance(newer, dict) and not hasattr(type(config)(), "rope_parameters"):
        _read_rope(config, newer)
    return config


def _read_rope(config: transformers.PretrainedConfig, newer: dict[str, Any]) -> None:
    """Tells transformers 4 the rotary positions' base where 5 writes it, which it would silently take for its default.

    Raises LossAuditError for other rotary positions than the plain ones.
    """
    nested = {"global_rope_theta": newer.get("full_attention"), "local_rope_theta": newer.get("sliding_attention")}
    places = nested if hasattr(config, "global_rope_theta") else {"rope_theta": newer}
    for name, rope in places.items():
        if not isinstance(rope, dict) or set(rope) != {"rope_theta", "rope_type"} or rope["rope_type"] != "default":
            raise LossAuditError(
                f"its config.json has rope_parameters, which transformers {transformers.__version__} doesn't read"
            )
        setattr(config, name, rope["rope_theta"])


def load_weights(
    auto_class: Any, checkpoint: Checkpoint, config: transformers.PretrainedConfig
) -> tuple[transformers.PreTrainedModel, list[str]]:
    """A model of one of transformers' `Auto…` classes, in fp32 and evaluation mode, and the names of the weights that
    the checkpoint lacks. Runs no code of the checkpoint; raises transformers' own errors."""
    model, loading = auto_class.from_pretrained(
        checkpoint.folder,
        config=config,
        trust_remote_code=False,
        use_safetensors=any(checkpoint.folder.glob("*.safetensors")),
        weights_only=True,
        dtype=torch.float32,
        output_loading_info=True,
    )
    return model.eval(), sorted(loading["missing_keys"])


def load_tokenizer(checkpoint: Checkpoint) -> transformers.PreTrainedTokenizerFast:
    """The fast tokenizer; a slow one is converted. Raises LossAuditError, with the reason, if that fails."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(checkpoint.folder, use_fast=True, trust_remote_code=False)
    except Exception as error:  # as in load_model
        raise LossAuditError(f"the tokenizer of {checkpoint.name} can't be loaded: {brief(error)}") from error
    if not tokenizer.is_fast:
        raise LossAuditError(
            f"the tokenizer of {checkpoint.name} ({type(tokenizer).__name__}) has no fast form: "
            "transformers can't convert it, and lossaudit runs only tokenizers of the `tokenizers` library"
        )
    return tokenizer


def label_names(config: transformers.PretrainedConfig) -> tuple[str, ...]:
    """The labels in the order of the logits. Raises LossAuditError if the config doesn't name them all."""
    missing = [index for index in range(config.num_labels) if index not in config.id2label]
    if missing:
        raise LossAuditError(
            f"the config's id2label has no label {missing[0]}; it must number {config.num_labels} labels from 0"
        )
    return tuple(str(config.id2label[index]) for index in range(config.num_labels))
