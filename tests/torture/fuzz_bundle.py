"""Generated bundles: a sound one comes in, a copy of it with something altered goes out."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

from lossaudit.engine.files import sha256_of
from lossaudit.engine.model.bundle import MANIFEST

from .fuzz_data import mutate

_VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 2**31, 2**70, 10**6, 1.5),
    *("", "x", "../x", "/etc/passwd", "model.onnx", "\0", "fp32", "int8", "cpu", "left"),
    *([], [None], [0], ["x"], {}, {"x": "y"}, {"../x": "0"}),
)


def make(draw: random.Random, sound: Path, folder: Path) -> Path:
    """A copy whose manifest, or one of whose files, is altered; in half of these the hash is made to fit."""
    bundle = Path(shutil.copytree(sound, folder))
    manifest = bundle / MANIFEST
    if draw.random() < 0.6:
        if draw.random() < 0.3:
            manifest.write_bytes(mutate(draw, manifest.read_bytes()))
        else:
            data = json.loads(manifest.read_text(encoding="utf-8"))
            _alter(draw, data)
            manifest.write_text(json.dumps(data), encoding="utf-8")
        return bundle
    path = draw.choice(sorted(path for path in bundle.iterdir() if path != manifest))
    if path.name == "tokenizer.json" and draw.random() < 0.7:
        data = json.loads(path.read_text(encoding="utf-8"))
        _alter(draw, data)
        path.write_text(json.dumps(data), encoding="utf-8")
    else:
        path.write_bytes(mutate(draw, path.read_bytes()))
    if draw.random() < 0.5:
        data = json.loads(manifest.read_text(encoding="utf-8"))
        data["files"][path.name] = sha256_of(path)
        manifest.write_text(json.dumps(data), encoding="utf-8")
    return bundle


def _alter(draw: random.Random, data: Any) -> None:
    """Changes something somewhere in nested JSON."""
    while isinstance(data, (dict, list)) and data:
        keys = list(data) if isinstance(data, dict) else list(range(len(data)))
        key = draw.choice(keys)
        if not isinstance(data[key], (dict, list)) or not data[key] or draw.random() < 0.3:
            break
        data = data[key]
    else:
        return
    match draw.randrange(4):
        case 0:
            del data[key]
        case 1 if isinstance(data, list):
            data.append(data[key])
        case 1:
            data[f"{key}x"] = data.pop(key)
        case _:
            data[key] = draw.choice(_VALUES)
