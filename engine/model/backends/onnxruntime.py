"""Runs graphs in ONNX Runtime, on its CPU or its CUDA provider."""

import contextlib
import io
import threading
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from ...errors import LossAuditError, Option, brief
from ..encoding import Batch
from .memory import is_out_of_memory
from .signature import LOGITS, Tensor, check_signature

CPU_PROVIDER, CUDA_PROVIDER = "CPUExecutionProvider", "CUDAExecutionProvider"

_SLOWER = ("BiasGeluFusion", "LayerNormFusion", "SkipLayerNormFusion")
"""Fusions whose CPU kernels are slower than what they fuse; export has undone them (export/lowering.py)."""
_CUDA_OPTIONS = {
    # The longest batch comes first, so reserving twice as much as is asked for gains nothing.
    "arena_extend_strategy": "kSameAsRequested",
    # fp32 must be exact: TF32 would keep 10 of its 23 bits.
    "use_tf32": "0",
    # Otherwise the squares of a normalisation are summed in fp16 and overflow.
    "enable_skip_layer_norm_strict_mode": "1",
}


class Session:
    """One session, which several threads may run at once: they share its weights."""

    def __init__(self, model: Path, provider: str, threads: int) -> None:
        """Loads `model`, an ONNX file that takes token ids and gives logits (see `check_signature`).

        provider: ONNX Runtime's name of the execution provider. threads: CPUs that one run uses.
        Raises LossAuditError if the graph can't be loaded.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # errors are raised too
        on_cpu = provider == CPU_PROVIDER
        try:
            self._session = ort.InferenceSession(
                str(model),
                options,
                providers=[CPU_PROVIDER] if on_cpu else [(provider, _CUDA_OPTIONS), CPU_PROVIDER],
                disabled_optimizers=_SLOWER if on_cpu else (),
            )
        except Exception as error:  # ONNX Runtime's errors share no public base class
            if is_out_of_memory(error):
                raise LossAuditError(
                    f"there is not enough memory to load {model}: {brief(error)}; close other programs"
                ) from error
            raise LossAuditError(
                f"{model} is not an ONNX file that this onnxruntime can run: {brief(error)}; export the model again"
            ) from error
        if self._session.get_providers()[0] != provider:
            raise LossAuditError(
                "cuda can't be used: onnxruntime-gpu is installed, but CUDA or cuDNN doesn't load; "
                "install the versions that it needs, or use ",
                Option("provider", "cpu"),
            )
        inputs, outputs = (
            [Tensor(one.name, one.type, one.shape) for one in some]
            for some in (self._session.get_inputs(), self._session.get_outputs())
        )
        check_signature(model, inputs, outputs)
        self.inputs = tuple(i.name for i in inputs)

    def run(self, batch: Batch) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = self._session.run([LOGITS], batch.inputs(self.inputs))[0]
        return logits


class BoundSession(Session):
    """A session whose inputs are put on a device before the run, and whose logits come back to the CPU.

    Each thread that runs it has a binding of its own.
    """

    def __init__(self, model: Path, provider: str, threads: int, device: str) -> None:
        """device: ONNX Runtime's name of the provider's device, such as `cuda`."""
        super().__init__(model, provider, threads)
        self._device = device
        self._own = threading.local()

    def run(self, batch: Batch) -> NDArray[np.float32]:
        binding: ort.IOBinding | None = getattr(self._own, "binding", None)
        if binding is None:
            binding = self._own.binding = self._session.io_binding()
        for name, array in batch.inputs(self.inputs).items():
            on_device = ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), self._device)
            binding.bind_ortvalue_input(name, on_device)
        binding.bind_output(LOGITS)  # again, since its shape has changed
        binding.synchronize_inputs()
        self._session.run_with_iobinding(binding)
        logits: NDArray[np.float32] = binding.copy_outputs_to_cpu()[0]
        return logits


class Cpu:
    """ONNX Runtime's CPU provider: part of the base install, and available everywhere."""

    def missing(self) -> str | None:
        return None

    def version(self) -> str:
        return str(ort.__version__)

    def load(self, model: Path, workers: int, threads: int) -> Session:  # noqa: ARG002 - workers share the session
        return Session(model, CPU_PROVIDER, threads)


class Cuda(Cpu):
    """ONNX Runtime's CUDA provider: needs onnxruntime-gpu in place of onnxruntime."""

    def missing(self) -> str | None:
        if CUDA_PROVIDER in ort.get_available_providers():
            return None
        return (
            "the installed onnxruntime has no CUDA provider; replace it with onnxruntime-gpu: "
            "pip uninstall --yes onnxruntime && pip install --force-reinstall --no-deps onnxruntime-gpu"
        )

    def load(self, model: Path, workers: int, threads: int) -> Session:  # noqa: ARG002 - workers share the session
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it can't find; the session reports it too
            ort.preload_dlls()  # CUDA and cuDNN from NVIDIA's packages
        return BoundSession(model, CUDA_PROVIDER, threads, "cuda")
