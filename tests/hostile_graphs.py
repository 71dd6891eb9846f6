"""Small classifier graphs for tests that corrupt them."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

NAMES = ("input_ids", "attention_mask")


def value(name, kind=TensorProto.INT64, shape=("texts", "tokens")):
    return helper.make_tensor_value_info(name, kind, shape)


def weight(location=None, classes=4, **places):
    """The weight of the small classifier, or one that says it lies in a file."""
    tensor = numpy_helper.from_array(np.arange(classes, dtype=np.float32)[None] / 9, "weight")
    if location is not None:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, text in {"location": location, "offset": "0", "length": str(4 * classes), **places}.items():
            tensor.external_data.add(key=key, value=text)
    return tensor


def model(last=None, weights=None, inputs=None, outputs=None, domains=(), more=()):
    """A classifier of two operators, which the arguments spoil. last: the nodes from the texts' sums to the logits."""
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["ids"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["ids", "axis"], ["sums"], keepdims=1),
        *(last or [helper.make_node("MatMul", ["sums", "weight"], ["logits"])]),
    ]
    axis = numpy_helper.from_array(np.array([1]), "axis")
    graph = helper.make_graph(
        nodes,
        "graph",
        [value(name) for name in NAMES] if inputs is None else inputs,
        [value("logits", TensorProto.FLOAT, ("texts", 4))] if outputs is None else outputs,
        [axis, weights or weight(), *more],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18), *domains], ir_version=10)


def through(name, **attributes):
    """The product, and an operator behind it that gives the logits."""
    return [
        helper.make_node("MatMul", ["sums", "weight"], ["product"]),
        helper.make_node(name, ["product"], ["logits"], **attributes),
    ]
