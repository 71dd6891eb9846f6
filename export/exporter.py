"""Makes bundles. A hub name or checkpoint folder comes in, a checked bundle on disk goes out.

`export_bundle` writes one where the user says; `cached_bundle` keeps one for each checkpoint's content, so
that `audit MODEL` exports a model only once.
"""

import contextlib
import importlib.metadata
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import optimum.utils.logging
import platformdirs
import transformers.utils.logging

from lossaudit.engine import backends
from lossaudit.engine.backends.onnxruntime import Session
from lossaudit.engine.bundle import FORMAT, MANIFEST, MODEL, TOKENIZER, Bundle, Graph, Manifest, Source, is_bundle
from lossaudit.engine.cpus import usable_cpus
from lossaudit.engine.encoding import TextEncoder
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.files import check_replaceable, folder_beside, sha256_of
from lossaudit.export import checkpoint as checkpoints
from lossaudit.export.graph import write_graph
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
    target = _cache_folder(checkpoint.revision)
    if is_bundle(target):
        with contextlib.suppress(LossAuditError):
            return Bundle.load(target)
    return _export(checkpoint, target, on_step)


def _cache_folder(revision: str) -> Path:
    key = revision.removeprefix("sha256:")[:32]
    return Path(platformdirs.user_cache_dir("lossaudit")) / "bundles" / f"{key}-{__version__}"


def _export(checkpoint: checkpoints.Checkpoint, target: Path, on_step: Step) -> Bundle:
    with _quiet(), folder_beside(target, replaceable=MANIFEST) as folder:
        on_step("loading the weights")
        model = checkpoints.load_model(checkpoint)
        tokenizer = checkpoints.load_tokenizer(checkpoint)
        on_step("writing the ONNX graph")
        opset = write_graph(model, folder / MODEL)
        write_tokenizer(tokenizer, folder / TOKENIZER)
        on_step("comparing it with PyTorch")
        encoder = TextEncoder(folder / TOKENIZER, max_length(tokenizer, model.config), pad_id(tokenizer, model.config))
        session = Session(folder / MODEL, "CPUExecutionProvider", usable_cpus())
        parity = check_parity(model, tokenizer, session, encoder)
        graphs = (Graph("fp32", MODEL, "fp32", (backends.CPU, backends.CUDA), (), 0.0),)
        labels = model.config.id2label
        manifest = Manifest(
            format=FORMAT,
            architecture=type(model).__name__,
            labels=tuple(str(labels[index]) for index in range(model.config.num_labels)),
            max_length=encoder.max_length,
            pad_id=encoder.pad_id,
            opset=opset,
            inputs=session.inputs,
            source=Source(checkpoint.name, checkpoint.revision),
            versions={"lossaudit": __version__} | {name: importlib.metadata.version(name) for name in _MAKERS},
            files={file.name: sha256_of(file) for file in sorted(folder.iterdir())},
            parity=parity,
            graphs=graphs,
            left_out={},
        )
        (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return Bundle.load(target)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
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
