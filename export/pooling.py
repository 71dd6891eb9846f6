"""Turns the states of a text's tokens into the state of the text: the first token's, or the mean over the tokens.

Finds a checkpoint's pooling from its folder and config, and adds it to the exported graph of the encoder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper

from lossaudit.engine.errors import LossAuditError, brief

from .config import CLASSIFIER
from .onnx_graph import GraphEditor

if TYPE_CHECKING:
    import torch
    import transformers

FIRST, MEAN = "first token", "mean"
STATES = "last_hidden_state"
"""Output of an encoder's graph and model: (rows, tokens, hidden)."""
POOLED = "logits"
"""Output of every bundle's graph; for an encoder, the pooled state, (rows, hidden)."""
CONFIG = "1_Pooling/config.json"
"""File in which sentence-transformers describes a model's pooling."""
_SENTENCES = "sentence_bert_config.json"
"""File in which sentence-transformers limits the tokens per text, often below the model's number of positions."""
_MODES = {"cls": FIRST, "mean": MEAN}
_OLD_MODES = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}
_READ_THE_FIRST_TOKEN = frozenset(
    ["albert", "bert", "camembert", "deberta", "deberta-v2", "distilbert", "electra", "mpnet", "roberta", "xlm-roberta"]
)
"""Families whose classifiers read the first token's state."""


def pooling_of(folder: Path, architecture: str, model_type: str, classifier_pooling: str | None) -> str:
    """The pooling in sentence-transformers' file; else as a classifier's head reads the tokens; else the mean.

    architecture, model_type, classifier_pooling: of config.json. Raises LossAuditError for a pooling that is neither
    FIRST nor MEAN.
    """
    path = folder / CONFIG
    if path.is_file():
        return _said(path)
    if architecture.endswith(CLASSIFIER) and (classifier_pooling == "cls" or model_type in _READ_THE_FIRST_TOKEN):
        return FIRST
    return MEAN


def most_tokens(folder: Path, limit: int) -> int:
    """The limit, or a lower one in sentence-transformers' file. Raises LossAuditError if that can't be read."""
    path = folder / _SENTENCES
    if not path.is_file():
        return limit
    try:
        asked = dict(json.loads(path.read_text(encoding="utf-8"))).get("max_seq_length")
        return min(limit, max(1, int(asked))) if asked else limit
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise LossAuditError(f"{path} can't be read: {brief(error)}") from error


def cache_key(kind: str, revision: str, folder: Path) -> str:
    """A key of the cache for a checkpoint's features bundle: a hash of its files. kind: what else it depends on."""
    digest = hashlib.sha256(f"{kind} {revision}".encode())
    for name in (CONFIG, _SENTENCES):
        file = folder / name
        digest.update(file.read_bytes() if file.is_file() else b"")
    return digest.hexdigest()


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
