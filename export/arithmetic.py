"""Products of activations with constant matrices, as nodes of a graph: in fp32, in fp16, or in int8 of three kinds.

    Fp32           MatMul and Add
    Fp16           MatMul between two casts, and Add in fp32
    DynamicInt8    one scale per activation and batch, found at run time; ONNX Runtime's operators
    StaticInt8     one scale per activation, from calibration; ONNX Runtime's operators
    QdqInt8        the same numbers as pairs of QuantizeLinear and DequantizeLinear, which other runtimes read

Weights are symmetric int8 with one scale per output column. Activations are uint8 with a zero point and are quantised
once, however many products read them. Two things keep int8 near fp32 (figures in docs/design.md). The few channels of
an activation that are far larger than the others are damped, and the matching rows of the weights enlarged (after
SmoothQuant, Xiao et al. 2022, which does this to all channels). And the bias corrects the mean error of each output.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from lossaudit.engine.cpus import instructions, multiplies_int8
from lossaudit.engine.errors import LossAuditError

from .onnx_graph import MICROSOFT, GraphEditor

Matrix = NDArray[np.float32]

LARGEST_FP16 = float(np.finfo(np.float16).max)
"""Largest value of fp16; anything above becomes infinite."""
_DAMPED_ABOVE = 2.0
"""Limit to which channels are damped, in multiples of the 90th percentile of the channels' largest values."""
_HEADROOM = 1.25
"""Range of fixed scales, in multiples of what calibration saw, since users' texts reach further than ours."""


@dataclass(frozen=True)
class Activation:
    """Statistics of an activation's channels from calibration, each (channels,)."""

    low: Matrix
    high: Matrix
    mean: Matrix

    def damping(self) -> Matrix:
        """The divisor of each channel: 1 for all but the largest."""
        greatest = np.maximum(np.abs(self.low), np.abs(self.high))
        limit = _DAMPED_ABOVE * float(np.quantile(greatest, 0.9))
        return np.maximum(1.0, greatest / max(limit, 1e-6)).astype(np.float32)

    def fixed_scale(self) -> tuple[float, int]:
        """The scale and zero point of the damped activation as uint8."""
        damping = self.damping()
        low = min(0.0, _HEADROOM * float((self.low / damping).min()))
        high = max(0.0, _HEADROOM * float((self.high / damping).max()))
        scale = max(high - low, 1e-8) / 255
        return scale, round(-low / scale)


class Arithmetic(Protocol):
    """A way to write products."""

    def product(self, editor: GraphEditor, x: str, weight: Matrix, bias: Matrix) -> str:
        """Adds `x @ weight + bias` to the graph and returns its tensor."""
        ...

    def known_as(self, old: str, new: str) -> None:
        """Records that the activation `old` of the calibrated graph is now called `new`."""
        ...


class Fp32:
    """Plain products."""

    def product(self, editor: GraphEditor, x: str, weight: Matrix, bias: Matrix) -> str:
        return editor.add("Add", [editor.add("MatMul", [x, editor.add_constant(weight)]), editor.add_constant(bias)])

    def known_as(self, old: str, new: str) -> None:
        pass


@dataclass
class Fp16(Fp32):
    """Products in fp16, which GPUs accumulate in fp32."""

    _halves: dict[str, str] = field(default_factory=dict)

    def product(self, editor: GraphEditor, x: str, weight: Matrix, bias: Matrix) -> str:
        if x not in self._halves:
            self._halves[x] = editor.add("Cast", [x], to=onnx.TensorProto.FLOAT16)
        product = editor.add("MatMul", [self._halves[x], editor.add_constant(halved(weight))])
        return editor.add("Add", [editor.add("Cast", [product], to=onnx.TensorProto.FLOAT), editor.add_constant(bias)])


