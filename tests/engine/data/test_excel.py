"""Excel workbooks: cells as people see them, headers by the rules of CSV files, and errors in one line."""

import datetime
import gzip
import io
import subprocess
import sys
import zipfile

import openpyxl
import pytest

from lossaudit.engine.data import containers
from lossaudit.engine.data.csv_dialect import Asked
from lossaudit.engine.data.source import locate, open_dataset
from tests.hiding import HIDE


@pytest.fixture
def book(tmp_path):
    """Writes a workbook with these sheets, title → rows."""

    def make(name="a.xlsx", **sheets):
        written = openpyxl.Workbook()
        written.remove(written.active)
        for title, rows in sheets.items():
            sheet = written.create_sheet(title)
            for row in rows:
                sheet.append(row)
        written.save(tmp_path / name)
        return tmp_path / name

    return make


def read(path, **asked):
    with open_dataset(str(path), asked=Asked(**asked)) as rows:
        return rows.take(0, len(rows)).to_pydict(), ["".join(map(str, note)) for note in rows.notes]


def test_cells_are_what_people_see(book):
    day, noon = datetime.date(2024, 1, 31), datetime.datetime(2024, 1, 31, 12, 30)
    cells = {
        "text": ['a, "b"', "two\nlines", "=1 as text", " é 😞 "],
        "whole": [1.0, 10**15 - 1, -3, 0],
        "part": [0.1 + 0.2, 1e16, 1.5, -0.25],
        "truth": [True, False, None, True],
        "day": [day, datetime.datetime(2024, 2, 29), None, day],
        "time": [noon, noon.replace(second=5), datetime.time(7, 5), None],
        "none": [None, "", None, None],
    }
    rows = [[value if value != "=1 as text" else "'=1" for value in row] for row in zip(*cells.values(), strict=True)]
    found, notes = read(book(Sheet=[list(cells), *rows]))
    assert found == {
        "text": ['a, "b"', "two\nlines", "'=1", " é 😞 "],
        "whole": ["1", "999999999999999", "-3", "0"],
        "part": ["0.3", "1e+16", "1.5", "-0.25"],
        "truth": ["TRUE", "FALSE", None, "TRUE"],
        "day": ["2024-01-31", "2024-02-29 00:00:00", None, "2024-01-31"],
        "time": ["2024-01-31 12:30:00", "2024-01-31 12:30:05", "07:05:00", None],
        "none": [None] * 4,
    }
    assert notes == []


def test_numbers_with_leading_zeros_keep_them(book):
    path = book(Sheet=[["text", "zip"], ["a", 123]])
    changed = openpyxl.load_workbook(path)
    changed.active["B2"].number_format = "00000"
    changed.save(path)
    assert read(path)[0]["zip"] == ["00123"]


def test_control_characters_are_not_shown_as_their_escapes(book):
    path, packed = book(Sheet=[["text"], ["FIRST"], ["SECOND"]]), io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w") as new:
        for member in old.infolist():
            data = old.read(member).replace(b"FIRST", b"a_x000D_\nb").replace(b"SECOND", b"_x005F_x000D_")
            new.writestr(member.filename, data)
    path.write_bytes(packed.getvalue())
    assert read(path)[0]["text"] == ["a\r\nb", "_x000D_"]


def test_empty_rows_and_columns_are_none(book):
    rows = [[], ["text", "label", None], [None], ["a", 1, None, None], [], ["b"], [None, None, None]]
    assert read(book(Sheet=rows))[0] == {"text": ["a", "b"], "label": ["1", None]}


def test_headers_follow_the_rules_of_csv(book, refused):
    found, _ = read(book(Sheet=[["text", None, "label", "label"], ["a", "x", 1, 2]]))
    assert list(found) == ["text", "Unnamed: 1", "label", "label.1"]
    assert read(book(Sheet=[["a", 1], ["b", 2]]), header=False)[0] == {"0": ["a", "b"], "1": ["1", "2"]}
    with refused("row 3 of the sheet has more cells than its first (3, not 2)"):
        read(book(Sheet=[["text", "label"], ["a", 1], ["b", 2, "more"]]))


