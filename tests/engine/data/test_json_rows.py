"""JSON files: every cell is what `json.loads` says of it, whatever stands around it and in whichever shape it is."""

import codecs
import gzip
import json
import math

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossaudit.engine.data import json_rows
from lossaudit.engine.data.json_arrow import copy_json
from lossaudit.engine.data.json_rows import rows_of
from lossaudit.engine.data.source import locate, open_dataset

ROWS = [{"text": f"text {n}", "label": n % 3} for n in range(6)]


def read(path):
    """All columns, with values of several types as they were."""
    rows = open_dataset(str(path))
    table = rows.take(0, len(rows))
    return {name: values(table[name]) for name in table.column_names}


def values(column):
    if not isinstance(column.type, pa.JsonType):
        return column.to_pylist()
    return [None if cell is None else json.loads(cell) for cell in column.cast(pa.string()).to_pylist()]


def columns_of(rows):
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def lines(rows, end="\n"):
    return "".join(json.dumps(row) + end for row in rows)


@pytest.fixture
def small_blocks(monkeypatch):
    """Files of some rows are read in many pieces."""
    monkeypatch.setattr(json_rows, "HEAD", 64)
    monkeypatch.setattr(json_rows, "_BLOCK", 128)


SHAPES = {
    "array.json": json.dumps(ROWS),
    "array.jsonl": json.dumps(ROWS),
    "pretty.json": json.dumps(ROWS, indent=2),
    "leading.json": "\n \n" + json.dumps(ROWS, indent=1),
    "bom.json": codecs.BOM_UTF8 + json.dumps(ROWS).encode(),
    "lines.json": lines(ROWS),
    "lines.ndjson": lines(ROWS),
    "crlf.jsonl": lines(ROWS, "\r\n"),
    "blank.jsonl": "\n" + lines(ROWS, "\n\n"),
    "spaces.jsonl": lines(ROWS, " \n\t"),
    "pretty.jsonl": "\n".join(json.dumps(row, indent=1) for row in ROWS),
    "data.json": json.dumps({"version": "1.1", "data": ROWS, "tags": ["x"]}, indent=1),
    "rows.json": json.dumps({"rows": ROWS}),
    "lists.json": json.dumps(columns_of(ROWS)),
    "pandas.json": json.dumps({name: dict(enumerate(cells)) for name, cells in columns_of(ROWS).items()}),
    "index.json": json.dumps(dict(enumerate(ROWS))),
    "split.json": json.dumps(
        {"columns": ["text", "label"], "index": [*range(6)], "data": [[*row.values()] for row in ROWS]}
    ),
    "cut.jsonl": lines(ROWS).rstrip("\n"),
}


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_is_read(name, write_file):
    path = write_file(name, SHAPES[name])
    assert read(path) == columns_of(ROWS)
    assert [row for piece in rows_of(path) for row in piece] == ROWS


LATE = {
    "number": ("text", 5),
    "text": ("label", "World"),
    "float": ("label", 0.5),
    "long": ("label", 2**60),
    "huge": ("label", 2**70),
    "unsigned": ("label", 2**63 + 1),
    "list": ("text", ["a"]),
    "object": ("text", {"a": 1}),
    "key": ("note", "late"),
    "object key": ("note", {"b": None}),
}


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("kind", LATE)
@pytest.mark.parametrize("at", [0, 50, 99])
def test_a_late_type_or_key_changes_no_other_cell(kind, at, write_file):
    name, value = LATE[kind]
    rows = [{"text": f"text {n}", "label": n} for n in range(100)]
    rows[at][name] = value
    found = read(write_file("a.jsonl", lines(rows)))
    assert same(found, columns_of(rows))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    ("first", "late"),
    [
        (2**60, 0.5),
        (-1, 2**63),
        (2**53 + 1, 0.5),
        (0.5, 2**53 + 1),
        ({"a": 1}, {"b": 1}),
        ([1], ["a"]),
        ([2**60], [0.5]),
    ],
)
def test_numbers_and_objects_that_no_type_holds_are_kept_apart(first, late, write_file):
    rows = [{"x": first}] * 50 + [{"x": late}]
    assert read(write_file("a.jsonl", lines(rows))) == columns_of(rows)


def test_dates_stay_as_they_are_written(write_file):
    rows = [{"day": "2024-03-01", "seen": "2024-03-01 10:00", "n": "001"}] * 3
    assert read(write_file("a.jsonl", lines(rows))) == columns_of(rows)


def test_columns_for_a_library_are_only_columns(write_file):
    row = {"id": "1", "source": "s", "model": "m", "system_prompt": "", "messages": [{"role": "u", "content": "c"}]}
    assert read(write_file("a.jsonl", lines([row] * 3))) == columns_of([row] * 3)


def test_files_have_the_columns_of_all(write_file, tmp_path):
    write_file("1.jsonl", lines([{"text": "a"}]))
    write_file("2.jsonl", "")
    write_file("3.jsonl", lines([{"label": 1, "text": 2}]))
    found = read(tmp_path / "*.jsonl")
    assert found == {"text": ["a", 2], "label": [None, 1]}


