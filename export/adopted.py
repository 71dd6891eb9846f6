"""Makes a bundle of a model that is ONNX already, in Optimum's layout: model.onnx, config.json and tokenizer.json.

Nothing here needs torch or transformers. `given.py` says what is checked instead.
"""

import hashlib
import stat
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.files import folder_beside, sha256_of
from lossaudit.engine.model.bundle import MANIFEST, MODEL, TOKENIZER, Bundle, Source, check_bundle_target, is_bundle
from lossaudit.engine.model.graph_checks import check_graph

from .cache import cached, for_gpu
from .config import CONFIG, TOKENIZER_CONFIG, ModelConfig, TokenizerConfig, task_of_config
from .given import Given, Step, write_given
from .tokenizer import max_length, pad_id, read_tokenizer

_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


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
    check_bundle_target(target)
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


def _adopt(given_as: _Folder, target: Path, on_step: Step, multi_label: bool = False, fp16: bool = False) -> Bundle:
    on_step("reading the ONNX folder")
    name = given_as.source.name
    config = ModelConfig.read(given_as.path)
    tokenizer = read_tokenizer(given_as.path / TOKENIZER)
    settings = TokenizerConfig.read(given_as.path, tokenizer)
    given = Given(
        graph=given_as.graph,
        architecture=config.architecture,
        task=task_of_config(name, config.problem_type, len(config.labels or ("", "")), multi_label),
        labels=partial(_labels, config, name),
        tokenizer=tokenizer,
        max_length=max_length(settings, config),
        truncation_side=settings.truncation_side,
        pad_id=pad_id(settings, config),
        heads=config.heads,
        hidden=config.hidden,
        source=given_as.source,
    )
    with folder_beside(target, replaceable=MANIFEST) as folder:
        write_given(given, folder, on_step, fp16)
    return Bundle.load(target)


def _labels(config: ModelConfig, name: str, classes: int) -> tuple[str, ...]:
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
