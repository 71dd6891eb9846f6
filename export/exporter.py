"""Makes a checked bundle on disk from a hub name or a checkpoint folder.

`export_bundle` writes it where the user says; `cached_bundle` keeps one per checkpoint content, so that `audit MODEL`
exports a model only once.
"""

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import optimum.utils.logging
import transformers
import transformers.utils.logging

from lossaudit.engine.cpus import usable_cpus
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.files import folder_beside
from lossaudit.engine.model import backends
from lossaudit.engine.model.backends import Runner
from lossaudit.engine.model.bundle import (
    MANIFEST,
    MODEL,
    PAIRS,
    TOKENIZER,
    About,
    Bundle,
    Parity,
    Source,
    check_bundle_target,
)
from lossaudit.engine.model.encoding import TextEncoder

from . import checkpoint as checkpoints
from . import loading
from .cache import cached, for_gpu
from .comparison import MOST_TOKENS, Check, Exported, Shape, with_pairs
from .config import CONFIG, read_object
from .forms import make_forms
from .graph import input_names, write_graph
from .manifest import Forms, versions_of, write_manifest
from .parity import check_pairs, check_parity
from .tokenizer import max_length, pad_id, write_tokenizer
from .weights import SharedWeights
from .writer.parts import OPSET
from .writer.settings import NotWrittenError
from .writer.writing import UnknownFamilyError, Written, write_classifier

_MAKERS = ("onnxruntime", "onnx", "optimum-onnx", "safetensors", "tokenizers", "torch", "transformers")
_WRITTEN = "written graph"
"""Key in `left_out` for the writer's graph, if Optimum's was taken instead."""

Step = Callable[[str], None]


def export_bundle(
    model: str, target: Path, on_step: Step = lambda step: None, multi_label: bool = False, fp16: bool = False
) -> Bundle:
    """Exports a checkpoint to the folder `target`, which is new, empty or an older bundle.

    on_step: called with each step as it starts. multi_label: any number of labels may be right for a text, if the
    checkpoint's config doesn't say. fp16: add the form for GPUs. Raises LossAuditError and leaves nothing behind if the
    checkpoint can't be found, loaded or exported, or if the graph differs from PyTorch.
    """
    check_bundle_target(target)
    on_step("finding the checkpoint")
    return _export(checkpoints.find(model), target, on_step, multi_label, fp16)


def cached_bundle(model: str, on_step: Step = lambda step: None) -> Bundle:
    """The bundle of a checkpoint from the user's cache folder; it is exported if it is missing or damaged."""
    on_step("finding the checkpoint")
    checkpoint = checkpoints.find(model)
    return cached(checkpoint.revision, lambda target: _export(checkpoint, target, on_step, fp16=for_gpu()))


def _export(
    checkpoint: checkpoints.Checkpoint, target: Path, on_step: Step, multi_label: bool = False, fp16: bool = False
) -> Bundle:
    with quiet_libraries():
        on_step("loading the weights")
        model, task = loading.load_model(checkpoint, multi_label)
        tokenizer = loading.load_tokenizer(checkpoint)
        if model.config.pad_token_id is None:
            # Without one, a decoder's classifier accepts no batch, since it can't find a text's last token.
            model.config.pad_token_id = tokenizer.pad_token_id
        original = Original(
            checkpoint=checkpoint,
            model=model,
            architecture=type(model).__name__,
            tokenizer=tokenizer,
            task=task,
            labels=loading.label_names(model.config),
            max_length=max_length(tokenizer, model.config),
            write=lambda: write_classifier(
                checkpoint.folder,
                read_object(checkpoint.folder / CONFIG),
                model.config.num_labels,
                gives_types(tokenizer),
            ),
            write_graph=lambda path: write_graph(model, path),
            check=lambda runner, encoder: check_parity(model, tokenizer, runner, encoder),
            check_pairs=lambda runner, encoder: check_pairs(model, tokenizer, runner, encoder),
        )
        return write_bundle(original, target, on_step, fp16)


@dataclass(frozen=True)
class Original:
    """The source of a bundle."""

    checkpoint: checkpoints.Checkpoint
    model: transformers.PreTrainedModel
    architecture: str
    """Name of the checkpoint's transformers class."""
    tokenizer: transformers.PreTrainedTokenizerFast
    task: str
    """A task of `engine/model/bundle.py`."""
    labels: tuple[str, ...]
    max_length: int
    """Maximum number of tokens that the model accepts."""
    write: Callable[[], Written]
    """Function that writes the ONNX graph without Optimum. Raises NotWrittenError or LossAuditError if it can't."""
    write_graph: Callable[[Path], int]
    """Function that writes Optimum's ONNX graph to a path and returns its opset."""
    check: Callable[[Runner, TextEncoder], Parity]
    """Comparison of a graph with the model, which raises LossAuditError if they differ."""
    check_pairs: Callable[[Runner, TextEncoder], Parity] | None = None
    """The same comparison on pairs of texts; None for a model that reads only single texts."""


