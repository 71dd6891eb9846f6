"""Combines a features bundle and a head into a classifier's bundle, which `audit` runs like any other.

The head is appended to every form's graph in fp32 (or what OpenVINO makes of that). Needs onnx, but neither torch nor
transformers.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lossaudit.engine.arrays import Floats, Floats32
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.files import folder_beside
from lossaudit.engine.model import backends
from lossaudit.engine.model.bundle import CLASSIFY, MANIFEST, Bundle, Graph, Parity
from lossaudit.engine.model.encoding import TextEncoder
from lossaudit.engine.scores.loss import log_softmax

from .comparison import MOST_TOKENS, TOLERANCE, Reference, logits_alone, texts_with_tokens
from .forms import FP16_TOLERANCE, INT8_TOLERANCE, load_alone
from .heads import Head
from .manifest import Forms, versions_of, write_manifest

_STATE, _LOGITS = "state", "logits"
TOLERANCES: Mapping[str, float] = MappingProxyType({"int8": INT8_TOLERANCE, "fp16": FP16_TOLERANCE})
"""Largest mean difference of a probability from fp32's, by precision."""


@dataclass(frozen=True)
class FittedHead:
    """A head, and what it was fitted on."""

    head: Head
    labels: tuple[str, ...]
    """Names of the head's classes."""
    max_length: int
    """Number of tokens to which the texts were cut."""
    rows: int
    """Number of rows."""


def write_head_bundle(
    encoder: Bundle, fitted: FittedHead, target: Path, tolerances: Mapping[str, float] = TOLERANCES
) -> Bundle:
    """Writes the bundle to the folder `target`, which is new, empty or an older bundle.

    A form whose probabilities with the head are too far from fp32's is left out. Raises LossAuditError if the fp32
    graph doesn't reproduce the head's logits on the states.
    """
    manifest = encoder.manifest
    with folder_beside(target, replaceable=MANIFEST) as folder:
        graph_files = {graph.file for graph in manifest.graphs}
        for name in manifest.files:
            if name not in graph_files:
                shutil.copyfile(encoder.folder / name, folder / name)
        for graph in manifest.graphs:
            _attach(encoder.folder / graph.file, folder / graph.file, fitted.head)
        limit = min(fitted.max_length, MOST_TOKENS)
        tokenizer = TextEncoder(encoder.tokenizer, limit, manifest.pad_id, manifest.truncation_side)
        check = _Check(encoder, folder, tokenizer, fitted.head)
        forms = check.forms(f"a head fitted on {fitted.rows:,} rows", tolerances)
        for graph in manifest.graphs:
            if graph.name in forms.left_out:
                (folder / graph.file).unlink()
        about = replace(manifest, task=CLASSIFY, labels=fitted.labels, max_length=fitted.max_length)
        forms = replace(forms, left_out=manifest.left_out | forms.left_out)
        write_manifest(folder, about, forms, manifest.versions | versions_of(["scikit-learn"]))
    return Bundle.load(target)


def _attach(graph: Path, target: Path, head: Head) -> None:
    """Writes a graph with the head appended; its constants stay in their file."""
    model = onnx.load(graph, load_external_data=False)
    (output,) = model.graph.output
    for node in model.graph.node:
        node.input[:] = [_STATE if name == _LOGITS else name for name in node.input]
        node.output[:] = [_STATE if name == _LOGITS else name for name in node.output]
    made = [numpy_helper.from_array(np.ascontiguousarray(head.weight.T), "head/weight")]
    made.append(numpy_helper.from_array(head.bias, "head/bias"))
    model.graph.initializer.extend(made)
    state = _STATE
    if output.type.tensor_type.elem_type != TensorProto.FLOAT:
        state = "head/state"
        model.graph.node.append(helper.make_node("Cast", [_STATE], [state], "head/cast", to=TensorProto.FLOAT))
    model.graph.node.append(helper.make_node("MatMul", [state, "head/weight"], ["head/product"], "head/product"))
    model.graph.node.append(helper.make_node("Add", ["head/product", "head/bias"], [_LOGITS], "head/add"))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(_LOGITS, TensorProto.FLOAT, ["batch_size", len(head.bias)]))
    target.write_bytes(model.SerializeToString())


class _Check:
    """Compares the graphs in `folder` with the head applied to the encoder's states, on the reference texts."""

    def __init__(self, encoder: Bundle, folder: Path, tokenizer: TextEncoder, head: Head) -> None:
        self._encoder, self._folder, self._tokenizer = encoder, folder, tokenizer
        self._texts = texts_with_tokens(tokenizer)
        (fp32,) = [graph for graph in encoder.manifest.graphs if graph.precision == "fp32"][:1]
        self._fp32 = fp32
        states = logits_alone(load_alone(backends.CPU, encoder.folder / fp32.file), tokenizer, self._texts)
        self._expected = head.logits(states)

    def _parity(self) -> Parity:
        """The parity of fp32. The tolerance scales with logits above 1, since their rounding does."""
        tolerance = TOLERANCE * max(1.0, float(np.abs(self._expected).max()))
        reference = Reference("the head", self._tokenizer, self._texts, self._expected, tolerance)
        runner = load_alone(backends.CPU, self._folder / self._fp32.file)
        return Parity(reference.compare("the graph with the head", runner), tolerance, len(self._texts))

    def forms(self, applied: str, tolerances: Mapping[str, float]) -> Forms:
        """The forms that are close enough to fp32. Raises LossAuditError if fp32 itself isn't right."""
        parity = self._parity()
        graphs, left_out = [], {}
        for graph in self._encoder.manifest.graphs:
            done = (*graph.applied, applied)
            if graph.precision == "fp32":
                graphs.append(replace(graph, applied=done))
                continue
            difference = self._difference(graph)
            tolerance = tolerances[graph.precision]
            if difference <= tolerance:
                graphs.append(replace(graph, applied=done, mean_difference=difference))
            else:
                left_out[graph.name] = (
                    f"with the head its probabilities differ by {difference:.3f} from fp32's (allowed: {tolerance})"
                )
        return Forms(tuple(graphs), left_out, parity)

    def _difference(self, graph: Graph) -> float:
        """The mean absolute difference of a probability from fp32's; infinite if the graph can't be run."""
        backend = next((name for name in graph.backends if name in backends.available()), backends.CPU)
        try:
            runner = load_alone(backend, self._folder / graph.file)
            found = _probabilities(logits_alone(runner, self._tokenizer, self._texts))
        except LossAuditError:
            return float("inf")
        return float(np.abs(found - _probabilities(self._expected)).mean())


def _probabilities(logits: Floats32) -> Floats:
    return np.exp(log_softmax(logits))
