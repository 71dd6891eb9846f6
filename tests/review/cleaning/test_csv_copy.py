"""Copies of CSV and TSV files: the decided cells differ from the source, and not a byte beside them."""

import random
from dataclasses import replace

import pytest

from lossaudit.engine.data.containers import recognised
from lossaudit.engine.data.csv_dialect import Asked, Quotes, dialect_of
from lossaudit.engine.data.csv_rows import records_of
from lossaudit.review.audited_rows import CsvSource
from lossaudit.review.cleaning.csv_copy import CsvCopier
from tests.review.cleaning.making import edit_of

NAMES = ("World", "Sports", "Business", "Sci/Tech", "Café")
ENCODINGS = (("utf-8", "\ufeff"), ("cp1252", ""), ("utf-16-le", "\ufeff"), ("utf-16-be", "\ufeff"))
TEXTS = ("oil prices rose", 'said "x"', "two\nlines", "two\r\nlines", "a\rb", "so, or; so | so\tso", "café", " x ", "")


def source_of(path, **asked):
    file = recognised(path)
    return CsvSource(file, dialect_of(file, Asked(**asked)))


def written_with(source, quotes):
    return CsvSource(source.file, replace(source.dialect, quotes=quotes))


def copied(edit, *sources):
    pieces = []
    copier = CsvCopier(edit, pieces.append)
    for source in sources:
        copier.copy(source)
    return b"".join(pieces)


class Style:
    """A way to write a file, which is the same for all of it."""

    def __init__(self, draw):
        self.separator = draw.choice([",", ",", ";", "\t", "|"])
        self.end = draw.choice(["\n", "\r\n", "\n", "\r"])
        self.encoding, self.mark = draw.choice([("utf-8", ""), ("utf-8", ""), *ENCODINGS])
        self.quoting = draw.choice(["few", "few", "all", "texts", "labels"])
        self.doubled = draw.random() < 0.8
        self.commas = draw.choice([0, 0, 0, 1, 2])
        self.last, self.blank = draw.random() < 0.6, draw.random() < 0.2
        self.says_separator = draw.random() < 0.1 and self.end != "\r"
        self.header = draw.random() < 0.9
        self.order = draw.sample(range(3), 3)

    def cell(self, text, kind):
        quoted = self.quoting == "all" or (self.quoting == "texts" and kind != "number")
        quoted |= self.quoting == "labels" and kind == "label"
        if not (quoted or any(sign in text for sign in f'{self.separator}"\r\n')):
            return text
        inner = text.replace('"', '""' if self.doubled else '\\"')
        return f'"{inner}"'

    def line(self, text, label, number, *more):
        cells = [self.cell(text, "text"), self.cell(label, "label"), self.cell(number, "number")]
        return self.separator.join([*(cells[at] for at in self.order), *[""] * self.commas, *more]) + self.end

    def file(self, rows):
        text = f"sep={self.separator}{self.end}" if self.says_separator else ""
        text += self.line("text", "label", "n") if self.header else ""
        for number, (content, label, value) in enumerate(rows):
            text += self.line(content, label, value)
            text += self.end if self.blank and number == 1 else ""
        text = text if self.last else text.removesuffix(self.end)
        return (self.mark + text).encode(self.encoding)


@pytest.mark.parametrize("seed", range(500))
def test_only_what_was_decided_differs(seed, tmp_path):
    draw = random.Random(seed)
    style = Style(draw)
    texts = [text for text in TEXTS if style.end != "\r" or "\r" not in text]
    names = [*NAMES, *(draw.choice(NAMES) for _ in range(draw.randint(5, 15)))]
    draw.shuffle(names)
    rows = [(f"{draw.choice(texts)} {n}", name, f"00{n}") for n, name in enumerate(names)]
    rows[0] = ('said "x", so', *rows[0][1:])
    relabelled = {row: draw.choice(NAMES) for row in draw.sample(range(2, len(names)), 3)}
    discarded = set(draw.sample(range(2, len(names)), draw.choice([0, 1, 3]))) - {*relabelled}
    path = tmp_path / f"source.{'tsv' if style.separator == chr(9) else 'csv'}"
    path.write_bytes(style.file(rows))
    encoding = style.encoding if style.encoding == "cp1252" else None
    source = source_of(path, encoding=encoding, header=style.header, separator=style.separator)
    if not style.doubled:
        source = written_with(source, Quotes.BACKSLASH)
    column = "label" if style.header else str(style.order.index(1))
    made = copied(edit_of(relabelled, discarded, column=column, values={name: name for name in NAMES}), source)
    wanted = [
        (text, relabelled.get(n, name), value) for n, (text, name, value) in enumerate(rows) if n not in discarded
    ]
    expected = style.file(wanted)
    if not style.last and len(names) - 1 in discarded:
        expected += style.end.encode(style.encoding)
    assert made == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("text,label\na,World\n", "text,label,label_original,review,discarded\na,Sports,World,relabel,False\n"),
        (
            '"text";"label"\r\n"a";"World"\r\n',
            '"text";"label";"label_original";"review";"discarded"\r\n"a";"Sports";"World";"relabel";"False"\r\n',
        ),
        ("text,label,\na,World,", "text,label,,label_original,review,discarded\na,Sports,,World,relabel,False"),
        ("text,label\na,World,,\n", "text,label,label_original,review,discarded\na,Sports,World,relabel,False,,\n"),
        (
            "text,label,n,m\na,World\n",
            "text,label,n,m,label_original,review,discarded\na,Sports,,,World,relabel,False\n",
        ),
        ("text,n,label\na\n", "text,n,label,label_original,review,discarded\na,,Sports,,relabel,False\n"),
        (
            "sep=;\ntext;label\na;World",
            "sep=;\ntext;label;label_original;review;discarded\na;Sports;World;relabel;False",
        ),
    ],
)
def test_added_columns_stand_behind_the_last_one(source, expected, write_file):
    edit = edit_of({0: "Sports"}, flag_discarded=True, review_columns=True)
    assert copied(edit, source_of(write_file("source.csv", source))).decode() == expected


