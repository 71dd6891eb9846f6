"""Makes a bundle of a model that is ONNX already, in Optimum's layout: model.onnx, config.json and tokenizer.json.

Such a folder comes in, a bundle goes out. Nothing here needs torch or transformers. There is no PyTorch model to
compare with, so the manifest's parity has no texts; what is checked is that the graph takes token ids and gives logits,
that a text's logits don't depend on its batch, and that the rewritten forms give what the given graph gives.
"""

import hashlib
import importlib.metadata
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from lossaudit.engine.cpus import usable_cpus
from lossaudit.engine.data.texts import Text
from lossaudit.engine.errors import LossAuditError, brief
from lossaudit.engine.files import check_replaceable, folder_beside, sha256_of
from lossaudit.engine.model import backends
from lossaudit.engine.model.bundle import (
    FORMAT,
    MANIFEST,
    MODEL,
    TOKENIZER,
    Bundle,
    Manifest,
    Parity,
    Source,
    is_bundle,
)
from lossaudit.engine.model.encoding import TextEncoder
from lossaudit.engine.model.graph_checks import check_graph
from lossaudit.version import __version__

from .cache import cached, for_gpu
from .comparison import (
    MOST_TOKENS,
    TOLERANCE,
    Check,
    compare,
    logits_alone,
    reference_pairs,
    texts_with_tokens,
    with_pairs,
)
from .config import CONFIG, TOKENIZER_CONFIG, ModelConfig, TokenizerConfig, task_of
from .forms import Forms, Shape, make_forms
from .tokenizer import max_length, pad_id, read_tokenizer, without_padding

_MAKERS = ("onnxruntime", "onnx", "tokenizers")
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")

Step = Callable[[str], None]


def is_onnx_folder(path: str | Path) -> bool:
    """Whether a folder holds a model as ONNX alone; where PyTorch's weights are too, they are exported instead."""
    folder = Path(path)
    return (folder / MODEL).is_file() and not is_bundle(folder) and not any(any(folder.glob(kind)) for kind in _WEIGHTS)


def adopt_bundle(
    model: str | Path,
    target: Path,
    on_step: Step = lambda step: None,
    multi_label: bool = False,
    fp16: bool = False,
) -> Bundle:
    """Makes a bundle in the folder `target`, which is new, empty or an older bundle, of an ONNX folder.

    on_step is told what begins. multi_label, fp16: see `exporter.export_bundle`. Raises LossAuditError, and leaves
    nothing behind, if the folder lacks a file, the graph isn't a text classifier's, or a text's logits depend on the
    texts beside it.
    """
    check_replaceable(target, MANIFEST)
    return _adopt(Path(model), str(model), _checked_revision(Path(model)), target, on_step, multi_label, fp16)


def cached_adoption(model: str | Path, on_step: Step = lambda step: None) -> Bundle:
    """The bundle of an ONNX folder from the user's cache folder, made first if it isn't there or is damaged."""
    on_step("reading the ONNX folder")
    revision = _checked_revision(Path(model))
    return cached(revision, lambda target: _adopt(Path(model), str(model), revision, target, on_step, fp16=for_gpu()))


@dataclass(frozen=True)
class _Given:
    """What the graph as it was given says of some texts or pairs."""

    encoder: TextEncoder
    architecture: str
    texts: Sequence[Text]
    logits: NDArray[np.float32]
    """(texts, classes), each text alone."""
    difference: float
    """The largest of a text's logits alone and in a batch."""

    @classmethod
    def run(cls, graph: Path, encoder: TextEncoder, architecture: str, texts: Sequence[Text]) -> "_Given":
        runner = _load(graph)
        try:
            logits = logits_alone(runner, encoder, texts)
        except Exception as error:  # ONNX Runtime's errors share no public base class
            raise LossAuditError(f"{graph} can't be run: {brief(error)}") from error
        name = f"{graph} ({architecture})"
        return cls(encoder, architecture, texts, logits, compare(name, runner, encoder, texts, "itself", logits))

    def check(self, runner: backends.Runner) -> Parity:
        """Raises LossAuditError if another form of the graph gives something else."""
        name = f"the rewritten graph of {self.architecture}"
        difference = compare(name, runner, self.encoder, self.texts, "the given one", self.logits)
        return Parity(max(difference, self.difference), TOLERANCE, texts=0)


