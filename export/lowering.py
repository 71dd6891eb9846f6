"""Rewrites a fused graph's layers with the operators that are fastest on CPUs, in fp32 or int8.

Changes a fused graph (see `fusion.py`), pruned if possible, in place:

    SkipLayerNormalization  Add + LayerNormalization, since ONNX Runtime's fused kernel isn't vectorised
    BiasGelu                Gelu; the bias moves into the product before it
    MatMul                  the `Arithmetic`'s product: fp32, or int8 of three kinds (see `arithmetic.py`)
    Attention               three products and plain products of the heads. In ONNX Runtime, positions come first,
                            (tokens, rows, hidden), so that each head's queries, keys and values are read in place,
                            without a transpose
"""

from dataclasses import dataclass, field

import numpy as np
import onnx

from .arithmetic import Arithmetic
from .onnx_graph import MICROSOFT, GraphEditor, attribute
from .pruning import POSITION_WISE, attention_weights, mask_bias


class NotLoweredError(Exception):
    """The reason why a graph is left as it is."""


@dataclass(frozen=True)
class Layers:
    """The encoder's layers in a fused graph, those that run on all positions."""

    start: str
    """Tensor (rows, tokens, hidden) that they read."""
    end: str
    """Tensor of the same shape that they produce."""
    nodes: tuple[onnx.NodeProto, ...]
    """Nodes in topological order."""


def find_layers(editor: GraphEditor, end: str | None) -> Layers:
    """The layers up to the tensor `end`, or up to the last layer normalisation.

    Raises NotLoweredError if they hold an operator that this module doesn't know.
    """
    attentions = [node for node in editor.nodes if node.op_type == "Attention"]
    normalisations = [node for node in editor.nodes if node.op_type == "SkipLayerNormalization"]
    if not attentions or not normalisations:
        raise NotLoweredError("its attention wasn't fused")
    start, end = attentions[0].input[0], end or normalisations[-1].output[0]
    found: dict[str, onnx.NodeProto] = {}
    tensors = [end]
    while tensors:
        name = tensors.pop()
        node = editor.producer(name)
        if name == start or name in found or node is None:
            continue
        if node.op_type not in POSITION_WISE | {"Attention"}:
            raise NotLoweredError(f"a layer has an operator {node.op_type}")
        found[name] = node
        # An attention's other inputs are weights and the mask.
        inputs = node.input[:1] if node.op_type == "Attention" else node.input
        tensors.extend(tensor for tensor in inputs if tensor and editor.constant(tensor) is None)
    return Layers(start, end, tuple(node for node in editor.nodes if node.output[0] in found))


def activations(editor: GraphEditor, layers: Layers) -> list[str]:
    """The tensors that the layers' products read, whose ranges static int8 needs."""
    products = [n for n in layers.nodes if n.op_type == "Attention" or editor.weight(n) is not None]
    return list(dict.fromkeys(node.input[0] for node in products))


def lower(model: onnx.ModelProto, end: str | None, arithmetic: Arithmetic, positions_first: bool) -> None:
    """Rewrites the layers up to `end` (see `find_layers`). positions_first: only for ONNX Runtime."""
    editor = GraphEditor(model)
    layers = find_layers(editor, end)
    outside = [node for node in editor.nodes if all(node is not inner for inner in layers.nodes)]
    _Rewriter(editor, arithmetic, positions_first).run(layers, outside)
    editor.finish()