def write_bundle(original: Original, target: Path, on_step: Step, fp16: bool = False) -> Bundle:
    """Writes the bundle of a model to the folder `target`. Raises LossAuditError and leaves nothing behind."""
    with tempfile.TemporaryDirectory() as scratch, folder_beside(target, replaceable=MANIFEST) as folder:
        tokenizer, config = original.tokenizer, original.model.config
        write_tokenizer(tokenizer, folder / TOKENIZER)
        side, padding = tokenizer.truncation_side, pad_id(tokenizer, config)
        encoder = TextEncoder(folder / TOKENIZER, min(original.max_length, MOST_TOKENS), padding, side)
        opset, forms = _best_forms(original, encoder, Path(scratch), folder, on_step, fp16)
        about = About(
            architecture=original.architecture,
            task=original.task,
            labels=original.labels,
            max_length=original.max_length,
            truncation_side=side,
            pad_id=padding,
            opset=opset,
            inputs=input_names(folder / MODEL),
            source=Source(original.checkpoint.name, original.checkpoint.revision),
        )
        write_manifest(folder, about, forms, versions_of(_MAKERS))
    return Bundle.load(target)


def _best_forms(
    original: Original, encoder: TextEncoder, scratch: Path, folder: Path, on_step: Step, fp16: bool
) -> tuple[int, Forms]:
    """The opset and the forms of the graph that lossaudit writes or, if that can't be or isn't right, of Optimum's."""

    def forms_of(graph: Path, family: str = "", applied: tuple[str, ...] | None = None) -> Forms:
        on_step("rewriting it for CPUs and comparing it with PyTorch")
        heads, hidden = (getattr(original.model.config, name, 0) for name in ("num_attention_heads", "hidden_size"))
        shape = Shape(heads, hidden, len(original.labels), original.task)
        check, left_out = _check_of(original, graph, encoder)
        forms = make_forms(Exported(graph, shape, encoder, check, family, applied), folder, fp16)
        return replace(forms, left_out=forms.left_out | left_out)

    why_not = {}
    on_step("writing the ONNX graph")
    try:
        written = original.write()
        graph = SharedWeights(scratch).save(written.model, MODEL)
        return OPSET, forms_of(graph, written.family.name, written.applied)
    except UnknownFamilyError:
        pass
    except (NotWrittenError, LossAuditError) as error:
        why_not = {_WRITTEN: str(error)}
        on_step(f"exporting by Optimum, since {error}")
    exported = scratch / "exported.onnx"
    opset = original.write_graph(exported)
    forms = forms_of(exported)
    return opset, replace(forms, left_out=forms.left_out | why_not)


def _check_of(original: Original, exported: Path, encoder: TextEncoder) -> tuple[Check, dict[str, str]]:
    """The check of `comparison.with_pairs`, and what it leaves out."""
    check_pairs = original.check_pairs

    def check_of_texts(runner: Runner) -> Parity:
        return original.check(runner, encoder)

    if check_pairs is None:
        return check_of_texts, {PAIRS: "it was made for single texts"}

    def check_of_pairs() -> Check:
        check_pairs(backends.load(backends.CPU, exported, workers=1, threads=usable_cpus()), encoder)
        return lambda runner: check_pairs(runner, encoder)

    return with_pairs(check_of_texts, check_of_pairs)


def gives_types(tokenizer: transformers.PreTrainedTokenizerFast) -> bool:
    """Whether a tokenizer gives each token its type."""
    return "token_type_ids" in tokenizer.model_input_names


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silences the libraries' warnings, and restores the settings afterwards."""
    libraries = (transformers.utils.logging, optimum.utils.logging)
    before = [library.get_verbosity() for library in libraries]
    bars = transformers.utils.logging.is_progress_bar_enabled()
    disabled = logging.root.manager.disable
    for library in libraries:
        library.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Models of transformers use TorchScript, which torch 2.14 and newer deprecate with a warning.
            warnings.filterwarnings("ignore", r"`torch\.jit\.", FutureWarning)
            yield
    finally:
        logging.disable(disabled)
        for library, verbosity in zip(libraries, before, strict=True):
            library.set_verbosity(verbosity)
        if bars:
            transformers.utils.logging.enable_progress_bar()
