"""Refuses graphs whose inputs and outputs aren't those of a text classifier."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import LossAuditError
from ..bundle import KNOWN_INPUTS

LOGITS = "logits"
_FLOATS = ("tensor(float)", "tensor(float16)", "tensor(double)")


@dataclass(frozen=True)
class Tensor:
    """An input or output of a graph."""

    name: str
    type: str
    """ONNX Runtime's name of the type, such as `tensor(int64)`."""
    shape: Sequence[int | str | None]
    """Fixed sizes as integers, variable ones as anything else; [] if even their number is unknown."""


def check_signature(model: Path, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
    """Raises LossAuditError for a graph that does not turn token ids of any number of texts into logits of each."""
    found = [tensor for tensor in outputs if tensor.name == LOGITS]
    if {tensor.name for tensor in inputs} - set(KNOWN_INPUTS) or not found:
        raise LossAuditError(
            f"{model} is not a text classifier's graph: it must take some of "
            f"{', '.join(KNOWN_INPUTS)} and give {LOGITS}"
        )
    for i in inputs:
        if i.type != "tensor(int64)" or len(i.shape) != 2 or any(isinstance(size, int) for size in i.shape):
            raise LossAuditError(
                f"{model} takes {i.name} as {i.type} of {i.shape}; it must take int64 token ids of any number of texts "
                "and tokens"
            )
    logits = found[0]
    if logits.type not in _FLOATS or len(logits.shape or [0, 0]) != 2:
        raise LossAuditError(
            f"{model} gives {LOGITS} as {logits.type} of {logits.shape}; it must give one row of floats per text"
        )
