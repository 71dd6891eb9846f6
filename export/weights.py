"""Keeps the constants of a bundle's graphs in one file, each different one once (ONNX external data).

The int8 graphs share their matrices, and all graphs share the embeddings, so a bundle of four graphs is about as large
as the fp32 graph and one int8 graph.
"""

import hashlib
from pathlib import Path
from typing import BinaryIO

import onnx
from onnx.external_data_helper import set_external_data

WEIGHTS = "weights.bin"
_SMALLEST = 1024
"""Size in bytes below which a constant stays in its graph."""
_ALIGNMENT = 4096
"""Alignment of constants in bytes, since runtimes map the file into memory by pages."""


class SharedWeights:
    """The file of constants in a bundle's folder while it is written; an existing one is replaced."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / WEIGHTS
        # Not truncated: a runtime may still have the previous file in memory.
        self._path.unlink(missing_ok=True)
        self._path.touch()
        self._places: dict[str, tuple[int, int]] = {}

    def save(self, model: onnx.ModelProto, graph: str) -> Path:
        """Moves a model's constants into this file, writes the model beside it and returns the model's path."""
        with self._path.open("ab") as file:
            for tensor in model.graph.initializer:
                if not tensor.HasField("raw_data") or len(tensor.raw_data) < _SMALLEST:
                    continue
                offset, length = self._place(tensor.raw_data, file)
                set_external_data(tensor, location=WEIGHTS, offset=offset, length=length)
                tensor.ClearField("raw_data")
        path = self._path.with_name(graph)
        path.write_bytes(model.SerializeToString())
        return path

    def _place(self, data: bytes, file: BinaryIO) -> tuple[int, int]:
        digest = hashlib.sha256(data).hexdigest()
        if digest not in self._places:
            file.write(bytes(-file.tell() % _ALIGNMENT))
            self._places[digest] = (file.tell(), len(data))
            file.write(data)
        return self._places[digest]
