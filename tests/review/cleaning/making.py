"""Sources of many styles for the tests of cleaning, and edits of them that need no audit."""

from collections.abc import Iterable, Mapping

from lossaudit.review.cleaning.edit import Edit
from lossaudit.review.label_writers import LabelInCell
from lossaudit.review.store import Decision

NAMES = ("World", "Sports", "Business", "Sci/Tech", "Café ☕")


def edit_of(
    relabelled: Mapping[int, str],
    discarded: Iterable[int] = (),
    values: Mapping[str, object] | None = None,
    column: str = "label",
    **options: bool,
) -> Edit:
    """What decides new labels by row, and rows that go. values: the cell for each label; its name if None."""
    made = {row: ("relabel", label) for row, label in relabelled.items()} | dict.fromkeys(discarded, ("discard", None))
    decisions = {row: Decision(row, *what, "ada", "page", "2026-01-02") for row, what in made.items()}
    writer = LabelInCell(column, values or {name: name for name in NAMES})
    return Edit(writer, decisions, options.get("flag_discarded", False), options.get("review_columns", False))
