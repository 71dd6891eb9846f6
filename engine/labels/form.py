"""How a source holds its rows' labels: recorded in a losses table's facts, and used by `apply` to write labels."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LabelForm:
    """How a source holds the set of labels of each row (docs/losses.md)."""

    kind: str | None
    separator: str | None = None
    """Separator between the labels of a text."""
    values: tuple[Any, ...] | None = None
    """Value of each class in a list or a text, None where it isn't known."""
    columns: tuple[str, ...] | None = None
    """Columns of 0 and 1, one per class, by their names in the losses table."""


@dataclass(frozen=True)
class GivenFacts:
    """Where a source holds the labels, and how."""

    column: str | None = None
    """Name of the label column in the losses table; None where each label has a column of its own."""
    values: tuple[Any, ...] | None = None
    """Value of each class in the column, None where it isn't known; for single-label models."""
    form: LabelForm | None = None
    """Form of the sets of labels; for multi-label models."""
