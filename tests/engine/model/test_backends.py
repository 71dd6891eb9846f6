"""Backends: which are usable here, and graphs that lossaudit didn't make."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lossaudit.engine.model import backends
from lossaudit.engine.model.backends import onnxruntime
from lossaudit.engine.model.backends.memory import is_out_of_memory
from lossaudit.engine.model.backends.onnxruntime import CPU_PROVIDER, BoundSession
from lossaudit.engine.model.bundle import Bundle
from lossaudit.engine.model.encoding import Batch, TextEncoder
from lossaudit.engine.model.precision import Wish, choose


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
    with refused("m.onnx is not a text classifier's graph"):
        backends.load("cpu", save_graph(tmp_path / "m.onnx", given, made), workers=1, threads=1)


@pytest.mark.parametrize("content", [b"", b"this is no ONNX file", b"\x08\x0a" * 100])
def test_what_is_no_onnx_file_is_refused(content, tmp_path, refused):
    (tmp_path / "m.onnx").write_bytes(content)
    with refused("m.onnx is not an ONNX file"):
        backends.load("cpu", tmp_path / "m.onnx", workers=1, threads=1)


def test_the_cpu_is_always_there():
    assert "cpu" in backends.available()
    assert set(backends.available()) <= set(backends.NAMES)


def graph_that_wants_terabytes(path):
    """One whose logits are made of so many numbers for each token."""
    nodes = [
        helper.make_node("Shape", ["input_ids"], ["shape"]),
        helper.make_node("Mul", ["shape", "million"], ["size"]),
        helper.make_node("Expand", ["one", "size"], ["huge"]),
        helper.make_node("ReduceMean", ["huge"], ["mean"], keepdims=0),
        helper.make_node("Cast", ["input_ids"], ["ids"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["ids", "mean"], ["logits"]),
    ]
    given = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["rows", "tokens"])
    made = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", "tokens"])
    constants = [
        numpy_helper.from_array(np.array([10**6, 10**6]), "million"),
        numpy_helper.from_array(np.array([[1]], dtype=np.float32), "one"),
    ]
    graph = helper.make_graph(nodes, "graph", [given], [made], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


def batch_of(*texts):
    ids = np.array(texts)
    return Batch(ids, np.ones_like(ids), np.zeros_like(ids))


def test_out_of_memory_is_known_by_what_the_runtime_says(tmp_path):
    runner = backends.load("cpu", graph_that_wants_terabytes(tmp_path / "m.onnx"), workers=1, threads=1)
    with pytest.raises(Exception, match="Failed to allocate memory") as caught:
        runner.run(batch_of([1, 2]))
    assert is_out_of_memory(caught.value)


def test_too_little_memory_to_load_a_graph_is_no_fault_of_the_graph(bundle_folder, monkeypatch, refused):
    def load(*_, **__):
        raise RuntimeError("CUDA failure 2: out of memory ; GPU=0 ; hostname=a ; expr=cudaMalloc((void**)&p, size);")

    monkeypatch.setattr(onnxruntime.ort, "InferenceSession", load)
    with refused("not enough memory to load", "model.onnx", "close other programs"):
        backends.load("cpu", bundle_folder / "model.onnx", workers=1, threads=1)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA failure 2: out of memory ; GPU=0 ; hostname=a ; expr=cudaMalloc((void**)&p, size);"), True),
        (RuntimeError("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("indices element out of data bounds, idx=70000"), False),
        (RuntimeError("CUDA failure 700: an illegal memory access was encountered"), False),
    ],
)
def test_other_failures_are_no_want_of_memory(error, expected):
    assert is_out_of_memory(error) is expected


class TestBoundToADevice:
    """As the CUDA runner does it, on the device that is everywhere."""

    @pytest.fixture
    def runner(self, tmp_path):
        path = save_graph(tmp_path / "m.onnx", "input_ids", "logits")
        return BoundSession(path, CPU_PROVIDER, threads=1, device="cpu")

    def test_batches_of_any_shape_get_their_logits_which_stay(self, runner):
        batches = [[[1, 2]], [[3, 4, 5], [6, 7, 8]], [[9]]]
        found = [runner.run(batch_of(*batch)) for batch in batches]
        assert [logits.tolist() for logits in found] == batches

    def test_ids_that_do_not_lie_in_one_piece(self, runner):
        ids = np.arange(6).reshape(2, 3).T
        assert runner.run(Batch(ids, ids, ids)).tolist() == [[0, 3], [1, 4], [2, 5]]

    def test_threads_do_not_disturb_each_other(self, runner):
        def own(number):
            batches = ([[number] * (1 + n % 7)] for n in range(50))
            return all(runner.run(batch_of(*batch)).tolist() == batch for batch in batches)

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(own, range(8)))

    def test_a_whole_bundle_gives_the_same_as_a_plain_session(self, bundle_folder, rows):
        bundle = Bundle.load(bundle_folder)
        encoded = TextEncoder(bundle.tokenizer, 64, bundle.manifest.pad_id).encode([row["text"] for row in rows])
        batch = encoded.padded(np.arange(len(rows)))
        bound = BoundSession(bundle.file_of("fp32"), CPU_PROVIDER, threads=1, device="cpu")
        np.testing.assert_array_equal(
            bound.run(batch), backends.load("cpu", bundle.file_of("fp32"), workers=1, threads=1).run(batch)
        )


@pytest.mark.skipif("cuda" in backends.available(), reason="CUDA is here")
class TestWithoutCuda:
    def test_auto_takes_another(self, bundle_folder):
        choice = choose(Bundle.load(bundle_folder), Wish("fp32"), rows=1)
        assert choice.first.backend == "cpu"

    def test_asking_for_it_says_which_package_is_missing(self, tmp_path, refused):
        with refused("cuda", "onnxruntime-gpu"):
            backends.load("cuda", save_graph(tmp_path / "m.onnx", "input_ids", "logits"), workers=1, threads=1)
