"""Copies of Arrow and Feather files: schema, metadata, batches and compression stay, and undecided cells."""

import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pytest

from lossaudit.review.cleaning.arrow_copy import ArrowCopy, _codec
from tests.review.cleaning.making import edit_of

LABELS = ["World", "Sports", "Business", "World", "Sports", "World"]


def copied(source, edit):
    form, place = ArrowCopy(source, edit), source.with_name("copy.arrow")
    form.write(place, place.name)
    form.check(place, place.name)
    return place


def table_of(labels):
    schema = pa.schema(
        [pa.field("text", pa.large_string(), metadata={"a": "b"}), pa.field("label", labels.type, nullable=False)],
        {"mine": "yes"},
    )
    return pa.table([pa.array([f"text {n} " * 20 for n in range(len(labels))], pa.large_string()), labels], schema)


@pytest.mark.parametrize("kind", [pa.string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())], ids=str)
@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
@pytest.mark.parametrize("new", [pa.ipc.new_file, pa.ipc.new_stream])
def test_only_decided_cells_differ(new, compression, kind, tmp_path):
    table = table_of(pa.array(LABELS).cast(kind) if kind != pa.dictionary(pa.int8(), pa.string()) else _codes())
    source = tmp_path / "source.arrow"
    with new(source, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table, max_chunksize=4)
    place = copied(source, edit_of({1: "World", 5: "Sci/Tech"}, {0}))
    opened = pa.ipc.open_file if new is pa.ipc.new_file else pa.ipc.open_stream
    with pa.memory_map(str(place)) as mapped:
        made = opened(mapped).read_all()
        assert made.schema.equals(table.schema, check_metadata=True)
        assert made["label"].to_pylist() == ["World", "Business", "World", "Sports", "Sci/Tech"]
        assert made["text"].to_pylist() == table["text"].to_pylist()[1:]
        assert [len(chunk) for chunk in made["text"].chunks] == [3, 2]
    assert _codec(place) == _codec(source) == compression


def _codes():
    encoded = pa.array(LABELS).dictionary_encode()
    return pa.DictionaryArray.from_arrays(encoded.indices.cast(pa.int8()), encoded.dictionary)


def test_feather_keeps_what_pandas_knows(tmp_path):
    frame = pd.DataFrame(
        {"text": list("abcdef"), "label": pd.Categorical(LABELS), "n": pd.array([1, None] * 3, "Int64")}
    )
    source = tmp_path / "source.feather"
    feather.write_feather(frame, source)
    made = feather.read_feather(copied(source, edit_of({2: "World"})))
    assert (made.dtypes == frame.dtypes).all()
    assert list(made["label"]) == [*LABELS[:2], "World", *LABELS[3:]]
