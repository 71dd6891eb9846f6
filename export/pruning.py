"""Computes a classifier's last layer for the classification token alone, which is exact.

A head that reads the first position needs the last layer's output only there. So in the last layer one query per text
attends to all positions, and only its result passes through the attention's output, the feed-forward part and the layer
normalisations. A fused graph (see `fusion.py`) is changed in place.

With a single query, keys and values needn't be computed either. A head's scores are q·(x Wk) = (q Wkᵀ)·x, and its
context is p·(x Wv) = (p·x) Wv: both projections are applied once per text instead of once per token. The keys' bias
adds the same to every score of a query, and softmax cancels it.
"""

from dataclasses import dataclass

import numpy as np
import onnx

from .onnx_graph import MICROSOFT, GraphEditor, attribute

POSITION_WISE = frozenset(
    ["Add", "BiasGelu", "FastGelu", "Gelu", "LayerNormalization", "MatMul", "Relu", "SkipLayerNormalization", "Tanh"]
)
"""Operators that compute each position from that position alone."""
LOWEST = np.float32(-3.0e38)
"""Score that no key reaches: softmax makes it 0."""


class NotPrunedError(Exception):
    """The reason why a graph is left as it is."""


@dataclass(frozen=True)
class Pruned:
    """Where the pruning took place."""

    hidden: str
    """Tensor (rows, tokens, hidden) that the last layer reads."""


@dataclass(frozen=True)
class AttentionWeights:
    """The parts of a fused Attention node; query, key and value are (hidden, hidden)."""

    query: np.ndarray
    key: np.ndarray
    value: np.ndarray
    query_bias: np.ndarray
    key_bias: np.ndarray
    value_bias: np.ndarray
    heads: int
    scale: float
    scores: str
    """Tensor (1, heads, tokens, tokens) that is added to the scores; empty if there is none."""


def prune_last_layer(editor: GraphEditor) -> Pruned:
    """Prunes the graph. Raises NotPrunedError, before any change, if it isn't of the known form."""
    pick = _first_position_pick(editor)
    layer, border = _last_layer(editor, pick.input[0], pick)
    attentions = [node for node in map(editor.producer, border) if node is not None and node.op_type == "Attention"]
    if len(attentions) != 1 or len(border) != 2:
        raise NotPrunedError("behind the head there isn't one fused attention and one residual")
    attention = attentions[0]
    (hidden,) = border - {attention.output[0]}
    if attention.input[0] != hidden:
        raise NotPrunedError("the last layer normalises before its attention")
    weights = attention_weights(editor, attention)

    index = editor.add_constant(np.array([0], dtype=np.int64))
    first = editor.add("Gather", [hidden, index], axis=1)
    context = _single_query_attention(editor, weights, hidden, first)
    for node in layer:
        for place, name in enumerate(node.input):
            if name == hidden:
                node.input[place] = first
            elif name == attention.output[0]:
                node.input[place] = context
    editor.finish()
    return Pruned(hidden)


