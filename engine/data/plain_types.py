"""Arrow tables of any types as tables of the types that `datasets` has, which the rest of the engine reads.

Cells stay what they are wherever such a type holds them: views, dictionaries, runs and extensions are unfolded, bytes
that are UTF-8 become texts. Those of other types, such as maps, UUIDs and intervals, become texts.
"""

import contextlib
import functools
import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

import datasets
import pyarrow as pa
import pyarrow.compute as pc
from datasets.features.features import generate_from_arrow_type

from ..errors import LossAuditError, brief


class NotTextsError(Exception):
    """Most cells of a column of bytes aren't texts."""

    def __init__(self, column: str) -> None:
        super().__init__(column)
        self.column = column


@dataclass(frozen=True)
class Plain:
    """How tables of one or several schemas become tables of one schema, with the columns of all."""

    features: datasets.Features
    as_text: Mapping[str, pa.DataType]
    """The types of columns that only a text form holds."""
    as_bytes: Collection[str]
    """Columns of bytes that stay bytes."""

    @classmethod
    def of(cls, schemas: Mapping[str, pa.Schema], as_bytes: Collection[str] = ()) -> Self:
        """schemas: by what has them, for messages.

        Raises LossAuditError where a column can't hold the types of all.
        """
        features, holders = datasets.Features(), dict[str, str]()
        as_text = dict[str, pa.DataType]()
        for holder, schema in schemas.items():
            twice = [name for name, count in Counter(schema.names).items() if count > 1]
            if twice:
                raise LossAuditError(f"{holder} has {schema.names.count(twice[0])} columns called {twice[0]!r}")
            told = _told_features(schema)
            for field in schema:
                name, kind = field.name, plain_type(field.type, field.name not in as_bytes)
                if kind is None:
                    as_text[name] = field.type
                feature = _feature(kind or pa.string(), told.get(name))
                if name in features:
                    feature = _joined(name, {holders[name]: features[name], holder: feature})
                features[name] = feature
                holders.setdefault(name, holder)
        return cls(features, as_text, as_bytes)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to tell about the columns that become texts."""
        shown = ", ".join(f"{name} ({kind})" for name, kind in self.as_text.items())
        return (f"Carried as text: {shown}",) if shown else ()

    def table(self, table: pa.Table) -> pa.Table:
        """A table of one of the schemas, null where it lacks a column.

        Raises NotTextsError for a column of bytes; LossAuditError for a number that the wider type can't hold.
        """
        columns = {name: table[name] for name in table.column_names}
        schema = self.features.arrow_schema
        return pa.table(
            [
                self._column(columns[field.name], field) if field.name in columns else pa.nulls(len(table), field.type)
                for field in schema
            ],
            schema=schema,
        )

    def _column(self, column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
        if column.type == field.type:
            return column
        if plain_type(column.type, field.name not in self.as_bytes) is None:
            return pa.chunked_array([[_text(cell) for cell in column]], field.type)
        if is_bytes(column.type) and not is_bytes(field.type):
            return _decoded(column, field)
        try:
            return pa.chunked_array([_cast(chunk, field.type) for chunk in column.chunks], field.type)
        except pa.ArrowInvalid as error:
            raise LossAuditError(
                f"column {field.name!r} holds {column.type} in one part and {field.type} in another, which can't hold "
                f"all of it: {brief(error)}"
            ) from error


@functools.cache
def plain_type(kind: pa.DataType, texts: bool = True) -> pa.DataType | None:
    """The type of a column once it is plain; None where only a text form holds its cells.

    texts: whether bytes are taken for texts.
    """
    unfolded = _unfolded(kind)
    if unfolded is None:
        return None
    if texts and is_bytes(kind):
        unfolded = pa.large_string() if pa.types.is_large_binary(kind) else pa.string()
    try:
        if _type_of(generate_from_arrow_type(unfolded)) != unfolded:
            return None
        if kind != unfolded and not isinstance(kind, pa.BaseExtensionType):
            _cast(_sample(kind), unfolded).validate(full=True)
    except (ValueError, TypeError, pa.ArrowException):
        return None
    return unfolded


def _unfolded(kind: pa.DataType) -> pa.DataType | None:
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return kind if isinstance(kind, pa.JsonType) else None if _is_uuid(kind) else _unfolded(kind.storage_type)
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return _unfolded(kind.value_type)
    if types.is_string_view(kind):
        return pa.string()
    if types.is_binary_view(kind) or types.is_fixed_size_binary(kind):
        return pa.binary()
    if types.is_decimal32(kind) or types.is_decimal64(kind):
        return pa.decimal128(kind.precision, kind.scale)
    if types.is_struct(kind):
        fields = [(field.name, _unfolded(field.type)) for field in kind]
        return None if not fields or any(inner is None for _, inner in fields) else pa.struct(fields)
    if types.is_map(kind):
        return None
    if types.is_nested(kind) and not types.is_union(kind):
        inner = _unfolded(kind.value_type)
        large = types.is_large_list(kind) or types.is_large_list_view(kind)
        size = kind.list_size if types.is_fixed_size_list(kind) else -1
        return inner and (pa.large_list(inner) if large else pa.list_(inner, size))
    return kind


def _cast(array: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(array.type):  # some values can be cast, but not taken
        array = pa.DictionaryArray.from_arrays(array.indices, _cast(array.dictionary, _unfolded(array.type)))
    if pa.types.is_run_end_encoded(array.type):
        array = pc.run_end_decode(array)
    if pa.types.is_list_view(array.type) or pa.types.is_large_list_view(array.type):  # Arrow's cast lacks an offset
        ends = pc.cumulative_sum(pc.fill_null(pc.list_value_length(array), 0))
        offsets = pa.concat_arrays([pa.array([0], ends.type), ends])
        lists = pa.ListArray if pa.types.is_list(kind) else pa.LargeListArray
        array = lists.from_arrays(offsets, array.flatten(), mask=array.is_null())
    return array.cast(kind)


def _sample(kind: pa.DataType) -> pa.Array:
    """An array of a type with something at each level of it, to try casts with."""
    if pa.types.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(pa.nulls(1, kind.index_type), pa.nulls(0, kind.value_type))
    if pa.types.is_run_end_encoded(kind):
        return pc.run_end_encode(pa.nulls(1, kind.value_type))
    return pa.array([_sample_cell(kind)], kind)


def _sample_cell(kind: pa.DataType) -> Any:
    if pa.types.is_struct(kind):
        return {field.name: _sample_cell(field.type) for field in kind}
    if pa.types.is_nested(kind):
        return [_sample_cell(kind.value_type)] * (kind.list_size if pa.types.is_fixed_size_list(kind) else 1)
    return None


def _is_uuid(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.UuidType)


def is_bytes(kind: pa.DataType) -> bool:
    """Whether cells of a type are bytes, which may be texts."""
    types = pa.types
    is_variable = types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)
    return bool(is_variable or types.is_fixed_size_binary(kind))


def _told_features(schema: pa.Schema) -> Mapping[str, Any]:
    """The features that `datasets` keeps in a schema, such as the names of classes."""
    try:
        told = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return dict(datasets.Features.from_dict(told))
    except Exception:  # anybody may have written that
        return {}


def _feature(kind: pa.DataType, told: Any) -> Any:
    return told if told is not None and _type_of(told) == kind else generate_from_arrow_type(kind)


def _type_of(feature: Any) -> pa.DataType:
    return datasets.Features({"": feature}).arrow_schema.field(0).type


def _joined(name: str, features: Mapping[str, Any]) -> Any:
    """The feature that holds the cells of two files. features: by the names of the files."""
    one, other = features.values()
    if one == other:
        return one
    kinds = {holder: _type_of(feature) for holder, feature in features.items()}
    if not any(isinstance(feature, datasets.ClassLabel) for feature in (one, other)):
        try:
            schemas = [pa.schema([(name, kind)]) for kind in kinds.values()]
            return generate_from_arrow_type(pa.unify_schemas(schemas, promote_options="permissive").field(0).type)
        except (pa.ArrowException, ValueError):
            pass
    shown = " and ".join(f"{_shown(features[holder], kinds[holder])} in {holder}" for holder in features)
    raise LossAuditError(f"column {name!r} holds {shown}; make them the same, or read one alone")


def _shown(feature: Any, kind: pa.DataType) -> str:
    if isinstance(feature, datasets.ClassLabel):
        return f"classes ({brief(ValueError(', '.join(feature.names)), 60)})"
    return str(kind)


def _decoded(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    """Bytes as texts; a cell that is no UTF-8 is told as such by whoever reads it, like one of a column of texts."""
    plain = column.cast(pa.large_binary() if pa.types.is_large_string(field.type) else pa.binary())
    with contextlib.suppress(pa.ArrowInvalid):
        texts = plain.cast(field.type)
        if not pc.any(pc.match_substring(texts, "\0")).as_py():
            return texts
    wrong = sum(not _is_text(cell) for cell in plain.to_pylist())
    if wrong * 2 > len(column) - column.null_count:
        raise NotTextsError(field.name)
    return pc.cast(plain, field.type, safe=False)


def _is_text(cell: bytes | None) -> bool:
    try:
        return cell is None or "\0" not in cell.decode()
    except UnicodeDecodeError:
        return False


def _text(cell: pa.Scalar) -> str | None:
    """A cell's text form: JSON for what is nested."""
    try:
        value = cell.as_py()
    except Exception:  # of some types, Python holds less than Arrow
        return str(cell)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list) and pa.types.is_map(cell.type):
        value = {str(key): item for key, item in value}
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, (list, dict)) else str(value)