@pytest.mark.parametrize(
    ("cells", "label", "expected"),
    [
        ("a,World", "Sci,Tech", 'a,"Sci,Tech"'),
        ("a,World", 'the "x"', 'a,"the ""x"""'),
        ('a,"World"', "Sports", 'a,"Sports"'),
        ("a,", "Sports", "a,Sports"),
        ("a", "Sports", "a,Sports"),
        ('a,""', "Sports", 'a,"Sports"'),
        ("a, World", "Sports", "a,Sports"),
        ("a,World ,x", " Sports ", "a, Sports ,x"),
    ],
)
def test_a_label_is_in_quotes_where_it_was_or_must_be(cells, label, expected, write_file):
    head = "text,label,n\n" + "b,Business,1\n" * 3
    path = write_file("source.csv", head + cells + "\n")
    assert copied(edit_of({3: "x"}, values={"x": label}), source_of(path)).decode() == head + expected + "\n"


def test_an_empty_label_gets_quotes_where_labels_have_them(write_file):
    path = write_file("source.csv", 'text,label\na,"World"\nb,\n')
    assert copied(edit_of({1: "Sports"}), source_of(path)).decode() == 'text,label\na,"World"\nb,"Sports"\n'


def test_quotes_that_are_text_stay(write_file):
    path = write_file("source.tsv", 'text\tlabel\tn\na 5" b\tWorld\t"x\n"c\tSports\ty\n')
    source = source_of(path)
    source = written_with(source, Quotes.NONE)
    assert copied(edit_of({0: "Sports", 1: "World"}), source).decode() == (
        'text\tlabel\tn\na 5" b\tSports\t"x\n"c\tWorld\ty\n'
    )


def test_a_label_with_the_separator_cannot_be_written_without_quotes(write_file, refused):
    source = source_of(write_file("source.tsv", "text\tlabel\na\tWorld\n"))
    source = written_with(source, Quotes.NONE)
    with refused("'a\\tb' can't be written"):
        copied(edit_of({0: "x"}, values={"x": "a\tb"}), source)


def test_a_label_that_the_encoding_lacks_is_refused(write_file, refused):
    source = source_of(write_file("source.csv", "text,label\ncafé,World\n".encode("cp1252")), encoding="cp1252")
    with refused("'☕' can't be written in cp1252"):
        copied(edit_of({0: "x"}, values={"x": "☕"}), source)


@pytest.mark.parametrize(
    "encoding", ["iso2022_jp", "shift_jis", "gb18030", "big5", "euc_kr", "cp1251", "koi8_r", "utf-32-be"]
)
def test_bytes_of_other_encodings_stay(encoding, write_file):
    text = {"cp1251": "слово", "koi8_r": "слово", "euc_kr": "한국"}.get(encoding, "日本")
    content = f"text,label\n{text},World\n{text},World\n".encode(encoding)
    source = source_of(write_file("source.csv", content), encoding=encoding)
    made = copied(edit_of({1: "Sports"}), source)
    assert made == f"text,label\n{text},World\n{text},Sports\n".encode(encoding)


def test_an_encoding_with_several_ways_to_write_a_text_is_refused(write_file, refused):
    source = source_of(write_file("source.csv", b"text,label\n+AGE-,World\na,World\n"), encoding="utf-7")
    with refused("utf-7", "JSON"):
        copied(edit_of({1: "Sports"}), source)


def test_files_of_one_form_follow_each_other(write_file):
    first = source_of(write_file("1.csv", "\ufefftext,label\r\na,World"))
    second = source_of(write_file("2.csv", "\ufefftext,label\r\nb,World\r\n\r\nc,World\r\n"))
    assert first.goes_on(second)
    made = copied(edit_of({1: "Sports"}, {2}), first, second).decode()
    assert made == "\ufefftext,label\r\na,World\r\nb,Sports\r\n\r\n"
    assert not first.goes_on(source_of(write_file("3.csv", "label,text\na,World\n")))
    assert [record.cells for record in records_of(first.file, first.dialect)][1] == ["a", "World"]
