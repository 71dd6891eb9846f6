"""Products of activations with constant matrices, as nodes of a graph: in fp32, or in int8 of three kinds.

    Fp32           MatMul and Add
    DynamicInt8    each activation gets its scale anew in each batch; ONNX Runtime's operators
    StaticInt8     each activation has one scale, from calibration; ONNX Runtime's operators
    QdqInt8        the same numbers as pairs of QuantizeLinear and DequantizeLinear, which other runtimes read

Weights are symmetric int8 with a scale for each output column. Activations are uint8 with a zero point, and are
quantised once however many products read them.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lossaudit.engine.cpus import has_int8_instructions
from lossaudit.export.onnx_graph import MICROSOFT, GraphEditor

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Range:
    """The least and greatest value of an activation over the calibration texts, zero included."""

    low: float
    high: float

    @property
    def scale(self) -> float:
        return max(self.high - self.low, 1e-8) / 255

    @property
    def zero_point(self) -> int:
        return round(-self.low / self.scale)


class Arithmetic(Protocol):
    """Writes products."""

    def product(self, editor: GraphEditor, x: str, weight: Matrix, bias: Matrix | None) -> str:
        """Adds `x @ weight + bias` to the graph and returns its tensor."""
        ...

    def known_as(self, old: str, new: str) -> None:
        """Told that the activation `old` of the calibrated graph is now called `new`."""
        ...


class Fp32:
    """Plain products."""

    def product(self, editor: GraphEditor, x: str, weight: Matrix, bias: Matrix | None) -> str:
        y = editor.add("MatMul", [x, editor.add_constant(weight)])
        return y if bias is None else editor.add("Add", [y, editor.add_constant(bias)])

    def known_as(self, old: str, new: str) -> None:
        pass


@dataclass
class DynamicInt8:
    """ONNX Runtime's integer product, the scales found in each batch."""

    _quantised: dict[str, list[str]] = field(default_factory=dict)

    def product(self, editor: GraphEditor, x: str, weight: Matrix, bias: Matrix | None) -> str:
        if x not in self._quantised:
            self._quantised[x] = self._quantise(editor, x)
        values, scale, zero_point = self._quantised[x]
        columns, column_scales = quantised_columns(weight)
        inputs = [
            values,
            editor.add_constant(columns),
            scale,
            editor.add_constant(column_scales),
            zero_point,
            editor.add_constant(np.zeros(len(column_scales), dtype=np.int8)),
        ]
        if bias is not None:
            inputs.append(editor.add_constant(bias))
        return editor.add("MatMulIntegerToFloat", inputs, domain=MICROSOFT)

    def known_as(self, old: str, new: str) -> None:
        pass

    def _quantise(self, editor: GraphEditor, x: str) -> list[str]:
        """The tensors of the uint8 values, the scale and the zero point."""
        return editor.add_split("DynamicQuantizeLinear", [x], outputs=3)


@dataclass
class StaticInt8(DynamicInt8):
    """ONNX Runtime's integer product, the scales fixed."""

    ranges: dict[str, Range] = field(default_factory=dict)

    def known_as(self, old: str, new: str) -> None:
        if old in self.ranges:
            self.ranges[new] = self.ranges[old]

    def _quantise(self, editor: GraphEditor, x: str) -> list[str]:
        scale, zero_point = _scale_constants(editor, self.ranges[x])
        return [editor.add("QuantizeLinear", [x, scale, zero_point]), scale, zero_point]


@dataclass
class QdqInt8:
    """An fp32 product between pairs of quantise and dequantise, which the runtime makes an integer one."""

    ranges: dict[str, Range]
    _quantised: dict[str, str] = field(default_factory=dict)

    def product(self, editor: GraphEditor, x: str, weight: Matrix, bias: Matrix | None) -> str:
        if x not in self._quantised:
            scale, zero_point = _scale_constants(editor, self.ranges[x])
            values = editor.add("QuantizeLinear", [x, scale, zero_point])
            self._quantised[x] = editor.add("DequantizeLinear", [values, scale, zero_point])
        columns, column_scales = quantised_columns(weight)
        zeros = np.zeros(len(column_scales), dtype=np.int8)
        constants = [editor.add_constant(value) for value in (columns, column_scales, zeros)]
        y = editor.add("MatMul", [self._quantised[x], editor.add("DequantizeLinear", constants, axis=1)])
        return y if bias is None else editor.add("Add", [y, editor.add_constant(bias)])

    def known_as(self, old: str, new: str) -> None:
        if old in self.ranges:
            self.ranges[new] = self.ranges[old]


def quantised_columns(weight: Matrix) -> tuple[NDArray[np.int8], Matrix]:
    """int8 values (rows, columns) and the scale (columns,) of each column of a matrix.

    Without VNNI, the sum of two products of uint8 and int8 can overflow its 16 bits, so weights take 7 bits then
    (ONNX Runtime's documentation calls it reduce_range).
    """
    levels = 127 if has_int8_instructions() else 63
    scales = np.abs(weight).max(axis=0) / levels
    scales = np.where(scales == 0, 1.0, scales).astype(np.float32)
    return np.rint(weight / scales).clip(-levels, levels).astype(np.int8), scales


def _scale_constants(editor: GraphEditor, known: Range) -> tuple[str, str]:
    return editor.add_constant(np.float32(known.scale)), editor.add_constant(np.uint8(known.zero_point))
