"""Makes the forms of a model that a bundle holds: fp32, int8 for each way of running it, and fp16 for GPUs.

Rewrites a graph as Optimum exports it, and checks the results against a reference and against each other. A form that
can't be made or isn't close enough is left out, with the reason; without fp32 there is no bundle.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import EncodeError

from lossaudit.engine.arrays import Floats
from lossaudit.engine.cpus import usable_cpus
from lossaudit.engine.errors import LossAuditError, brief
from lossaudit.engine.model import backends
from lossaudit.engine.model.bundle import FEATURES, MODEL, MULTI_LABEL, Graph
from lossaudit.engine.model.encoding import TextEncoder
from lossaudit.engine.model.scoring import Scorer, encode_shard
from lossaudit.engine.model.tuning import BUDGET
from lossaudit.engine.scores.loss import log_softmax
from lossaudit.engine.scores.multi_label import sigmoid

from .arithmetic import Activation, Arithmetic, DynamicInt8, Fp16, Fp32, QdqInt8, StaticInt8
from .calibration import calibrate
from .comparison import Exported, texts_with_tokens
from .fusion import fuse, has_subgraphs
from .half import check_range, halve_layers
from .lowering import NotLoweredError, activations, find_layers, lower
from .manifest import Forms
from .onnx_graph import GraphEditor
from .products import find_products, rewrite_products
from .pruning import NotPrunedError, prune_last_layer
from .weights import SharedWeights

INT8_TOLERANCE, FP16_TOLERANCE = 0.05, 1e-3
"""Largest mean absolute difference of a probability from fp32's; a graph above this is broken."""
_STATES = 5
"""Factor on the tolerance for an encoder, whose states are compared in units of their spread: int8 differs by a tenth
of the spread, and the heads' losses don't suffer."""

_NO_PRODUCTS = "it has no product of the tokens with a constant matrix"


@dataclass(frozen=True)
class _Base:
    """A graph whose products can be written in another arithmetic."""

    model: onnx.ModelProto
    activations: list[str]
    """Tensors that the products read."""
    write: Callable[[dict[str, Activation], Arithmetic, bool, onnx.ModelProto], None]
    """Function (statistics, arithmetic, whether for ONNX Runtime only, copy of the model) that rewrites the copy."""
    halve: Callable[[dict[str, Activation], onnx.ModelProto], None]
    """Function (statistics, copy of the model) that changes the copy to fp16, or raises LossAuditError if it can't."""
    halved: str
    """Description of what `halve` changes, for the manifest."""
    applied: tuple[str, ...]


@dataclass(frozen=True)
class _Form:
    """An approximation of fp32, before it is written."""

    name: str
    precision: str
    backend: str
    write: Callable[[onnx.ModelProto], None]
    """Function that changes a copy of the base's model, or raises LossAuditError if it can't."""
    applied: str
    tolerance: float


def make_forms(exported: Exported, folder: Path, fp16: bool = False) -> Forms:
    """Writes all forms of a graph to a bundle's folder. fp16: add the form for GPUs.

    Raises LossAuditError if fp32 isn't right.
    """
    weights = SharedWeights(folder)
    try:
        base = _rewrite(exported)
        fp32 = copy.deepcopy(base.model)
        base.write({}, Fp32(), True, fp32)
        parity = exported.check(load_alone(backends.CPU, weights.save(fp32, MODEL)))
    except (NotLoweredError, LossAuditError) as error:
        # As exported, the graph may still be right, only slower.
        weights = SharedWeights(folder)
        base = _as_it_is(exported, str(error))
        parity = exported.check(load_alone(backends.CPU, weights.save(copy.deepcopy(base.model), MODEL)))
    texts = texts_with_tokens(exported.encoder)
    seen, left_out = _calibrated(base, exported.encoder, texts)
    forms = _int8_forms(base, seen) if seen else []

    def halve(model: onnx.ModelProto) -> None:
        check_range(folder / MODEL, exported.encoder, texts)
        base.halve(seen, model)

    if fp16:
        forms.append(_Form("fp16", "fp16", backends.CUDA, halve, base.halved, FP16_TOLERANCE))
    graphs = [Graph("fp32", MODEL, "fp32", (backends.CPU, backends.CUDA), base.applied, 0.0)]
    fp32_results = _Results.of(folder / MODEL, exported, texts)
    for form in forms:
        try:
            graphs.append(_write(form, base, weights, fp32_results))
        except LossAuditError as error:
            left_out[form.name] = str(error)
    return Forms(tuple(graphs), left_out, parity)


def _as_it_is(exported: Exported, why: str) -> _Base:
    model = onnx.load(exported.graph)
    names = list(dict.fromkeys(product.x for product in find_products(GraphEditor(model))))

    def write(
        seen: dict[str, Activation],
        arithmetic: Arithmetic,
        for_onnxruntime: bool,  # noqa: ARG001 - one graph suits all runtimes
        model: onnx.ModelProto,
    ) -> None:
        rewrite_products(model, set(seen), arithmetic)

    def halve(seen: dict[str, Activation], model: onnx.ModelProto) -> None:
        if not seen:
            raise LossAuditError(_NO_PRODUCTS)
        rewrite_products(model, set(seen), Fp16())

    applied: tuple[str, ...] = (f"as exported: {why}",)
    if exported.family:
        applied = (_written(exported), *(exported.applied or (f"as written: {why}",)))
    return _Base(model, names, write, halve, "products in fp16", applied)


