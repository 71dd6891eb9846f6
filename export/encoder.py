"""Makes features bundles from checkpoints: bundles whose graph returns the state of each text.

The checkpoint may be a bare encoder, a sentence-transformers folder or a fine-tuned classifier, whose encoder is used.
`pooling.py` turns the tokens' states into one.
"""

import inspect
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import AutoModel

from lossaudit.engine.arrays import Floats32
from lossaudit.engine.errors import LossAuditError, brief
from lossaudit.engine.model.backends import Runner
from lossaudit.engine.model.bundle import FEATURES, Bundle, Parity, check_bundle_target
from lossaudit.engine.model.encoding import TextEncoder

from . import checkpoint as checkpoints
from . import loading
from . import pooling as poolings
from .cache import cached, for_gpu
from .comparison import TOLERANCE, texts_with_tokens
from .config import CLASSIFIER, CONFIG, read_object
from .exporter import Original, Step, gives_types, quiet_libraries, write_bundle
from .graph import write_graph
from .parity import TorchModel, compare_with_torch
from .tokenizer import max_length
from .writer.writing import write_encoder
from .written import POOLS


def export_encoder(model: str, target: Path, on_step: Step = lambda step: None, fp16: bool = False) -> Bundle:
    """Exports a checkpoint's encoder to the folder `target`, which is new, empty or an older bundle.

    on_step: called with each step as it starts. fp16: add the form for GPUs. Raises LossAuditError and leaves nothing
    behind if the encoder can't be found, loaded or exported, or if the graph differs from PyTorch.
    """
    check_bundle_target(target)
    on_step("finding the encoder")
    return _export(checkpoints.find(model), target, on_step, fp16)


def cached_encoder(model: str, on_step: Step = lambda step: None) -> Bundle:
    """The features bundle of a checkpoint from the user's cache folder; it is exported if it is missing or damaged."""
    on_step("finding the encoder")
    checkpoint = checkpoints.find(model)
    key = poolings.cache_key(FEATURES, checkpoint.revision, checkpoint.folder)
    return cached(key, lambda target: _export(checkpoint, target, on_step, for_gpu()))


def _export(checkpoint: checkpoints.Checkpoint, target: Path, on_step: Step, fp16: bool) -> Bundle:
    with quiet_libraries():
        on_step("loading the weights")
        model = _load(checkpoint)
        tokenizer = loading.load_tokenizer(checkpoint)
        config = model.config
        pooling = poolings.pooling_of(
            checkpoint.folder,
            str((config.architectures or [""])[0]),
            config.model_type,
            getattr(config, "classifier_pooling", None),
        )

        def write(path: Path) -> int:
            opset = write_graph(model, path, "feature-extraction")
            poolings.append_pooling(path, pooling)
            return opset

        original = Original(
            checkpoint=checkpoint,
            model=model,
            architecture=_architecture(model),
            tokenizer=tokenizer,
            task=FEATURES,
            labels=tuple(f"{pooling} {place}" for place in range(_hidden(model))),
            max_length=poolings.most_tokens(checkpoint.folder, max_length(tokenizer, config)),
            write=lambda: write_encoder(
                checkpoint.folder, read_object(checkpoint.folder / CONFIG), POOLS[pooling], gives_types(tokenizer)
            ),
            write_graph=write,
            check=lambda runner, encoder: _check(model, tokenizer, pooling, runner, encoder),
        )
        return write_bundle(original, target, on_step, fp16)


def _load(checkpoint: checkpoints.Checkpoint) -> transformers.PreTrainedModel:
    """The encoder, in fp32 and evaluation mode. Raises LossAuditError, naming the checkpoint, if it can't be used."""
    try:
        config = loading.load_config(checkpoint)
        if config.is_encoder_decoder:
            raise LossAuditError(
                f"{checkpoint.name} is an encoder with a decoder ({config.model_type}), and its encoder can't be used "
                "by itself; name an encoder-only model"
            )
        model, found_missing = loading.load_weights(AutoModel, checkpoint, config)
    except LossAuditError:
        raise
    except Exception as error:  # transformers raises OSError, ValueError, KeyError, RuntimeError, UnpicklingError …
        raise LossAuditError(f"the encoder of {checkpoint.name} can't be loaded: {brief(error)}") from error
    missing = [name for name in found_missing if "pooler" not in name]  # the pooler isn't used
    if missing:
        raise LossAuditError(
            f"{checkpoint.name} isn't a complete {type(model).__name__} (no weights for {', '.join(missing[:4])})"
        )
    if model.config.pad_token_id is None:
        model.config.pad_token_id = 0  # any will do: the mask marks the padding
    return model


def _hidden(model: transformers.PreTrainedModel) -> int:
    size = getattr(model.config, "hidden_size", None)
    if not isinstance(size, int):
        raise LossAuditError(f"{type(model).__name__} isn't a text encoder: its config has no hidden_size")
    return size


def _architecture(model: transformers.PreTrainedModel) -> str:
    """The classifier's architecture if the encoder comes from one: it may have learned the labels that heads judge."""
    saved = str((model.config.architectures or [""])[0])
    return saved if saved.endswith(CLASSIFIER) else type(model).__name__


def _check(
    model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerFast,
    pooling: str,
    runner: Runner,
    encoder: TextEncoder,
) -> Parity:
    """The largest difference between PyTorch's states and the graph's. The tolerance scales with the largest state,
    since an encoder's scale is arbitrary: heads are fitted on standardised states."""
    taken = inspect.signature(model.forward).parameters  # a tokenizer may return more (ModernBERT's: token types)

    def state(inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return poolings.pooled(model, {k: v for k, v in inputs.items() if k in taken}, pooling)

    def tolerance(states: Floats32) -> float:
        return TOLERANCE * float(np.abs(states).max())

    torch_model = TorchModel(model, tokenizer, state)
    return compare_with_torch(torch_model, runner, encoder, texts_with_tokens(encoder), tolerance)
