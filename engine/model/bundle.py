"""A bundle: the folder that holds all that an audit needs. `Bundle.load` opens and checks it.

    model.onnx       the fp32 graph: input_ids, attention_mask (and token_type_ids) to logits
    model.int8*.onnx the same in int8, one file per way of running it
    model.fp16.onnx  the same in fp16, for GPUs, if it was asked for
    tokenizer.json   the `tokenizers` file, without padding and truncation
    manifest.json    this module's `Manifest`

`docs/bundle.md` describes the format. A bundle is data from somewhere else, so it is checked before use:
names stay inside the folder, every file has the hash that the manifest gives, and graphs hold only what is known.
"""

import dataclasses
import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ..errors import Function, LossAuditError, brief
from ..files import check_replaceable, sha256_of
from .graph_checks import check_graph

FORMAT = 2
CLASSIFY, FEATURES, MULTI_LABEL = "classify", "features", "multi-label"
TASKS = (CLASSIFY, FEATURES, MULTI_LABEL)
"""What a graph gives for a text: a logit per class, of which one is right; the state that a head is fitted on; or a
logit per label, of which any may be right."""
PAIRS = "pairs"
"""Key in `left_out` for pairs of texts, if the model can't read them."""
MANIFEST = "manifest.json"
MODEL = "model.onnx"
TOKENIZER = "tokenizer.json"
KNOWN_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(frozen=True)
class Source:
    """Where the checkpoint came from."""

    name: str
    """The hub name or folder given to `export`."""
    revision: str
    """The hub's commit, or `sha256:` and the hash of the folder's files."""


@dataclass(frozen=True)
class Parity:
    """How close the graph is to PyTorch."""

    max_difference: float
    """The largest absolute difference between two logits of the same text."""
    tolerance: float
    """The largest difference that was allowed."""
    texts: int
    """Number of texts compared, each alone and padded in a batch."""


@dataclass(frozen=True)
class Graph:
    """One form of the model."""

    name: str
    """Name, such as `fp32` or `int8-dynamic`."""
    file: str
    precision: str
    """`fp32`, `int8` or `fp16`."""
    backends: tuple[str, ...]
    """The backends that can run it."""
    applied: tuple[str, ...]
    """What export did to it, what it left alone, and why."""
    mean_difference: float
    """Mean absolute difference of its probabilities from fp32's on the same texts; 0 for fp32 itself."""


@dataclass(frozen=True)
class About:
    """The part of a manifest that doesn't depend on the forms of the model."""

    architecture: str
    task: str
    """One of `TASKS`."""
    labels: tuple[str, ...]
    """Label names in the order of the logits."""
    max_length: int
    """The most tokens that the model takes, special tokens included."""
    truncation_side: str
    """Which end of a longer text is cut off: `right` or `left`."""
    pad_id: int
    opset: int
    """Version of the operator set; 0 if unknown."""
    inputs: tuple[str, ...]
    source: Source


