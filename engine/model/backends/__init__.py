"""Backends run a bundle's graphs, from padded token ids to logits.

A backend is one module with a class like `Backend`, which refuses what `check_signature` refuses, and one line in
`BACKENDS`. ONNX Runtime is the default and the reference: fp32 always runs there.
"""

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import LossAuditError
from ..encoding import Batch
from . import onnxruntime, openvino

CPU, CUDA, OPENVINO = "cpu", "cuda", "openvino"


class Runner(Protocol):
    """One loaded graph, which several threads may run at once."""

    def run(self, batch: Batch) -> NDArray[np.float32]:
        """Logits (rows, classes) of a batch."""
        ...


class Backend(Protocol):
    """What a backend's module offers."""

    def missing(self) -> str | None:
        """Why it can't be used here and what to do, in half a sentence; None if it can."""
        ...

    def version(self) -> str:
        """The version of the library that runs graphs."""
        ...

    def load(self, model: Path, workers: int, threads: int) -> Runner:
        """Loads a graph to be run by `workers` threads at once, `threads` CPUs each. Raises LossAuditError."""
        ...


BACKENDS: dict[str, Backend] = {
    CPU: onnxruntime.Cpu(),
    CUDA: onnxruntime.Cuda(),
    OPENVINO: openvino.OpenVino(),
}
"""By name. Tests put stand-ins here for what a machine doesn't have."""
NAMES = tuple(BACKENDS)


def available() -> tuple[str, ...]:
    """The backends that can be used here."""
    return tuple(name for name, backend in BACKENDS.items() if backend.missing() is None)


def versions() -> tuple[str, ...]:
    """The versions of the libraries behind `available()`."""
    return tuple(BACKENDS[name].version() for name in available())


def check_available(name: str) -> None:
    """Raises LossAuditError, which says what is missing, if a backend can't be used here."""
    reason = BACKENDS[name].missing()
    if reason is not None:
        raise LossAuditError(f"{name} can't be used: {reason}")


def cuda_works(model: Path) -> bool:
    """Whether CUDA runs a graph here: onnxruntime-gpu offers it even where there is no GPU or no cuDNN."""
    if CUDA not in available():
        return False
    try:
        load(CUDA, model, workers=1, threads=1)
    except LossAuditError:
        return False
    return True


def load(backend: str, model: Path, workers: int, threads: int) -> Runner:
    """Loads a graph with a backend (see `Backend.load`)."""
    check_available(backend)
    return BACKENDS[backend].load(model, workers, threads)
