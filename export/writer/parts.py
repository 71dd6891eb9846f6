"""The parts that families share, as nodes of a graph: inputs, embeddings, normalisations, attention, feed-forward.

Layers are written with ONNX Runtime's fused operators, the form that `pruning.py`, `lowering.py` and `half.py` take.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from lossaudit.engine.arrays import Floats32
from lossaudit.engine.model.bundle import KNOWN_INPUTS

from ..onnx_graph import MICROSOFT, GraphEditor
from .settings import NotWrittenError, Settings
from .tensors import Tensors

OPSET = 17
"""The first with LayerNormalization."""
IDS, MASK, TYPES = KNOWN_INPUTS
LOGITS = "logits"
"""Output of every bundle's graph."""
GELU, GELU_TANH, RELU, TANH = "gelu", "gelu_new", "relu", "tanh"
ACTIVATIONS = {
    "gelu": GELU,
    "gelu_fast": GELU_TANH,
    "gelu_new": GELU_TANH,
    "gelu_pytorch_tanh": GELU_TANH,
    "relu": RELU,
}
"""The activations by their names in config.json."""


def activation(settings: Settings, name: str, default: str = "gelu") -> str:
    """The activation that a key names. Raises NotWrittenError for an unknown one."""
    return ACTIVATIONS[settings.one_of(name, default, *ACTIVATIONS)]


@dataclass(frozen=True)
class Attention:
    """The shape of an attention."""

    hidden: int
    heads: int

    @classmethod
    def of(cls, hidden: int, heads: int) -> "Attention":
        """Raises NotWrittenError if the heads don't divide the width."""
        if hidden % heads:
            raise NotWrittenError(f"its {heads} attention heads don't divide its width of {hidden}")
        return cls(hidden, heads)


class Draft:
    """A graph while it is written. Methods add nodes and return the name of the tensor that they produce."""

    def __init__(
        self, settings: Settings, tensors: Tensors, prefix: str, reads_types: bool, first_alone: bool = False
    ) -> None:
        """prefix: start of the names of the encoder's tensors. reads_types: whether the tokenizer gives each token its
        type, 0, or 1 in the second text of a pair. first_alone: whether only the first token's state is needed."""
        self.settings, self.tensors, self.prefix = settings, tensors, prefix
        self.reads_types, self.first_alone = reads_types, first_alone
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        self._model = helper.make_model(helper.make_graph([], "written", [], []), opset_imports=opsets, ir_version=8)
        self.editor = GraphEditor(self._model)
        self.add, self.constant = self.editor.add, self.editor.add_constant
        self._mask = ""

    def finished(self, logits: str) -> onnx.ModelProto:
        """The model that gives `logits`, (rows, classes)."""
        graph = self._model.graph
        graph.node.append(helper.make_node("Identity", [logits], [LOGITS], LOGITS))
        graph.output.append(helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["batch_size", "outputs"]))
        self.editor.finish()
        read = {name for node in graph.node for name in node.input}
        axes = ["batch_size", "sequence_length"]
        inputs = [name for name in KNOWN_INPUTS if name in read]
        graph.input.extend(helper.make_tensor_value_info(name, TensorProto.INT64, axes) for name in inputs)
        return self._model

    # Weights

    def weights(self, name: str, *shape: int) -> Floats32:
        """A tensor of the encoder."""
        return self.tensors.take(self.prefix + name, *shape)

    # Inputs

    def tokens(self) -> str:
        """The number of tokens of the batch's rows, (1,)."""
        return self.add("Shape", [IDS], start=1, end=2)

    def embedded(self, table: Floats32, ids: str = IDS) -> str:
        """The rows of a table that ids name."""
        return self.add("Gather", [self.constant(table), ids])

    def first_rows(self, table: Floats32) -> str:
        """One row of a table per position from 0, (tokens, …)."""
        zero = self.constant(np.array([0], dtype=np.int64))
        return self.add("Slice", [self.constant(table), zero, self.tokens(), zero])

    def positions_after_padding(self, pad_id: int) -> str:
        """RoBERTa's positions: tokens count from pad_id + 1, padding stays at pad_id."""
        pad, one = self.constant(np.int64(pad_id)), self.constant(np.int64(1))
        padding = self.add("Cast", [self.add("Equal", [IDS, pad])], to=TensorProto.INT64)
        token = self.add("Sub", [one, padding])
        count = self.add("CumSum", [token, one])
        return self.add("Add", [self.add("Mul", [count, token]), pad])

    def mask(self) -> str:
        """The attention mask as fused attentions read it."""
        if not self._mask:
            self._mask = self.add("Cast", [MASK], to=TensorProto.INT32)
        return self._mask

    # Layers

    def linear(self, x: str, weight: Floats32, bias: Floats32 | None) -> str:
        """weight: (columns, rows), as PyTorch keeps it."""
        product = self.add("MatMul", [x, self.constant(weight.T)])
        return product if bias is None else self.add("Add", [product, self.constant(bias)])

    def activated(self, x: str, kind: str) -> str:
        """The activation of a tensor."""
        if kind == GELU:
            return self.add("Gelu", [x], domain=MICROSOFT)
        if kind == GELU_TANH:
            return self.add("FastGelu", [x], domain=MICROSOFT)
        return self.add({RELU: "Relu", TANH: "Tanh"}[kind], [x])

    def normalised(self, x: str, weight: Floats32, bias: Floats32 | None, epsilon: float) -> str:
        """A layer normalisation."""
        constants = [self.constant(part) for part in (weight, bias) if part is not None]
        return self.add("LayerNormalization", [x, *constants], axis=-1, epsilon=epsilon)


