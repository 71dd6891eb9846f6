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

telemetry.turn_off()  # before the libraries that it silences are imported

if TYPE_CHECKING:
    from lossaudit.engine.errors import LossAuditError
    from lossaudit.engine.model.bundle import Bundle
    from lossaudit.engine.scores.loss import cross_entropy

    from .api import apply, audit, export, fit, load
    from .losses import Losses
    from .scoring import score

_MODULES = {
    "Bundle": "engine.model.bundle",
    "LossAuditError": "engine.errors",
    "Losses": "losses",
    "apply": "api",
    "audit": "api",
    "cross_entropy": "engine.scores.loss",
    "export": "api",
    "fit": "api",
    "load": "api",
    "score": "scoring",
}

__all__ = [
    "Bundle",
    "LossAuditError",
    "Losses",
    "__version__",
    "apply",
    "audit",
    "cross_entropy",
    "export",
    "fit",
    "load",
    "score",
]

# The first import of a room binds its name here, and `export` is also the name of a function. So the room is imported
# now, which costs nothing, and its name removed: no later import binds it again (docs/design.md).
importlib.import_module("lossaudit.export")
del globals()["export"]


if not TYPE_CHECKING:  # a type checker that saw this would accept any name

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module 'lossaudit' has no attribute {name!r}")
        return getattr(importlib.import_module(f"lossaudit.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
