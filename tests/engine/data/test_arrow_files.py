"""Parquet and Arrow files: what is in them is read, whatever its types, and several files of different columns."""

import datetime
import decimal
import gzip
import uuid

import datasets
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from lossaudit.engine.data.source import locate, open_dataset
from lossaudit.engine.errors import in_library

TEXTS = ["the cup é", "peace", None, ""]
LABELS = [1, 0, 2, 1]
COLUMNS = {
    "string": pa.array(TEXTS),
    "string_view": pa.array(TEXTS, pa.string_view()),
    "large_string": pa.array(TEXTS, pa.large_string()),
    "binary": pa.array([text and text.encode() for text in TEXTS], pa.binary()),
    "large_binary": pa.array([text and text.encode() for text in TEXTS], pa.large_binary()),
    "binary_view": pa.array([text and text.encode() for text in TEXTS], pa.binary_view()),
    "dictionary": pa.array(TEXTS).dictionary_encode(),
    "dictionary_of_large": pa.array(TEXTS, pa.large_string()).dictionary_encode(),
}
OTHERS = {
    "half": pa.array([1.5, None, 0, 2], pa.float16()),
    "decimal": pa.array([decimal.Decimal("1.50"), None, 0, 2], pa.decimal128(38, 2)),
    "dictionary_of_numbers": pa.array([5, 7, None, 5]).dictionary_encode(),
    "dates": pa.array([0, 1, None, 2], pa.date32()),
    "time": pa.array([0, 1, None, 2], pa.time64("us")),
    "when": pa.array([0, 1, None, 2], pa.timestamp("ns", "Europe/Berlin")),
    "took": pa.array([0, 1, None, 2], pa.duration("us")),
    "list_of_views": pa.array([["a"], [], None, ["b", None]], pa.list_(pa.string_view())),
    "large_list": pa.array([["a"], [], None, ["b", None]], pa.large_list(pa.string())),
    "fixed_list": pa.array([[1, 2], None, [3, 4], [5, None]], pa.list_(pa.int8(), 2)),
    "deep": pa.array([{"a": {"b": ["x"]}}, None, {"a": None}, {"a": {"b": None}}]),
    "nothing": pa.nulls(4),
    "hash": pa.array([b"\xff\xfe", b"\xc3\x28", None, b"ok"], pa.binary()),
    "fixed": pa.array([b"a\0", b"\0\0", None, b"ef"], pa.binary(2)),
}
IN_ARROW_ALONE = {
    "list_view": pa.array([["a"], [], None, ["b", None]], pa.list_view(pa.string())),
    "runs": pa.RunEndEncodedArray.from_arrays(pa.array([2, 3, 4], pa.int32()), pa.array(["a", None, "b"])),
    "decimal32": pa.array([decimal.Decimal("1.5"), None, 0, 2], pa.decimal32(5, 1)),
    "bool8": pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0, None, 1], pa.int8())),
}
WITH_MAP = pa.struct([("m", pa.map_(pa.string(), pa.int64()))])
UUIDS = [uuid.UUID(int=7), None, uuid.UUID(int=8), uuid.UUID(int=9)]


def read(path):
    with open_dataset(str(path)) as rows:
        return rows.take(0, len(rows)).to_pydict(), tuple(map(in_library, rows.notes))


def written(table, path):
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix == ".feather":
        pyarrow.feather.write_feather(table, path, compression="lz4")
    elif path.name.startswith("stream"):
        with pa.ipc.new_stream(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=3)
    else:
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.ipc.new_file(str(path), table.schema, options=options) as writer:
            writer.write_table(table, max_chunksize=3)
    return path


NAMES = ["a.parquet", "a.feather", "a.arrow", "stream.arrow"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", COLUMNS)
def test_texts_of_any_type_are_texts(kind, name, tmp_path):
    found, notes = read(written(pa.table({"text": COLUMNS[kind], "label": LABELS}), tmp_path / name))
    assert (found, notes) == ({"text": TEXTS, "label": LABELS}, ())


@pytest.mark.parametrize("name", NAMES)
def test_other_columns_stay_what_they_are(name, tmp_path):
    table = pa.table(OTHERS if name == "a.parquet" else OTHERS | IN_ARROW_ALONE)
    assert read(written(table, tmp_path / name)) == (table.to_pydict(), ())


@pytest.mark.parametrize("name", NAMES)
def test_columns_of_odd_types_become_texts_and_are_told(name, tmp_path):
    table = pa.table(
        {
            "text": ["a", "b", "c", "d"],
            "meta": pa.array([[("k", 1), ("é", None)], [], None, [("k", 2)]], pa.map_(pa.string(), pa.int64())),
            "uuid": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([u and u.bytes for u in UUIDS], pa.binary(16))),
            "inner": pa.array([{"m": [("k", 1)]}, None, {"m": None}, {"m": []}], WITH_MAP),
        }
    )
    found, (note,) = read(written(table, tmp_path / name))
    assert found["meta"] == ['{"k": 1, "é": null}', "{}", None, '{"k": 2}']
    assert found["uuid"] == [u and str(u) for u in UUIDS]
    assert found["inner"] == ['{"m": [["k", 1]]}', None, '{"m": null}', '{"m": []}']
    assert note.startswith("Carried as text: meta (map<string, int64")
    assert "uuid (extension<arrow.uuid>)" in note