def attention_weights(editor: GraphEditor, node: onnx.NodeProto) -> AttentionWeights:
    """Takes a fused Attention apart. Raises NotPrunedError if it isn't the plain bidirectional kind."""
    stacked, bias = editor.constant(node.input[1]), editor.constant(node.input[2])
    plain = (
        stacked is not None
        and bias is not None
        and not attribute(node, "unidirectional", 0)
        and not attribute(node, "do_rotary", 0)
        and not any(node.input[4:5])
        and not any(node.input[6:])
        and not any(node.output[1:])
        and stacked.shape[1] == 3 * stacked.shape[0]
    )
    if not plain or not _is_padding_mask(editor, node.input[3]):
        raise NotPrunedError("its attention isn't of the plain kind (bias, cache or mask of its own)")
    assert stacked is not None, "`plain` says so"
    assert bias is not None, "`plain` says so"
    hidden, heads = stacked.shape[0], int(attribute(node, "num_heads"))
    query, key, value = np.split(stacked, 3, axis=1)
    scale = attribute(node, "scale") or (hidden // heads) ** -0.5
    query_bias, key_bias, value_bias = np.split(bias, 3)
    scores = node.input[5] if len(node.input) > 5 else ""
    return AttentionWeights(query, key, value, query_bias, key_bias, value_bias, heads, float(scale), scores)


def mask_bias(editor: GraphEditor, axes: list[int]) -> str:
    """The attention mask as numbers to add to scores, 0 for tokens and very low for padding: (rows, tokens), expanded
    by `axes`."""
    mask = editor.add("Cast", ["attention_mask"], to=onnx.TensorProto.FLOAT)
    padding = editor.add("Sub", [editor.add_constant(np.float32(1)), mask])
    bias = editor.add("Mul", [padding, editor.add_constant(LOWEST)])
    return editor.add("Unsqueeze", [bias, editor.add_constant(np.array(axes, dtype=np.int64))])


def _single_query_attention(editor: GraphEditor, weights: AttentionWeights, hidden: str, first: str) -> str:
    """The context (rows, 1, hidden) of the query at `first` over all positions of `hidden`."""
    size, heads = weights.query.shape[0], weights.heads
    width = size // heads
    by_head = editor.add_constant(np.array([-1, heads, width], dtype=np.int64))
    query = editor.add("MatMul", [first, editor.add_constant(weights.query * np.float32(weights.scale))])
    query = editor.add("Add", [query, editor.add_constant(weights.query_bias * np.float32(weights.scale))])
    query = editor.add("Transpose", [editor.add("Reshape", [query, by_head])], perm=[1, 0, 2])
    keys = weights.key.reshape(size, heads, width).transpose(1, 2, 0)  # (heads, width, hidden)
    query = editor.add("Transpose", [editor.add("MatMul", [query, editor.add_constant(keys)])], perm=[1, 0, 2])
    scores = editor.add("FusedMatMul", [query, hidden], domain=MICROSOFT, transB=1)  # (rows, heads, tokens)
    if weights.scores:
        place = editor.add_constant(np.int64(0))
        scores = editor.add("Add", [scores, editor.add("Gather", [weights.scores, place], axis=2)])
    scores = editor.add("Add", [scores, mask_bias(editor, [1])])
    context = editor.add("MatMul", [editor.add("Softmax", [scores], axis=-1), hidden])  # (rows, heads, hidden)
    values = weights.value.reshape(size, heads, width).transpose(1, 0, 2)  # (heads, hidden, width)
    context = editor.add("Transpose", [context], perm=[1, 0, 2])
    context = editor.add("Transpose", [editor.add("MatMul", [context, editor.add_constant(values)])], perm=[1, 0, 2])
    context = editor.add("Reshape", [context, editor.add_constant(np.array([-1, 1, size], dtype=np.int64))])
    return editor.add("Add", [context, editor.add_constant(weights.value_bias)])


def _first_position_pick(editor: GraphEditor) -> onnx.NodeProto:
    """The single Gather of position 0 through which the head reads the text."""
    picks: dict[str, onnx.NodeProto] = {}
    seen: set[str] = set()
    tensors = list(editor.outputs)
    while tensors:
        node = editor.producer(tensors.pop())
        if node is None or node.output[0] in seen:
            continue
        seen.add(node.output[0])
        if node.op_type == "Gather" and attribute(node, "axis", 0) == 1:
            index = editor.constant(node.input[1])
            if index is not None and index.size == 1 and int(index.reshape(())) == 0:
                picks[node.output[0]] = node
                continue
        if node.op_type in ("Attention", "Softmax", "ReduceMean", "ReduceSum"):
            raise NotPrunedError("the head reads more than the first token")
        tensors.extend(node.input)
    if len(picks) != 1:
        raise NotPrunedError("the head doesn't pick the first token")
    return next(iter(picks.values()))


def _last_layer(editor: GraphEditor, top: str, pick: onnx.NodeProto) -> tuple[list[onnx.NodeProto], set[str]]:
    """The position-wise nodes behind `top` that nothing else reads, and the tensors that enter them."""
    inside = {pick.output[0]: pick}
    border = {top}
    grown = True
    while grown:
        grown = False
        for tensor in sorted(border):
            node = editor.producer(tensor)
            if node is None or not _is_position_wise(editor, node):
                continue
            if any(reader.output[0] not in inside for output in node.output for reader in editor.readers(output)):
                continue
            inside[node.output[0]] = node
            border.remove(tensor)
            border |= {name for name in node.input if name and editor.constant(name) is None}
            grown = True
            break
    del inside[pick.output[0]]
    return list(inside.values()), border


def _is_position_wise(editor: GraphEditor, node: onnx.NodeProto) -> bool:
    if node.op_type not in POSITION_WISE:
        return False
    if node.op_type == "MatMul":
        return editor.weight(node) is not None
    if node.op_type == "LayerNormalization":
        return attribute(node, "axis", -1) in (-1, 2)
    # A constant with more axes could differ between positions.
    return all(value is None or value.ndim <= 1 for value in map(editor.constant, node.input))


def _is_padding_mask(editor: GraphEditor, tensor: str) -> bool:
    """Whether a fused attention's mask comes from the input `attention_mask` and nothing else."""
    inputs, tensors, seen = set(), [tensor], set()
    while tensors:
        name = tensors.pop()
        node = editor.producer(name)
        if name in seen or not name or editor.constant(name) is not None:
            continue
        seen.add(name)
        if node is None:
            inputs.add(name)
        else:
            tensors.extend(node.input)
    return inputs == {"attention_mask"}
