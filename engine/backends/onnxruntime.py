"""Runs graphs in ONNX Runtime, on its CPU or its CUDA provider."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from lossaudit.engine.bundle import KNOWN_INPUTS
from lossaudit.engine.encoding import Batch
from lossaudit.engine.errors import LossAuditError, brief

CPU_PROVIDER, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


_SLOWER = ["BiasGeluFusion", "LayerNormFusion", "SkipLayerNormFusion"]
"""Fusions whose CPU kernels are slower than what they fuse; export has undone them (export/lowering.py)."""
_FLOATS = ("tensor(float)", "tensor(float16)", "tensor(double)")


class Session:
    """One session, which several threads may run at once: they share its weights."""

    def __init__(self, model: Path, provider: str, threads: int) -> None:
        """Loads `model`, an ONNX file that takes some of `KNOWN_INPUTS` and gives "logits".

        provider: ONNX Runtime's name of the execution provider. threads: CPUs that one run uses.
        Raises LossAuditError if the graph can't be loaded.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # what goes wrong is raised too
        try:
            self._session = ort.InferenceSession(
                str(model),
                options,
                providers=list(dict.fromkeys([provider, CPU_PROVIDER])),
                disabled_optimizers=_SLOWER,
            )
        except Exception as error:  # ONNX Runtime's errors share no public base class
            raise LossAuditError(
                f"{model} is not an ONNX file that this onnxruntime can run: {brief(error)}; export the model again"
            ) from error
        if self._session.get_providers()[0] != provider:
            raise LossAuditError(
                "cuda can't be used: onnxruntime-gpu is installed, but CUDA or cuDNN doesn't load; "
                "install the versions that it asks for, or use --provider cpu"
            )
        self.inputs = tuple(i.name for i in self._session.get_inputs())
        _check_signature(model, self._session)

    def run(self, batch: Batch) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = self._session.run(["logits"], batch.inputs(self.inputs))[0]
        return logits


def _check_signature(model: Path, session: ort.InferenceSession) -> None:
    """Raises LossAuditError for a graph that does not turn token ids of any number of texts into logits of each."""
    inputs, outputs = session.get_inputs(), [o for o in session.get_outputs() if o.name == "logits"]
    if {i.name for i in inputs} - set(KNOWN_INPUTS) or not outputs:
        raise LossAuditError(
            f"{model} is no text classifier's graph: it must take some of {', '.join(KNOWN_INPUTS)} and give logits"
        )
    for i in inputs:
        if i.type != "tensor(int64)" or len(i.shape) != 2 or any(isinstance(size, int) for size in i.shape):
            raise LossAuditError(
                f"{model} takes {i.name} as {i.type} of {i.shape}; it must take int64 token ids of any number of texts "
                "and tokens"
            )
    (logits,) = outputs
    if logits.type not in _FLOATS or len(logits.shape or [0, 0]) != 2:
        raise LossAuditError(
            f"{model} gives logits as {logits.type} of {logits.shape}; it must give a row of floats a text"
        )


class Cpu:
    """ONNX Runtime's CPU provider: in the base install, and everywhere."""

    def missing(self) -> str | None:
        return None

    def version(self) -> str:
        return str(ort.__version__)

    def load(self, model: Path, workers: int, threads: int) -> Session:  # noqa: ARG002 - workers share the session
        return Session(model, CPU_PROVIDER, threads)


class Cuda(Cpu):
    """ONNX Runtime's CUDA provider: onnxruntime-gpu in the place of onnxruntime."""

    def missing(self) -> str | None:
        if _CUDA in ort.get_available_providers():
            return None
        return (
            "the installed onnxruntime has no CUDA provider; write onnxruntime-gpu over it: "
            "pip uninstall --yes onnxruntime && pip install --force-reinstall --no-deps onnxruntime-gpu"
        )

    def load(self, model: Path, workers: int, threads: int) -> Session:  # noqa: ARG002 - the GPU takes one batch a time
        return Session(model, _CUDA, threads)
