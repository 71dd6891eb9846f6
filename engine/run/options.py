"""The options of an audit or a fit."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from ..errors import LossAuditError, Option
from ..model import backends
from .sharding import SHARD_ROWS

_LEAST = {"limit": 1, "max_length": 8, "stride": 0, "threads": 1, "top": 1}


@dataclass(frozen=True)
class AuditOptions:
    """The options that a user may set; None leaves the choice to the audit."""

    text_column: str | None = None
    text_pair_column: str | None = None
    """The column with the second texts, where the model reads pairs."""
    label_column: str | None = None
    label_map: Mapping[str, str] = field(default_factory=dict)
    """Given label → the model's label, where names don't match."""
    limit: int | None = None
    """Only the first rows of the dataset."""
    max_length: int | None = None
    """Tokens at which a text is cut; at most, and by default, the model's own maximum."""
    stride: int | None = None
    """Tokens shared by the windows in which a longer text is read; None cuts it instead."""
    threads: int | None = None
    provider: str = "auto"
    precision: str = "auto"
    """See `engine/model/precision.py`."""
    top: int | None = None
    """Rows of the ranking that must be exact under exact-top."""
    tune: bool = True
    """Whether to measure what is fastest here, the first time a bundle is used."""
    strict: bool = False
    """Whether a row without a loss is an error."""
    shard_rows: int = SHARD_ROWS
    """Rows of a shard; smaller shards are saved more often and batched less well."""

    def checked(self) -> Self:
        """The options as the user means them: naming a top asks for an exact one.

        Raises LossAuditError for values that no dataset or bundle allows.
        """
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise LossAuditError(Option(name, value), f": it must be at least {least}")
        providers = ("auto", *backends.NAMES)
        if self.provider not in providers:
            raise LossAuditError(Option("provider", self.provider), f" isn't known; use one of {', '.join(providers)}")
        if self.top is None:
            return self
        if self.precision not in ("auto", "exact-top"):
            raise LossAuditError(
                Option("top"), " goes with ", Option("precision", "exact-top"), f", not with {self.precision}"
            )
        return replace(self, precision="exact-top")
