"""Checks an ONNX graph before any backend opens it, and refuses what text classifiers have no use for.

Backends read weights from wherever a graph says and run any operator they know, and what they refuse differs from
version to version. Here a graph is parsed alone, without its weights, and only what is known passes.
"""

import functools
from collections.abc import Mapping, Sequence, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import LossAuditError, brief
from .graph_size import check_size
from .tensor_checks import check_tensor, quoted

if TYPE_CHECKING:
    import onnx

ENDING = ".onnx"
"""The only accepted ending: with another one, a backend may take a file for another format."""
_MOST_PARTS = 100_000
"""Most operators, attributes and tensors. The largest graph of `bench/families.py` has 950 operators in two layers."""
_DEEPEST = 4
"""Most levels of branches within branches. Exports have one."""

_OURS = frozenset({"Attention", "BiasGelu", "FusedMatMul", "Gelu", "MatMulIntegerToFloat", "SkipLayerNormalization"})
"""Operators that `export` writes."""
_OPTIMISERS = frozenset(
    {
        "EmbedLayerNormalization", "FastGelu", "FusedGemm", "GroupQueryAttention", "MultiHeadAttention", "QuickGelu",
        "RotaryEmbedding", "SkipSimplifiedLayerNormalization",
    }
)  # fmt: skip
"""Operators that ONNX Runtime's optimiser writes into folders that are adopted."""
_QUANTISERS = frozenset(
    {
        "DequantizeLinear", "DynamicQuantizeMatMul", "MatMulNBits", "QAttention", "QEmbedLayerNormalization", "QGemm",
        "QLinearAdd", "QLinearConcat", "QLinearMul", "QLinearReduceMean", "QLinearSigmoid", "QLinearSoftmax",
        "QLinearWhere", "QuantizeLinear",
    }
)  # fmt: skip
"""Operators that ONNX Runtime's quantiser writes."""
_MICROSOFT = _OURS | _OPTIMISERS | _QUANTISERS
_READS_FORMATS = frozenset({"ImageDecoder"})
"""Standard operators that parse other file formats."""
_BRANCHES = ("then_branch", "else_branch")

# Fields that ONNX's messages may hold; any other is refused, whatever it may come to mean.
_MODEL = frozenset(
    {
        "ir_version", "opset_import", "producer_name", "producer_version", "domain", "model_version", "doc_string",
        "graph", "metadata_props",
    }
)  # fmt: skip
_GRAPH = frozenset(
    {"node", "name", "initializer", "doc_string", "input", "output", "value_info", "metadata_props"}
)  # fmt: skip
_NODE = frozenset(
    {"input", "output", "name", "op_type", "domain", "overload", "attribute", "doc_string", "metadata_props"}
)  # fmt: skip
_ATTRIBUTE = frozenset(
    {
        "name", "doc_string", "type", "f", "i", "s", "t", "g", "tp", "floats", "ints", "strings", "tensors",
        "type_protos",
    }
)  # fmt: skip


