"""What writes a decision's label, or set of labels, into the cells of a row. `label_writers.writer_of` makes it."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from lossaudit.engine.table.text_rows import Row


class LabelWriter(Protocol):
    """Writes labels into the cells of rows."""

    @property
    def columns(self) -> Sequence[str]:
        """Columns of the source that hold the label."""

    @property
    def repeated(self) -> str | None:
        """The column of the source that `told` repeats, if it does."""

    @property
    def texts(self) -> Sequence[str]:
        """The texts that are written as labels."""

    def check(self, row: int, label: str) -> None:
        """Raises LossAuditError if row number `row` can't be given this label."""

    def cells(self, row: Mapping[str, Any], label: str) -> Row:
        """The cells of `columns` for a row with a new label, given as decisions store it. row: the present cells."""

    def told(self, row: Mapping[str, Any]) -> Any:
        """The given label or labels, as one cell."""
