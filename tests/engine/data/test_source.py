"""Opening datasets: what can be opened, in which row order, and the errors for the rest."""

import gzip
import json
import os
import subprocess
import sys
import time

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lossaudit.engine.data import source
from lossaudit.engine.data.source import locate, open_dataset
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.files import sha256_of

ROWS = {"text": ["a, b", 'say "c"', "two\nlines", "é 😞"], "label": [0, 1, 1, 0]}
CSV = 'text,label\n"a, b",0\n"say ""c""",1\n"two\nlines",1\né 😞,0\n'
JSONL = (
    '{"text": "a, b", "label": 0}\n{"text": "say \\"c\\"", "label": 1}\n'
    '{"text": "two\\nlines", "label": 1}\n{"text": "é 😞", "label": 0}\n'
)


def columns(opened):
    """All that was opened, as lists by their columns' names."""
    return opened.take(0, len(opened)).to_pydict()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.csv", CSV),
        ("rows.CSV", CSV),
        ("rows.csv.gz", CSV),
        ("bom.csv", b"\xef\xbb\xbf" + CSV.encode()),
        ("crlf.csv", CSV.replace("\n", "\r\n").replace("two\r\nlines", "two\nlines")),
        (
            "rows.tsv",
            CSV.replace('"a, b",', '"a, b"\t').replace(",1", "\t1").replace(",0", "\t0").replace("t,l", "t\tl"),
        ),
        ("rows.jsonl", JSONL),
        ("rows.jsonl.gz", JSONL),
        ("lines.json", JSONL),
        ("array.json", "[" + JSONL.strip().replace("\n", ",\n") + "]"),
        ("array.json.gz", "[" + JSONL.strip().replace("\n", ",\n") + "]"),
        ("bom.jsonl", b"\xef\xbb\xbf" + JSONL.encode()),
        ("data[1].csv", CSV),
        ("star*.csv", CSV),
        (".hidden.csv", CSV),
    ],
)
def test_a_file_opens(name, content, write_file):
    found = columns(open_dataset(str(write_file(name, content))))
    if ".json" not in name:
        found["label"] = list(map(int, found["label"]))
    assert found == ROWS


def test_a_parquet_file_opens(tmp_path):
    pd.DataFrame(ROWS).to_parquet(tmp_path / "rows.parquet")
    assert columns(open_dataset(str(tmp_path / "rows.parquet"))) == ROWS


def test_line_breaks_of_windows_inside_quotes_are_kept(write_file):
    path = write_file("a.csv", 'text,label\r\n"one\r\ntwo",0\r\n')
    assert columns(open_dataset(str(path))) == {"text": ["one\r\ntwo"], "label": ["0"]}


def test_files_of_a_glob_come_in_the_order_of_their_names(write_file, tmp_path):
    for name, text in {"part-2.csv": "c", "part-10.csv": "b", "part-1.csv": "a"}.items():
        write_file(name, f"text,label\n{text},0\n")
    assert columns(open_dataset(str(tmp_path / "part-*.csv")))["text"] == ["a", "b", "c"]


def test_a_glob_goes_into_folders_and_compressed_files(write_file, tmp_path):
    write_file("x/1.jsonl.gz", '{"text": "a", "label": 0}\n')
    write_file("x/y/2.jsonl.gz", '{"text": "b", "label": 0}\n')
    assert columns(open_dataset(str(tmp_path / "**" / "*.jsonl.gz")))["text"] == ["a", "b"]


def test_only_empty_cells_are_missing(write_file):
    path = write_file("a.csv", "text,label\nNA,None\nnull,n/a\nnan,NaN\n,x\n")
    assert columns(open_dataset(str(path))) == {
        "text": ["NA", "null", "nan", None],
        "label": ["None", "n/a", "NaN", "x"],
    }


def test_a_label_that_is_missing_late_in_a_long_csv_is_only_missing(write_file):
    rows = "".join(f"t{number},1\n" for number in range(12_000))
    opened = open_dataset(str(write_file("a.csv", f"text,label\n{rows}last,\n")))
    assert columns(opened)["label"][11_999:] == ["1", None]


def test_a_comma_at_the_end_of_each_row_is_no_column(write_file):
    path = write_file("a.csv", "text,label\na,0,\nb,1,\n")
    assert columns(open_dataset(str(path))) == {"text": ["a", "b"], "label": ["0", "1"]}


