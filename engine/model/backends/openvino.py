"""Runs graphs in OpenVINO itself, where the extra `openvino` is installed."""

import importlib.metadata
import importlib.util
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import LossAuditError, Option, brief
from ..encoding import Batch
from .signature import LOGITS, Tensor, check_signature

_TYPES = {"i64": "int64", "i32": "int32", "f32": "float", "f16": "float16", "f64": "double"}
"""ONNX Runtime's names of OpenVINO's types."""


class CompiledGraph:
    """A graph compiled with as many streams as workers; each thread that runs it has a request of its own."""

    def __init__(self, model: Path, workers: int, threads: int) -> None:
        import openvino  # an extra
        from openvino.frontend import FrontEndManager

        # What isn't int8 runs in OpenVINO's own choice for the CPU: bf16 where the CPU has it, else fp32.
        settings = {"NUM_STREAMS": workers, "INFERENCE_NUM_THREADS": workers * threads}
        try:
            onnx = FrontEndManager().load_by_framework("onnx")  # nothing but ONNX, whatever the file holds
            read = onnx.convert(onnx.load(str(model)))
            check_signature(model, _tensors(read.inputs), _tensors(read.outputs))
            self._compiled = openvino.Core().compile_model(read, "CPU", settings)
        except LossAuditError:
            raise
        except Exception as error:  # OpenVINO raises RuntimeError and its subclasses
            raise LossAuditError(
                f"OpenVINO can't run {model}: {brief(error)}; use ", Option("provider", "cpu")
            ) from error
        self._inputs = tuple(port.get_any_name() for port in self._compiled.inputs)
        self._requests = threading.local()

    def run(self, batch: Batch) -> NDArray[np.float32]:
        request: Any = getattr(self._requests, "request", None)
        if request is None:
            request = self._requests.request = self._compiled.create_infer_request()
        request.infer(batch.inputs(self._inputs), share_inputs=True)
        return np.array(request.get_tensor(LOGITS).data, dtype=np.float32)


class OpenVino:
    """OpenVINO's own runtime on the CPU."""

    def missing(self) -> str | None:
        if importlib.util.find_spec("openvino") is not None:
            return None
        return "the package isn't installed; pip install 'lossaudit[openvino]'"

    def version(self) -> str:
        return importlib.metadata.version("openvino")

    def load(self, model: Path, workers: int, threads: int) -> CompiledGraph:
        return CompiledGraph(model, workers, threads)


def _tensors(ports: Iterable[Any]) -> list[Tensor]:
    return [Tensor(_name(port), _type(port), _shape(port)) for port in ports]


def _name(port: Any) -> str:
    """A port's name, of which an output may have several."""
    names = port.get_names()
    return LOGITS if LOGITS in names else min(names, default="")


def _type(port: Any) -> str:
    name = port.get_element_type().get_type_name()
    return f"tensor({_TYPES.get(name, name)})"


def _shape(port: Any) -> list[int | str | None]:
    shape = port.get_partial_shape()
    if shape.rank.is_dynamic:
        return []
    return [size.get_length() if size.is_static else None for size in shape]
