"""Runs a graph over texts and measures the range of its activations: from tensor names to their statistics."""

import copy

import numpy as np
import onnx
import onnxruntime as ort

from lossaudit.engine.model.batching import batches_by_token_budget
from lossaudit.engine.model.encoding import TextEncoder

from .arithmetic import Activation
from .onnx_graph import GraphEditor


def calibrate(
    model: onnx.ModelProto, names: list[str], encoder: TextEncoder, texts: list[str]
) -> dict[str, Activation]:
    """Statistics of each tensor over the positions of tokens, without padding.

    A tensor must be (rows, tokens, channels) or (rows × tokens, channels); others are missing from the result.
    """
    probed = copy.deepcopy(model)
    probed.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    GraphEditor(probed).finish()
    session = ort.InferenceSession(probed.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs = [i.name for i in session.get_inputs()]
    encoded = encoder.encode(texts)
    low: dict[str, list[np.ndarray]] = {name: [] for name in names}
    high: dict[str, list[np.ndarray]] = {name: [] for name in names}
    total: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for rows in batches_by_token_budget(encoded.lengths, budget=2048):
        batch = encoded.padded(rows)
        for name, value in zip(names, session.run(names, batch.inputs(inputs)), strict=True):
            if value.shape[:-1] not in (batch.mask.shape, (batch.mask.size,)):
                low.pop(name, None)
            if name not in low:
                continue
            tokens = value.reshape(*batch.mask.shape, -1)[batch.mask.astype(bool)]
            low[name].append(tokens.min(axis=0))
            high[name].append(tokens.max(axis=0))
            total[name].append(tokens.sum(axis=0, dtype=np.float64))
    count = int(encoded.lengths.sum())
    return {
        name: Activation(
            np.min(low[name], axis=0),
            np.max(high[name], axis=0),
            (np.sum(total[name], axis=0) / count).astype(np.float32),
        )
        for name in low
    }
