"""Copies of Parquet files: schema, metadata, compression and row groups stay, and all cells but the decided ones."""

import json
from decimal import Decimal

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lossaudit.engine.data.source import open_dataset
from lossaudit.review.cleaning.comparing import DifferentError
from lossaudit.review.cleaning.parquet_copy import ParquetCopy, are_of_one_schema
from tests.review.cleaning.making import edit_of

ROWS = 10
LABELS = ["World", "Sports", "Business", "World", "Sports", "World", "Sports", "Business", "World", None]


@pytest.fixture
def copied(tmp_path):
    """Copies the file source.parquet; gives the copy."""

    def copy(edit):
        form, place = ParquetCopy((tmp_path / "source.parquet",), edit), tmp_path / "copy.parquet"
        form.write(place, place.name)
        form.check(place, place.name)
        return place

    return copy


def layout(path):
    """All that a file says of itself beside its cells and places in it."""
    file = pq.ParquetFile(path)
    groups = [file.metadata.row_group(at) for at in range(file.num_row_groups)]
    columns = [
        [
            (c.path_in_schema, c.physical_type, c.compression, c.encodings, c.has_dictionary_page, c.is_stats_set)
            for c in map(group.column, range(group.num_columns))
        ]
        for group in groups
    ]
    keys = {key: value for key, value in (file.metadata.metadata or {}).items() if key != b"ARROW:schema"}
    rows = [group.num_rows for group in groups]
    return (
        str(file.schema).split("\n", 1)[1],
        file.schema_arrow.metadata,
        keys,
        rows,
        columns,
        file.metadata.format_version,
    )


FRAME = pd.DataFrame(
    {
        "text": [f"text {n}" for n in range(ROWS)],
        "label": pd.Categorical(LABELS, ["World", "Sports", "Business"], ordered=True),
        "n": pd.array([1, None] * 5, "Int64"),
        "when": pd.date_range("2020-01-01", periods=ROWS, tz="Europe/Berlin"),
        "nested": [{"a": [1, None], "b": "x"}] * ROWS,
        "when2": pd.array([pd.Timedelta(n, "s") for n in range(ROWS)]),
        "key": [f"k{n}" for n in range(ROWS)],
    }
).set_index("key")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zstd", "row_group_size": 3},
        {"compression": {"text": "gzip", "label": "snappy"}, "use_dictionary": ["label"], "version": "1.0"},
        {"compression": None, "use_dictionary": False, "version": "2.4", "write_statistics": False},
        {"column_encoding": {"text": "DELTA_BYTE_ARRAY"}, "use_dictionary": ["label"], "store_schema": False},
        {"use_deprecated_int96_timestamps": True, "use_compliant_nested_type": False, "write_page_index": True},
    ],
    ids=str,
)
def test_only_decided_cells_differ(options, copied, tmp_path):
    table = pa.Table.from_pandas(FRAME)
    fields = [field.with_metadata({"unit": f"of {field.name}"}) for field in table.schema]
    table = table.cast(pa.schema(fields, table.schema.metadata | {b"mine": b"\xff\x00"}))
    pq.write_table(table, tmp_path / "source.parquet", **options)
    place = copied(edit_of({3: "Business", 9: "World"}))
    assert layout(place) == layout(tmp_path / "source.parquet")
    before, after = pq.read_table(tmp_path / "source.parquet"), pq.read_table(place)
    assert after.schema.equals(before.schema, check_metadata=True)
    assert after.drop_columns("label").equals(before.drop_columns("label"))
    wanted = [*LABELS[:3], "Business", *LABELS[4:9], "World"]
    assert after["label"].to_pylist() == wanted
    read, source = pd.read_parquet(place), pd.read_parquet(tmp_path / "source.parquet")
    assert read.index.equals(source.index)
    assert (read.dtypes == source.dtypes).all()


def test_a_schema_without_metadata_gets_none_and_decimals_stay_whole_numbers(copied, tmp_path):
    columns = {"text": ["a", "b"], "label": ["World", "Sports"], "n": pa.array([1, 2], pa.decimal128(9, 2))}
    for as_integer in (True, False):
        pq.write_table(pa.table(columns), tmp_path / "source.parquet", store_decimal_as_integer=as_integer)
        assert layout(copied(edit_of({0: "Sports"}))) == layout(tmp_path / "source.parquet")


