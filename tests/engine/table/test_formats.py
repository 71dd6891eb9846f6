"""Losses tables as files."""

import csv
import io
import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossaudit.engine.table.formats import ENDINGS, check_output, read_table, write_table, write_text
from lossaudit.engine.table.schema import SCHEMA

NASTY = ["plain", 'a "quoted", text', "two\nlines", "a\r\nb", "a lone \r return", "emoji 😞 é", "", "NA", "tab\there"]


def losses(texts=("a", "b"), loss=(0.1, 2 / 3), **columns):
    n = len(texts)
    ours = {
        "id": range(n),
        "label": [0] * n,
        "label_name": ["World"] * n,
        "prediction": [1] * n,
        "prediction_name": ["Sports"] * n,
        "probability": [1 / 3] * n,
        "label_probability": [1e-300] * n,
        "loss": (list(loss) * n)[:n],
        "margin": [-0.1 - 0.2] * n,
        "tokens": [7] * n,
        "unknown_tokens": [0, 2] * n,
        "truncated": [False, True] * n,
        "precision": ["fp32"] * n,
        "status": ["ok", "truncated"] * n,
        "status_reason": [None] * n,
        "probabilities": [[0.1, 1 / 3, 1e-30], [1.0, 0.0, 5e-45]] * n,
    }
    table = pa.table({name: pa.array(list(values)[:n], SCHEMA.field(name).type) for name, values in ours.items()})
    for name, values in {"text": pa.array(texts, pa.string()), **columns}.items():
        table = table.append_column(name, values if isinstance(values, pa.Array) else pa.array(values))
    return table


def write(table, path):
    """The table in two pieces, where it has as many rows."""
    half = len(table) // 2
    write_table([piece for piece in (table.slice(0, half), table.slice(half)) if len(piece)], table.schema, path)


@pytest.fixture(params=ENDINGS)
def path(request, tmp_path):
    return tmp_path / f"losses{request.param}"


def test_a_table_reads_back_as_it_was_written(path):
    table = losses(NASTY, loss=[0.1, 5e-324, 1.7976931348623157e308, 2 / 3, 0.0, 12.345678901234567])
    write(table, path)
    assert read_table(path).to_pylist() == table.to_pylist()


@given(st.lists(st.floats(min_value=0, allow_infinity=False), min_size=1, max_size=20))
def test_losses_read_back_to_the_same_bits(tmp_path_factory, values):
    for ending in ENDINGS:
        path = tmp_path_factory.mktemp("floats") / f"losses{ending}"
        write(losses([""] * len(values), loss=values), path)
        assert read_table(path)["loss"].to_pylist() == values


@pytest.mark.parametrize("name", ["0", "007", "2020-01-01", "True", "null", "1e5"])
def test_label_names_stay_strings_whatever_they_look_like(path, name):
    table = losses().set_column(2, "label_name", pa.array([name, name]))
    write(table, path)
    assert read_table(path)["label_name"].to_pylist() == [name, name]


def test_nested_columns_are_kept_and_are_json_in_csv(path):
    nested = [{"who": ["ann", "bob"], "when": {"year": 2004}}, {"who": [], "when": {"year": None}}]
    write(losses(meta=nested), path)
    read = read_table(path)["meta"].to_pylist()
    assert [json.loads(cell) for cell in read] == nested if path.suffix == ".csv" else read == nested


def test_missing_values_stay_missing(path):
    write(losses(score=[1.5, None]), path)
    # CSV has neither types nor missing values: the source's cells are texts.
    assert read_table(path)["score"].to_pylist() == (["1.5", ""] if path.suffix == ".csv" else [1.5, None])


def test_texts_that_look_like_numbers_or_times_stay_as_they_are(tmp_path):
    cells = ["00001", "2024-03-01", "2024-03-01 10:00:00", "TRUE", "1e16"]
    table = losses(texts=["a"] * len(cells), loss=[1.0] * len(cells), cell=cells)
    for ending in ENDINGS:
        path = tmp_path / f"losses{ending}"
        write(table, path)
        assert read_table(path)["cell"].to_pylist() == cells


def test_texts_of_megabytes_read_back(path):
    table = losses(["x" * 3_000_000, "b"])
    write(table, path)
    assert read_table(path)["text"].to_pylist() == table["text"].to_pylist()