class Layer:
    """The weights of a layer that normalises after attention and after the feed-forward part. They are constants of the
    graph, so that a layer may be used more than once."""

    def __init__(self, draft: Draft, attention: Attention, names: "LayerNames", inner: int, kind: str, epsilon: float):
        """inner: width of the feed-forward part. kind: its activation."""
        hidden = attention.hidden

        def linear(name: str, columns: int, rows: int) -> tuple[Floats32, Floats32]:
            weight, bias = draft.weights(f"{name}.weight", columns, rows), draft.weights(f"{name}.bias", columns)
            return np.ascontiguousarray(weight.T), bias

        def norm(name: str) -> list[str]:
            return [draft.constant(draft.weights(f"{name}.{part}", hidden)) for part in ("weight", "bias")]

        projections = [linear(name, hidden, hidden) for name in (names.query, names.key, names.value)]
        stacked = (np.concatenate([part[side] for part in projections], axis=-1) for side in (0, 1))
        self._draft, self._attention, self._kind, self._epsilon = draft, attention, kind, epsilon
        self._stacked = [draft.constant(part) for part in stacked]
        self._out = [draft.constant(part) for part in linear(names.out, hidden, hidden)]
        self._norm = norm(names.norm)
        self._up = [draft.constant(part) for part in linear(names.up, inner, hidden)]
        self._down = [draft.constant(part) for part in linear(names.down, hidden, inner)]
        self._last_norm = norm(names.last_norm)

    def apply(self, x: str, scores: str = "") -> str:
        """The layer's output for (rows, tokens, hidden). scores: tensor (1, heads, tokens, tokens) that is added to the
        attention's own scores."""
        add = self._draft.add
        inputs = [x, *self._stacked, self._draft.mask(), *(["", scores] if scores else [])]
        context = add("Attention", inputs, domain=MICROSOFT, num_heads=self._attention.heads)
        x = self._added(x, add("MatMul", [context, self._out[0]]), self._norm, self._out[1])
        inner = add("MatMul", [x, self._up[0]])
        if self._kind == GELU:
            inner = add("BiasGelu", [inner, self._up[1]], domain=MICROSOFT)
        else:
            inner = self._draft.activated(add("Add", [inner, self._up[1]]), self._kind)
        return self._added(x, add("MatMul", [inner, self._down[0]]), self._last_norm, self._down[1])

    def _added(self, x: str, skip: str, norm: list[str], bias: str) -> str:
        inputs = [x, skip, *norm, bias]
        return self._draft.add("SkipLayerNormalization", inputs, domain=MICROSOFT, epsilon=self._epsilon)


@dataclass(frozen=True)
class LayerNames:
    """Names of a layer's tensors, without `.weight` and `.bias`."""

    query: str
    key: str
    value: str
    out: str
    norm: str
    up: str
    down: str
    last_norm: str

    @classmethod
    def like_bert(cls, layer: str) -> "LayerNames":
        """BERT's names, which RoBERTa's and ELECTRA's layers have too."""
        own = f"{layer}.attention"
        return cls(
            f"{own}.self.query",
            f"{own}.self.key",
            f"{own}.self.value",
            f"{own}.output.dense",
            f"{own}.output.LayerNorm",
            f"{layer}.intermediate.dense",
            f"{layer}.output.dense",
            f"{layer}.output.LayerNorm",
        )
