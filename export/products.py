"""int8 and fp16 for graphs that `lowering.py` doesn't know.

Changes only the products of tokens with constant matrices, in place; attention, normalisations and the head stay as
exported.
"""

from dataclasses import dataclass

import numpy as np
import onnx

from .arithmetic import Arithmetic, Matrix
from .onnx_graph import GraphEditor, attribute

_NARROWEST = 16
"""Smallest number of columns worth rewriting; a head over every token has one per label, and errors there are errors of
the logits."""


@dataclass(frozen=True)
class Product:
    """A node that computes x @ weight + bias."""

    node: onnx.NodeProto
    x: str
    weight: Matrix
    bias: Matrix


def find_products(editor: GraphEditor) -> list[Product]:
    """The products with constant matrices: MatMul without its bias, Gemm with it."""
    found = (_product(editor, node) for node in editor.nodes if node.op_type in ("MatMul", "Gemm"))
    return [product for product in found if product is not None]


def rewrite_products(model: onnx.ModelProto, known: set[str], arithmetic: Arithmetic) -> None:
    """Rewrites the products of the activations in `known`."""
    editor = GraphEditor(model)
    for product in find_products(editor):
        if product.x in known:
            new = arithmetic.product(editor, product.x, product.weight, product.bias)
            # The old name stays because a branch of the graph may read it.
            product.node.op_type, product.node.input[:] = "Identity", [new]
            del product.node.attribute[:]
    editor.finish()


def _product(editor: GraphEditor, node: onnx.NodeProto) -> Product | None:
    weight = editor.constant(node.input[1])
    if weight is None or weight.ndim != 2 or weight.dtype != np.float32:
        return None
    weight = weight.T if attribute(node, "transB", 0) else weight
    if weight.shape[1] < _NARROWEST:
        return None
    if node.op_type == "MatMul":
        return Product(node, node.input[0], weight, np.zeros(weight.shape[1], dtype=np.float32))
    if attribute(node, "transA", 0) or attribute(node, "alpha", 1.0) != 1 or attribute(node, "beta", 1.0) != 1:
        return None
    bias = editor.constant(node.input[2]) if len(node.input) > 2 else np.zeros(weight.shape[1], dtype=np.float32)
    if bias is None or bias.shape != (weight.shape[1],):
        return None
    return Product(node, node.input[0], weight, bias)
