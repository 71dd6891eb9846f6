"""Runs graphs in OpenVINO itself, where the extra `openvino` is installed."""

import importlib.metadata
import importlib.util
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossaudit.engine.encoding import Batch
from lossaudit.engine.errors import LossAuditError, brief


class CompiledGraph:
    """A graph compiled with as many streams as workers; each thread that runs it has a request of its own."""

    def __init__(self, model: Path, workers: int, threads: int) -> None:
        import openvino  # an extra

        # What isn't int8 runs in OpenVINO's own choice for the CPU: bf16 where the CPU has it, else fp32.
        settings = {"NUM_STREAMS": workers, "INFERENCE_NUM_THREADS": workers * threads}
        try:
            core = openvino.Core()
            self._compiled = core.compile_model(core.read_model(str(model)), "CPU", settings)
        except Exception as error:  # OpenVINO raises RuntimeError and what lies below it
            raise LossAuditError(f"OpenVINO can't run {model}: {brief(error)}; use --provider cpu") from error
        self._inputs = tuple(port.get_any_name() for port in self._compiled.inputs)
        self._requests = threading.local()

    def run(self, batch: Batch) -> NDArray[np.float32]:
        request: Any = getattr(self._requests, "request", None)
        if request is None:
            request = self._requests.request = self._compiled.create_infer_request()
        request.infer(batch.inputs(self._inputs), share_inputs=True)
        return np.array(request.get_output_tensor(0).data, dtype=np.float32)


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
