"""Fuses attention, layer normalisation and GELU with ONNX Runtime's transformer optimiser.

An exported graph comes in, a fused model and what was fused go out. The optimiser knows the graphs of the BERT
family; for other architectures it fuses what it recognises, and the parity check says whether it was right.
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
    """The fused model, and how many nodes of each fused kind it has. heads and hidden: 0 if they aren't known."""
    options = FusionOptions("bert")
    # Its kernel wants its inputs in int32 and saves nothing that can be measured.
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
    """Whether nodes carry graphs of their own (If, Loop), which `GraphEditor` doesn't look into."""
    return any(part.type == onnx.AttributeProto.GRAPH for node in model.graph.node for part in node.attribute)
