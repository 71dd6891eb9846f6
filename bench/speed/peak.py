"""The machine's matrix-product peaks: how fast each precision can be here at all. GFLOP/s go out, as JSON.

    python -m bench.speed.peak

Each precision is tried with whatever libraries are installed, on all usable CPUs, on a product as large as a
transformer's; the best of them is the peak.
"""

import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper

from lossaudit.engine.cpus import usable_cpus

ROWS, INNER, COLUMNS = 1024, 1024, 4096
TURNS, SECONDS = 4, 0.4
"""How often and how long each library is measured; its fastest product counts."""
_FLOPS = 2 * ROWS * INNER * COLUMNS


def peaks() -> dict[str, dict[str, Any]]:
    """For fp32, bf16 and int8: `gflops`, and `by`, the library that reached it."""
    torch.set_num_threads(usable_cpus())
    tries: dict[str, dict[str, Callable[[], Callable[[], Any]]]] = {
        "fp32": {"torch": lambda: _torch(torch.float32), "ONNX Runtime": _ort_fp32},
        "bf16": {"torch": lambda: _torch(torch.bfloat16)},
        "int8": {
            "ONNX Runtime MatMulInteger": _ort_int8,
            "OpenVINO": _openvino_int8,
            "torch _int_mm (oneDNN)": _torch_int8,
        },
    }
    found: dict[str, dict[str, Any]] = {}
    for precision, ways in tries.items():
        measured = _fastest(ways)
        best = max(measured, key=lambda name: measured[name])
        found[precision] = {"gflops": measured[best], "by": best, "all": measured}
    return found


def _fastest(ways: dict[str, Callable[[], Callable[[], Any]]]) -> dict[str, float]:
    """GFLOP/s of each way's fastest product; they take turns, so that all have the same chance of a quiet moment."""
    runs = {}
    for name, make in ways.items():
        # Whatever a library refuses here (no package, no kernel) it can't reach a peak with.
        with contextlib.suppress(ImportError, RuntimeError, NotImplementedError):
            runs[name] = make()
            runs[name]()
    fastest = dict.fromkeys(runs, float("inf"))
    for name, run in [*runs.items()] * TURNS:
        end = time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            begun = time.perf_counter()
            run()
            fastest[name] = min(fastest[name], time.perf_counter() - begun)
    return {name: _FLOPS / seconds / 1e9 for name, seconds in fastest.items()}


def _torch(dtype: torch.dtype) -> Callable[[], Any]:
    left, right = torch.randn(ROWS, INNER).to(dtype), torch.randn(COLUMNS, INNER).to(dtype)
    layer = torch.nn.Linear(INNER, COLUMNS, bias=False, dtype=dtype).requires_grad_(False)
    layer.weight.copy_(right)
    return lambda: layer(left)


def _torch_int8() -> Callable[[], Any]:
    left = torch.randint(-127, 127, (ROWS, INNER), dtype=torch.int8)
    right = torch.randint(-127, 127, (INNER, COLUMNS), dtype=torch.int8)
    return lambda: torch._int_mm(left, right)


def _ort_fp32() -> Callable[[], Any]:
    weight = np.random.default_rng(0).standard_normal((INNER, COLUMNS)).astype(np.float32)
    graph = _graph([helper.make_node("MatMul", ["x", "w"], ["y"])], TensorProto.FLOAT, TensorProto.FLOAT, w=weight)
    return _ort(graph, np.random.default_rng(1).standard_normal((ROWS, INNER)).astype(np.float32))


def _ort_int8() -> Callable[[], Any]:
    rng = np.random.default_rng(0)
    weight = rng.integers(-127, 127, (INNER, COLUMNS)).astype(np.int8)
    node = helper.make_node("MatMulInteger", ["x", "w", "zero"], ["y"])
    graph = _graph([node], TensorProto.UINT8, TensorProto.INT32, w=weight, zero=np.array(128, np.uint8))
    return _ort(graph, rng.integers(0, 255, (ROWS, INNER)).astype(np.uint8))


def _openvino_int8() -> Callable[[], Any]:
    """A quantised product, unsigned activations by signed weights, as NNCF makes it."""
    import openvino as ov

    rng = np.random.default_rng(0)
    steps: dict[str, np.ndarray[Any, Any]] = {
        "w": rng.integers(-127, 127, (INNER, COLUMNS)).astype(np.int8),
        "ws": np.full(COLUMNS, 0.01, np.float32),
        "wz": np.zeros(COLUMNS, np.int8),
        "xs": np.array(0.02, np.float32),
        "xz": np.array(0, np.uint8),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "xs", "xz"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=1),
        helper.make_node("MatMul", ["xd", "wd"], ["y"]),
    ]
    graph = _graph(nodes, TensorProto.UINT8, TensorProto.FLOAT, **steps)
    core = ov.Core()
    config = {"INFERENCE_NUM_THREADS": usable_cpus(), "NUM_STREAMS": 1}
    request = core.compile_model(core.read_model(graph, b""), "CPU", config).create_infer_request()
    request.set_input_tensor(ov.Tensor(rng.integers(0, 255, (ROWS, INNER)).astype(np.uint8)))
    return lambda: request.infer()


def _graph(nodes: list[Any], taken: int, given: int, **constants: Any) -> bytes:
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("x", taken, [ROWS, INNER])],
        [helper.make_tensor_value_info("y", given, [ROWS, COLUMNS])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    made: bytes = model.SerializeToString()
    return made


def _ort(graph: bytes, left: Any) -> Callable[[], Any]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = usable_cpus()
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": left})


if __name__ == "__main__":
    print(json.dumps(peaks()))
