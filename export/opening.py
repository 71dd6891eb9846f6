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
    try:
        from .exporter import cached_bundle
    except ImportError as error:
        _check_of_others(error)
        from .written import cached_writing as cached_bundle
    return cached_bundle(str(model), on_step)


def open_encoder(encoder: str | Path, on_step: Step = silent) -> Bundle:
    """The features bundle at a path, or the cached one of a checkpoint, for heads. Raises LossAuditError."""
    from .heads import check_installed

    check_installed()  # before the work of exporting it
    if is_bundle(encoder):
        return Bundle.load(encoder)
    try:
        from .encoder import cached_encoder
    except ImportError as error:
        _check_of_others(error)
        from .written import cached_encoder_writing as cached_encoder
    return cached_encoder(str(encoder), on_step)


def export_model(
    model: str | Path, target: Path, on_step: Step = silent, multi_label: bool = False, fp16: bool = False
) -> Bundle:
    """Writes the bundle of a checkpoint or an ONNX folder. multi_label, fp16: see `exporter.export_bundle`."""
    from .adopted import adopt_bundle, is_onnx_folder

    if is_onnx_folder(model):
        return adopt_bundle(model, target, on_step, multi_label, fp16)
    try:
        from .exporter import export_bundle
    except ImportError as error:
        _check_of_others(error)
        from .written import write_bundle as export_bundle
    return export_bundle(str(model), target, on_step, multi_label, fp16)


def export_encoder(model: str | Path, target: Path, on_step: Step = silent, fp16: bool = False) -> Bundle:
    """Writes the features bundle of a checkpoint. fp16: see `encoder.export_encoder`."""
    try:
        from .encoder import export_encoder as export
    except ImportError as error:
        _check_of_others(error)
        from .written import write_encoder_bundle as export
    return export(str(model), target, on_step, fp16)


def _check_of_others(error: ImportError) -> None:
    """Raises the error of an import if a module of ours is missing, and not one of the extra's libraries, or one that
    is of a version that doesn't fit."""
    if error.name is not None and error.name.startswith("lossaudit"):
        raise error