@pytest.mark.parametrize(("first", "late"), [("1", "?"), ("1", "0.5"), ("", "note"), ("12", "twelve")])
def test_a_csv_whose_later_rows_are_of_another_type_is_text(first, late, write_file):
    rows = f"some text,{first}\n" * 12_000
    found = columns(open_dataset(str(write_file("a.csv", f"text,label\n{rows}last,{late}\n"))))
    assert found["label"] == [first or None] * 12_000 + [late]
    assert found["text"][-1] == "last"


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl.gz"])
def test_a_file_that_changed_is_read_again(name, write_file):
    content = "text,label\n{},0\n" if "csv" in name else '{{"text": "{}", "label": 0}}\n'
    path = write_file(name, content.format("old"))
    assert columns(open_dataset(str(path)))["text"] == ["old"]
    write_file(name, content.format("new"))
    os.utime(path, (time.time() + 5, time.time() + 5))
    assert columns(open_dataset(str(path)))["text"] == ["new"]


def test_a_file_that_changes_while_it_is_read_is_told(write_file, monkeypatch, refused):
    path = write_file("a.csv", CSV)
    before = path.stat()

    def changing(read):
        path.write_bytes(path.read_bytes().replace(b"two", b"new"))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return sha256_of(read)

    monkeypatch.setattr(source, "sha256_of", changing)
    with refused(f"{path} changed while it was read; make the same call again"):
        open_dataset(str(path))


class TestSavedDataset:
    @pytest.fixture
    def folder(self, tmp_path):
        datasets.Dataset.from_dict(ROWS).save_to_disk(tmp_path / "saved")
        return str(tmp_path / "saved")

    @pytest.fixture
    def splits(self, tmp_path):
        def make(*names):
            parts = {name: datasets.Dataset.from_dict({"text": [name], "label": [0]}) for name in names}
            datasets.DatasetDict(parts).save_to_disk(tmp_path / "splits")
            return str(tmp_path / "splits")

        return make

    def test_opens(self, folder):
        assert columns(open_dataset(folder)) == ROWS

    def test_keeps_the_names_of_its_labels(self, tmp_path):
        features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["x", "y"])})
        datasets.Dataset.from_dict({"text": ["a"], "label": [1]}, features).save_to_disk(tmp_path / "saved")
        assert open_dataset(str(tmp_path / "saved")).features["label"].names == ["x", "y"]

    def test_without_splits_refuses_a_split(self, folder, refused):
        with refused("split"):
            open_dataset(folder, split="train")

    def test_gives_the_split_asked_for_or_train_or_the_only_one(self, splits):
        assert columns(open_dataset(splits("test", "train")))["text"] == ["train"]
        assert columns(open_dataset(splits("test", "train"), split="test"))["text"] == ["test"]
        assert columns(open_dataset(splits("validation")))["text"] == ["validation"]

    @pytest.mark.parametrize("split", [None, "dev", "train[:10%]"])
    def test_lists_its_splits_where_none_fits(self, splits, split, refused):
        with refused("test, validation", "name one with split", "split='all'"):
            open_dataset(splits("test", "validation"), split=split)

    def test_damaged_is_refused(self, folder, tmp_path, refused):
        (tmp_path / "saved" / "state.json").write_text("{")
        with refused("cannot be read"):
            open_dataset(folder)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("header.csv", "text,label\n", "has no rows"),
        ("empty.csv", "", "has no rows"),
        ("empty.csv.gz", "", "has no rows"),
        ("empty.jsonl", "", "has no rows"),
        ("empty.json", "[]", "has no rows"),
        ("ragged.csv", "text,label\na,0\nb,1,2,3\n", "line 3"),
        ("quote.csv", 'text,label\nb,1\n"a,0,c\n', "line 3 opens a quoted cell"),
        ("wide.csv", "text,label\na,0,1\nb,1,0\n", "more cells than the header"),
        ("latin.csv", "text,label\na,1\ncafé,0\n".encode("latin-1"), ": line 3 "),
        ("latin.csv.gz", "text,label\ncafé,0\n".encode("latin-1"), "line 2 is not UTF-8 but probably cp1252"),
        ("bad.jsonl", '{"text": "a"}\n{"text":\n', ": line 2 "),
        ("late.jsonl", '{"text": "a"}\n' * 200_000 + "{\n", ": line 200001 "),
        ("surrogate.jsonl", '{"text": "a"}\n{"text": "\\ud83d"}\n', ": line 2 "),
        ("list.jsonl", '{"text": "a"}\n[1]\n', "is not a JSON object"),
        ("bad.json", '[{"text": "a"},', "bad.json"),
        ("bad.parquet", b"PAR1 and then nothing", "bad.parquet"),
        ("rows.txt", "a", "must end in .csv, .tsv, .tab, .json, .jsonl, .ndjson, .parquet"),
        ("rows", "a", "must end in"),
        ("archive.gz", "a", "must end in"),
    ],
)
def test_a_bad_file_is_one_line(name, content, says, write_file, refused, capfd):
    with refused(name, says):
        open_dataset(str(write_file(name, content)))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["rows.csv.gz", "rows.jsonl.gz"])
