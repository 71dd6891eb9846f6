"""Opens the export room for the commands, which work without it until a checkpoint is to be exported."""

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.model.bundle import Bundle, is_bundle

_WORK = {"demo": "the demo", "export": "exporting a model", "fit": "fitting a head"}


def exporter() -> ModuleType:
    """`lossaudit.export.exporter`. Raises LossAuditError if the extra isn't installed."""
    return export_room("exporter")


def export_room(module: str, extra: str = "export") -> ModuleType:
    """A module of the export room, whose libraries take seconds to import. extra: what installs them."""
    try:
        return importlib.import_module(f"lossaudit.export.{module}")
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("lossaudit"):
            raise
        raise LossAuditError(
            f"{_WORK[extra]} needs {error.name}, which isn't installed: pip install 'lossaudit[{extra}]'"
        ) from error


def go_offline() -> None:
    """Forbids the hub. Call it before the libraries that would ask one are imported."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def free_memory_at_once() -> None:
    """Arrow's own allocator keeps what it frees; the system's needs a fifth less over an audit."""
    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())


def bundle_of(model: str, on_step: Callable[[str], None]) -> Bundle:
    """The bundle at a path, or the cached one of a checkpoint or an ONNX folder."""
    if is_bundle(model):
        return Bundle.load(model)
    adopted = export_room("adopted")
    adopts = adopted.is_onnx_folder(model)
    bundle: Bundle = (adopted.cached_adoption if adopts else exporter().cached_bundle)(model, on_step)
    return bundle


def features_bundle_of(encoder: str, on_step: Callable[[str], None]) -> Bundle:
    """The features bundle at a path, or the cached one of a checkpoint."""
    if is_bundle(encoder):
        return Bundle.load(encoder)
    bundle: Bundle = export_room("encoder", extra="fit").cached_encoder(encoder, on_step)
    return bundle


def export_encoder_to(model: str, output: Path, on_step: Callable[[str], None], fp16: bool) -> Bundle:
    """Writes the features bundle of a checkpoint. fp16: see `encoder.export_encoder`."""
    bundle: Bundle = export_room("encoder").export_encoder(model, output, on_step, fp16)
    return bundle


def export_to(model: str, output: Path, on_step: Callable[[str], None], multi_label: bool, fp16: bool) -> Bundle:
    """Writes the bundle of a checkpoint or an ONNX folder. multi_label, fp16: see `exporter.export_bundle`."""
    adopted = export_room("adopted")
    adopts = adopted.is_onnx_folder(model)
    bundle: Bundle = (adopted.adopt_bundle if adopts else exporter().export_bundle)(
        model, output, on_step, multi_label, fp16
    )
    return bundle
