"""How CSV and TSV files are opened: dialects, encodings, headers, several files; and that Arrow reads as csv does."""

import random

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lossaudit.engine.data import csv_arrow
from lossaudit.engine.data.csv_dialect import Asked
from lossaudit.engine.data.source import locate, open_dataset
from lossaudit.engine.errors import LossAuditError, in_library
from tests.torture import fuzz_csv

TEXTS = ["peace in the capital", "the cup, at last", "shares fell", 'a 5" chip']
LABELS = ["World", "Sports", "Business", "Sci/Tech"]


def opened(path, **asked):
    """The columns of a dataset, and what is told of it."""
    with open_dataset(str(path), asked=Asked(**asked)) as rows:
        return rows.take(0, len(rows)).to_pydict(), [in_library(note) for note in rows.notes]


def table(separator=",", quote='"', end="\n", double='""'):
    """A file of the texts and labels, each text in quotes."""
    rows = [
        f"{quote}{text.replace(quote, double)}{quote}{separator}{label}"
        for text, label in zip(TEXTS, LABELS, strict=True)
    ]
    return end.join([f"text{separator}label", *rows, ""])


ROWS = {"text": TEXTS, "label": LABELS}


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", table(";"), "with semicolons between cells (guessed; see separator)"),
        ("a.csv", table("\t"), "with tabs between cells (guessed; see separator)"),
        ("a.csv", table("|", end="\r\n"), "with bars between cells (guessed; see separator)"),
        ("a.tsv", table(), "with commas between cells (guessed; see separator)"),
        ("a.csv", "sep=;\n" + table(";"), "with semicolons between cells, as the first line says"),
        ("a.csv", "\ufeff" + table(), None),
        ("a.csv", table().encode("utf-16"), "as UTF-16-LE"),
        ("a.csv", table().encode("utf-16-be"), "as UTF-16-BE"),
        ("a.tsv", table("\t").encode("utf-32"), "as UTF-32-LE"),
        ("a.csv", table(double='\\"'), r"with \" as a quote in a cell"),
        ("a.csv", table(quote="'", double="''"), "with single quotes around cells, which aren't part of them"),
        ("a.csv", table(end="\r"), None),
        ("a.csv", table(end=",\n").replace("label,", "label"), None),
        ("a.csv", table(', "').replace("\n", '"\n'), "without the blanks between separators and cells"),
        ("a.csv", table(double='"'), "with quotes as text in 1 line, where they don't enclose a cell (first: line 5)"),
    ],
)
def test_however_a_file_is_written(name, content, told, write_file):
    found, notes = opened(write_file(name, content))
    assert [[*map(str.strip, column)] for column in found.values()] == [TEXTS, LABELS]
    assert [note.split(" is read ")[1] for note in notes] == [told] * (told is not None)


def test_cells_are_texts_as_they_stand(write_file):
    cells = {
        "id": "00001",
        "big": "10000000000000001",
        "flag": "TRUE",
        "day": "2026-05-03",
        "half": "1.50",
        "hash": "1e16",
    }
    head, row = ",".join(["text", *cells]), ",".join(["a", *cells.values()])
    found, _ = opened(write_file("a.csv", f"{head}\n{row}\n{'b' + ',' * len(cells)}\n"))
    assert found == {"text": ["a", "b"], **{name: [cell, None] for name, cell in cells.items()}}


def test_columns_of_numbers_are_not_taken_for_texts(write_file):
    with open_dataset(str(write_file("a.csv", "id,words,note,label\n1,a b,,0\n2,c,,1\n"))) as rows:
        assert {name: feature.dtype for name, feature in rows.looks.items()} == {
            "id": "int64",
            "words": "string",
            "note": "null",
            "label": "int64",
        }


class TestHeaders:
    def test_names_are_unique_by_place_and_number(self, write_file):
        found, _ = opened(write_file("a.csv", ",text,label,label,\n0,a,x,y,\n"))
        assert list(found) == ["Unnamed: 0", "text", "label", "label.1", "Unnamed: 4"]

    def test_without_one_columns_are_numbered(self, write_file):
        path = write_file("a.csv", "World,peace\nSports,cup\n")
        assert opened(path, header=False)[0] == {"0": ["World", "Sports"], "1": ["peace", "cup"]}

    @pytest.mark.parametrize(
        "content", ["World,peace\nSports,cup\nWorld,war\n", "1,a\n2,b\n", "x," + "y " * 100 + "\nz,z\n"]
    )
    def test_one_that_looks_like_a_row_is_told(self, content, write_file):
        assert "looks like a row; see header=False" in opened(write_file("a.csv", content))[1][0]

    @pytest.mark.parametrize("content", ["text,label\ntext,label\n", ",0,1\nx,0,1\n", "a,b\nc,d\n"])
    def test_usual_ones_are_not(self, content, write_file):
        assert opened(write_file("a.csv", content))[1] == []

    @pytest.mark.parametrize("above", ["Export of 3 May,\n\n", "Export of 3 May\n", '"Export, of May",\n'])
    def test_a_title_above_it_is_refused(self, above, write_file, refused):
        with refused("line 1 looks like a title"):
            open_dataset(str(write_file("a.csv", above + table())))

    def test_blank_lines_above_it_do_not_matter(self, write_file):
        assert opened(write_file("a.csv", "\n\n" + table()))[0] == ROWS


class TestSeveralFiles:
    def test_have_the_columns_of_all(self, write_file, tmp_path):
        write_file("1.csv", "text,label\na,x\n")
        write_file("2.csv", "note, label\nn,y\n")
        write_file("3.csv", "")
        write_file("4.csv", "text\n")
        found, notes = opened(tmp_path / "?.csv")
        assert found == {"text": ["a", None], "label": ["x", "y"], "note": [None, "n"]}
        assert notes == [f"2 files ({tmp_path / '3.csv'} and others) have no rows"]

    def test_one_without_a_header_is_refused_by_name(self, write_file, tmp_path, refused):
        write_file("1.csv", "text,label\na,x\n")
        second = write_file("2.csv", "b,y\n")
        with refused(f"the first line of {second} names no column", "'b', 'y'", "is its header missing?"):
            open_dataset(str(tmp_path / "?.csv"))

    def test_a_dialect_is_of_a_file_and_so_are_rows(self, write_file, tmp_path):
        write_file("1.csv", table(";"))
        stray = write_file("2.tsv.csv", "text\tlabel\n" + 'a\tx\n"b\ty\n' * 2)
        write_file("3.csv", table())
        with open_dataset(str(tmp_path / "*.csv")) as rows:
            assert rows.take(0, 99)["text"].to_pylist() == [*TEXTS, "a", '"b', "a", '"b', *TEXTS]
            assert [dialect.separator for dialect in rows.origin.dialects] == [";", "\t", ","]
            assert locate(rows.origin, [5, 8]) == {5: f"row 1 of {stray}", 8: f"row 0 of {tmp_path / '3.csv'}"}

    def test_a_bad_line_names_its_file(self, write_file, tmp_path, refused):
        write_file("1.csv", table())
        bad = write_file("2.csv", table() + "a,b,c\n")
        with refused(f"line 6 of {bad} has more cells than the header (3, not 2)"):
            open_dataset(str(tmp_path / "?.csv"))


class TestStrayQuotes:
    def test_tsv_is_read_without_quoting(self, write_file):
        content = 'text\tlabel\n"We stay," they said\tWorld\nthe cup\tSports\n"Greatest ever\tSports\nthe bank"\tx\n'
        found, notes = opened(write_file("a.tsv", content))
        assert found["text"] == ['"We stay," they said', "the cup", '"Greatest ever', 'the bank"']
        assert "with quotes as text, since not all of them enclose a cell" in notes[0]

    def test_tsv_with_lines_in_cells_is_read_with_it(self, write_file):
        found, notes = opened(write_file("a.tsv", 'text\tlabel\n"one\ntwo"\tWorld\n"a ""b"""\tSports\n'))
        assert (found["text"], notes) == (["one\ntwo", 'a "b"'], [])

    def test_a_pair_around_whole_rows_of_csv_is_refused(self, write_file, refused):
        content = 'label,text\nWorld,peace\nWorld,"soldiers\nWorld,voters\nSports,the cup"\nSports,a league\n'
        with refused("line 3 opens a quoted cell that ends in line 5"):
            open_dataset(str(write_file("a.csv", content)))

    def test_real_lines_with_separators_are_a_cell(self, write_file):
        content = 'text,label\n"Dear all,\nI am here, now",World\n"La, la\nla, la",Sports\npeace,World\n'
        found, notes = opened(write_file("a.csv", content))
        assert (found["text"], notes) == (["Dear all,\nI am here, now", "La, la\nla, la", "peace"], [])

    def test_one_that_swallows_others_is_text_in_csv(self, write_file):
        content = 'label,text\nWorld,peace\nWorld,"soldiers\nWorld,voters\nSports,the "cup"\n'
        found, notes = opened(write_file("a.csv", content))
        assert found["text"] == ["peace", '"soldiers', "voters", 'the "cup"']
        assert "(first: line 3)" in notes[0]

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            ('text,label\n"a, b" c,World\n', "line 2 has text behind a quoted cell"),
            ('text,label\na,b\n"one\ntwo,World\n', "line 3 opens a quoted cell that isn't closed"),
            ('text,label\na,b\n"one', "line 3 opens a quoted cell that isn't closed"),
        ],
    )
    def test_what_cannot_be_read_is_refused_by_its_line(self, content, says, write_file, refused):
        with refused(says, "written twice"):
            open_dataset(str(write_file("a.csv", content)))


class TestEncodings:
    @pytest.mark.parametrize(
        ("text", "encoding"),
        [
            ("Größe, “café” and señor", "cp1252"),
            ("Президент встретился с министрами", "cp1251"),
            ("Президент встретился с министрами", "koi8_r"),
            ("大統領は外相と会談した", "shift_jis"),
        ],
    )
    def test_another_is_named_by_the_error_and_then_read(self, text, encoding, write_file, refused):
        path = write_file("a.csv", f'text,label\nplain,x\n"{text}",y\n'.encode(encoding))
        with refused(f"line 3 is not UTF-8 but probably {encoding}", f"encoding='{encoding}'"):
            open_dataset(str(path))
        assert opened(path, encoding=encoding) == ({"text": ["plain", text], "label": ["x", "y"]}, [])

    def test_one_that_the_mark_contradicts_is_refused(self, write_file, refused):
        with refused("begins with the byte order mark of utf-16-le, so it isn't utf-16-be"):
            opened(write_file("a.csv", table().encode("utf-16")), encoding="utf-16-be")

    def test_a_mark_goes_with_its_encoding_named(self, write_file):
        for encoding in ("utf-8", "UTF8", "utf-8-sig"):
            assert opened(write_file("a.csv", "\ufeff" + table()), encoding=encoding)[0] == ROWS
        assert opened(write_file("a.csv", table().encode("utf-16")), encoding="utf-16")[0] == ROWS

    @pytest.mark.parametrize("encoding", ["no-such", "hex", "a\0b", ""])
    def test_one_that_is_none_is_refused(self, encoding, write_file, refused):
        with refused("encoding=", "isn't known"):
            opened(write_file("a.csv", table()), encoding=encoding)


@pytest.mark.parametrize("separator", ["", ";;", '"', "\n", "\\"])
def test_what_is_no_separator_is_refused(separator, write_file, refused):
    with refused("separator=", "must be one character"):
        opened(write_file("a.csv", table()), separator=separator)


@pytest.mark.parametrize(
    "content", ['0;"one,\ntwo, three";x\n1;a;y\n2;b;x\n', '"0"|"a, b"|"x"\n"1"|"c"|"y"\n"2"|"d, e"|"x"\n']
)
def test_a_separator_that_cuts_all_rows_alike_is_taken(content, write_file):
    found, _ = opened(write_file("a.csv", content), header=False)
    assert (found["0"], found["2"]) == (["0", "1", "2"], ["x", "y", "x"])


@pytest.mark.parametrize(("separator", "named"), [("\t", "\\t"), ("\t", "tab"), ("§", "§"), (":", ":")])
def test_a_separator_may_be_named(separator, named, write_file):
    assert opened(write_file("a.csv", table(separator)), separator=named) == (ROWS, [])


def test_a_line_without_an_end_is_bounded(write_file, refused):
    with refused("has a line of more than 32 MB"):
        open_dataset(str(write_file("a.csv", "text,label\n" + "x" * (40 << 20))))


def test_options_of_csv_are_for_csv(write_file, refused):
    with refused("is no CSV or TSV file: separator, encoding and header=False are for those"):
        opened(write_file("a.jsonl", '{"text": "a", "label": 0}\n'), separator=";")


def test_a_carriage_return_alone_is_text(write_file):
    found, _ = opened(write_file("a.csv", 'text,label\n"one\rtwo",x\nthree\rfour,y\n'))
    assert found == {"text": ["one\rtwo", "three\rfour"], "label": ["x", "y"]}


def test_nulls_are_text(write_file):
    assert opened(write_file("a.csv", "text,label\na\0b,x\n"))[0] == {"text": ["a\0b"], "label": ["x"]}


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(st.text(st.sampled_from('ab,"\r\t 1\ufeff'), max_size=12), max_size=8),
    end=st.sampled_from(["\n", "\r\n"]),
    last=st.booleans(),
    name=st.sampled_from(["a.csv", "a.tsv"]),
)
def test_arrow_reads_as_csv_does(lines, end, last, name, write_file, monkeypatch):
    header = "text\tlabel" if name == "a.tsv" else "text,label"
    path = write_file(name, end.join([header, *lines]) + end * last)

    def read():
        try:
            return opened(path)
        except LossAuditError as error:
            return str(error)

    fast = read()
    with monkeypatch.context() as slow:
        slow.setattr(csv_arrow, "_by_arrow", lambda *_: None)
        assert read() == fast


def test_generated_files_are_read_as_pythons_csv_reads_them(tmp_path):
    found = {seed: fuzz_csv.problem(fuzz_csv.make(random.Random(seed)), tmp_path) for seed in range(150)}
    assert {seed: wrong for seed, wrong in found.items() if wrong not in (None, "refused")} == {}


def test_most_blocks_are_read_by_arrow(write_file, monkeypatch):
    read, by_arrow = [], csv_arrow._by_arrow
    monkeypatch.setattr(csv_arrow, "_by_arrow", lambda *of: read.append(by_arrow(*of)) or read[-1])
    found, _ = opened(write_file("a.csv", table() * 1 + '"a, ""b""",x\n' * 1000))
    assert len(found["text"]) == 1004
    assert [type(piece) for piece in read] == [pa.Table]
