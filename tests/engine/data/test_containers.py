"""What files are: by their first bytes, whatever their names say; and writing what is read."""

import bz2
import gzip
import io
import json
import lzma
import sqlite3
import tarfile
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lossaudit.engine.data import containers
from lossaudit.engine.data.containers import open_bytes, recognised, writing_bytes
from lossaudit.engine.data.source import locate, open_dataset
from lossaudit.engine.errors import LossAuditError, in_library

CSV = "text,label\nthe cup é,b\npeace,a\n"
TSV = CSV.replace(",", "\t")
JSONL = '{"text": "the cup é", "label": "b"}\n{"text": "peace", "label": "a"}\n'
ROWS = {"text": ["the cup é", "peace"], "label": ["b", "a"]}


def zipped(files):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def parquet():
    written = io.BytesIO()
    pq.write_table(pa.table(ROWS), written)
    return written.getvalue()


def excel(kind="xl/workbook.xml"):
    return zipped({"[Content_Types].xml": "<Types/>", kind: "<workbook/>"})


PACK = {
    "gz": lambda name, data: gzip.compress(data),
    "bz2": lambda name, data: bz2.compress(data),
    "xz": lambda name, data: lzma.compress(data),
    "zip": lambda name, data: zipped({name: data}),
}


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def read(path):
    with open_dataset(str(path)) as rows:
        return rows.take(0, len(rows)).to_pydict(), tuple(map(in_library, rows.notes))


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize(
    ("name", "content"), [("a.csv", CSV), ("a.tsv", TSV), ("a.tab", TSV), ("a.jsonl", JSONL), ("a.json", JSONL)]
)
def test_compressed_files_are_read(packing, name, content, write):
    assert read(write(f"{name}.{packing}", PACK[packing](name, content.encode()))) == (ROWS, ())


@pytest.mark.parametrize("packing", PACK)
def test_compressed_parquet_is_read(packing, write):
    assert read(write(f"a.parquet.{packing}", PACK[packing]("a.parquet", parquet()))) == (ROWS, ())


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("gzip.csv", gzip.compress(CSV.encode()), "gzip-compressed CSV"),
        ("GZIP.JSONL", gzip.compress(JSONL.encode()), "gzip-compressed JSON"),
        ("bz2.csv", bz2.compress(CSV.encode()), "bzip2-compressed CSV"),
        ("xz.csv", lzma.compress(CSV.encode()), "xz-compressed CSV"),
        ("zip.csv", zipped({"a.csv": CSV}), "zip-compressed CSV"),
        ("bz2.csv.gz", bz2.compress(CSV.encode()), "bzip2-compressed CSV"),
        ("news.gz", gzip.compress(JSONL.encode()), "JSON"),
        ("news.bz2", bz2.compress(CSV.encode()), "CSV"),
        ("plain.csv.gz", CSV, "uncompressed CSV"),
        ("plain.jsonl.xz", JSONL, "uncompressed JSON"),
        ("parquet.csv", parquet(), "Parquet"),
        ("parquet.jsonl.gz", gzip.compress(parquet()), "Parquet"),
        ("parquet", parquet(), "Parquet"),
        ("jsonl.csv", JSONL, "JSON"),
        ("bom.csv", "\ufeff" + JSONL, "JSON"),
        ("array.tsv", json.dumps([{"text": "the cup é", "label": "b"}, {"text": "peace", "label": "a"}]), "JSON"),
        (
            "pretty.csv",
            json.dumps({"data": [{"text": "the cup é", "label": "b"}, {"text": "peace", "label": "a"}]}),
            "JSON",
        ),
        ("csv.jsonl", CSV, "CSV"),
        ("tsv.json", TSV, "TSV"),
        ("csv.parquet", CSV, "CSV"),
        ("jsonl.parquet", JSONL, "JSON"),
        ("jsonl.xlsx", JSONL, "JSON"),
        ("news.txt", TSV, "TSV"),
        ("zip.csv.zip", zipped({"inside.csv": JSONL}), "JSON"),
    ],
)
def test_content_under_another_name_is_read_and_told(name, content, told, write):
    path = write(name, content)
    assert read(path) == (ROWS, (f"{path} is read as {told}, by its content",))


def test_several_files_under_other_names_are_told_once(write, tmp_path):
    for number in range(3):
        write(f"{number}.csv", gzip.compress(CSV.encode()))
    write("3.csv", CSV)
    first, notes = tmp_path / "0.csv", read(tmp_path / "?.csv")[1]
    assert notes == (f"3 files are read as gzip-compressed CSV, by their content: {first} and others",)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("braces.csv", "{text},label\na,1\n"),
        ("json-cells.tsv", '{"a": 1}\tlabel\nx\t1\n'),
        ("json-cells.csv", '{"a": 1},label\nx,1\n'),
        ("brackets.csv", "[text],label\na,1\n"),
        ("orc.csv", "ORC,label\na,1\n"),
        ("par1.csv", "PAR1,label\na,1\n"),
        ("pk.csv", "PK,label\na,1\n"),
    ],
)
def test_cells_that_look_like_something_else_are_cells(name, content, write):
    found, notes = read(write(name, content))
    assert (found.get("label", ["1"]), notes) == (["1"], ())