@dataclass(frozen=True)
class Manifest(About):
    """A bundle's description of itself."""

    format: int
    versions: dict[str, str]
    """Versions of the packages that made it, by name."""
    files: dict[str, str]
    """Each file's SHA-256, by name."""
    parity: Parity
    """Parity of the fp32 graph."""
    graphs: tuple[Graph, ...]
    """The forms that can be run, the preferred one of each precision first."""
    left_out: dict[str, str]
    """Forms that weren't written, with the reason."""

    @property
    def digest(self) -> str:
        """A hash that identifies the manifest and, by the hashes in it, the bundle."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        fields = {"format": self.format} | dataclasses.asdict(self)  # the format comes first
        return json.dumps(fields, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises ValueError, which says which field is missing or wrong, or that the format is too new."""
        data = json.loads(text)
        if not isinstance(data, dict):
            raise ValueError("it is not a JSON object")
        version = _field(data, "format", int)
        if version > FORMAT:
            raise ValueError(
                f"its format {version} is newer than this version's {FORMAT}: upgrade lossaudit or export again"
            )
        source, parity = _field(data, "source", dict), _field(data, "parity", dict)
        return cls(
            format=version,
            architecture=_field(data, "architecture", str),
            task=_task(data),
            labels=_labels(data),
            max_length=_positive(data, "max_length"),
            truncation_side=_field(data, "truncation_side", str),
            pad_id=_field(data, "pad_id", int),
            opset=_field(data, "opset", int),
            inputs=_inputs(data),
            source=Source(_field(source, "name", str), _field(source, "revision", str)),
            versions={name: str(version) for name, version in _field(data, "versions", dict).items()},
            files=_files(data),
            parity=Parity(
                max_difference=float(_field(parity, "max_difference", (int, float))),
                tolerance=float(_field(parity, "tolerance", (int, float))),
                texts=_field(parity, "texts", int),
            ),
            graphs=_graphs(data),
            left_out={name: str(reason) for name, reason in _field(data, "left_out", dict).items()},
        )


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose files match its manifest (docs/bundle.md). `export` makes it."""

    folder: Path
    """The folder that holds it."""
    manifest: Manifest
    """The fields of its manifest.json, such as `labels`, `max_length` and `parity`."""

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Opens a bundle and checks it.

        Args:
            folder: The folder that `export` wrote.

        Returns:
            The bundle.

        Raises:
            LossAuditError: The folder isn't a bundle, is damaged, was made by a newer version of lossaudit, or holds
                graphs that could do harm.

        Examples:
            >>> la.Bundle.load("bundle").manifest.labels
        """
        folder = Path(folder)
        path = folder / MANIFEST
        if not path.is_file():
            raise LossAuditError(
                f"{folder} is not a bundle: it has no {MANIFEST}; make one with `", Function("export"), "`"
            )
        _check_plain(path)
        try:
            manifest = Manifest.from_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise LossAuditError(f"{path} can't be used: {brief(error)}") from error
        sizes = {name: _check_file(folder / name, expected) for name, expected in manifest.files.items()}
        for file in dict.fromkeys(graph.file for graph in manifest.graphs):
            check_graph(folder / file, sizes)
        return cls(folder, manifest)

    def check_judges(self) -> None:
        """Raises LossAuditError if the graph gives the state of a text instead of logits of labels."""
        if self.manifest.task == FEATURES:
            raise LossAuditError(
                f"{self.folder} is the bundle of an encoder, which has no labels; use `",
                Function("fit"),
                "`, which fits heads on its output",
            )

    def check_reads_pairs(self) -> None:
        """Raises LossAuditError if the model can't read pairs of texts."""
        why_not = self.manifest.left_out.get(PAIRS)
        if why_not is not None:
            raise LossAuditError(f"{self.folder} can't read pairs of texts: {why_not}")

    def graph(self, name: str) -> Graph:
        """A graph of the manifest by its name."""
        return next(graph for graph in self.manifest.graphs if graph.name == name)

    def file_of(self, graph: str) -> Path:
        """The file of a graph, by the graph's name."""
        return self.folder / self.graph(graph).file

    @property
    def tokenizer(self) -> Path:
        return self.folder / TOKENIZER


def _check_file(file: Path, expected: str) -> int:
    """Checks a file against its hash and returns its size."""
    if not os.path.lexists(file):
        raise LossAuditError(f"{file} is missing from the bundle; export the model again")
    _check_plain(file)
    try:
        size, found = file.stat().st_size, sha256_of(file)
    except OSError as error:
        raise LossAuditError(f"{file} can't be read: {brief(error)}") from error
    if found != expected:
        raise LossAuditError(f"{file} is damaged (its SHA-256 isn't the manifest's); export the model again")
    return size


def _check_plain(file: Path) -> None:
    """Refuses anything but plain files, which export writes: a link could lead anywhere, and a pipe has no end."""
    if not stat.S_ISREG(file.lstat().st_mode):
        raise LossAuditError(f"{file} is a link or a device, not a plain file; copy the bundle with its links followed")


