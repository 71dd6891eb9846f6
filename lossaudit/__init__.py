"""lossaudit finds the mislabelled examples of a text-classification dataset by the loss of a fine-tuned model.

    >>> import lossaudit as la
    >>> bundle = la.Bundle.load("bundle")                                       # doctest: +SKIP
    >>> audited = la.Audit(bundle, la.open_dataset("reviews.csv")).run()        # doctest: +SKIP
    >>> audited.table.slice(0, 10).to_pandas()                                  # doctest: +SKIP

The names below load on first use, so that importing the package costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from lossaudit.version import __version__

if TYPE_CHECKING:
    from lossaudit.engine.audit import Audit, AuditOptions
    from lossaudit.engine.bundle import Bundle
    from lossaudit.engine.errors import LossAuditError
    from lossaudit.engine.loss import cross_entropy
    from lossaudit.engine.source import open_dataset

_ROOMS = {
    "Audit": "audit",
    "AuditOptions": "audit",
    "Bundle": "bundle",
    "LossAuditError": "errors",
    "cross_entropy": "loss",
    "open_dataset": "source",
}

__all__ = [
    "Audit",
    "AuditOptions",
    "Bundle",
    "LossAuditError",
    "__version__",
    "cross_entropy",
    "open_dataset",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'lossaudit' has no attribute {name!r}")
    return getattr(importlib.import_module(f"lossaudit.engine.{_ROOMS[name]}"), name)
