"""fp16 for GPUs: changes the layers of a fused graph in place.

The layers keep ONNX Runtime's fused operators, which its CUDA provider has in fp16. The embeddings and the parts that
run on one token per text (the last layer and the head) stay in fp32: they cost next to nothing, their weights are in
the bundle anyway, and the logits keep their digits.

ONNX Runtime's converter (onnxruntime.transformers.float16) isn't used. It places casts by inferred types, and infers
none for the fused operators; the two places that need a cast are known here.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from lossaudit.engine.errors import LossAuditError, brief
from lossaudit.engine.model.batching import batches_by_token_budget
from lossaudit.engine.model.encoding import TextEncoder
from lossaudit.engine.model.tuning import BUDGET

from .arithmetic import LARGEST_FP16, halved
from .lowering import find_layers
from .onnx_graph import GraphEditor

_HEADROOM = 2
"""Factor by which users' texts may exceed the largest value seen on ours."""
_LOOKED_AT = ("FastGelu", "FusedMatMul", "Gelu", "Gemm", "LayerNormalization", "MatMul", "Relu", "Tanh")
"""Operators whose inputs and outputs are checked: all are floats, and every value of a layer passes through one."""


def halve_layers(model: onnx.ModelProto, end: str | None) -> None:
    """Writes the layers up to `end` (see `find_layers`) in fp16. Raises LossAuditError for a weight out of range."""
    editor = GraphEditor(model)
    layers = find_layers(editor, end)
    inside = {node.output[0] for node in layers.nodes}
    outside = [node for node in editor.nodes if node.output[0] not in inside]
    scores = {name for node in layers.nodes if node.op_type == "Attention" for name in node.input[5:6]}
    new = {layers.start: editor.add("Cast", [layers.start], to=onnx.TensorProto.FLOAT16)}

    def half(name: str) -> str:
        if name in scores:
            new[name] = editor.add("Cast", [name], to=onnx.TensorProto.FLOAT16)
        if name not in new:
            value = editor.constant(name)
            if value is None or value.dtype != np.float32:  # such as the mask
                return name
            new[name] = editor.add_constant(halved(value))
        return new[name]

    for node in layers.nodes:
        new[node.output[0]] = editor.add_copy(node, [half(name) for name in node.input])
    whole = editor.add("Cast", [new[layers.end]], to=onnx.TensorProto.FLOAT)
    for node in outside:
        node.input[:] = [whole if name == layers.end else name for name in node.input]
    editor.finish()


def check_range(model: Path, encoder: TextEncoder, texts: list[str]) -> None:
    """Raises LossAuditError if a value of a graph comes near the limit of fp16 on the texts.

    model: the bundle's fp32 graph. The fp16 graph can't show this on a CPU, where ONNX Runtime computes fp16 operators
    in fp32 and doesn't round between them.
    """
    probed = onnx.load(model, load_external_data=False)
    graph, editor = probed.graph, GraphEditor(probed)
    constants = {tensor.name for tensor in graph.initializer}
    constants |= {node.output[0] for node in editor.nodes if node.op_type == "Constant"}
    nodes = [node for node in editor.nodes if node.op_type in _LOOKED_AT]
    tensors = {name for node in nodes for name in (*node.input, node.output[0]) if name} - constants
    peaks = [editor.add("ReduceMax", [editor.add("Abs", [name])], keepdims=0) for name in sorted(tensors)]
    graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, []) for name in peaks)
    editor.finish()
    file = model.with_name("range.onnx")  # beside the weights
    file.write_bytes(probed.SerializeToString())
    try:
        session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        inputs = [i.name for i in session.get_inputs()]
        encoded = encoder.encode(texts)
        batches = (encoded.padded(rows) for rows in batches_by_token_budget(encoded.lengths, BUDGET))
        largest = max(float(np.max(session.run(peaks, batch.inputs(inputs)))) for batch in batches)
    except Exception as error:  # ONNX Runtime's errors share no public base class
        raise LossAuditError(f"its values can't be checked: {brief(error)}") from error
    finally:
        file.unlink()
    if not largest <= LARGEST_FP16 / _HEADROOM:  # NaN fails too
        raise LossAuditError(
            f"its activations reach {largest:,.0f} on the texts it is compared on; fp16 ends at {LARGEST_FP16:,.0f}, "
            f"and other texts may reach {_HEADROOM} times as far"
        )
