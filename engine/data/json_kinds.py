"""What the values of a JSON column are, and the Arrow column that holds them as they are.

Values that `json.loads` gives come in; a `Kind` or an Arrow array goes out. Kinds are joined as more values are read.
What no one type holds without changing it is kept as JSON, cell by cell.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self

import pyarrow as pa

JSON = pa.json_(pa.string())
_DEEPEST = 16
"""Levels of lists and objects with a type of their own; deeper ones are kept as JSON."""
EXACT = 2**53
"""Whole numbers up to here are exact as floats too."""


@dataclass(frozen=True)
class Kind:
    """What values have been seen."""

    scalars: frozenset[str] = frozenset()
    """Of which sorts those are that are neither lists nor objects; nulls aside."""
    items: "Kind | None" = None
    """What the lists hold, if there are any."""
    fields: tuple[tuple[str, "Kind"], ...] | None = None
    """What the objects hold, if there are any, all with these names and no others."""

    @classmethod
    def of(cls, values: Collection[Any], depth: int = 0) -> Self:
        """The kind of some values."""
        types = set(map(type, values)) - {type(None)}
        if depth == _DEEPEST and types & {list, dict}:
            return cls(frozenset({"nested"}))
        scalars = {_SCALARS[kind] for kind in types if kind in _SCALARS}
        if int in types:
            whole = [value for value in values if type(value) is int]
            scalars |= _sorts_of(min(whole)) | _sorts_of(max(whole))
        items = fields = None
        if list in types:
            items = cls.of(list(chain.from_iterable(value for value in values if type(value) is list)), depth + 1)
        if dict in types:
            objects = [value for value in values if type(value) is dict]
            names = objects[0]
            if names and all(value.keys() == names.keys() for value in objects):
                fields = tuple((name, cls.of([value[name] for value in objects], depth + 1)) for name in names)
            else:
                scalars.add("objects")
        return cls(frozenset(scalars), items, fields)

    def __or__(self, other: "Kind") -> "Kind":
        """The kind of the values of both."""
        scalars = self.scalars | other.scalars
        items = self.items | other.items if self.items and other.items else self.items or other.items
        fields = self.fields or other.fields
        if self.fields and other.fields:
            others = dict(other.fields)
            if others.keys() == dict(self.fields).keys():
                fields = tuple((name, kind | others[name]) for name, kind in self.fields)
            else:
                fields, scalars = None, scalars | {"objects"}
        return Kind(scalars, items, fields)

    @property
    def type(self) -> pa.DataType:
        """The Arrow type that holds such values without changing them."""
        if (self.items is not None) + (self.fields is not None) + bool(self.scalars) > 1:
            return JSON
        if self.items is not None:
            inner = self.items.type
            return JSON if inner == JSON else pa.list_(inner)
        if self.fields is not None:
            inners = {name: kind.type for name, kind in self.fields}
            return JSON if JSON in inners.values() else pa.struct(list(inners.items()))
        return next((kind for sorts, kind in _TYPES if self.scalars <= sorts), JSON)


_SCALARS = {str: "text", bool: "bool", float: "float"}
_TYPES = (
    (frozenset[str](), pa.null()),
    (frozenset({"bool"}), pa.bool_()),
    (frozenset({"text"}), pa.string()),
    (frozenset({"int", "negative", "long"}), pa.int64()),
    (frozenset({"int", "long", "unsigned"}), pa.uint64()),
    (frozenset({"int", "negative", "float"}), pa.float64()),
)


def _sorts_of(value: int) -> set[str]:
    sign = {"negative"} if value < 0 else set()
    if abs(value) <= EXACT:
        return {"int"} | sign
    if -(2**63) <= value < 2**63:
        return {"long"} | sign
    return {"unsigned" if 0 < value < 2**64 else "huge"}


def column_of(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Values as a column of their kind's type. Raises UnicodeEncodeError for what is no UTF-8 in nested values."""
    if kind == JSON:
        cells = [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]
        return pa.ExtensionArray.from_storage(JSON, pa.array(cells, pa.string()))
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        if kind != pa.string():
            raise
        cells = [None if value is None else value.encode(errors="surrogateescape") for value in values]
        return pa.array(cells, pa.binary()).cast(pa.string(), safe=False)
