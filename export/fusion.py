"""Fuses attention, layer normalisation and GELU of an exported graph with ONNX Runtime's transformer optimiser.

The optimiser knows the graphs of the BERT family. For other architectures it fuses what it recognises, and the parity
check shows whether that was right.
"""

import contextlib
import io
from collections import Counter
from pathlib import Path

import onnx
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions

FUSED = ("Attention", "SkipLayerNormalization", "BiasGelu", "EmbedLayerNormalization")


def fuse(path: Path, heads: int, hidden: int) -> tuple[onnx.ModelProto, Counter[str]]:
    """The fused model and its number of nodes of each fused kind. heads, hidden: 0 if unknown."""
    options = FusionOptions("bert")
    # Its kernel needs its inputs in int32 and saves no measurable time.
    options.enable_embed_layer_norm = False
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it can't infer
        fused = optimizer.optimize_model(
            str(path),
            model_type="bert",
            num_heads=heads,
            hidden_size=hidden,
            optimization_options=options,
            opt_level=0,
        )
    counts = Counter(node.op_type for node in fused.model.graph.node if node.op_type in FUSED)
    return fused.model, counts


def has_subgraphs(model: onnx.ModelProto) -> bool:
    """Whether nodes have graphs of their own (If, Loop), which `GraphEditor` doesn't rewrite."""
    return any(part.type == onnx.AttributeProto.GRAPH for node in model.graph.node for part in node.attribute)
