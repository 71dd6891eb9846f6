"""Opens the export room for the commands, which work without it until a checkpoint is to be exported."""

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from lossaudit.engine.bundle import Bundle, is_bundle
from lossaudit.engine.errors import LossAuditError


def exporter() -> ModuleType:
    """`lossaudit.export.exporter`. Raises LossAuditError if the extra isn't installed."""
    return export_room("exporter")


def export_room(module: str) -> ModuleType:
    """A module of the export room, whose libraries take seconds to import."""
    try:
        return importlib.import_module(f"lossaudit.export.{module}")
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("lossaudit"):
            raise
        raise LossAuditError(
            f"exporting a model needs {error.name}, which isn't installed: pip install 'lossaudit[export]'"
        ) from error


def go_offline() -> None:
    """Forbids the hub. Call it before the libraries that would ask one are imported."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def bundle_of(model: str, on_step: Callable[[str], None]) -> Bundle:
    """The bundle at a path, or the cached one of a checkpoint."""
    if is_bundle(model):
        return Bundle.load(model)
    if (Path(model) / "model.onnx").is_file() and not (Path(model) / "config.json").is_file():
        raise LossAuditError(f"{model} has a model.onnx but no manifest.json; make a bundle with `lossaudit export`")
    bundle: Bundle = exporter().cached_bundle(model, on_step)
    return bundle