def test_a_truncated_gzip_is_refused(name, tmp_path, refused):
    whole = gzip.compress(os.urandom(20_000))
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with refused(name, "cannot be read"):
        open_dataset(str(tmp_path / name))


def test_an_empty_parquet_file_has_no_rows(tmp_path, refused):
    pd.DataFrame({"text": pd.Series(dtype=str), "label": pd.Series(dtype=int)}).to_parquet(tmp_path / "e.parquet")
    with refused("has no rows"):
        open_dataset(str(tmp_path / "e.parquet"))


def test_an_empty_part_among_others_is_no_problem(tmp_path):
    frame = pd.DataFrame(ROWS)
    frame[:0].to_parquet(tmp_path / "1.parquet")
    pq.write_table(pa.table({"text": pa.nulls(0), "label": pa.nulls(0)}), tmp_path / "2.parquet")  # as by pandas 2
    frame.to_parquet(tmp_path / "3.parquet")
    assert columns(open_dataset(str(tmp_path / "*.parquet"))) == ROWS


def test_a_bad_line_of_several_files_says_which(write_file, tmp_path, refused):
    write_file("1.jsonl", JSONL)
    bad = write_file("2.jsonl", JSONL + '{"text": ]\n')
    with refused(f": line 5 of {bad} is not JSON: Expecting value at character 9"):
        open_dataset(str(tmp_path / "?.jsonl"))


def test_files_of_several_formats_are_refused(write_file, tmp_path, refused):
    write_file("rows.csv", CSV)
    write_file("rows.jsonl", JSONL)
    with refused(".csv, .jsonl"):
        open_dataset(str(tmp_path / "rows.*"))


def test_files_of_different_columns_have_the_columns_of_all(write_file, tmp_path):
    write_file("1.csv", "text,label\na,0\n")
    write_file("2.csv", "topic, text \nc,b\n")
    assert columns(open_dataset(str(tmp_path / "*.csv"))) == {
        "text": ["a", "b"],
        "label": ["0", None],
        "topic": [None, "c"],
    }


def test_a_folder_of_files_says_how_to_name_them(write_file, tmp_path, refused):
    write_file("rows.csv", CSV)
    with refused("not a saved dataset", f"write '{tmp_path}/*.csv'"):
        open_dataset(str(tmp_path))


@pytest.mark.parametrize("name", ["label=x/part-0.parquet", "a/b/c/rows.jsonl.gz"])
def test_a_folder_of_folders_of_files_says_so_too(name, write_file, tmp_path, refused):
    write_file(name, "")
    write_file("README.md", "")
    with refused(f"write '{tmp_path}/**/*{'.parquet' if 'parquet' in name else '.jsonl.gz'}'"):
        open_dataset(str(tmp_path))


