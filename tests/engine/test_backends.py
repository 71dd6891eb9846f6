"""Backends: what can be used here, and graphs that aren't ours."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from lossaudit.engine import backends
from lossaudit.engine.bundle import Bundle
from lossaudit.engine.encoding import Batch
from lossaudit.engine.precision import choose


def save_graph(path, input_name, output_name):
    """A graph of one node."""
    node = helper.make_node("Cast", [input_name], [output_name], to=TensorProto.FLOAT)
    given = helper.make_tensor_value_info(input_name, TensorProto.INT64, ["rows", "tokens"])
    made = helper.make_tensor_value_info(output_name, TensorProto.FLOAT, ["rows", "tokens"])
    graph = helper.make_graph([node], "graph", [given], [made])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_a_graph_takes_only_the_inputs_it_has(tmp_path):
    runner = backends.load("cpu", save_graph(tmp_path / "m.onnx", "input_ids", "logits"), workers=1, threads=1)
    ids = np.array([[1, 2]])
    assert runner.run(Batch(ids, np.ones_like(ids), np.zeros_like(ids))).tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize(("given", "made"), [("pixels", "logits"), ("input_ids", "embedding")])
def test_another_kind_of_graph_is_refused(given, made, tmp_path, refused):
    with refused("m.onnx is no text classifier's graph"):
        backends.load("cpu", save_graph(tmp_path / "m.onnx", given, made), workers=1, threads=1)


@pytest.mark.parametrize("content", [b"", b"this is no ONNX file", b"\x08\x0a" * 100])
def test_what_is_no_onnx_file_is_refused(content, tmp_path, refused):
    (tmp_path / "m.onnx").write_bytes(content)
    with refused("m.onnx is not an ONNX file"):
        backends.load("cpu", tmp_path / "m.onnx", workers=1, threads=1)


def test_the_cpu_is_always_there():
    assert "cpu" in backends.available()
    assert set(backends.available()) <= set(backends.NAMES)


@pytest.mark.skipif("cuda" in backends.available(), reason="CUDA is here")
class TestWithoutCuda:
    def test_auto_takes_another(self, bundle_folder):
        choice = choose(Bundle.load(bundle_folder), "fp32", None, "auto", cpus=1, rows=1, sample=None)
        assert choice.first.backend == "cpu"

    def test_asking_for_it_says_which_package_is_missing(self, tmp_path, refused):
        with refused("cuda", "onnxruntime-gpu"):
            backends.load("cuda", save_graph(tmp_path / "m.onnx", "input_ids", "logits"), workers=1, threads=1)