def check_graph(path: Path, weights: Mapping[str, int], remedy: str = "export the model again") -> frozenset[str]:
    """Raises LossAuditError for a graph that no backend should open; returns the files that hold its weights.

    weights: names and sizes of the files beside it that may hold them. remedy: advice to end the message with.
    """
    from google.protobuf.message import DecodeError

    try:
        if path.suffix != ENDING:
            raise ValueError(f"its name doesn't end in {ENDING}")
        return _check_model(_parse(path), weights)
    except OSError as error:
        raise LossAuditError(f"{path} can't be read: {brief(error)}") from error
    except (DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise LossAuditError(f"{path} is not an ONNX file: {brief(error)}; {remedy}") from error
    except ValueError as error:
        raise LossAuditError(f"{path} is refused, since {brief(error, 300)}; {remedy}") from error


def _parse(path: Path) -> "onnx.ModelProto":
    import onnx  # takes a tenth of a second

    data = path.read_bytes()
    check_size(data)
    model = onnx.ModelProto()
    model.ParseFromString(data)
    return model


def _check_model(model: "onnx.ModelProto", weights: Mapping[str, int]) -> frozenset[str]:
    _check_fields(model, _MODEL, "it")
    if not model.graph.node:
        raise ValueError("it holds no operators")
    checker = _GraphChecker(weights)
    checker.check(model.graph)
    # The weights are dropped first, since they needn't be counted.
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
    size = model.ByteSize()
    model.DiscardUnknownFields()
    if model.ByteSize() != size:
        raise ValueError("it holds fields that the installed onnx doesn't know (a newer onnx may)")
    return frozenset(checker.files)


class _GraphChecker:
    """Checks a graph with its branches."""

    def __init__(self, weights: Mapping[str, int]) -> None:
        self._weights = weights
        self._parts = 0
        self.files: set[str] = set()
        """Files that hold tensors."""

    def check(self, graph: "onnx.GraphProto", depth: int = 0) -> None:
        if depth > _DEEPEST:
            raise ValueError(f"its branches are nested more than {_DEEPEST} deep")
        _check_fields(graph, _GRAPH, "its graph")
        self._count(graph.node)
        self._check_tensors(graph.initializer, "tensor")
        for node in graph.node:
            self._check_node(node, depth)

    def _check_node(self, node: "onnx.NodeProto", depth: int) -> None:
        if not _is_known(node.domain, node.op_type):
            raise ValueError(f"it has the operator {_name(node)}, which lossaudit doesn't know")
        _check_fields(node, _NODE, f"its operator {_name(node)}")
        self._count(node.attribute)
        for attribute in node.attribute:
            _check_fields(attribute, _ATTRIBUTE, f"its operator {_name(node)}")
            if attribute.HasField("t"):
                self._check_tensors([attribute.t], f"{node.op_type}'s tensor")
            self._check_tensors(attribute.tensors, f"{node.op_type}'s tensor")
            if attribute.HasField("g"):
                if node.op_type != "If" or node.domain or attribute.name not in _BRANCHES:
                    raise ValueError(f"its operator {_name(node)} has a graph of its own")
                self.check(attribute.g, depth + 1)

    def _count(self, parts: Sized) -> None:
        self._parts += len(parts)
        if self._parts > _MOST_PARTS:
            raise ValueError(f"it has more than {_MOST_PARTS:,} operators, attributes and tensors")

    def _check_tensors(self, tensors: Sequence["onnx.TensorProto"], kind: str) -> None:
        self._count(tensors)
        for tensor in tensors:
            try:
                file = check_tensor(tensor, self._weights)
            except UnicodeDecodeError:
                raise
            except ValueError as error:
                raise ValueError(f"its {kind} {quoted(tensor.name)} {error}") from error
            if file is not None:
                self.files.add(file)


def _check_fields(message: Any, known: frozenset[str], where: str) -> None:
    for field, _ in message.ListFields():
        if field.name not in known:
            raise ValueError(f"{where} holds {field.name}, which lossaudit has no use for")


@functools.cache
def _standard(operator: str) -> bool:
    import onnx.defs

    # ONNX Runtime's optimiser writes the second into the standard domain, which doesn't have it.
    return bool(onnx.defs.has(operator)) or operator == "SimplifiedLayerNormalization"


def _is_known(domain: str, operator: str | bytes) -> bool:
    """Standard operators only compute with tensors. Loops can't pass, since the graphs in them don't."""
    if not isinstance(operator, str):  # protobuf returns bytes that aren't UTF-8 as they are
        return False
    if domain in ("", "ai.onnx"):
        return operator not in _READS_FORMATS and _standard(operator)
    return domain == "com.microsoft" and operator in _MICROSOFT


def _name(node: "onnx.NodeProto") -> str:
    return quoted(f"{node.domain}:{node.op_type}" if node.domain else node.op_type)
