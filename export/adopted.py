"""Makes a bundle of a model that is ONNX already, in Optimum's layout: model.onnx, config.json and tokenizer.json.

Nothing here needs torch or transformers. There is no PyTorch model to compare with, so the manifest's parity counts no
texts. Instead, the graph must take token ids and return logits, a text's logits mustn't depend on its batch, and the
rewritten forms must agree with the given graph.
"""

import hashlib
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import onnx

from lossaudit.engine.cpus import usable_cpus
from lossaudit.engine.data.texts import Text
from lossaudit.engine.errors import LossAuditError, brief
from lossaudit.engine.files import check_replaceable, folder_beside, sha256_of
from lossaudit.engine.model import backends
from lossaudit.engine.model.bundle import (
    MANIFEST,
    MODEL,
    TOKENIZER,
    About,
    Bundle,
    Parity,
    Source,
    is_bundle,
)
from lossaudit.engine.model.encoding import TextEncoder
from lossaudit.engine.model.graph_checks import check_graph

from .cache import cached, for_gpu
from .comparison import (
    MOST_TOKENS,
    TOLERANCE,
    Exported,
    Reference,
    Shape,
    logits_alone,
    reference_pairs,
    texts_with_tokens,
    with_pairs,
)
from .config import CONFIG, TOKENIZER_CONFIG, ModelConfig, TokenizerConfig, task_of_config
from .forms import make_forms
from .manifest import Forms, versions_of, write_manifest
from .tokenizer import max_length, pad_id, read_tokenizer, without_padding

_MAKERS = ("onnxruntime", "onnx", "tokenizers")
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")

Step = Callable[[str], None]


def is_onnx_folder(path: str | Path) -> bool:
    """Whether a folder holds a model only as ONNX. If it has PyTorch weights as well, those are exported instead."""
    folder = Path(path)
    return (folder / MODEL).is_file() and not is_bundle(folder) and not any(any(folder.glob(kind)) for kind in _WEIGHTS)


def adopt_bundle(
    model: str | Path,
    target: Path,
    on_step: Step = lambda step: None,
    multi_label: bool = False,
    fp16: bool = False,
) -> Bundle:
    """Makes a bundle from an ONNX folder in the folder `target`, which is new, empty or an older bundle.

    on_step: called with each step as it starts. multi_label, fp16: see `exporter.export_bundle`. Raises LossAuditError
    and leaves nothing behind if the folder lacks a file, the graph isn't a text classifier, or a text's logits depend
    on the other texts of its batch.
    """
    check_replaceable(target, MANIFEST)
    return _adopt(_Folder.of(model), target, on_step, multi_label, fp16)


def cached_adoption(model: str | Path, on_step: Step = lambda step: None) -> Bundle:
    """The bundle of an ONNX folder from the user's cache folder; it is made if it is missing or damaged."""
    on_step("reading the ONNX folder")
    folder = _Folder.of(model)
    return cached(folder.source.revision, lambda target: _adopt(folder, target, on_step, fp16=for_gpu()))


@dataclass(frozen=True)
class _Folder:
    """An ONNX folder."""

    path: Path
    source: Source

    @classmethod
    def of(cls, model: str | Path) -> "_Folder":
        path = Path(model)
        return cls(path, Source(str(model), _checked_revision(path)))

    @property
    def graph(self) -> Path:
        return self.path / MODEL


@dataclass(frozen=True)
class _Given:
    """The output of the given graph for some texts or pairs."""

    architecture: str
    reference: Reference
    """Logits of each text by itself."""
    difference: float
    """Largest difference between a text's logits alone and in a batch."""

    @classmethod
    def run(cls, graph: Path, encoder: TextEncoder, architecture: str, texts: Sequence[Text]) -> "_Given":
        runner = _load(graph)
        try:
            logits = logits_alone(runner, encoder, texts)
        except Exception as error:  # ONNX Runtime's errors share no public base class
            raise LossAuditError(f"{graph} can't be run: {brief(error)}") from error
        reference = Reference("itself", encoder, texts, logits)
        difference = reference.compare(f"{graph} ({architecture})", runner)
        return cls(architecture, replace(reference, name="the given one"), difference)

    @property
    def classes(self) -> int:
        """Logits per text."""
        return int(self.reference.logits.shape[1])

    def check(self, runner: backends.Runner) -> Parity:
        """The parity of another form of the graph. Raises LossAuditError if it differs."""
        difference = self.reference.compare(f"the rewritten graph of {self.architecture}", runner)
        return Parity(max(difference, self.difference), TOLERANCE, texts=0)


