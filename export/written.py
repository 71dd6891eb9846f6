"""Makes bundles from checkpoints where PyTorch isn't installed, with graphs that lossaudit writes (`writer/`).

`given.py` says what is checked; that the writer computes what PyTorch does is proved by its tests.
"""

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.files import folder_beside
from lossaudit.engine.model.bundle import FEATURES, MANIFEST, MODEL, Bundle, Source, check_bundle_target

from . import checkpoint as checkpoints
from .cache import cached, for_gpu
from .checkpoint import Checkpoint
from .config import CLASSIFIER, CONFIG, ModelConfig, TokenizerConfig, read_object, task_of_config
from .given import Given, Step, write_given
from .pooling import FIRST, MEAN, cache_key, most_tokens, pooling_of
from .tokenizer import UNLIMITED
from .vocabulary import tokenizer_of
from .weights import SharedWeights
from .writer.heads import first_token, mean_of_tokens
from .writer.settings import NotWrittenError
from .writer.writing import Written, write_classifier, write_encoder

Make = Callable[[Checkpoint, Path], Given]
"""Function (checkpoint, folder for the graph) that writes the graph."""
POOLS = {FIRST: first_token, MEAN: mean_of_tokens}


def write_bundle(
    model: str, target: Path, on_step: Step = lambda step: None, multi_label: bool = False, fp16: bool = False
) -> Bundle:
    """Makes a bundle from a checkpoint in the folder `target`, which is new, empty or an older bundle.

    on_step: called with each step as it starts. multi_label, fp16: see `exporter.export_bundle`. Raises LossAuditError
    and leaves nothing behind if the checkpoint can't be found or read, or if the writer doesn't know its like.
    """
    check_bundle_target(target)
    on_step("finding the checkpoint")
    make = partial(_classifier, multi_label=multi_label)
    return _write(checkpoints.find(model, pickled=False), make, target, on_step, fp16)


def write_encoder_bundle(model: str, target: Path, on_step: Step = lambda step: None, fp16: bool = False) -> Bundle:
    """Makes a features bundle in the same way."""
    check_bundle_target(target)
    on_step("finding the encoder")
    return _write(checkpoints.find(model, pickled=False), _encoder, target, on_step, fp16)


def cached_writing(model: str, on_step: Step = lambda step: None) -> Bundle:
    """The bundle of a checkpoint from the user's cache folder; it is made if it is missing or damaged."""
    on_step("finding the checkpoint")
    checkpoint = checkpoints.find(model, pickled=False)
    # Another key than the exporter's, whose bundles were compared with PyTorch.
    key = hashlib.sha256(f"written {checkpoint.revision}".encode()).hexdigest()
    return cached(key, lambda target: _write(checkpoint, _classifier, target, on_step, for_gpu()))


def cached_encoder_writing(model: str, on_step: Step = lambda step: None) -> Bundle:
    """The features bundle of a checkpoint from the user's cache folder; it is made if it is missing or damaged."""
    on_step("finding the encoder")
    checkpoint = checkpoints.find(model, pickled=False)
    key = cache_key(f"written {FEATURES}", checkpoint.revision, checkpoint.folder)
    return cached(key, lambda target: _write(checkpoint, _encoder, target, on_step, for_gpu()))


def _write(checkpoint: Checkpoint, make: Make, target: Path, on_step: Step, fp16: bool) -> Bundle:
    with tempfile.TemporaryDirectory() as scratch, folder_beside(target, replaceable=MANIFEST) as folder:
        on_step("writing the ONNX graph")
        try:
            given = make(checkpoint, Path(scratch))
        except NotWrittenError as error:
            raise LossAuditError(
                f"{checkpoint.name} can't be exported without PyTorch: {error}; "
                "pip install 'lossaudit[export]' adds PyTorch and its exporter"
            ) from error
        write_given(given, folder, on_step, fp16)
    return Bundle.load(target)


def _classifier(checkpoint: Checkpoint, scratch: Path, multi_label: bool = False) -> Given:
    read = _Read.of(checkpoint)
    config, values = read.config, read.values
    task = task_of_config(checkpoint.name, config.problem_type, config.classes, multi_label)
    written = write_classifier(checkpoint.folder, values, config.classes, read.tokenizer_config.gives_types)

    def names(outputs: int) -> tuple[str, ...]:
        return config.labels or tuple(f"LABEL_{index}" for index in range(outputs))  # as transformers calls them

    return read.given(written, scratch, written.family.classifier, task, names)


def _encoder(checkpoint: Checkpoint, scratch: Path) -> Given:
    read = _Read.of(checkpoint)
    config, values = read.config, read.values
    pooling = pooling_of(checkpoint.folder, config.architecture, config.model_type, values.get("classifier_pooling"))
    written = write_encoder(checkpoint.folder, values, POOLS[pooling], read.tokenizer_config.gives_types)
    of_classifier = config.architecture.endswith(CLASSIFIER)
    architecture = config.architecture if of_classifier else f"{written.family.stem}Model"

    def names(outputs: int) -> tuple[str, ...]:
        return tuple(f"{pooling} {place}" for place in range(outputs))

    given = read.given(written, scratch, architecture, FEATURES, names)
    return replace(given, max_length=most_tokens(checkpoint.folder, given.max_length))


@dataclass(frozen=True)
class _Read:
    """The files of a checkpoint apart from its weights."""

    checkpoint: Checkpoint
    config: ModelConfig
    values: dict[str, Any]
    """Everything in config.json."""
    tokenizer: Tokenizer
    tokenizer_config: TokenizerConfig

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> "_Read":
        folder = checkpoint.folder
        config, values = ModelConfig.read(folder), read_object(folder / CONFIG)
        tokenizer = tokenizer_of(folder, config.model_type)
        return cls(checkpoint, config, values, tokenizer, TokenizerConfig.read(folder, tokenizer))

    def given(
        self,
        written: Written,
        scratch: Path,
        architecture: str,
        task: str,
        labels: Callable[[int], tuple[str, ...]],
    ) -> Given:
        """The written graph, saved in the folder `scratch`. Raises LossAuditError if its tokenizer doesn't fit it."""
        highest = max(self.tokenizer.get_vocab(with_added_tokens=True).values(), default=0)
        if highest >= written.vocabulary:
            raise LossAuditError(
                f"{self.checkpoint.name}: the tokenizer has tokens up to {highest:,}, but there are embeddings for "
                f"{written.vocabulary:,} only; the tokenizer must be the one that the model was trained with"
            )
        if written.pad_id >= written.vocabulary:
            raise LossAuditError(
                f"{self.checkpoint.name}: config.json has pad_token_id {written.pad_id}, but there are embeddings for "
                f"{written.vocabulary:,} tokens only"
            )
        limit = min(self.tokenizer_config.model_max_length, written.limit or UNLIMITED)
        return Given(
            graph=SharedWeights(scratch).save(written.model, MODEL),
            architecture=architecture,
            task=task,
            labels=labels,
            tokenizer=self.tokenizer,
            max_length=limit,
            truncation_side=self.tokenizer_config.truncation_side,
            pad_id=written.pad_id,
            heads=0,
            hidden=written.hidden,
            source=Source(self.checkpoint.name, self.checkpoint.revision),
            family=written.family.name,
            applied=written.applied,
        )
