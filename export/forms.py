"""Makes the forms of a model that a bundle holds: fp32, and int8 for each way of running it.

A graph as Optimum exports it comes in; rewritten graphs, checked against a reference and against each other, go out.
A form that can't be made or isn't near enough is left out, with the reason; without fp32 there is no bundle.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import EncodeError
from numpy.typing import NDArray

from lossaudit.engine import backends
from lossaudit.engine.bundle import MODEL, Graph, Parity
from lossaudit.engine.cpus import usable_cpus
from lossaudit.engine.encoding import TextEncoder
from lossaudit.engine.errors import LossAuditError, brief
from lossaudit.engine.loss import log_softmax
from lossaudit.engine.scoring import Scorer, encode_shard
from lossaudit.engine.tuning import BUDGET
from lossaudit.export.arithmetic import Activation, Arithmetic, DynamicInt8, Fp32, QdqInt8, StaticInt8
from lossaudit.export.calibration import calibrate
from lossaudit.export.fusion import fuse, has_subgraphs
from lossaudit.export.lowering import NotLoweredError, activations, find_layers, lower
from lossaudit.export.onnx_graph import GraphEditor
from lossaudit.export.products import find_products, quantise_products
from lossaudit.export.pruning import NotPrunedError, prune_last_layer
from lossaudit.export.weights import SharedWeights

INT8_TOLERANCE = 0.05
"""Mean absolute difference of a probability from fp32's; a graph that is further off than this is broken."""

CheckFp32 = Callable[[backends.Runner], Parity]


@dataclass(frozen=True)
class Forms:
    """What was made."""

    graphs: tuple[Graph, ...]
    left_out: dict[str, str]
    """By the form's name, why it wasn't made."""
    parity: Parity
    """Of fp32 with the reference."""


@dataclass(frozen=True)
class Shape:
    """What the rewriting asks of a model's config."""

    heads: int
    """0: to be found in the graph."""
    hidden: int
    """0: to be found in the graph."""
    classes: int


@dataclass(frozen=True)
class _Base:
    """A graph whose products can be written in another arithmetic."""

    model: onnx.ModelProto
    activations: list[str]
    """That the products read."""
    write: Callable[[onnx.ModelProto, dict[str, Activation], Arithmetic, bool], None]
    """Changes a copy of the model, given what calibration saw, in an arithmetic, for ONNX Runtime alone or not."""
    applied: tuple[str, ...]


def make_forms(
    exported: Path,
    folder: Path,
    shape: Shape,
    encoder: TextEncoder,
    texts: list[str],
    check_fp32: CheckFp32,
) -> Forms:
    """Writes all forms of a graph to a bundle's folder.

    texts: to calibrate and compare on. check_fp32 compares a graph with the reference and raises LossAuditError if it
    differs.
    """
    weights = SharedWeights(folder)
    try:
        base = _rewrite(exported, shape)
        fp32 = copy.deepcopy(base.model)
        base.write(fp32, {}, Fp32(), True)
        parity = check_fp32(_load(backends.CPU, weights.save(fp32, MODEL)))
    except (NotLoweredError, LossAuditError) as error:
        # As exported, it may still be right; then it is only slower.
        weights = SharedWeights(folder)
        base = _as_exported(exported, str(error))
        parity = check_fp32(_load(backends.CPU, weights.save(copy.deepcopy(base.model), MODEL)))
    int8, left_out = _int8_forms(base, weights, folder, encoder, texts, shape.classes)
    return Forms((_fp32_graph(base.applied), *int8), left_out, parity)


def _fp32_graph(applied: tuple[str, ...]) -> Graph:
    return Graph("fp32", MODEL, "fp32", (backends.CPU, backends.CUDA), applied, 0.0)


def _as_exported(exported: Path, why: str) -> _Base:
    model = onnx.load(exported)
    names = [product.x for product in find_products(GraphEditor(model))]

    def write(
        model: onnx.ModelProto,
        seen: dict[str, Activation],
        arithmetic: Arithmetic,
        for_onnxruntime: bool,  # noqa: ARG001 - one graph suits all
    ) -> None:
        quantise_products(model, set(seen), arithmetic)

    return _Base(model, list(dict.fromkeys(names)), write, (f"as exported: {why}",))


def _rewrite(exported: Path, shape: Shape) -> _Base:
    """Fuses and prunes. Raises NotLoweredError if the layers aren't of the known form."""
    fused, counts = fuse(exported, shape.heads, shape.hidden)
    if has_subgraphs(fused):
        raise NotLoweredError("the graph has branches or loops")
    applied = ["fused " + ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))]
    editor = GraphEditor(fused)
    end = None
    try:
        end = prune_last_layer(editor).hidden
        applied.append("last layer for the first token alone")
    except NotPrunedError as error:
        applied.append(f"last layer whole: {error}")
    names = activations(editor, find_layers(editor, end))

    def write(
        model: onnx.ModelProto,
        seen: dict[str, Activation],  # noqa: ARG001 - it is all known
        arithmetic: Arithmetic,
        for_onnxruntime: bool,
    ) -> None:
        lower(model, end, arithmetic, positions_first=for_onnxruntime)

    return _Base(fused, names, write, tuple(applied))


def _int8_forms(
    base: _Base, weights: SharedWeights, folder: Path, encoder: TextEncoder, texts: list[str], classes: int
) -> tuple[list[Graph], dict[str, str]]:
    try:
        seen = calibrate(base.model, base.activations, encoder, texts)
    except (EncodeError, ValueError) as error:
        return [], {"int8": f"the graph can't be calibrated: {brief(error)}"}
    if not seen:
        return [], {"int8": "it has no product of the tokens with a constant matrix"}
    expected = _probabilities(_load(backends.CPU, folder / MODEL), encoder, texts, classes)
    kinds: list[tuple[str, Arithmetic, str]] = [
        ("int8-static", StaticInt8(dict(seen)), backends.CPU),
        ("int8-dynamic", DynamicInt8(dict(seen)), backends.CPU),
        ("int8-qdq", QdqInt8(dict(seen)), backends.OPENVINO),
    ]
    graphs, left_out = [], {}
    for name, arithmetic, backend in kinds:
        model = copy.deepcopy(base.model)
        base.write(model, seen, arithmetic, backend == backends.CPU)
        file = weights.save(model, f"model.{name}.onnx")
        try:
            # Where its own backend isn't installed, ONNX Runtime gives the same numbers more slowly.
            runner = _load(backend if backend in backends.available() else backends.CPU, file)
            found = _probabilities(runner, encoder, texts, classes)
        except LossAuditError as error:
            file.unlink()
            left_out[name] = str(error).replace(str(file), "it")
            continue
        difference = float(np.abs(found - expected).mean())
        if difference <= INT8_TOLERANCE:
            applied = (*base.applied, f"{len(seen)} activations in int8")
            graphs.append(Graph(name, file.name, "int8", (backend,), applied, difference))
        else:
            file.unlink()
            left_out[name] = f"its probabilities differ by {difference:.3f} from fp32's (allowed: {INT8_TOLERANCE})"
    return graphs, left_out


def _load(backend: str, model: Path) -> backends.Runner:
    return backends.load(backend, model, workers=1, threads=usable_cpus())


def _probabilities(
    runner: backends.Runner, encoder: TextEncoder, texts: list[str], classes: int
) -> NDArray[np.float64]:
    """(texts, classes)"""
    with Scorer(runner, workers=1, budget=BUDGET, classes=classes) as scorer:
        return np.exp(log_softmax(scorer.score(encode_shard(texts, encoder)).logits))
