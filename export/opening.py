"""Opens models for the commands and the Python API: a bundle, a checkpoint or an ONNX folder becomes a `Bundle`.

Importing this module needs no extra. The exporting modules are imported only when there is something to export, since
their libraries take seconds to load; if a library is missing, the error names the extra.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.model.bundle import Bundle, is_bundle

Step = Callable[[str], None]
"""Callback that is called with each step as it starts."""
_WORK = {"demo": "the demo", "export": "exporting a model", "fit": "fitting a head"}


def silent(step: str) -> None:
    """A `Step` that does nothing."""


@contextlib.contextmanager
def extra(name: str, before: str = "") -> Iterator[None]:
    """Wraps imports: raises LossAuditError, naming the extra, if one of its libraries isn't installed.

    before: the start of the message.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("lossaudit"):
            raise
        raise LossAuditError(
            f"{before}{_WORK[name]} needs {error.name}, which isn't installed: pip install 'lossaudit[{name}]'"
        ) from error


def open_model(model: str | Path, on_step: Step = silent) -> Bundle:
    """The bundle at a path, or the cached one of a checkpoint or an ONNX folder. Raises LossAuditError."""
    if is_bundle(model):
        return Bundle.load(model)
    from .adopted import cached_adoption, is_onnx_folder

    if is_onnx_folder(model):
        return cached_adoption(model, on_step)
    with extra("export", f"{model} is not a bundle, and "):
        from .exporter import cached_bundle
    return cached_bundle(str(model), on_step)


def open_encoder(encoder: str | Path, on_step: Step = silent) -> Bundle:
    """The features bundle at a path, or the cached one of a checkpoint. Raises LossAuditError."""
    if is_bundle(encoder):
        return Bundle.load(encoder)
    with extra("fit", f"{encoder} is not a bundle, and "):
        from .encoder import cached_encoder
    return cached_encoder(str(encoder), on_step)


def export_model(
    model: str | Path, target: Path, on_step: Step = silent, multi_label: bool = False, fp16: bool = False
) -> Bundle:
    """Writes the bundle of a checkpoint or an ONNX folder. multi_label, fp16: see `exporter.export_bundle`."""
    from .adopted import adopt_bundle, is_onnx_folder

    if is_onnx_folder(model):
        return adopt_bundle(model, target, on_step, multi_label, fp16)
    with extra("export"):
        from .exporter import export_bundle
    return export_bundle(str(model), target, on_step, multi_label, fp16)


def export_encoder(model: str | Path, target: Path, on_step: Step = silent, fp16: bool = False) -> Bundle:
    """Writes the features bundle of a checkpoint. fp16: see `encoder.export_encoder`."""
    with extra("export"):
        from .encoder import export_encoder as export
    return export(str(model), target, on_step, fp16)