@dataclass
class _Rewriter:
    """Rewrites the layers; `new` maps the old tensors to the new ones."""

    editor: GraphEditor
    arithmetic: Arithmetic
    positions_first: bool
    new: dict[str, str] = field(default_factory=dict)
    _folded: set[str] = field(default_factory=set)
    _added: dict[str, str] = field(default_factory=dict)

    def run(self, layers: Layers, outside: list[onnx.NodeProto]) -> None:
        add, swap = self.editor.add, [1, 0, 2]
        embeddings = self.editor.producer(layers.start)
        start = layers.start
        if embeddings is not None and embeddings.op_type == "SkipLayerNormalization":
            start = self._skip_layer_normalization(embeddings)
        self.new[layers.start] = add("Transpose", [start], perm=swap) if self.positions_first else start
        self.arithmetic.known_as(layers.start, self.new[layers.start])
        writers = {
            "Attention": self._attention,
            "MatMul": self._product,
            "SkipLayerNormalization": self._skip_layer_normalization,
            "BiasGelu": self._bias_gelu,
        }
        for node in layers.nodes:
            old = node.output[0]
            self.new[old] = writers.get(node.op_type, self._same)(node)
            self.arithmetic.known_as(old, self.new[old])
        end = self.new[layers.end]
        end = add("Transpose", [end], perm=swap) if self.positions_first else end
        for node in outside:
            for place, name in enumerate(node.input):
                if name == layers.end:
                    node.input[place] = end

    def _product(self, node: onnx.NodeProto) -> str:
        """A product with a constant, including the bias that the next node would add."""
        weight = self.editor.weight(node)
        if weight is None:
            raise NotLoweredError("a layer multiplies two activations")
        readers = self.editor.readers(node.output[0])
        bias = _bias_of(self.editor, readers[0], node.output[0]) if len(readers) == 1 else None
        if bias is None:
            bias = np.zeros(weight.shape[1], dtype=np.float32)
        else:
            self._folded.add(readers[0].output[0])
        return self.arithmetic.product(self.editor, self.new[node.input[0]], weight, bias)

    def _skip_layer_normalization(self, node: onnx.NodeProto) -> str:
        added = self.editor.add("Add", [self.new.get(name, name) for name in node.input[:2]])
        if len(node.input) > 4 and node.input[4] and node.output[0] not in self._folded:
            added = self.editor.add("Add", [added, node.input[4]])
        return self.editor.add(
            "LayerNormalization",
            [added, node.input[2], node.input[3]],
            axis=-1,
            epsilon=attribute(node, "epsilon", 1e-12),
        )

    def _bias_gelu(self, node: onnx.NodeProto) -> str:
        x = self.new[node.input[0]]
        if node.output[0] not in self._folded:
            x = self.editor.add("Add", [x, node.input[1]])
        return self.editor.add("Gelu", [x], domain=MICROSOFT)

    def _same(self, node: onnx.NodeProto) -> str:
        if node.op_type == "Add" and node.output[0] in self._folded:
            return next(self.new[name] for name in node.input if name in self.new)
        return self.editor.add_copy(node, [self.new.get(name, name) for name in node.input])

    def _attention(self, node: onnx.NodeProto) -> str:
        weights = attention_weights(self.editor, node)
        x, product = self.new[node.input[0]], self.arithmetic.product
        query, key, value = (
            product(self.editor, x, weight, bias)
            for weight, bias in (
                (weights.query * np.float32(weights.scale), weights.query_bias * np.float32(weights.scale)),
                (weights.key, weights.key_bias),
                (weights.value, weights.value_bias),
            )
        )
        heads, width = weights.heads, weights.query.shape[1] // weights.heads
        write = self._positions_first_heads if self.positions_first else self._rows_first_heads
        return write(query, key, value, heads, width, self._added_to_scores(weights.scores))

    def _positions_first_heads(self, query: str, key: str, value: str, heads: int, width: int, added: str) -> str:
        """From (tokens, rows, hidden) each: FusedMatMul accepts batch axes between the two that it multiplies."""
        add = self.editor.add
        by_head = self._shape([0, 0, heads, width])
        query, key, value = (add("Reshape", [x, by_head]) for x in (query, key, value))
        scores = add("FusedMatMul", [query, key], domain=MICROSOFT, transB=1, transBatchA=1, transBatchB=1)
        weights = add("Softmax", [add("Add", [scores, added])], axis=-1)
        context = add("FusedMatMul", [weights, value], domain=MICROSOFT, transBatchB=1)  # (rows, heads, tokens, width)
        context = add("Transpose", [context], perm=[2, 0, 1, 3])
        return add("Reshape", [context, self._shape([0, 0, heads * width])])

    def _rows_first_heads(self, query: str, key: str, value: str, heads: int, width: int, added: str) -> str:
        """From (rows, tokens, hidden) each, with operators of the ONNX standard."""
        add = self.editor.add
        by_head = self._shape([0, 0, heads, width])
        query, value = (add("Transpose", [add("Reshape", [x, by_head])], perm=[0, 2, 1, 3]) for x in (query, value))
        key = add("Transpose", [add("Reshape", [key, by_head])], perm=[0, 2, 3, 1])
        scores = add("MatMul", [query, key])
        weights = add("Softmax", [add("Add", [scores, added])], axis=-1)
        context = add("Transpose", [add("MatMul", [weights, value])], perm=[0, 2, 1, 3])
        return add("Reshape", [context, self._shape([0, 0, heads * width])])

    def _added_to_scores(self, scores: str) -> str:
        """What all layers add to their scores: that of padding, and `scores`."""
        if scores not in self._added:
            padding = mask_bias(self.editor, [1, 2])
            self._added[scores] = self.editor.add("Add", [padding, scores]) if scores else padding
        return self._added[scores]

    def _shape(self, sizes: list[int]) -> str:
        return self.editor.add_constant(np.array(sizes, dtype=np.int64))


def _bias_of(editor: GraphEditor, reader: onnx.NodeProto, tensor: str) -> np.ndarray | None:
    """The constant that the only reader of a product adds to it; None if there is none."""
    if reader.op_type == "BiasGelu" and reader.input[0] == tensor:
        return editor.constant(reader.input[1])
    if reader.op_type == "SkipLayerNormalization" and tensor in reader.input[:2] and len(reader.input) > 4:
        return editor.constant(reader.input[4])
    if reader.op_type == "Add":
        others = [editor.constant(name) for name in reader.input if name != tensor]
        return others[0] if len(others) == 1 and others[0] is not None and others[0].ndim == 1 else None
    return None
