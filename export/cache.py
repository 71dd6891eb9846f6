"""The user's cache of exported bundles: one bundle per model content, found by its hash."""

import contextlib
from collections.abc import Callable
from pathlib import Path

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.files import cache_folder
from lossaudit.engine.model import backends
from lossaudit.engine.model.bundle import Bundle, is_bundle
from lossaudit.version import __version__


def for_gpu() -> bool:
    """Whether cached bundles include the form for GPUs, which only ONNX Runtime's CUDA build can use."""
    return backends.CUDA in backends.available()


def cached(revision: str, make: Callable[[Path], Bundle]) -> Bundle:
    """The bundle of a revision (a commit, or `sha256:` and a hash); it is made if it is missing or damaged."""
    key = revision.removeprefix("sha256:")[:32]
    target = cache_folder() / "bundles" / f"{key}{'-gpu' if for_gpu() else ''}-{__version__}"
    if is_bundle(target):
        with contextlib.suppress(LossAuditError):
            return Bundle.load(target)
    return make(target)
