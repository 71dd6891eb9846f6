"""int8 of graphs that aren't rewritten: which products are found, and that branches keep their inputs."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from lossaudit.export.arithmetic import Activation, Fp32, StaticInt8
from lossaudit.export.onnx_graph import GraphEditor
from lossaudit.export.products import find_products, rewrite_products

RANDOM = np.random.default_rng(0)
WEIGHT = RANDOM.normal(size=(8, 16)).astype(np.float32)
BIAS = RANDOM.normal(size=16).astype(np.float32)
X = RANDOM.normal(size=(10, 8)).astype(np.float32)
SEEN = {"x": Activation(X.min(axis=0), X.max(axis=0), X.mean(axis=0))}


def model_of(nodes, **constants):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["tokens", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["y"], {"x": X})[0]


def matmul():
    return model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], w=WEIGHT)


def matmul_by_an_identity():
    nodes = [helper.make_node("Identity", ["w"], ["same"]), helper.make_node("MatMul", ["x", "same"], ["y"])]
    return model_of(nodes, w=WEIGHT)


def gemm():
    return model_of([helper.make_node("Gemm", ["x", "w", "b"], ["y"])], w=WEIGHT, b=BIAS)


def gemm_without_bias():
    return model_of([helper.make_node("Gemm", ["x", "w"], ["y"])], w=WEIGHT)


def transposed_gemm():
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)]
    return model_of(nodes, w=np.ascontiguousarray(WEIGHT.T), b=BIAS)


def branch():
    """The product's result is read in a branch alone."""
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    also = helper.make_tensor_value_info("also", TensorProto.FLOAT, None)
    positive = helper.make_graph([helper.make_node("Add", ["product", "b"], ["out"])], "then", [], [out])
    negative = helper.make_graph([helper.make_node("Neg", ["product"], ["also"])], "else", [], [also])
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"]),
        helper.make_node("If", ["true"], ["y"], then_branch=positive, else_branch=negative),
    ]
    return model_of(nodes, w=WEIGHT, b=BIAS, true=np.array(True))


@pytest.mark.parametrize("make", [matmul, matmul_by_an_identity, gemm, gemm_without_bias, transposed_gemm, branch])
def test_a_product_is_found_and_written_anew(make):
    model = make()
    (product,) = find_products(GraphEditor(model))
    assert product.x == "x"
    np.testing.assert_array_equal(product.weight, WEIGHT)
    expected = run(model)
    plain, int8 = onnx.ModelProto(), onnx.ModelProto()
    plain.CopyFrom(model)
    int8.CopyFrom(model)
    rewrite_products(plain, {"x"}, Fp32())
    np.testing.assert_allclose(run(plain), expected, atol=1e-5)
    rewrite_products(int8, {"x"}, StaticInt8(dict(SEEN)))
    assert "MatMulIntegerToFloat" in [node.op_type for node in int8.graph.node]
    np.testing.assert_allclose(run(int8), expected, atol=0.2)
    assert np.abs(run(int8) - expected).max() > 0


@pytest.mark.parametrize("changes", [{"alpha": 2.0}, {"beta": 0.5}])
def test_a_scaled_gemm_is_left_alone(changes):
    model = model_of([helper.make_node("Gemm", ["x", "w", "b"], ["y"], **changes)], w=WEIGHT, b=BIAS)
    assert find_products(GraphEditor(model)) == []


def test_a_product_of_two_activations_is_none():
    nodes = [helper.make_node("Transpose", ["x"], ["t"]), helper.make_node("MatMul", ["x", "t"], ["y"])]
    assert find_products(GraphEditor(model_of(nodes))) == []


def test_a_head_over_every_token_is_left_alone():
    head = model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], w=WEIGHT[:, :4])
    assert find_products(GraphEditor(head)) == []


def test_what_calibration_does_not_know_is_left_alone():
    model = matmul()
    rewrite_products(model, set(), StaticInt8({}))
    assert [node.op_type for node in model.graph.node] == ["MatMul"]
