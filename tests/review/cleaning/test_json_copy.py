"""Copies of JSON files: the decided cells differ from the source, and not a byte beside them."""

import json
import random

import pytest

from lossaudit.engine.data.json_rows import rows_of
from lossaudit.review.cleaning.json_copy import JsonCopier, are_lines
from tests.review.cleaning.making import NAMES, edit_of

TEXTS = ("oil prices rose", 'said "x"\n\ttwice', "café ☕ \U0001f600", "back\\slash / slash", "", "\u2028 line", "\x7f")
EXTRAS = (
    "1",
    "1.10",
    "1E400",
    "-0.0",
    "NaN",
    "123456789012345678901234567890",
    '"\\u00e9"',
    "[1, 2 ,3]",
    '{"z":1,  "a":[]}',
)


def copied(path, edit):
    pieces = []
    JsonCopier(edit, pieces.append).copy(path)
    return b"".join(pieces)


class Style:
    """A way to write a file, which is the same for all of it."""

    def __init__(self, draw):
        self.draw = draw
        self.ascii, self.slashes = draw.random() < 0.5, draw.random() < 0.3
        self.end = draw.choice(["\n", "\r\n"])
        self.comma, self.colon = draw.choice([(",", ":"), (", ", ": "), (" ,  ", " :\t")])
        self.shape = draw.choice(
            ["lines", "lines", "array", "objects", "records", "split", "columns", "lists", "index"]
        )
        self.indent = draw.choice(["", "", " ", "\t"]) if self.shape != "lines" else ""
        self.mark = "\ufeff" if draw.random() < 0.2 else ""
        self.last = draw.random() < 0.5
        self.blank = self.shape in ("lines", "objects") and draw.random() < 0.2
        self.as_list = draw.random() < 0.2

    def said(self, value):
        text = json.dumps(value, ensure_ascii=self.ascii)
        return text.replace("/", r"\/") if self.slashes else text

    def label(self, name):
        return f"[{self.said(name)}]" if self.as_list else self.said(name)

    def _inside(self, members, depth, brackets="{}"):
        pad = self.end + self.indent * depth if self.indent else ""
        comma = self.comma.strip() + pad if self.indent else self.comma
        outer = self.end + self.indent * (depth - 1) if self.indent else ""
        return brackets[0] + pad + comma.join(members) + outer + brackets[1]

    def _named(self, members, depth):
        return self._inside([f"{self.said(name)}{self.colon}{value}" for name, value in members], depth)

    def file(self, rows):
        """rows: the number of each and its members as texts."""
        shape, depth = self.shape, 1 if self.shape in ("lines", "objects") else 2
        whole = [self._named(members, depth) for _, members in rows]
        if shape in ("lines", "objects"):
            gaps = [self.end * (2 if self.blank and number % 3 == 0 else 1) for number, _ in rows]
            text = "".join(row + gap for row, gap in zip(whole, gaps, strict=True))
            return self.mark + (text if self.last else text.removesuffix(self.end)) if shape == "lines" else text
        if shape == "array":
            return self.mark + self._inside(whole, 1, "[]") + self.end * self.last
        names = [name for name, _ in rows[0][1]]
        if shape == "records":
            members = [("version", "1"), ("data", self._inside(whole, 2, "[]"))]
        elif shape == "split":
            cells = [self._inside([cell for _, cell in members], 3, "[]") for _, members in rows]
            members = [("columns", self._inside([self.said(name) for name in names], 2, "[]"))]
            members += [("data", self._inside(cells, 2, "[]"))]
        elif shape == "index":
            members = [(str(number), row) for (number, _), row in zip(rows, whole, strict=True)]
        else:
            found = []
            for at, name in enumerate(names):
                cells = [(f"row {number}", members[at][1]) for number, members in rows]
                inner = self._inside([cell for _, cell in cells], 2, "[]")
                found.append((name, inner if shape == "lists" else self._named(cells, 2)))
            members = found
        return self._named(members, 1)


