"""lossaudit finds the mislabelled examples of a text-classification dataset by the loss of a fine-tuned model.

    >>> import lossaudit as la
    >>> losses = la.audit("my-model/", "reviews.csv")                           # doctest: +SKIP
    >>> losses.top(20).to_pandas()                                              # doctest: +SKIP
    >>> la.cross_entropy([[0.0, 0.0], [9.0, 0.0]], [0, 1]).round(4).tolist()
    [0.6931, 9.0001]

The names below load on first use, so that importing the package costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from lossaudit.engine import telemetry

from .version import __version__

telemetry.turn_off()  # before any library is imported that it is for

if TYPE_CHECKING:
    from lossaudit.engine.errors import LossAuditError
    from lossaudit.engine.model.bundle import Bundle
    from lossaudit.engine.scores.loss import cross_entropy
    from lossaudit.export.exporter import export_bundle as export

    from .api import Losses, audit, fit, load, score

_MODULES = {
    "Bundle": "engine.model.bundle",
    "LossAuditError": "engine.errors",
    "Losses": "api",
    "audit": "api",
    "cross_entropy": "engine.scores.loss",
    "fit": "api",
    "load": "api",
    "score": "api",
}

__all__ = [
    "Bundle",
    "LossAuditError",
    "Losses",
    "__version__",
    "audit",
    "cross_entropy",
    "export",
    "fit",
    "load",
    "score",
]


def __getattr__(name: str) -> Any:
    if name == "export":  # the room itself, which can be called: importing it would put it here anyway
        return importlib.import_module("lossaudit.export")
    if name not in _MODULES:
        raise AttributeError(f"module 'lossaudit' has no attribute {name!r}")
    return getattr(importlib.import_module(f"lossaudit.{_MODULES[name]}"), name)
