"""Fields inside of columns, named with dots: `meta.label` is the field `label` of the column `meta`.

A column that has such a name itself comes first. Of columns whose objects differ, any field may be named.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Json

from .json_kinds import JSON


@dataclass(frozen=True)
class Field:
    """A field inside of a column."""

    name: str
    """The column's name and the field's, with dots."""
    column: str
    keys: tuple[str, ...]
    """The names of objects' members that lead to it."""
    feature: Any
    """Its `datasets` feature."""

    def column_of(self, table: pa.Table) -> pa.ChunkedArray:
        """The field of all rows; null where an object on the way is."""
        column = table[self.column]
        if not isinstance(column.type, pa.JsonType):
            return pc.struct_field(column, list(self.keys))
        cells = [self.value_in(cell) for cell in column.cast(pa.string()).to_pylist()]
        texts = pa.array(
            [None if cell is None else json.dumps(cell, ensure_ascii=False) for cell in cells], pa.string()
        )
        return pa.chunked_array([pa.ExtensionArray.from_storage(JSON, texts)])

    def value_in(self, cell: Any) -> Any:
        """The field in a cell of the column, which may be an object or the JSON text of one."""
        value = _object(cell)
        for key in self.keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def with_value(self, cell: Any, value: Any) -> Any:
        """The cell with another value in the field; other cells stay as they are."""
        changed = _replaced(_object(cell), self.keys, value)
        return json.dumps(changed, ensure_ascii=False) if isinstance(cell, str) else changed


def fields_of(features: Mapping[str, Any], names: Iterable[str | None]) -> tuple[Field, ...]:
    """Those of some names that are fields inside of columns, and no columns."""
    inner = dict.fromkeys(name for name in names if name is not None and name not in features)
    found = (_field(features, name) for name in inner)
    return tuple(field for field in found if field is not None)


def with_fields(features: Mapping[str, Any]) -> Iterator[str]:
    """The names of the columns, with those of their fields in place of the columns of objects."""
    for name, feature in features.items():
        if isinstance(feature, dict) and feature:
            yield from (f"{name}.{inner}" for inner in with_fields(feature))
        else:
            yield name


def _field(features: Mapping[str, Any], name: str) -> Field | None:
    for column, rest in _splits(name):
        if column in features:
            for keys, feature in _paths(features[column], rest):
                return Field(name, column, keys, feature)
    return None


def _splits(name: str) -> Iterator[tuple[str, str]]:
    """A name cut in two at each of its dots, the longest first part first."""
    for at in range(len(name) - 1, 0, -1):
        if name[at] == ".":
            yield name[:at], name[at + 1 :]


def _paths(feature: Any, name: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The ways to a field inside of a feature, and its own feature."""
    if isinstance(feature, Json):
        yield tuple(name.split(".")), feature
    if not isinstance(feature, dict):
        return
    if name in feature:
        yield (name,), feature[name]
    for first, rest in _splits(name):
        if first in feature:
            yield from (((first, *keys), found) for keys, found in _paths(feature[first], rest))


def _object(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    try:
        return json.loads(cell)
    except ValueError:
        return cell


def _replaced(cell: Any, keys: tuple[str, ...], value: Any) -> Any:
    if not keys:
        return value
    inner = cell if isinstance(cell, dict) else {}
    return inner | {keys[0]: _replaced(inner.get(keys[0]), keys[1:], value)}
