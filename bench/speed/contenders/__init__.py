"""The contenders: each does a whole job its own way. A name comes in, a `Contender` goes out.

A job reads the rows, tokenises, scores, computes each row's loss and writes the losses, highest first, to a
Parquet file. `python -m bench.speed.contenders NAME …` runs one in a process of its own, so that every contender
starts the same way and imports nothing but its own libraries.
"""

import importlib

from .job import Contender

_MODULES = {
    "loop": "torch_loop",
    "loop-sorted": "torch_loop",
    "loop-sorted-bf16": "torch_loop",
    "pipeline": "pipeline",
    "pipeline-sorted": "pipeline",
    "ortmodel": "ortmodel",
    "ortmodel-int8": "ortmodel",
    "openvino-fp32": "openvino_peer",
    "openvino-int8": "openvino_peer",
    "ctranslate2-fp32": "ctranslate2_peer",
    "ctranslate2-int8": "ctranslate2_peer",
    "ours-fp32": "ours",
    "ours-int8": "ours",
    "ours-int8-openvino": "ours",
    "ours-exact-top": "ours",
}
NAMES = tuple(_MODULES)
"""In the order of a repeat: the loop first, since every ratio is to it."""


def contender(name: str) -> Contender:
    """The contender of that name. Raises ImportError if a library of its own isn't installed."""
    module = importlib.import_module(f"bench.speed.contenders.{_MODULES[name]}")
    found: Contender = module.CONTENDERS[name]
    return found