def test_the_run_s_facts_travel_in_parquet(tmp_path):
    write(losses().replace_schema_metadata({"lossaudit": '{"model": "m"}'}), tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet").schema.metadata[b"lossaudit"] == b'{"model": "m"}'


def test_json_lines_are_json_even_of_nan():
    file = io.StringIO()
    table = losses(score=[float("nan"), 1.0], deep=[{"x": [float("inf")]}, {"x": [1.0]}])
    write_text([table], table.schema, ".jsonl", file)
    rows = [json.loads(line, parse_constant=pytest.fail) for line in file.getvalue().splitlines()]
    assert rows[0]["score"] is None
    assert rows[0]["deep"] == {"x": [None]}
    assert rows[1]["score"] == 1.0


def test_csv_is_read_alike_by_pythons_reader():
    file = io.StringIO()
    table = losses(NASTY)
    write_text([table], table.schema, ".csv", file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue(), newline="")))
    assert [row["text"] for row in rows] == NASTY
    assert float(rows[1]["loss"]) == 2 / 3


def test_writing_over_a_table_replaces_it_and_leaves_nothing_beside_it(path):
    for texts in (["a"], ["b", "c"]):
        write(losses(texts), path)
    assert read_table(path)["text"].to_pylist() == ["b", "c"]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", "", ".parquet"),
        ("a.csv", "text,label\na,0\n", "lacks id, label_name"),
        ("a.jsonl", '{"text": "a"}\n', "lacks id, label_name"),
        ("a.json", '[{"text": "a"}]', "lacks id, label_name"),
        ("a.json", "[]", "lacks id"),
        ("a.json", '{"id": 1}', "JSON objects"),
        ("a.json", "[1, 2]", "JSON objects"),
        ("a.json", "[" * 100_000, "can't be read"),
        ("a.json", b"\xff\xfe", "can't be read"),
        ("a.json", '[{"id": 36893488147419103232}]', "can't be read"),
        ("a.jsonl", "[1]\n", "JSON objects"),
        ("a.jsonl", "{", "can't be read"),
        ("a.jsonl", "", "can't be read"),
        ("a.csv", "", "can't be read"),
        ("a.csv", b"\xff\xfe\x00", "can't be read"),
        ("a.parquet", "PAR1", "can't be read"),
        ("a.csv", b"id,label_name,prediction_name,probability,loss,n\xe9\n0,a,b,0.5,1,x\n", "can't be read"),
        ("a.csv", "id,label_name,prediction_name,probability,loss,loss\n0,a,b,0.5,1,2\n", "columns of the same name"),
        (
            "a.jsonl",
            b'{"id": 0, "label_name": "caf\xe9", "prediction_name": "b", "probability": 0.5, "loss": 1}\n',
            "can't be read",
        ),
        ("a.csv", "id,label_name,prediction_name,probability,loss\n0,a,b,0.5,high\n", "can't be read"),
        ("a.csv", "id,label_name,prediction_name,probability,loss\n0,a,b,,1.5\n", "rows without probability"),
        (
            "a.json",
            '[{"id": 0, "label_name": "a", "prediction_name": "b", "probability": 0.5, "loss": [1]}]',
            "'loss' holds list",
        ),
    ],
)
def test_what_is_no_losses_table_is_refused(name, content, says, write_file, refused):
    with refused(name, says):
        read_table(write_file(name, content))


def test_a_missing_file_is_refused(tmp_path, refused):
    with refused("there is no file", "`la.audit`"):
        read_table(tmp_path / "losses.parquet")


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv", "text,label\na,b\n"), ("a.jsonl", '{"text": 1}\n'), ("a.json", "[]"), ("a.parquet", "PAR1")],
)
def test_a_file_that_is_no_losses_table_is_not_replaced(name, content, write_file, refused):
    with refused(name, "exists and isn't a losses table"):
        check_output(write_file(name, content))
    check_output(write_file(name, ""))


def test_an_output_that_cannot_be_is_refused_before_the_work(tmp_path, write_file, refused):
    with refused("must end in .parquet, .jsonl, .json, .csv"):
        check_output(tmp_path / "losses.xlsx")
    (tmp_path / "folder.csv").mkdir()
    with refused("is a folder"):
        check_output(tmp_path / "folder.csv")
    with refused("is not a folder"):
        check_output(write_file("file", "") / "losses.csv")
    for name, content in {
        "a.csv": "text,label\na,b\n",
        "a.jsonl": '{"text": 1}\n',
        "a.json": "[]",
        "a.parquet": "PAR1",
    }.items():
        with refused(name, "exists and isn't a losses table"):
            check_output(write_file(name, content))
    check_output(write_file("empty.csv", ""))
    check_output(tmp_path / "new" / "folder" / "losses.PARQUET")