def test_texts_of_a_fixed_size_are_texts(tmp_path):
    path = written(
        pa.table({"text": ["a", "b"], "code": pa.array([b"ab", None], pa.binary(2))}), tmp_path / "a.parquet"
    )
    assert read(path)[0]["code"] == ["ab", None]


def test_intervals_become_texts(tmp_path):
    column = pa.array([pa.MonthDayNano((1, 2, 3)), None])
    found, notes = read(written(pa.table({"text": ["a", "b"], "when": column}), tmp_path / "a.arrow"))
    assert found["when"] == [str(column[0].as_py()), None]
    assert notes == ("Carried as text: when (month_day_nano_interval)",)


def test_a_wrong_byte_spoils_its_own_cell_alone(tmp_path):
    texts = [b"caf\xc3\xa9", b"caf\xe9", b"tea", None]
    with open_dataset(str(written(pa.table({"text": pa.array(texts)}), tmp_path / "a.parquet"))) as rows:
        table = rows.take(0, 4)
    assert table["text"].type == pa.string()
    assert table["text"].cast(pa.binary()).to_pylist() == texts


def test_late_bytes_that_are_no_texts_stay_bytes(tmp_path):
    cells = [b"a"] * 10_000 + [bytes([255, number % 256]) for number in range(10_001)]
    path = written(pa.table({"text": ["x"] * len(cells), "hash": pa.array(cells)}), tmp_path / "a.parquet")
    assert read(path)[0]["hash"] == cells


def test_polars_numbers_of_128_bits_are_no_refusal(shared):
    found, _ = read(shared / "cases" / "data" / "09-parquet-types" / "polars_types.parquet")
    assert len(found["text"]) == 16
    assert found["t"][0] == datetime.time(0)


def test_names_of_classes_are_kept(tmp_path):
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["x", "y"])})
    datasets.Dataset.from_dict({"text": ["a"], "label": [1]}, features).to_parquet(tmp_path / "a.parquet")
    pq.write_table(pq.read_table(tmp_path / "a.parquet"), tmp_path / "b.parquet")
    for name in ("a.parquet", "?.parquet"):
        with open_dataset(str(tmp_path / name)) as rows:
            assert rows.features["label"].names == ["x", "y"]