def _adopt(
    source: Path,
    name: str,
    revision: str,
    target: Path,
    on_step: Step,
    multi_label: bool = False,
    fp16: bool = False,
) -> Bundle:
    on_step("reading the ONNX folder")
    config = ModelConfig.read(source)
    tokenizer = read_tokenizer(source / TOKENIZER)
    settings = TokenizerConfig.read(source, tokenizer)
    task = task_of(name, config.problem_type, len(config.labels or ("", "")), multi_label)
    with folder_beside(target, replaceable=MANIFEST) as folder:
        without_padding(tokenizer).save(str(folder / TOKENIZER))
        limit, padding, side = max_length(settings, config), pad_id(settings, config), settings.truncation_side
        encoder = TextEncoder(folder / TOKENIZER, min(limit, MOST_TOKENS), padding, side)
        on_step("checking the graph")
        run = partial(_Given.run, source / MODEL, encoder, config.architecture)
        given = run(texts_with_tokens(encoder))
        check, without_pairs = with_pairs(given.check, lambda: run(reference_pairs(encoder.max_length)).check)
        labels = _labels(config, given.logits.shape[1], name)
        forms = _forms(source, folder, config, task, given, check, on_step, fp16)
        manifest = Manifest(
            format=FORMAT,
            architecture=config.architecture,
            task=task,
            labels=labels,
            max_length=limit,
            truncation_side=side,
            pad_id=padding,
            opset=_opset(source / MODEL),
            inputs=_load(folder / MODEL).inputs,
            source=Source(name, revision),
            versions={"lossaudit": __version__} | _versions(),
            files={file.name: sha256_of(file) for file in sorted(folder.iterdir())},
            parity=forms.parity,
            graphs=forms.graphs,
            left_out=forms.left_out | without_pairs,
        )
        (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return Bundle.load(target)


def _forms(
    source: Path, folder: Path, config: ModelConfig, task: str, given: _Given, check: Check, on_step: Step, fp16: bool
) -> Forms:
    """Writes the bundle's graphs."""
    on_step("rewriting it for CPUs and comparing it with the given graph")
    shape = Shape(config.heads, config.hidden, given.logits.shape[1], task)
    texts = texts_with_tokens(given.encoder)
    try:
        return make_forms(source / MODEL, folder, shape, given.encoder, texts, check, fp16)
    except LossAuditError:
        raise
    except Exception as error:  # onnx and protobuf raise whatever they like of a graph that isn't as they want it
        raise LossAuditError(f"{source / MODEL} can't be rewritten: {brief(error)}") from error


def _opset(graph: Path) -> int:
    opsets = onnx.load(graph, load_external_data=False).opset_import
    return max((one.version for one in opsets if one.domain in ("", "ai.onnx")), default=0)


def _labels(config: ModelConfig, classes: int, name: str) -> tuple[str, ...]:
    task_of(name, config.problem_type, classes)
    labels = config.labels or tuple(f"LABEL_{index}" for index in range(classes))  # as transformers calls them
    if len(labels) != classes:
        raise LossAuditError(f"{name}: config.json names {len(labels)} labels, but the graph gives {classes} logits")
    return labels


def _checked_revision(folder: Path) -> str:
    """A hash of the files that are adopted. Raises LossAuditError for a graph that nothing should open.

    model.onnx may be a link, as in the hub's cache; its weights beside it may not, and onnx reads no such.
    """
    found = {file.name: file.lstat() for file in folder.iterdir()}
    sizes = {name: one.st_size for name, one in found.items() if stat.S_ISREG(one.st_mode)}
    weights = check_graph(folder / MODEL, sizes, "export it again, or copy the folder with its links followed")
    digest = hashlib.sha256()
    for name in (MODEL, *sorted(weights), CONFIG, TOKENIZER, TOKENIZER_CONFIG):
        if (folder / name).is_file():
            digest.update(f"{name}\0{sha256_of(folder / name)}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def _versions() -> dict[str, str]:
    found = {}
    for name in _MAKERS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _load(graph: Path) -> backends.onnxruntime.Session:
    return backends.onnxruntime.Cpu().load(graph, workers=1, threads=usable_cpus())
