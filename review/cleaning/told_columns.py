"""Columns that are added to an Arrow table, told to those who keep a list of columns beside the schema."""

import json
from collections.abc import Mapping

import pyarrow as pa
from datasets import Features

_PANDAS, _DATASETS = b"pandas", b"huggingface"


def with_columns_told(source: pa.Schema, edited: pa.Schema, alike: Mapping[str, str]) -> pa.Schema:
    """The edited schema with the source's metadata, in which pandas and `datasets` find the added columns too.

    alike: the column of the source whose kind an added one is of.
    """
    metadata = dict(source.metadata or {})
    added = [edited.field(name) for name in edited.names if name not in source.names]
    if added and _PANDAS in metadata:
        told = json.loads(metadata[_PANDAS])
        told["columns"] += [_for_pandas(field) for field in added]
        metadata[_PANDAS] = json.dumps(told).encode()
    if added and _DATASETS in metadata:
        told = json.loads(metadata[_DATASETS])
        own = told["info"]["features"]
        features = Features.from_arrow_schema(edited.remove_metadata()).to_dict() | own
        told["info"]["features"] = features | {name: own[column] for name, column in alike.items() if column in own}
        metadata[_DATASETS] = json.dumps(told).encode()
    return edited.with_metadata(metadata) if metadata else edited.remove_metadata()


def _for_pandas(field: pa.Field) -> dict[str, object]:
    kind, numpy_kind = ("bool", "bool") if pa.types.is_boolean(field.type) else ("unicode", "object")
    return {
        "name": field.name,
        "field_name": field.name,
        "pandas_type": kind,
        "numpy_type": numpy_kind,
        "metadata": None,
    }