def test_a_zip_is_of_its_one_data_file(write):
    files = {"notes.txt": "read me, please\n", "__MACOSX/._a.csv": "\0\5", ".DS_Store": "x", "data/a.csv": CSV}
    assert read(write("news.zip", zipped(files))) == (ROWS, ())
    assert read(write("one.zip", zipped({"rows": JSONL})))[0] == ROWS


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.zip", zipped({"a.csv": CSV, "b/b.jsonl": JSONL}), "holds 2 files (a.csv, b/b.jsonl), not one; unpack it"),
        (
            "many.zip",
            zipped({f"{n}.csv": CSV for n in range(9)}),
            "holds 9 files (0.csv, 1.csv, 2.csv, 3.csv, 4.csv, …)",
        ),
        ("line.zip", zipped({"a\nb.csv": CSV, "c.csv": CSV}), "(a b.csv, c.csv)"),
        ("none.zip", zipped({}), "holds no file"),
        ("broken.csv.zip", zipped({"a.csv": CSV})[:-30], "cannot be read: File is not a zip file"),
        ("twice.csv.gz", gzip.compress(gzip.compress(CSV.encode())), "unpack it once"),
        ("inner.zip", zipped({"a.csv.gz": gzip.compress(CSV.encode())}), "unpack it once"),
        ("a.csv", excel("xl/workbook.bin"), "is a binary Excel workbook"),
        ("a.csv", excel("word/document.xml"), "is a Word document"),
        ("a.csv", excel("content.xml"), "is an OpenDocument file"),
        ("a.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "is an old Excel workbook (.xls)"),
        ("a.csv.zst", b"\x28\xb5\x2f\xfd" + bytes(20), "is compressed with Zstandard; unpack it first"),
        ("a.csv", b"%PDF-1.7\n", "is a PDF"),
        ("a.parquet", "one line", "is not Parquet"),
        ("a.arrow", bytes(100), "is not Arrow"),
        ("a.xlsx", "x", "is not an Excel workbook"),
        ("prose.md", "# News\n\nread me\n", "is not a dataset file; its name must end in .csv, .tsv, .tab, .json"),
    ],
)
def test_what_cannot_be_read_is_one_line(name, content, says, write, refused):
    with refused(name, says):
        open_dataset(str(write(name, content)))


def test_other_files_are_named_for_what_they_are(tmp_path, refused):
    with sqlite3.connect(tmp_path / "a.csv") as database:
        database.execute("create table news (text, label)")
    with refused("a.csv is an SQLite database; export the table as CSV"):
        open_dataset(str(tmp_path / "a.csv"))
    with tarfile.open(tmp_path / "a.csv.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("a.csv"))
    with refused("a.csv.gz is a tar archive"):
        open_dataset(str(tmp_path / "a.csv.gz"))


def test_an_encrypted_zip_is_refused(write, refused):
    data = bytearray(zipped({"a.csv": CSV}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    with refused("a.zip is encrypted; unpack it first"):
        open_dataset(str(write("a.zip", bytes(data))))


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_bomb_is_bounded(packing, name, write, monkeypatch, refused):
    monkeypatch.setattr(containers, "_FREE", 1 << 20)
    content = (CSV if name == "a.csv" else JSONL).encode() + b" " * (20 << 20)
    with refused(f"{name}.{packing} unpacks to more than 100 times its size"):
        open_dataset(str(write(f"{name}.{packing}", PACK[packing](name, content))))


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("at", [0.3, 0.8])
def test_damage_is_one_line(packing, at, write):
    data = bytearray(PACK[packing]("a.csv", "".join(f"text {n**7},{n % 4}\n" for n in range(5000)).encode()))
    data[int(len(data) * at)] ^= 0xFF
    with pytest.raises(LossAuditError) as caught:
        open_dataset(str(write(f"a.csv.{packing}", bytes(data))))
    assert len(str(caught.value).splitlines()) == 1


def test_files_of_one_ending_and_several_formats_are_named(write, tmp_path, refused):
    write("1.csv", CSV)
    write("2.csv", parquet())
    with refused("several formats: ", f"CSV ({tmp_path / '1.csv'})", f"Parquet ({tmp_path / '2.csv'})"):
        open_dataset(str(tmp_path / "*.csv"))


@pytest.mark.parametrize("packing", PACK)
def test_rows_of_several_compressed_files_are_located(packing, write, tmp_path):
    for number in range(2):
        write(f"{number}.csv.{packing}", PACK[packing](f"{number}.csv", CSV.encode()))
    with open_dataset(str(tmp_path / "*.csv.*")) as rows:
        assert locate(rows.origin, [3]) == {3: f"row 1 of {tmp_path / f'1.csv.{packing}'}"}


@pytest.mark.parametrize("name", ["a.csv", *(f"a.csv.{packing}" for packing in PACK)])
def test_what_is_written_is_compressed_as_its_name_says(name, tmp_path):
    with writing_bytes(tmp_path / "temporary", name) as file:
        file.write(CSV.encode())
    path = (tmp_path / "temporary").rename(tmp_path / name)
    assert recognised(path).note is None
    assert recognised(path).packing == path.suffix.replace(".csv", "")
    with open_bytes(path) as file:
        assert file.read() == CSV.encode()
    if name.endswith("zip"):
        assert zipfile.ZipFile(path).namelist() == ["a.csv"]