KINDS = {
    "string": (pa.string(), str),
    "large_string": (pa.large_string(), str),
    "string_view": (pa.string_view(), str),
    "binary": (pa.binary(), str.encode),
    "dictionary of int8": (pa.dictionary(pa.int8(), pa.string()), str),
    "dictionary of large_string": (pa.dictionary(pa.uint16(), pa.large_string(), ordered=True), str),
    "int8": (pa.int8(), len),
    "uint64": (pa.uint64(), len),
    "float16": (pa.float16(), lambda name: np.float16(len(name))),
    "double": (pa.float64(), lambda name: float(len(name))),
    "decimal": (pa.decimal128(5, 2), lambda name: Decimal(len(name))),
    "bool": (pa.bool_(), lambda name: name == "World"),
    "list": (pa.list_(pa.string()), lambda name: [name]),
    "fixed list": (pa.list_(pa.int8(), 2), lambda name: [len(name), 0]),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("nullable", [True, False])
def test_a_label_of_any_type_keeps_it(kind, nullable, copied, tmp_path):
    arrow, cell_of = KINDS[kind]
    names = ["World", "Sports", "Business"] * 3
    cells = {name: cell_of(name) for name in [*names, "Sci/Tech"]}
    field = pa.field("label", arrow, nullable, {"about": "labels"})
    held = pa.array([cells[name] for name in names], arrow)
    texts = pa.array([str(n) for n in range(9)])
    pq.write_table(
        pa.table([texts, held], pa.schema([pa.field("text", pa.string()), field])), tmp_path / "source.parquet"
    )
    place = copied(edit_of({1: "World", 4: "Sci/Tech"}, {0, 8}, cells))
    names[1], names[4] = "World", "Sci/Tech"
    after = pq.read_table(place)
    assert after.schema.equals(pq.read_schema(tmp_path / "source.parquet"), check_metadata=True)
    assert after["label"].to_pylist() == pa.array([cells[name] for name in names[1:-1]], arrow).to_pylist()


def test_a_dictionary_that_is_full_is_told(copied, tmp_path, refused):
    names = pa.array([f"name {n}" for n in range(128)]).dictionary_encode()
    full = pa.DictionaryArray.from_arrays(names.indices.cast(pa.int8()), names.dictionary)
    pq.write_table(pa.table({"text": ["a"] * 128, "label": full}), tmp_path / "source.parquet")
    with refused("column 'label' holds dictionary", "can't hold the new labels"):
        copied(edit_of({0: "World"}))


def test_json_and_uuids_stay_what_they_are(copied, tmp_path):
    table = pa.table(
        {
            "text": ["a", "b"],
            "label": ["World", "Sports"],
            "json": pa.array(['{"a": 1}', None], pa.json_(pa.string())),
            "uuid": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0" * 16, None], pa.binary(16))),
        }
    )
    pq.write_table(table, tmp_path / "source.parquet")
    place = copied(edit_of({0: "Sports"}, {1}))
    assert layout(place)[0] == layout(tmp_path / "source.parquet")[0]


def test_groups_shrink_by_the_discarded_rows_alone(copied, tmp_path):
    table = pa.table({"text": [str(n) for n in range(ROWS)], "label": ["World"] * ROWS})
    pq.write_table(table, tmp_path / "source.parquet", row_group_size=4)
    place = copied(edit_of({}, {4, 5, 6, 7, 9}))
    assert layout(place)[3] == [4, 1]
    assert pq.read_table(place)["text"].to_pylist() == ["0", "1", "2", "3", "8"]


def test_files_of_one_schema_follow_each_other(tmp_path):
    table = pa.table({"text": ["a", "b"], "label": ["World", "Sports"]}).replace_schema_metadata({"mine": "yes"})
    files = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    for file in files:
        pq.write_table(table, file, compression="gzip", row_group_size=1)
    assert are_of_one_schema(files)
    form, place = ParquetCopy(files, edit_of({2: "Business"}, {1})), tmp_path / "copy.parquet"
    form.write(place, place.name)
    assert form.check(place, place.name) == 3
    assert layout(place)[:4] == (*layout(files[0])[:3], [1, 1, 1])
    assert pq.read_table(place)["label"].to_pylist() == ["World", "Business", "Sports"]
    pq.write_table(table.replace_schema_metadata(), files[1])
    assert not are_of_one_schema(files)


def test_added_columns_are_told_to_pandas_and_datasets(copied, tmp_path):
    pa_table = pa.Table.from_pandas(FRAME)
    pq.write_table(pa_table, tmp_path / "source.parquet")
    read = pd.read_parquet(copied(edit_of({3: "Business"}, {4}, flag_discarded=True, review_columns=True)))
    assert list(read.columns[-3:]) == ["label_original", "review", "discarded"]
    assert list(read.index) == list(FRAME.index)
    assert read["discarded"].dtype == bool
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["World", "Sports"])}
    )
    datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}, features).to_parquet(tmp_path / "source.parquet")
    place = copied(edit_of({1: "World"}, values={"World": 0}, review_columns=True))
    with open_dataset(str(place)) as rows:
        assert rows.features["label"] == features["label"]
        assert rows.take(0, 9).to_pylist()[1] == {"text": "b", "label": 0, "label_original": 1, "review": "relabel"}
    told = json.loads(pq.read_schema(place).metadata[b"huggingface"])
    assert list(told["info"]["features"]) == ["text", "label", "label_original", "review"]


def test_what_differs_is_found(copied, tmp_path):
    table = pa.table({"text": ["a", "b"], "label": ["World", "Sports"], "n": [float("nan"), 1.0]})
    pq.write_table(table, tmp_path / "source.parquet")
    edit = edit_of({0: "Sports"})
    place = copied(edit)
    form = ParquetCopy((tmp_path / "source.parquet",), edit)
    for other, why in [
        (table, "row 0 has 'World' in column 'label', not 'Sports'"),
        (table.replace_schema_metadata({"a": "b"}), "its schema or metadata is another one"),
        (pq.read_table(place).slice(0, 1), "it has only 1 rows"),
        (pa.concat_tables([pq.read_table(place)] * 2), "it has more than 2 rows"),
    ]:
        pq.write_table(other, place)
        with pytest.raises(DifferentError, match=why):
            form.check(place, place.name)