@dataclass
class StaticInt8:
    """ONNX Runtime's integer product with fixed scales."""

    activations: dict[str, Activation]
    """Every activation that a product reads, by name."""
    _quantised: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def product(self, editor: GraphEditor, x: str, weight: Matrix, bias: Matrix) -> str:
        known = self.activations[x]
        if x not in self._quantised:
            self._quantised[x] = self._quantise(editor, _damped(editor, x, known.damping()), known)
        weight = weight * known.damping()[:, None]
        columns, scales = quantised_columns(weight)
        error = weight - columns.astype(np.float32) * scales
        bias = (bias + (known.mean / known.damping()) @ error).astype(np.float32)
        return self._multiply(editor, self._quantised[x], columns, scales, bias)

    def known_as(self, old: str, new: str) -> None:
        if old in self.activations:
            self.activations[new] = self.activations[old]

    def _quantise(self, editor: GraphEditor, x: str, known: Activation) -> tuple[str, ...]:
        """The tensors of the uint8 values, the scale and the zero point."""
        scale, zero_point = _fixed_scale(editor, known)
        return editor.add("QuantizeLinear", [x, scale, zero_point]), scale, zero_point

    def _multiply(
        self, editor: GraphEditor, x: tuple[str, ...], columns: NDArray[np.int8], scales: Matrix, bias: Matrix
    ) -> str:
        values, scale, zero_point = x
        weight, weight_scales = editor.add_constant(columns), editor.add_constant(scales)
        zeros = editor.add_constant(np.zeros(len(scales), dtype=np.int8))
        inputs = [values, weight, scale, weight_scales, zero_point, zeros, editor.add_constant(bias)]
        return editor.add("MatMulIntegerToFloat", inputs, domain=MICROSOFT)


class DynamicInt8(StaticInt8):
    """ONNX Runtime's integer product with scales found in each batch."""

    def _quantise(self, editor: GraphEditor, x: str, known: Activation) -> tuple[str, ...]:  # noqa: ARG002
        return tuple(editor.add_split("DynamicQuantizeLinear", [x], outputs=3))


class QdqInt8(StaticInt8):
    """An fp32 product between pairs of quantise and dequantise, which the runtime turns into an integer product."""

    def _quantise(self, editor: GraphEditor, x: str, known: Activation) -> tuple[str, ...]:
        scale, zero_point = _fixed_scale(editor, known)
        values = editor.add("QuantizeLinear", [x, scale, zero_point])
        return (editor.add("DequantizeLinear", [values, scale, zero_point]),)

    def _multiply(
        self, editor: GraphEditor, x: tuple[str, ...], columns: NDArray[np.int8], scales: Matrix, bias: Matrix
    ) -> str:
        constants = (columns, scales, np.zeros(len(scales), dtype=np.int8))
        weight = editor.add("DequantizeLinear", [editor.add_constant(value) for value in constants], axis=1)
        return editor.add("Add", [editor.add("MatMul", [x[0], weight]), editor.add_constant(bias)])


def halved(weight: Matrix) -> NDArray[np.float16]:
    """A weight in fp16. Raises LossAuditError if one of its values is out of range."""
    largest = float(np.abs(weight).max(initial=0))
    if not largest <= LARGEST_FP16:
        raise LossAuditError(f"its weights reach {largest:,.0f}; fp16 ends at {LARGEST_FP16:,.0f}")
    return weight.astype(np.float16)


def quantised_columns(weight: Matrix) -> tuple[NDArray[np.int8], Matrix]:
    """int8 values (rows, columns) and the scale (columns,) of each column of a matrix.

    Without VNNI, the sum of two products of uint8 and int8 can overflow 16 bits, so weights use only 7 bits
    (reduce_range in ONNX Runtime's documentation).
    """
    levels = 127 if multiplies_int8(instructions()) else 63
    scales = np.abs(weight).max(axis=0) / levels
    scales = np.where(scales == 0, 1.0, scales).astype(np.float32)
    return np.rint(weight / scales).clip(-levels, levels).astype(np.int8), scales


def _damped(editor: GraphEditor, x: str, damping: Matrix) -> str:
    if (damping == 1).all():
        return x
    return editor.add("Mul", [x, editor.add_constant((1 / damping).astype(np.float32))])


def _fixed_scale(editor: GraphEditor, known: Activation) -> tuple[str, str]:
    scale, zero_point = known.fixed_scale()
    return editor.add_constant(np.float32(scale)), editor.add_constant(np.uint8(zero_point))
