"""How a source holds its rows' labels, as a losses table's facts say it and `apply` writes them again."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LabelForm:
    """How a source holds the set of labels of each row (docs/losses.md)."""

    kind: str | None
    separator: str | None = None
    """Between the labels of a text."""
    values: tuple[Any, ...] | None = None
    """What a list or a text holds for each class, None where that isn't known."""
    columns: tuple[str, ...] | None = None
    """The columns of 0 and 1 of the classes, as the losses table calls them."""


@dataclass(frozen=True)
class GivenFacts:
    """Where a source says the labels, and how."""

    column: str | None = None
    """As the losses table calls it; None where each label has a column of its own."""
    values: tuple[Any, ...] | None = None
    """What the column holds for each class, None where that isn't known; of a model with one label a row."""
    form: LabelForm | None = None
    """Of a multi-label model."""
