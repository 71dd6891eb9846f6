"""Writes labels into a field inside of a column, such as `meta.label`, as a writer for a column of such labels does."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossaudit.engine.data.fields import Field
from lossaudit.engine.table.text_rows import Row

from .label_writer import LabelWriter


@dataclass(frozen=True)
class InField:
    """A field with the labels that a column would hold."""

    field: Field
    writer: LabelWriter
    """For a column of the field's name."""

    @property
    def columns(self) -> Sequence[str]:
        return (self.field.column,)

    @property
    def repeated(self) -> str | None:
        return None

    @property
    def texts(self) -> Sequence[str]:
        return self.writer.texts

    def check(self, row: int, label: str) -> None:
        self.writer.check(row, label)

    def cells(self, row: Mapping[str, Any], label: str) -> Row:
        cell = row.get(self.field.column)
        new = self.writer.cells(self._flat(row), label)[self.field.name]
        return {self.field.column: self.field.with_value(cell, new)}

    def told(self, row: Mapping[str, Any]) -> Any:
        value = self.writer.told(self._flat(row))
        return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    def _flat(self, row: Mapping[str, Any]) -> Row:
        return {self.field.name: self.field.value_in(row.get(self.field.column))}