def _rewrite(exported: Exported) -> _Base:
    """Fuses and prunes. Raises NotLoweredError if the layers aren't of the known form."""
    if exported.applied is not None:
        raise NotLoweredError("its layers are in their final form")
    fused, applied = _fused(exported)
    editor = GraphEditor(fused)
    end = None
    try:
        end = prune_last_layer(editor).hidden
        applied.append("last layer for the first token alone")
    except NotPrunedError as error:
        applied.append(f"last layer whole: {error}")
    layers = find_layers(editor, end)

    def write(
        seen: dict[str, Activation],  # noqa: ARG001 - `lower` finds the activations itself
        arithmetic: Arithmetic,
        for_onnxruntime: bool,
        model: onnx.ModelProto,
    ) -> None:
        lower(model, end, arithmetic, positions_first=for_onnxruntime)

    def halve(seen: dict[str, Activation], model: onnx.ModelProto) -> None:  # noqa: ARG001 - all layers are
        halve_layers(model, end)

    count = sum(node.op_type == "Attention" for node in layers.nodes)
    return _Base(fused, activations(editor, layers), write, halve, f"layers in fp16: {count}", tuple(applied))


def _fused(exported: Exported) -> tuple[onnx.ModelProto, list[str]]:
    """The graph with fused operators, and how it came by them."""
    if exported.family:
        return onnx.load(exported.graph), [_written(exported)]
    fused, counts = fuse(exported.graph, exported.shape.heads, exported.shape.hidden)
    if has_subgraphs(fused):
        raise NotLoweredError("the graph has branches or loops")
    return fused, ["fused " + ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))]


def _written(exported: Exported) -> str:
    return f"written as {exported.family}"


def _calibrated(base: _Base, encoder: TextEncoder, texts: list[str]) -> tuple[dict[str, Activation], dict[str, str]]:
    """The activations' statistics for int8; if there are none, the reason why int8 is left out."""
    try:
        seen = calibrate(base.model, base.activations, encoder, texts)
    except (EncodeError, ValueError) as error:
        return {}, {"int8": f"the graph can't be calibrated: {brief(error)}"}
    return seen, {} if seen else {"int8": _NO_PRODUCTS}


def _int8_forms(base: _Base, seen: dict[str, Activation]) -> list[_Form]:
    kinds: tuple[tuple[str, Arithmetic, str], ...] = (
        ("int8-static", StaticInt8(dict(seen)), backends.CPU),
        ("int8-dynamic", DynamicInt8(dict(seen)), backends.CPU),
        ("int8-qdq", QdqInt8(dict(seen)), backends.OPENVINO),
    )
    applied = f"{len(seen)} activations in int8"
    forms = []
    for name, arithmetic, backend in kinds:
        write = partial(base.write, seen, arithmetic, backend == backends.CPU)
        forms.append(_Form(name, "int8", backend, write, applied, INT8_TOLERANCE))
    return forms


def _write(form: _Form, base: _Base, weights: SharedWeights, fp32: "_Results") -> Graph:
    """Writes a form and compares it. Raises LossAuditError and leaves no graph behind if it isn't close enough."""
    model = copy.deepcopy(base.model)
    form.write(model)
    file = weights.save(model, f"model.{form.name}.onnx")
    try:
        difference = fp32.check(file, form)
    except LossAuditError as error:
        file.unlink()
        raise LossAuditError(str(error).replace(str(file), "it")) from error
    return Graph(form.name, file.name, form.precision, (form.backend,), (*base.applied, form.applied), difference)


def _runs_here(backend: str, model: Path) -> str:
    """The form's own backend, or ONNX Runtime's CPU provider, which computes the same numbers more slowly."""
    if backend == backends.CUDA:
        return backend if backends.cuda_works(model) else backends.CPU
    return backend if backend in backends.available() else backends.CPU


def load_alone(backend: str, model: Path) -> backends.Runner:
    """Loads a graph for a comparison: one batch at a time, on all CPUs."""
    return backends.load(backend, model, workers=1, threads=usable_cpus())


@dataclass(frozen=True)
class _Results:
    """The output of a graph for some texts, to compare with another graph's."""

    exported: Exported
    texts: list[str]
    values: Floats
    """(texts, classes) probabilities, or an encoder's states in units of their mean absolute deviation"""

    @classmethod
    def of(cls, graph: Path, exported: Exported, texts: list[str], backend: str = backends.CPU) -> "_Results":
        """Runs a graph on the texts. Raises LossAuditError if the backend can't run it."""
        shape = exported.shape
        with Scorer(load_alone(backend, graph), workers=1, budget=BUDGET, classes=shape.classes) as scorer:
            logits = scorer.score(encode_shard(texts, exported.encoder)).logits
        if shape.task == FEATURES:
            values = np.asarray(logits / np.abs(logits - logits.mean(axis=0)).mean(), dtype=np.float64)
        else:
            values = sigmoid(logits) if shape.task == MULTI_LABEL else np.exp(log_softmax(logits))
        return cls(exported, texts, values)

    def check(self, graph: Path, form: _Form) -> float:
        """The mean difference of another graph's output. Raises LossAuditError above the form's tolerance."""
        found = _Results.of(graph, self.exported, self.texts, _runs_here(form.backend, graph))
        difference = float(np.abs(found.values - self.values).mean())
        of_states = self.exported.shape.task == FEATURES
        allowed = form.tolerance * (_STATES if of_states else 1)
        if not difference <= allowed:  # NaN fails too
            what = "states" if of_states else "probabilities"
            raise LossAuditError(f"its {what} differ by {difference:.4f} from fp32's (allowed: {allowed})")
        return difference