def test_the_first_sheet_is_read_or_the_named(book, refused):
    path = book(News=[["text"], ["a"]], Old=[["text"], ["b"]])
    assert read(path) == ({"text": ["a"]}, [f"{path} is read from its first sheet, 'News', of 2 (see sheet)"])
    assert read(path, sheet="Old") == ({"text": ["b"]}, [])
    with refused(f"{path} has no sheet 'New'; name one with sheet: 'News', 'Old'"):
        read(path, sheet="New")
    assert open_dataset(str(path), asked=Asked(sheet="Old")).fingerprint != open_dataset(str(path)).fingerprint


def test_workbooks_under_other_names_and_in_archives_are_read(book, tmp_path):
    content = book(Sheet=[["text", "label"], ["a", 1]]).read_bytes()
    (tmp_path / "a.csv").write_bytes(content)
    (tmp_path / "b.xlsx.gz").write_bytes(gzip.compress(content))
    expected = {"text": ["a"], "label": ["1"]}
    assert read(tmp_path / "a.csv") == (
        expected,
        [f"{tmp_path / 'a.csv'} is read as an Excel workbook, by its content"],
    )
    with open_dataset(str(tmp_path / "b.xlsx.gz"), workplace=tmp_path / "work") as rows:
        assert rows.take(0, 1).to_pydict() == expected
        assert {file.name for file in (tmp_path / "work").rglob("*") if file.is_file()} == {"lock", "rows.arrow"}


def test_several_workbooks_have_the_columns_of_all_and_are_located(book, tmp_path):
    book("1.xlsx", Sheet=[["text", "label"], ["a", 1], ["b", 2]])
    book("2.xlsx", Sheet=[["text", "note"], ["c", "x"]])
    book("3.xlsx", Sheet=[])
    found, notes = read(tmp_path / "?.xlsx")
    assert found == {"text": ["a", "b", "c"], "label": ["1", "2", None], "note": [None, None, "x"]}
    assert notes == [f"{tmp_path / '3.xlsx'} has no rows"]
    with open_dataset(str(tmp_path / "?.xlsx")) as rows:
        assert locate(rows.origin, [2]) == {2: f"row 0 of {tmp_path / '2.xlsx'}"}


def test_options_of_text_files_are_not_for_workbooks(book, write_file, refused):
    with refused("is no CSV or TSV file", "separator"):
        read(book(Sheet=[["text"], ["a"]]), separator=";")
    with refused("is no Excel workbook: sheet is for those"):
        read(write_file("a.csv", "text\na\n"), sheet="News")


@pytest.mark.parametrize("rows", [[], [[None]], [["text", "label"]]])
def test_a_sheet_without_rows_has_none(rows, book, refused):
    with refused("a.xlsx has no rows"):
        read(book(Sheet=rows))


def test_a_workbook_of_charts_alone_has_no_sheet(tmp_path, refused):
    charts = openpyxl.Workbook()
    charts.create_chartsheet("Chart").add_chart(openpyxl.chart.BarChart())
    charts.remove(charts.active)
    charts.save(tmp_path / "a.xlsx")
    with refused("a.xlsx has no sheet of cells"):
        read(tmp_path / "a.xlsx")


@pytest.mark.parametrize("at", [0.1, 0.4, 0.7])
def test_a_damaged_workbook_is_one_line(at, book, refused):
    path = book(Sheet=[["text", "label"], *[[f"text {n}", n] for n in range(500)]])
    data = bytearray(path.read_bytes())
    data[int(len(data) * at)] ^= 0xFF
    path.write_bytes(bytes(data))
    try:
        read(path)
    except Exception:
        with refused("a.xlsx"):
            read(path)


def test_a_bomb_is_not_unpacked(book, monkeypatch, refused):
    path = book(Sheet=[["text"], ["a"]])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/more.xml", b" " * (4 << 20))
    monkeypatch.setattr(containers, "_FREE", 1 << 20)
    with refused("a.xlsx unpacks to more than 100 times its size"):
        read(path)


def test_without_the_extra_the_error_names_it(book):
    program = HIDE + "from lossaudit.engine.data.source import open_dataset\nopen_dataset(sys.argv[2])"
    command = [sys.executable, "-c", program, "openpyxl", book(Sheet=[["text"], ["a"]])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "is an Excel workbook, and reading one needs openpyxl, which isn't installed: pip install" in done.stderr