@pytest.mark.parametrize("seed", range(600))
def test_only_what_was_decided_differs(seed, tmp_path):
    draw = random.Random(seed)
    style, rows = Style(draw), draw.randint(3, 12)
    names = [*NAMES, *(draw.choice(NAMES) for _ in range(rows))]
    draw.shuffle(names)
    order = draw.sample(range(3), 3)

    def members(number, name):
        one = random.Random(f"{seed} {number}")
        found = [("text", style.said(one.choice(TEXTS))), ("label", style.label(name)), ("x/é", one.choice(EXTRAS))]
        return [found[at] for at in order]

    relabelled = {row: draw.choice(NAMES) for row in draw.sample(range(len(names)), 3)}
    discarded = set(draw.sample(range(len(names)), draw.choice([0, 1, 3]) * (not style.blank))) - {*relabelled}
    path = tmp_path / "source.json"
    path.write_bytes(style.file([(n, members(n, name)) for n, name in enumerate(names)]).encode())
    wanted = [(n, relabelled.get(n, name)) for n, name in enumerate(names) if n not in discarded]
    edit = edit_of(relabelled, discarded, {name: [name] if style.as_list else name for name in NAMES})
    expected = style.file([(n, members(n, name)) for n, name in wanted])
    if style.shape == "lines" and not style.last and len(names) - 1 in discarded:
        expected += style.end
    made = copied(path, edit)
    assert made.decode() == expected
    path.write_bytes(made)
    assert sum(map(len, rows_of(path))) == len(wanted)


ROW = '{"text": "a", "label": "World"}'


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            ROW + "\n" + ROW,
            '{"text": "a", "label": "World", "label_original": "World", "review": null, "discarded": false}',
        ),
        (
            '{"text":"a","label":"World"}\n',
            '{"text":"a","label":"World","label_original":"World","review":null,"discarded":false}\n',
        ),
        ('[\n  {\n    "text": "a",\n    "label": "World"\n  }\n]', '    "discarded": false\n  }\n]'),
    ],
)
def test_more_columns_are_written_as_the_others(source, expected, write_file):
    path = write_file("source.json", source)
    made = copied(path, edit_of({}, flag_discarded=True, review_columns=True)).decode()
    assert made.endswith(expected)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_blank_lines_stay_where_a_row_goes(end, write_file):
    path = write_file("source.jsonl", end + ROW + end * 3 + ROW + end + ROW + end * 2)
    assert copied(path, edit_of({}, {0, 2})).decode() == end + end * 2 + ROW + end + end
    path = write_file("source.json", "{" + end + ROW[1:] + end * 3 + ROW + end + ROW)
    assert copied(path, edit_of({}, {0, 2})).decode() == end * 2 + ROW + end


def test_files_of_lines_follow_each_other(write_file):
    first, second = (
        write_file("1.jsonl", "\ufeff" + "\n".join([ROW] * 2)),
        write_file("2.jsonl", "\ufeff" + f"{ROW}\n" * 2),
    )
    pieces = []
    copier = JsonCopier(edit_of({2: "Sports"}), pieces.append)
    for file in (first, second):
        copier.copy(file)
    assert b"".join(pieces).decode() == f"\ufeff{ROW}\n{ROW}\n{ROW.replace('World', 'Sports')}\n{ROW}\n"
    assert are_lines([first, second])


def test_bytes_that_are_no_utf8_stay(write_file):
    line = b'{"text": "caf\xe9", "label": "World"}\n'
    path = write_file("source.jsonl", line * 3)
    assert copied(path, edit_of({1: "Sports"})) == line + line.replace(b"World", b"Sports") + line


def test_a_label_that_the_file_lacks_is_written_in_its_manner(write_file):
    path = write_file("source.jsonl", r'{"text": "\u00e9 \/", "label": "World"}' + "\n")
    made = copied(path, edit_of({0: "Café ☕"})).decode()
    assert made == r'{"text": "\u00e9 \/", "label": "Caf\u00e9 \u2615"}' + "\n"
    assert r"Sci\/Tech" in copied(path, edit_of({0: "Sci/Tech"})).decode()


def test_a_large_array_is_read_in_pieces(write_file, monkeypatch):
    monkeypatch.setattr("lossaudit.review.cleaning.json_copy._BLOCK", 100)
    monkeypatch.setattr("lossaudit.review.cleaning.json_copy.HEAD", 7)
    path = write_file("source.json", "[" + ",\n ".join([ROW] * 90) + "]\n")
    assert copied(path, edit_of({}, {88})).decode() == "[" + ",\n ".join([ROW] * 89) + "]\n"