def _adopt(given_as: _Folder, target: Path, on_step: Step, multi_label: bool = False, fp16: bool = False) -> Bundle:
    on_step("reading the ONNX folder")
    name = given_as.source.name
    config = ModelConfig.read(given_as.path)
    tokenizer = read_tokenizer(given_as.path / TOKENIZER)
    settings = TokenizerConfig.read(given_as.path, tokenizer)
    task = task_of_config(name, config.problem_type, len(config.labels or ("", "")), multi_label)
    with folder_beside(target, replaceable=MANIFEST) as folder:
        without_padding(tokenizer).save(str(folder / TOKENIZER))
        limit, padding, side = max_length(settings, config), pad_id(settings, config), settings.truncation_side
        encoder = TextEncoder(folder / TOKENIZER, min(limit, MOST_TOKENS), padding, side)
        on_step("checking the graph")
        run = partial(_Given.run, given_as.graph, encoder, config.architecture)
        given = run(texts_with_tokens(encoder))
        check, without_pairs = with_pairs(given.check, lambda: run(reference_pairs(encoder.max_length)).check)
        labels = _labels(config, given.classes, name)
        shape = Shape(config.heads, config.hidden, given.classes, task)
        exported = Exported(given_as.graph, shape, encoder, check)
        on_step("rewriting it for CPUs and comparing it with the given graph")
        forms = _rewritten(exported, folder, fp16)
        about = About(
            architecture=config.architecture,
            task=task,
            labels=labels,
            max_length=limit,
            truncation_side=side,
            pad_id=padding,
            opset=_opset(given_as.graph),
            inputs=_load(folder / MODEL).inputs,
            source=given_as.source,
        )
        forms = replace(forms, left_out=forms.left_out | without_pairs)
        write_manifest(folder, about, forms, versions_of(_MAKERS))
    return Bundle.load(target)


def _rewritten(exported: Exported, folder: Path, fp16: bool) -> Forms:
    try:
        return make_forms(exported, folder, fp16)
    except LossAuditError:
        raise
    except Exception as error:  # onnx and protobuf raise anything for a graph that they don't expect
        raise LossAuditError(f"{exported.graph} can't be rewritten: {brief(error)}") from error


def _opset(graph: Path) -> int:
    opsets = onnx.load(graph, load_external_data=False).opset_import
    return max((one.version for one in opsets if one.domain in ("", "ai.onnx")), default=0)


def _labels(config: ModelConfig, classes: int, name: str) -> tuple[str, ...]:
    task_of_config(name, config.problem_type, classes)
    labels = config.labels or tuple(f"LABEL_{index}" for index in range(classes))  # as transformers calls them
    if len(labels) != classes:
        raise LossAuditError(f"{name}: config.json names {len(labels)} labels, but the graph gives {classes} logits")
    return labels


def _checked_revision(folder: Path) -> str:
    """A hash of the adopted files. Raises LossAuditError for a graph that isn't safe to open.

    model.onnx may be a link, as in the hub's cache. The weights beside it may not: onnx doesn't read linked ones.
    """
    found = {file.name: file.lstat() for file in folder.iterdir()}
    sizes = {name: one.st_size for name, one in found.items() if stat.S_ISREG(one.st_mode)}
    weights = check_graph(folder / MODEL, sizes, "export it again, or copy the folder with its links followed")
    digest = hashlib.sha256()
    for name in (MODEL, *sorted(weights), CONFIG, TOKENIZER, TOKENIZER_CONFIG):
        if (folder / name).is_file():
            digest.update(f"{name}\0{sha256_of(folder / name)}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def _load(graph: Path) -> backends.onnxruntime.Session:
    return backends.onnxruntime.Cpu().load(graph, workers=1, threads=usable_cpus())
