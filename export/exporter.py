"""Makes bundles. A hub name or checkpoint folder comes in, a checked bundle on disk goes out.

`export_bundle` writes one where the user says; `cached_bundle` keeps one for each checkpoint's content, so
that `audit MODEL` exports a model only once.
"""

import contextlib
import importlib.metadata
import logging
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import optimum.utils.logging
import transformers
import transformers.utils.logging

from lossaudit.engine.backends import Runner
from lossaudit.engine.bundle import CLASSIFY, FORMAT, MANIFEST, MODEL, TOKENIZER, Bundle, Manifest, Parity, Source
from lossaudit.engine.encoding import TextEncoder
from lossaudit.engine.files import check_replaceable, folder_beside, sha256_of
from lossaudit.export import checkpoint as checkpoints
from lossaudit.export.cache import cached
from lossaudit.export.comparison import MOST_TOKENS, texts_with_tokens
from lossaudit.export.forms import Shape, make_forms
from lossaudit.export.graph import input_names, write_graph
from lossaudit.export.parity import check_parity
from lossaudit.export.tokenizer import max_length, pad_id, write_tokenizer
from lossaudit.version import __version__

_MAKERS = ("onnxruntime", "onnx", "optimum-onnx", "tokenizers", "torch", "transformers")

Step = Callable[[str], None]


def export_bundle(model: str, target: Path, on_step: Step = lambda step: None) -> Bundle:
    """Exports a checkpoint to the folder `target`, which is new, empty or an older bundle.

    on_step is told what begins. Raises LossAuditError, and leaves nothing behind, if the checkpoint can't be
    had, loaded or exported, or if the graph differs from PyTorch.
    """
    check_replaceable(target, MANIFEST)
    on_step("finding the checkpoint")
    return _export(checkpoints.find(model), target, on_step)


def cached_bundle(model: str, on_step: Step = lambda step: None) -> Bundle:
    """The bundle of a checkpoint from the user's cache folder, exported first if it isn't there or is damaged."""
    on_step("finding the checkpoint")
    checkpoint = checkpoints.find(model)
    return cached(checkpoint.revision, lambda target: _export(checkpoint, target, on_step))


def _export(checkpoint: checkpoints.Checkpoint, target: Path, on_step: Step) -> Bundle:
    with quiet():
        on_step("loading the weights")
        model = checkpoints.load_model(checkpoint)
        tokenizer = checkpoints.load_tokenizer(checkpoint)
        if model.config.pad_token_id is None:
            # Without one a decoder's classifier takes no batch, since it couldn't tell a text's last token.
            model.config.pad_token_id = tokenizer.pad_token_id
        original = Original(
            checkpoint=checkpoint,
            model=model,
            tokenizer=tokenizer,
            task=CLASSIFY,
            labels=checkpoints.label_names(model.config),
            max_length=max_length(tokenizer, model.config),
            write_graph=lambda path: write_graph(model, path),
            check=lambda runner, encoder: check_parity(model, tokenizer, runner, encoder),
        )
        return write_bundle(original, target, on_step)


@dataclass(frozen=True)
class Original:
    """What a bundle is made of."""

    checkpoint: checkpoints.Checkpoint
    model: transformers.PreTrainedModel
    tokenizer: transformers.PreTrainedTokenizerFast
    task: str
    """See `engine/bundle.py`."""
    labels: tuple[str, ...]
    max_length: int
    """The most tokens that the model takes."""
    write_graph: Callable[[Path], int]
    """Writes the ONNX graph to a path; gives its opset."""
    check: Callable[[Runner, TextEncoder], Parity]
    """Compares a graph with the model. Raises LossAuditError if it differs."""


def write_bundle(original: Original, target: Path, on_step: Step) -> Bundle:
    """Writes the bundle of a model to the folder `target`, or leaves nothing behind. Raises LossAuditError."""
    with tempfile.TemporaryDirectory() as scratch, folder_beside(target, replaceable=MANIFEST) as folder:
        exported = Path(scratch) / "exported.onnx"
        tokenizer, config = original.tokenizer, original.model.config
        on_step("writing the ONNX graph")
        opset = original.write_graph(exported)
        write_tokenizer(tokenizer, folder / TOKENIZER)
        side, padding = tokenizer.truncation_side, pad_id(tokenizer, config)
        encoder = TextEncoder(folder / TOKENIZER, min(original.max_length, MOST_TOKENS), padding, side)
        heads, hidden = (getattr(config, name, 0) for name in ("num_attention_heads", "hidden_size"))
        on_step("rewriting it for CPUs and comparing it with PyTorch")
        forms = make_forms(
            exported,
            folder,
            Shape(heads, hidden, len(original.labels)),
            encoder,
            texts_with_tokens(encoder),
            lambda runner: original.check(runner, encoder),
        )
        manifest = Manifest(
            format=FORMAT,
            architecture=type(original.model).__name__,
            task=original.task,
            labels=original.labels,
            max_length=original.max_length,
            truncation_side=side,
            pad_id=padding,
            opset=opset,
            inputs=input_names(folder / MODEL),
            source=Source(original.checkpoint.name, original.checkpoint.revision),
            versions={"lossaudit": __version__} | {name: importlib.metadata.version(name) for name in _MAKERS},
            files={file.name: sha256_of(file) for file in sorted(folder.iterdir())},
            parity=forms.parity,
            graphs=forms.graphs,
            left_out=forms.left_out,
        )
        (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return Bundle.load(target)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The libraries' warnings off while they work, and back as they were."""
    libraries = (transformers.utils.logging, optimum.utils.logging)
    before = [library.get_verbosity() for library in libraries]
    bars = transformers.utils.logging.is_progress_bar_enabled()
    disabled = logging.root.manager.disable
    for library in libraries:
        library.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(disabled)
        for library, verbosity in zip(libraries, before, strict=True):
            library.set_verbosity(verbosity)
        if bars:
            transformers.utils.logging.enable_progress_bar()
