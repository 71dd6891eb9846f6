"""A small editor of ONNX graphs, for the modules that rewrite them.

It looks up, adds and removes nodes by the names of the tensors between them; `finish` sorts the nodes topologically and
drops what nothing reads.
"""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

MICROSOFT = "com.microsoft"
"""Domain of ONNX Runtime's own operators (its docs/ContribOperators.md)."""


class GraphEditor:
    """Edits a model in place."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.graph = model.graph
        self._constants = {tensor.name: tensor for tensor in self.graph.initializer}
        # An earlier editor may have added nodes to this model.
        self._prefix = f"lossaudit{len(self.graph.node)}/"
        while any(node.name.startswith(self._prefix) for node in self.graph.node):
            self._prefix = f"_{self._prefix}"
        self._made = 0
        self._index()

    def _index(self) -> None:
        self._producers = {output: node for node in self.graph.node for output in node.output if output}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.graph.node:
            for name in _reads(node):
                if name:
                    self._readers.setdefault(name, []).append(node)

    @property
    def nodes(self) -> list[onnx.NodeProto]:
        return list(self.graph.node)

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(output.name for output in self.graph.output)

    def producer(self, tensor: str) -> onnx.NodeProto | None:
        """The node that produces a tensor; None for inputs and constants."""
        return self._producers.get(tensor)

    def readers(self, tensor: str) -> list[onnx.NodeProto]:
        """The nodes that read a tensor."""
        return self._readers.get(tensor, [])

    def constant(self, tensor: str) -> NDArray[Any] | None:
        """The value of a tensor that doesn't depend on the inputs; None if it does, or if the value isn't known."""
        if tensor in self._constants:
            return np.asarray(numpy_helper.to_array(self._constants[tensor]))
        node = self._producers.get(tensor)
        if node is not None and node.op_type == "Identity":  # as exporters write a constant that is used twice
            return self.constant(node.input[0])
        if node is None or node.op_type != "Constant":
            return None
        value = attribute(node, "value")
        return None if value is None else np.asarray(numpy_helper.to_array(value))

    def weight(self, node: onnx.NodeProto) -> NDArray[Any] | None:
        """The constant matrix that a MatMul multiplies with; None if there is none."""
        value = self.constant(node.input[1]) if node.op_type == "MatMul" else None
        return value if value is not None and value.ndim == 2 else None

    def add_constant(self, value: Any) -> str:
        """Adds a constant and returns its name."""
        name = self._name("constant")
        tensor = numpy_helper.from_array(np.asarray(value, order="C"), name)  # a number stays one
        self.graph.initializer.append(tensor)
        self._constants[name] = tensor
        return name

    def add(self, operator: str, inputs: list[str], domain: str = "", **attributes: Any) -> str:
        """Adds a node with one output and returns the output's name."""
        output = self._name(operator)
        self.graph.node.append(
            helper.make_node(operator, inputs, [output], self._name(operator), domain=domain, **attributes)
        )
        return output

    def add_split(self, operator: str, inputs: list[str], outputs: int, **attributes: Any) -> list[str]:
        """Adds a node with several outputs and returns their names."""
        names = [self._name(operator) for _ in range(outputs)]
        self.graph.node.append(helper.make_node(operator, inputs, names, self._name(operator), **attributes))
        return names

    def add_copy(self, node: onnx.NodeProto, inputs: list[str]) -> str:
        """Adds a copy of a node with one output, with other inputs, and returns the output's name."""
        copy = _copy(node)
        copy.name, copy.input[:], copy.output[:] = self._name(node.op_type), inputs, [self._name(node.op_type)]
        self.graph.node.append(copy)
        return str(copy.output[0])

    def finish(self) -> None:
        """Drops what nothing reads and sorts the nodes topologically."""
        self._index()
        ordered: dict[int, onnx.NodeProto] = {}
        stack = [(output, False) for output in self.outputs]
        while stack:
            tensor, inputs_done = stack.pop()
            node = self._producers.get(tensor)
            if node is None or id(node) in ordered:
                continue
            if inputs_done:
                ordered[id(node)] = node
                continue
            stack.append((tensor, True))
            stack.extend((name, False) for name in _reads(node) if name)
        nodes = list(ordered.values())
        used = {name for node in nodes for name in _reads(node)} | set(self.outputs)
        constants = [tensor for tensor in self.graph.initializer if tensor.name in used]
        # Copies first: clearing a repeated field frees what it holds.
        nodes, constants = [_copy(node) for node in nodes], [_copy(tensor) for tensor in constants]
        del self.graph.node[:], self.graph.initializer[:], self.graph.value_info[:]
        self.graph.node.extend(nodes)
        self.graph.initializer.extend(constants)
        self._constants = {tensor.name: tensor for tensor in self.graph.initializer}
        if all(entry.domain != MICROSOFT for entry in self.model.opset_import):
            self.model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
        self._index()

    def _name(self, stem: str) -> str:
        self._made += 1
        return f"{self._prefix}{stem}_{self._made}"


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """The value of a node's attribute."""
    return next((helper.get_attribute_value(found) for found in node.attribute if found.name == name), default)


def _reads(node: onnx.NodeProto) -> list[str]:
    """The tensors that a node reads, including in branches and loops (whose own tensors are included)."""
    names = list(node.input)
    for part in node.attribute:
        for graph in [part.g, *part.graphs]:
            names += [output.name for output in graph.output]
            for inner in graph.node:
                names += _reads(inner)
    return names


def _copy(message: Any) -> Any:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy
