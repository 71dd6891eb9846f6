"""Apply to text files, from the audit on: source and output differ in the decided labels alone, byte for byte."""

import pytest

from lossaudit.engine.data.containers import open_bytes, writing_bytes
from lossaudit.engine.data.csv_dialect import Asked
from lossaudit.review.apply import apply_decisions

PLAIN = "text,label,note\nthe bank,World,a\nthe team,Sports,b\noil,Business,c\n"
SOURCES = {
    "carriage returns and a mark": ("csv", "\ufeff" + PLAIN.replace("\n", "\r\n")),
    "old line ends": ("csv", PLAIN.replace("\n", "\r")),
    "all in quotes": ("csv", "\n".join(f'"{line}"'.replace(",", '","') for line in PLAIN.splitlines())),
    "commas at line ends": ("csv", PLAIN.replace("\n", ",\n")),
    "commas at the rows' ends": ("csv", PLAIN.replace("\n", ",\n").replace("note,", "note")),
    "semicolons": ("csv", PLAIN.replace(",", ";")),
    "said semicolons": ("csv", "sep=;\r\n" + PLAIN.replace(",", ";")),
    "no last line end": ("csv", PLAIN.rstrip()),
    "blank lines": ("csv", PLAIN.replace("b\n", "b\n\n")),
    "a name twice": ("csv", PLAIN.replace("note", "label ").replace("text", "text")),
    "an unnamed column": ("csv", PLAIN.replace("note", "")),
    "breaks in cells": ("csv", PLAIN.replace("the bank", '"the\rbank\r\n""x"""').replace("\n", "\r\n")),
    "short rows": ("csv", PLAIN.replace("Business,c", "Business")),
    "formulas": ("csv", PLAIN.replace(",a", ",=1+1").replace(",b", ",00123")),
    "stray quotes": (
        "csv",
        'label,text\nWorld,a\nWorld,"the b\nWorld,c\nSports,d\nSports,"the e\nSports,f\nBusiness,g"\nBusiness,h\n',
    ),
    "tabs and stray quotes": ("tsv", PLAIN.replace(",", "\t").replace("bank", '5" bank').replace("\ta", '\t"a')),
    "tabs in .tab": ("tab", PLAIN.replace(",", "\t")),
    "rows of columns": ("json", '{"text":["the bank","the team"],\n "label": ["World", "Sports"] }\n'),
    "numbers as they are": ("jsonl", '{"text": "the bank", "label": "World", "n": [1.10,1E400,NaN]}\n' * 2),
    "objects over lines": ("jsonl", '{\n"text": "the bank\\u00e9",\n"label" :"World"\n}\n' * 2),
}


@pytest.mark.parametrize("packing", ["", ".gz", ".zip"])
@pytest.mark.parametrize("kind", SOURCES)
def test_only_the_label_differs(kind, packing, decided, tmp_path):
    ending, text = SOURCES[kind]
    source, out = tmp_path / f"source.{ending}{packing}", tmp_path / f"cleaned.{ending}{packing}"
    with writing_bytes(source, source.name) as file:
        file.write(text.encode())
    before = source.read_bytes()
    cleaned = apply_decisions(decided(source, {0: ("relabel", "Business"), 1: ("keep", None)}), out)
    with open_bytes(out) as written:
        assert written.read().decode() == text.replace("World", "Business", 1)
    assert cleaned.lost is None
    assert source.read_bytes() == before


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "cp1252"])
def test_encodings_stay(encoding, decided, write_file, tmp_path):
    text = PLAIN.replace("oil", "café")
    source = write_file("source.csv", text.encode(encoding))
    asked = Asked(encoding=encoding if encoding == "cp1252" else None)
    losses = decided(source, {0: ("relabel", "Business"), 1: ("discard", None)}, asked=asked)
    apply_decisions(losses, tmp_path / "cleaned.csv")
    wanted = text.replace("World", "Business").replace("the team,Sports,b\n", "")
    assert (tmp_path / "cleaned.csv").read_bytes() == wanted.encode(encoding)


def test_a_file_without_a_header_stays_one(decided, write_file, tmp_path):
    text = "".join(PLAIN.splitlines(keepends=True)[1:])
    options = {"text_column": "0", "label_column": "1", "asked": Asked(header=False)}
    losses = decided(write_file("source.csv", text), {0: ("relabel", "Business")}, **options)
    apply_decisions(losses, tmp_path / "cleaned.csv")
    assert (tmp_path / "cleaned.csv").read_text() == text.replace("World", "Business")
    apply_decisions(losses, tmp_path / "more.csv", review_columns=True)
    assert (tmp_path / "more.csv").read_text().splitlines()[0] == "the bank,Business,a,World,relabel"


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
@pytest.mark.parametrize(("numbers", "absent"), [(("0", "1"), "3"), (("0.0", "1.0"), "3.0")])
def test_a_number_that_no_row_has_is_written_as_the_others(numbers, absent, ending, decided, write_file, tmp_path):
    if ending == "csv":
        text = "text,label\n" + "".join(f"row {n},{number}\n" for n, number in enumerate(numbers * 3))
    else:
        text = "".join(f'{{"text": "row {n}", "label": {number}}}\n' for n, number in enumerate(numbers * 3))
    losses = decided(write_file(f"source.{ending}", text), {5: ("relabel", "Sci/Tech")})
    out = tmp_path / f"cleaned.{ending}"
    apply_decisions(losses, out)
    last = text.splitlines()[-1]
    assert out.read_text() == text.replace(last, last.replace(numbers[1], absent))


def test_several_files_are_one_after_the_other(decided, write_file, tmp_path):
    write_file("1.csv", PLAIN.rstrip())
    write_file("2.csv", PLAIN.replace("World", "Sports"))
    out = tmp_path / "out" / "cleaned.csv"
    losses = decided(tmp_path / "[12].csv", {1: ("discard", None), 3: ("relabel", "Business")})
    assert apply_decisions(losses, out).lost is None
    rows = PLAIN.splitlines(keepends=True)
    second = [rows[1].replace("World", "Business"), *rows[2:]]
    assert out.read_text() == "".join([*rows[:2], rows[3], *second])


def test_files_of_other_columns_are_written_anew_with_all_of_them(decided, write_file, tmp_path):
    write_file("1.csv", "text,label,note\nthe bank,World,a\n")
    write_file("2.csv", "label;text;source\nSports;the team;b\n")
    losses = decided(tmp_path / "[12].csv", {1: ("relabel", "Business")})
    cleaned = apply_decisions(losses, tmp_path / "cleaned.csv")
    assert "the source's CSV as it is written" in (cleaned.lost or "")
    assert (tmp_path / "cleaned.csv").read_text() == "text,label,note,source\nthe bank,World,a,\nthe team,Business,,b\n"


def test_all_rows_may_be_discarded(decided, write_file, tmp_path):
    losses = decided(write_file("source.csv", PLAIN), dict.fromkeys(range(3), ("discard", None)))
    assert apply_decisions(losses, tmp_path / "cleaned.csv").written == 0
    assert (tmp_path / "cleaned.csv").read_text() == "text,label,note\n"