@pytest.mark.parametrize("name", ["no/such/file", "./reviews", "/no/such", "missing.csv", "missing.jsonl.gz", "*.csv"])
def test_a_path_that_is_not_there_is_not_asked_of_the_hub(name, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with refused("there is no file or folder", name):
        open_dataset(name)


@pytest.mark.parametrize("name", ["nosuchdataset", "owner/nosuchdataset"])
def test_a_name_that_the_hub_cannot_give_says_both(name, refused):
    with refused("there is no such file", f"hub dataset '{name}'"):
        open_dataset(name)


def test_config_and_split_are_not_for_files(write_file, refused):
    path = str(write_file("rows.csv", CSV))
    with refused("split"):
        open_dataset(path, split="train")
    with refused("config and split"):
        open_dataset(path, config="default")


def test_the_librarys_settings_are_as_before(write_file):
    before = datasets.logging.get_verbosity(), datasets.is_progress_bar_enabled()
    open_dataset(str(write_file("rows.csv", CSV)))
    assert (datasets.logging.get_verbosity(), datasets.is_progress_bar_enabled()) == before


class TestLocate:
    def test_of_one_file_is_the_row_of_it(self, write_file):
        path = write_file("rows.csv", CSV)
        assert locate(open_dataset(str(path)).origin, [2, 0]) == {2: f"row 2 of {path}", 0: f"row 0 of {path}"}

    @pytest.mark.parametrize("name", ["{}.csv", "{}.csv.gz", "{}.jsonl", "[{}].csv"])
    def test_of_several_files_is_the_row_of_the_one(self, name, write_file, tmp_path):
        csv = ".csv" in name
        paths = []
        for number, rows in enumerate((3, 1, 5000, 2)):
            line = f"some text,{number}\n" if csv else f'{{"text": "some text", "label": {number}}}\n'
            paths.append(write_file(name.format(number), ("text,label\n" if csv else "") + line * rows))
        opened = open_dataset(str(tmp_path / name.format("?").replace("[", "[[]")))
        wanted = {0: (0, 0), 2: (0, 2), 3: (1, 0), 4: (2, 0), 4100: (2, 4096), 5003: (2, 4999), 5005: (3, 1)}
        assert locate(opened.origin, wanted) == {row: f"row {at} of {paths[n]}" for row, (n, at) in wanted.items()}

    def test_of_parquet_files_too(self, tmp_path):
        for number in (1, 2):
            pd.DataFrame(ROWS).to_parquet(tmp_path / f"{number}.parquet")
        opened = open_dataset(str(tmp_path / "*.parquet"))
        assert locate(opened.origin, [5]) == {5: f"row 1 of {tmp_path / '2.parquet'}"}

    def test_of_a_saved_dataset_is_the_row_of_it(self, tmp_path):
        datasets.Dataset.from_dict(ROWS).save_to_disk(tmp_path / "saved")
        assert locate(open_dataset(str(tmp_path / "saved")).origin, [3]) == {3: f"row 3 of {tmp_path / 'saved'}"}

    def test_of_no_file_is_the_row(self):
        assert locate(None, [7]) == {7: "row 7"}


FULL = """
import resource, sys
from pathlib import Path
from lossaudit.engine.data.source import open_dataset
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
open_dataset(sys.argv[1], workplace=Path(sys.argv[2]))
"""


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.csv.gz"])
def test_a_disk_without_room_for_the_copy_is_told(name, write_file, tmp_path):
    rows = range(10_000)
    lines = [json.dumps({"text": f"row {i}", "label": 1}) if ".json" in name else f"row {i},1" for i in rows]
    path = write_file(name, "\n".join([*([] if ".json" in name else ["text,label"]), *lines]))
    command = [sys.executable, "-c", FULL, path, tmp_path / "losses.csv.parts"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"cannot write a working copy of {path} in {tmp_path / 'losses.csv.parts'}" in done.stderr
    assert not (tmp_path / "losses.csv.parts").exists()


def test_an_error_raised_from_itself_is_told_all_the_same(tmp_path, monkeypatch, refused):
    def load(*_, **__):
        error = OSError("no luck")
        raise error from error

    datasets.Dataset.from_dict(ROWS).save_to_disk(tmp_path / "saved")
    monkeypatch.setattr(datasets, "load_from_disk", load)
    with refused("saved", "no luck"):
        open_dataset(str(tmp_path / "saved"))


@pytest.mark.parametrize(("name", "content"), [("a.csv", "text\n"), ("a.jsonl", "{"), ("a.jsonl", "\n")])
def test_a_copy_goes_with_the_error_even_while_that_is_held(name, content, write_file, tmp_path):
    with pytest.raises(LossAuditError) as held:
        open_dataset(str(write_file(name, content)), workplace=tmp_path / "losses.csv.parts")
    assert not (tmp_path / "losses.csv.parts").exists()
    assert held.value.__traceback__ is not None