def test_of_several_files_in_other_shapes_the_row_is_located(write_file, tmp_path):
    write_file("1.json", json.dumps(ROWS, indent=1))
    two = write_file("2.json", json.dumps(columns_of(ROWS)))
    assert locate(open_dataset(str(tmp_path / "*.json")).origin, [7]) == {7: f"row 1 of {two}"}


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", lines(ROWS) + '{"text": "a"} {"text": "b"}\n', ": line 7 is not JSON: Extra data"),
        ("a.jsonl", lines(ROWS) + '{"text": "a"}{"text": "b"}\n', ": line 7 is not JSON: Extra data"),
        ("a.jsonl", lines(ROWS) + '{"text": [{}\n{}]}, {"text": 1}\n', ": line 7 is not JSON"),
        ("a.jsonl", lines(ROWS) + '{"text": Inf}\n', ": line 7 is not JSON"),
        ("a.jsonl", lines(ROWS) + '{"text": 1, "text": 2}\n', ": line 7 can't be read: the name 'text' stands twice"),
        ("a.jsonl", '{"text": 1, "text": 2}\n' + lines(ROWS), ": line 1 can't be read: the name 'text' stands twice"),
        ("a.jsonl", lines(ROWS) + '{"text": "\\udc80"}\n', ": line 7 holds half of a surrogate pair"),
        ("a.jsonl", lines(ROWS) + '{"a": 1%s}\n' % ("0" * 5000), ": line 7 can't be read"),
        ("a.jsonl", lines(ROWS) + "7\n", ": line 7 is not a JSON object"),
        ("a.jsonl", json.dumps(ROWS[0], indent=0) + "\n{\n!}", ": line 6 is not JSON"),
        ("a.json", '[\n{"a": 1},\n{"a": 1}\n{"a": 1}]', ": line 4 is not JSON: Expecting ',' delimiter"),
        ("a.json", '[\n{"a": 1},\n"a"]', ": line 3 is not a JSON object"),
        ("a.json", '[\n{"a": "%s' % ("x" * 1000), ": line 2 is not JSON: Unterminated string"),
        ("a.json", '[{"a": 1}] x', "Extra data"),
        ("a.json", '[{"a": 1},', "the file ends early"),
        ("a.json", '[{"a": "\\ud83d"}]', ": line 1 holds half of a surrogate pair"),
        ("a.json", '[\n{"a": "café"}]'.encode("latin-1"), ": line 2 is not UTF-8"),
        ("a.json", json.dumps({"train": ROWS, "test": ROWS[:2]}), "several lists of rows, train, test"),
        ("a.json", json.dumps({"text": ["a", "b"], "label": [1]}), "different lengths: text 2, label 1"),
        ("a.json", " \n", "a.json has no rows"),
        ("a.jsonl", lines(ROWS) + '{"x": {"a": "caf\udce9"}}\n', ": line 7 is not UTF-8"),
    ],
)
def test_what_is_no_json_is_refused_by_its_line(name, content, says, write_file, refused):
    if isinstance(content, str):
        content = content.encode(errors="surrogateescape")
    with refused(name, says):
        open_dataset(str(write_file(name, content)))


def test_no_piece_is_too_long_to_be_read(write_file):
    rows = [{"text": "x" * 3_000_000, "label": n} for n in range(4)]
    assert read(write_file("a.jsonl.gz", lines(rows))) == columns_of(rows)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**66), 2**66)
    | st.integers(-3, 3)
    | st.floats()
    | st.sampled_from([0.0, -0.0, 1.0, 2.0**53, 2.0**53 + 2, 1e-320])
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    | st.sampled_from(["2024-03-01", "2024-03-01 10:00", "1", "null", "\x00", "}\n{"])
)
CELLS = st.recursive(
    SCALARS, lambda cells: st.lists(cells, max_size=3) | st.dictionaries(st.sampled_from("ab"), cells, max_size=2)
)
UNIFORM = st.sampled_from([st.just(None), st.booleans(), st.integers(-(2**60), 2**60), st.floats(), st.text("aé}{\n")])


@st.composite
def tables(draw):
    """Rows whose columns are mostly of one type each."""
    kinds = {name: draw(UNIFORM) for name in draw(st.sets(st.sampled_from(["text", "label", "id", ""]), min_size=1))}
    rows = draw(st.lists(st.fixed_dictionaries({}, optional=kinds), min_size=1, max_size=30))
    for row in draw(st.lists(st.integers(0, len(rows) - 1), max_size=2)):
        rows[row] = rows[row] | draw(st.dictionaries(st.sampled_from([*kinds, "late"]), CELLS, max_size=2))
    return rows


def same(one, other):
    """Whether values are equal, true not being 1; a float may stand for the whole number that it is."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return one == other and (type(one) is type(other) or {type(one), type(other)} == {int, float})


@settings(max_examples=60)
@given(tables(), st.booleans(), st.sampled_from(["lines", "array", "pretty"]), st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_every_cell_is_what_json_says(tmp_path_factory, rows, is_ascii, shape, end):
    folder = tmp_path_factory.mktemp("json")
    path, copy = folder / "rows.jsonl.gz", folder / "rows.arrow"
    if shape == "array":
        content = json.dumps(rows, ensure_ascii=is_ascii)
    else:
        indent = 1 if shape == "pretty" else None
        content = "".join(json.dumps(row, ensure_ascii=is_ascii, indent=indent) + end for row in [{"first": 1}, *rows])
        rows = [{"first": 1}, *rows]
    path.write_bytes(gzip.compress(content.encode(), 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "HEAD", 40)
        patch.setattr(json_rows, "_BLOCK", 80)
        count = copy_json([path], copy)
    expected = columns_of(rows)
    if not expected:
        return
    with pa.OSFile(str(copy)) as opened, pa.ipc.open_stream(opened) as reader:
        table = reader.read_all()
    assert count == len(rows)
    found = {name: values(table[name]) for name in table.column_names}
    assert list(found) == list(expected)
    assert same(found, expected), (found, expected)