class TestSeveralFiles:
    @pytest.fixture
    def parts(self, tmp_path):
        def write(*tables, name="{}.parquet"):
            for number, table in enumerate(tables):
                written(pa.table(table), tmp_path / name.format(number))
            return tmp_path / name.format("?")

        return write

    @pytest.mark.parametrize("name", ["{}.parquet", "{}.feather"])
    def test_have_the_columns_of_all(self, name, parts):
        path = parts({"text": ["a"], "label": [1]}, {"note": ["n"], "label": [0], "text": ["b"]}, name=name)
        assert read(path)[0] == {"text": ["a", "b"], "label": [1, 0], "note": [None, "n"]}

    @pytest.mark.parametrize(
        ("one", "other", "both"),
        [
            (pa.array([1], pa.int32()), pa.array([2**40]), pa.int64()),
            (pa.array([1]), pa.array([0.5]), pa.float64()),
            (pa.array(["a"]), pa.array(["b"], pa.large_string()), pa.large_string()),
            (pa.array(["a"]).dictionary_encode(), pa.array(["b"]), pa.string()),
            (pa.array(["a"]).dictionary_encode(), pa.array(["b"]).dictionary_encode(), pa.string()),
            (pa.array([b"a"]), pa.array(["b"], pa.string_view()), pa.string()),
            (pa.nulls(1), pa.array(["b"]), pa.string()),
            (
                pa.array([[1]], pa.list_(pa.int8())),
                pa.array([[2]], pa.large_list(pa.int64())),
                pa.large_list(pa.int64()),
            ),
            (pa.array([{"a": 1}]), pa.array([{"b": "x"}]), pa.struct([("a", pa.int64()), ("b", pa.string())])),
            (pa.array([0], pa.timestamp("s")), pa.array([1], pa.timestamp("ns")), pa.timestamp("ns")),
        ],
    )
    def test_of_different_types_have_the_wider(self, one, other, both, parts):
        path = parts({"x": one}, {"x": other})
        with open_dataset(str(path)) as rows:
            table = rows.take(0, 2)
        assert table["x"].type == both
        wider = [
            pa.chunked_array([column]).cast(both).to_pylist() for column in (one, other) if column.type != pa.null()
        ]
        assert [cell for cell in table["x"].to_pylist() if cell is not None] == [
            *wider[0],
            *(wider[1] if len(wider) > 1 else []),
        ]

    @pytest.mark.parametrize(
        ("one", "other", "says"),
        [
            ([1], ["World"], "column 'label' holds int64 in {0} and string in {1}; make them the same"),
            ([True], [1], "bool in {0} and int64 in {1}"),
            ([2**60 + 1], [0.5], "column 'label' holds int64 in one part and double in another"),
        ],
    )
    def test_that_do_not_fit_are_refused_by_name(self, one, other, says, parts, tmp_path, refused):
        path = parts({"text": ["a"], "label": one}, {"text": ["b"], "label": other})
        with refused(says.format(tmp_path / "0.parquet", tmp_path / "1.parquet")):
            open_dataset(str(path))

    def test_that_number_classes_differently_are_refused(self, tmp_path, refused):
        for number, names in enumerate((["x", "y"], ["y", "x"])):
            features = datasets.Features({"label": datasets.ClassLabel(names=names)})
            datasets.Dataset.from_dict({"label": [1]}, features).to_parquet(tmp_path / f"{number}.parquet")
        with refused(f"classes (x, y) in {tmp_path / '0.parquet'} and classes (y, x) in {tmp_path / '1.parquet'}"):
            open_dataset(str(tmp_path / "?.parquet"))

    @pytest.mark.parametrize("name", ["{}.parquet", "{}.feather"])
    def test_without_rows_do_not_count(self, name, parts):
        empty = {"text": pa.nulls(0), "label": pa.array([], pa.string()), "more": pa.nulls(0)}
        path = parts(empty, {"text": ["a"], "label": [1]}, empty, name=name)
        assert read(path)[0] == {"text": ["a"], "label": [1]}

    @pytest.mark.parametrize("name", ["{}.parquet", "{}.feather", "stream{}.arrow"])
    def test_are_located(self, name, parts, tmp_path):
        path = parts({"text": ["a"] * 5}, {"text": ["b"]}, name=name)
        with open_dataset(str(path)) as rows:
            where = tmp_path / name.format(1)
            assert locate(rows.origin, [5]) == {5: f"row 0 of {where}"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("at", [0.2, 0.5, 0.9, 1])
def test_a_damaged_file_is_one_line(name, at, tmp_path, refused):
    table = pa.table({"text": [f"text {n}" * 50 for n in range(3000)], "label": pa.array([[n] for n in range(3000)])})
    data = bytearray(written(table, tmp_path / name).read_bytes())
    cut = int(len(data) * at) - 20
    for damaged in (data[:cut], data[:cut] + bytes(20) + data[cut + 20 :]):
        (tmp_path / name).write_bytes(damaged)
        try:
            read(tmp_path / name)
        except Exception:
            with refused(name):
                read(tmp_path / name)


def test_two_columns_of_one_name_are_refused(tmp_path, refused):
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    with refused("has 2 columns called 'text'"):
        open_dataset(str(written(table, tmp_path / "a.arrow")))


def test_an_empty_file_has_no_rows(tmp_path, refused):
    for name in NAMES:
        with refused(name, "has no rows"):
            open_dataset(str(written(pa.table({"text": pa.array([], pa.string())}), tmp_path / name)))


def test_a_compressed_file_is_read_and_its_copy_deleted(tmp_path):
    path = written(pa.table({"text": ["a"]}), tmp_path / "a.parquet")
    (tmp_path / "b.parquet.gz").write_bytes(gzip.compress(path.read_bytes()))
    with open_dataset(str(tmp_path / "b.parquet.gz"), workplace=tmp_path / "work") as rows:
        assert rows.take(0, 1).to_pydict() == {"text": ["a"]}
        assert [file.name for file in (tmp_path / "work").rglob("*") if file.is_file()] == ["lock", "rows.arrow"]


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
def test_what_polars_writes_is_read(compression, tmp_path):
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"text": ["a", "b"], "label": pl.Series(["x", "y"], dtype=pl.Categorical), "n": [1, None]})
    rows = {"text": ["a", "b"], "label": ["x", "y"], "n": [1, None]}
    frame.write_ipc(tmp_path / "a.arrow", compression=compression)
    frame.write_ipc_stream(tmp_path / "b.arrow", compression=compression)
    frame.write_parquet(tmp_path / "c.parquet", compression=compression)
    for name in ("a.arrow", "b.arrow", "c.parquet"):
        assert read(tmp_path / name) == (rows, ())
