"""Turns the states of a text's tokens into the state of the text: the first token's, or the mean over the tokens.

Finds a checkpoint's pooling from its folder and config, and adds it to the exported graph of the encoder.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
import transformers
from onnx import TensorProto, helper

from lossaudit.engine.errors import LossAuditError, brief

from .config import CLASSIFIER
from .onnx_graph import GraphEditor

FIRST, MEAN = "first token", "mean"
STATES = "last_hidden_state"
"""Output of an encoder's graph and model: (rows, tokens, hidden)."""
POOLED = "logits"
"""Output of every bundle's graph; for an encoder, the pooled state, (rows, hidden)."""
CONFIG = "1_Pooling/config.json"
"""File in which sentence-transformers describes a model's pooling."""
_MODES = {"cls": FIRST, "mean": MEAN}
_OLD_MODES = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}
_READ_THE_FIRST_TOKEN = frozenset(
    ["albert", "bert", "camembert", "deberta", "deberta-v2", "distilbert", "electra", "mpnet", "roberta", "xlm-roberta"]
)
"""Families whose classifiers read the first token's state."""


def pooling_of(folder: Path, config: transformers.PretrainedConfig) -> str:
    """The pooling in sentence-transformers' file; else as a classifier's head reads the tokens; else the mean.

    Raises LossAuditError for a pooling that is neither FIRST nor MEAN.
    """
    path = folder / CONFIG
    if path.is_file():
        return _said(path)
    architecture = (config.architectures or [""])[0]
    if architecture.endswith(CLASSIFIER):
        if getattr(config, "classifier_pooling", None) == "cls":  # ModernBERT
            return FIRST
        if config.model_type in _READ_THE_FIRST_TOKEN:
            return FIRST
    return MEAN


def _said(path: Path) -> str:
    try:
        settings = dict(json.loads(path.read_text(encoding="utf-8")))
        modes = settings.get("pooling_mode") or [
            _OLD_MODES.get(name, name.removeprefix("pooling_mode_"))
            for name, wanted in settings.items()
            if name.startswith("pooling_mode_") and wanted is True
        ]
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise LossAuditError(f"{path} can't be read: {brief(error)}") from error
    modes = [modes] if isinstance(modes, str) else list(modes)
    if len(modes) != 1 or modes[0] not in _MODES:
        named = " and ".join(map(str, modes)) or "nothing"
        raise LossAuditError(f"{path} pools by {named}; lossaudit supports only mean and cls (the first token)")
    return _MODES[modes[0]]


def pooled(model: transformers.PreTrainedModel, inputs: Mapping[str, torch.Tensor], pooling: str) -> torch.Tensor:
    """(rows, hidden) states of the model in PyTorch, with which the graph is compared."""
    states: torch.Tensor = model(**inputs).last_hidden_state
    if pooling == FIRST:
        return states[:, 0]
    mask = inputs["attention_mask"][:, :, None].to(states.dtype)
    return (states * mask).sum(dim=1) / mask.sum(dim=1)


def append_pooling(path: Path, pooling: str) -> None:
    """Adds the pooling to an encoder's graph in place, with its result as the only output.

    Raises LossAuditError if the graph doesn't return the tokens' states.
    """
    model = onnx.load(path)
    editor = GraphEditor(model)
    if STATES not in editor.outputs:
        raise LossAuditError(f"its graph returns {', '.join(editor.outputs)}, not {STATES}: it isn't a text encoder")
    pooled_states = _first(editor) if pooling == FIRST else _mean(editor)
    axis = editor.add_constant(np.array([1], dtype=np.int64))
    model.graph.node.append(helper.make_node("Squeeze", [pooled_states, axis], [POOLED], "pooled"))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(POOLED, TensorProto.FLOAT, ["batch_size", "hidden"]))
    editor.finish()
    # Weights go beside the graph, since a graph file above 2 GB can't be read.
    onnx.save(model, path, save_as_external_data=True, location=f"{path.name}.pooled")


def _first(editor: GraphEditor) -> str:
    return editor.add("Gather", [STATES, editor.add_constant(np.array([0], dtype=np.int64))], axis=1)


def _mean(editor: GraphEditor) -> str:
    """The mean as one product per text: each token's share of the mask, (rows, 1, tokens), times the states."""
    axis = editor.add_constant(np.array([1], dtype=np.int64))
    mask = editor.add("Cast", ["attention_mask"], to=TensorProto.FLOAT)
    shares = editor.add("Div", [mask, editor.add("ReduceSum", [mask, axis], keepdims=1)])
    return editor.add("MatMul", [editor.add("Unsqueeze", [shares, axis]), STATES])