def check_bundle_target(target: Path) -> None:
    """Raises LossAuditError unless `target` is new, empty, or a bundle and nothing else; call it before the work."""
    check_replaceable(target, MANIFEST)
    path = target / MANIFEST
    if not path.exists():
        return
    try:
        ours = {MANIFEST, *Manifest.from_json(path.read_text(encoding="utf-8")).files}
    except (OSError, ValueError, RecursionError) as error:
        raise LossAuditError(f"{path} isn't that of a bundle ({brief(error)}); name a folder that is new") from error
    if others := sorted({file.name for file in target.iterdir()} - ours):
        raise LossAuditError(f"{target} holds {others[0]}, which isn't part of the bundle; move it away")


def is_bundle(path: str | Path) -> bool:
    """Whether a path is a folder with a manifest, sound or not."""
    return (Path(path) / MANIFEST).is_file()


def _field(data: dict[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
    if name not in data:
        raise ValueError(f"its field {name!r} is missing")
    if not isinstance(data[name], kind) or isinstance(data[name], bool):
        raise ValueError(f"its field {name!r} has the wrong type")
    return data[name]


def _items(data: dict[str, Any], name: str, kind: type) -> list[Any]:
    items = _field(data, name, list)
    if not items or not all(isinstance(item, kind) for item in items):
        raise ValueError(f"its field {name!r} has the wrong type")
    return list(items)


def _labels(data: dict[str, Any]) -> tuple[str, ...]:
    labels = _items(data, "labels", str)
    if not all(label.strip() for label in labels):
        raise ValueError("its field 'labels' holds a label without a name")
    return tuple(labels)


def _task(data: dict[str, Any]) -> str:
    if data["format"] == 1:  # format 1 had no other task
        return CLASSIFY
    task: str = _field(data, "task", str)
    if task not in TASKS:
        raise ValueError(f"its task {task!r} is not one of {', '.join(TASKS)}")
    return task


def _positive(data: dict[str, Any], name: str) -> int:
    value = int(_field(data, name, int))
    if value < 1:
        raise ValueError(f"its field {name!r} must be at least 1")
    return value


def _inputs(data: dict[str, Any]) -> tuple[str, ...]:
    inputs = tuple(_items(data, "inputs", str))
    unknown = sorted(set(inputs) - set(KNOWN_INPUTS))
    if unknown:
        raise ValueError(f"its graph needs inputs that lossaudit doesn't provide: {', '.join(unknown)}")
    return inputs


def _files(data: dict[str, Any]) -> dict[str, str]:
    files = _field(data, "files", dict)
    for name, digest in files.items():
        if Path(name).name != name or name in ("", ".", "..") or "\0" in name:
            raise ValueError(f"its file name {name!r} leaves the folder")
        if not isinstance(digest, str):
            raise ValueError(f"its file {name!r} has no SHA-256")
    for name in (MODEL, TOKENIZER):
        if name not in files:
            raise ValueError(f"it doesn't list {name}")
    return dict(files)


def _graphs(data: dict[str, Any]) -> tuple[Graph, ...]:
    graphs = []
    for item in _items(data, "graphs", dict):
        graph = Graph(
            name=_field(item, "name", str),
            file=_field(item, "file", str),
            precision=_field(item, "precision", str),
            backends=tuple(_items(item, "backends", str)),
            applied=tuple(str(done) for done in _field(item, "applied", list)),
            mean_difference=float(_field(item, "mean_difference", (int, float))),
        )
        if graph.file not in data["files"]:
            raise ValueError(f"its graph {graph.name!r} is in {graph.file!r}, which isn't among its files")
        graphs.append(graph)
    if all(graph.precision != "fp32" for graph in graphs):
        raise ValueError("it has no fp32 graph")
    return tuple(graphs)
