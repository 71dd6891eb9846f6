"""Bad input to the command: each row gets an outcome and is counted, or one line says what is wrong and where."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lossaudit.engine.table.formats import read_table
from lossaudit.engine.table.outcomes import RANKED
from tests.torture.small_shards import small_shards

OK = "ok"


@pytest.fixture
def audit(run, bundle_folder, tmp_path):
    """Audits a dataset; gives the table by id, and holds that it and what was said count every row once."""

    def go(dataset, *options, ending=".parquet", model=bundle_folder):
        output = tmp_path / f"losses{ending}"
        result = run("audit", model, dataset, "-o", output, "--precision", "fp32", "--no-tune", *options)
        assert result.exit_code == 0, result.output
        table = read_table(output).sort_by("id")
        counted(table, result.stdout)
        return table

    return go


def counted(table, said):
    """Holds that the ids are all there, that the ranked rows alone have a loss, and that the command said so."""
    statuses = table["status"].to_pylist()
    assert table["id"].to_pylist() == list(range(len(table)))
    for status, loss in zip(statuses, table["loss"].to_pylist(), strict=True):
        assert (loss is not None) == (status in RANKED)
    assert f"\n{len(table):,} rows in " in said
    for status in set(statuses) - set(RANKED):
        assert f"  {status}: {statuses.count(status):,} (first: row {statuses.index(status)} of " in said


def jsonl(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def labelled(*labels):
    return jsonl(*({"text": f"the bank {n}", "label": label} for n, label in enumerate(labels)))


def texts(*values):
    return jsonl(*({"text": text, "label": 0} for text in values))


def claimed_strings(*cells):
    """Bytes that claim to be strings."""
    array = pa.array(cells, pa.binary())
    return pa.StringArray.from_buffers(len(cells), array.buffers()[1], array.buffers()[2])


MISSING, UNKNOWN = "missing_label", "label_not_in_model"


@pytest.mark.parametrize(
    ("labels", "statuses", "names"),
    [
        pytest.param([0, None, 1], [OK, MISSING, OK], ["World", None, "Sports"], id="missing"),
        pytest.param([0, -1, 1], [OK, MISSING, OK], ["World", None, "Sports"], id="-1"),
        pytest.param([0, 4, 1, -2], [OK, UNKNOWN, OK, UNKNOWN], ["World", "4", "Sports", "-2"], id="out of range"),
        pytest.param([0.0, 1.0, 3.0], [OK] * 3, ["World", "Sports", "Sci/Tech"], id="float"),
        pytest.param([0, 1.0, "1"], [OK] * 3, ["World", "Sports", "Sports"], id="number, float and string"),
        pytest.param(["0", "1", "3"], [OK] * 3, ["World", "Sports", "Sci/Tech"], id="number in a string"),
        pytest.param(["WORLD", "sports", "sci_tech"], [OK] * 3, ["World", "Sports", "Sci/Tech"], id="other case"),
        pytest.param(["World", "", "Sports"], [OK, MISSING, OK], ["World", None, "Sports"], id="empty name"),
        pytest.param([["World"], [], ["sports"]], [OK, MISSING, OK], ["World", None, "Sports"], id="lists of one"),
        pytest.param([0, [1], 2], [OK] * 3, ["World", "Sports", "Business"], id="list among numbers"),
        pytest.param([0, 2**70, 2], [OK, UNKNOWN, OK], ["World", str(2**70), "Business"], id="huge"),
        pytest.param([0, "?", 2], [OK, UNKNOWN, OK], ["World", "?", "Business"], id="word among numbers"),
        pytest.param(
            ["World", None, "Politics", "Sports"], [OK, MISSING, UNKNOWN, OK], ["World", None, "Politics", "Sports"],
            id="unknown name",
        ),
    ],
)  # fmt: skip
def test_labels(labels, statuses, names, audit, write_file):
    table = audit(write_file("rows.jsonl", labelled(*labels)))
    assert table["status"].to_pylist() == statuses
    assert table["label_name"].to_pylist() == names


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        pytest.param([1, 2, 3, 4], "numbers from 1 to 4, but the model's are numbered from 0 to 3", id="from 1"),
        pytest.param([True, False], "the labels are false and true, but the model has 4 labels", id="bool"),
        pytest.param([None, None], "no row has a label", id="none at all"),
        pytest.param([-1, -1], "no row has a label", id="-1 everywhere"),
        pytest.param([7, 8, 0], "'7' of row 0 is not in the model (2 of 3 rows", id="mostly out of range"),
        pytest.param(["a", "b"], "'a' of row 0 is not in the model", id="other names"),
        pytest.param([0, 0.5], "0.5 in row 1", id="half"),
        pytest.param([[0], [0, 1]], "holds lists, and that of row 1 has 2 labels", id="lists"),
        pytest.param(
            [{"x": 0}, {"x": 1}], "holds objects; name one of their fields with --label-column: label.x", id="objects"
        ),
    ],
)
def test_labels_that_cannot_be(labels, says, fails, bundle_folder, write_file, tmp_path):
    fails(["audit", bundle_folder, write_file("rows.jsonl", labelled(*labels)), "-o", tmp_path / "x.csv"], says)
    assert not (tmp_path / "x.csv").exists()


@pytest.mark.parametrize(
    ("values", "statuses"),
    [
        pytest.param(["a", None], [OK, "empty_text"], id="None"),
        pytest.param(["a", ""], [OK, "empty_text"], id="empty"),
        pytest.param(["a", " \t\n", "\u3000"], [OK, "empty_text", "empty_text"], id="blank"),
        pytest.param(["a", 5, 7.5], [OK, "bad_text", "bad_text"], id="a number"),
        pytest.param(["a", ["b"], {"c": "d"}], [OK, "bad_text", "bad_text"], id="a list"),
        pytest.param(["a", True], [OK, "bad_text"], id="a bool"),
        pytest.param(["a", "the bank " * 120_000], [OK, "truncated"], id="1 MB"),
        pytest.param(["\0", "a\0b"], ["empty_text", OK], id="NUL"),
        pytest.param(["\ufeff", "\u200b \u3164", "\u00ada"], ["empty_text", "empty_text", OK], id="invisible"),
        pytest.param(["שלום עולם", "\u202emarket\u202c"], [OK, OK], id="right to left"),
        pytest.param(["😞", "👩‍👩‍👧‍👦🏳️‍🌈"], [OK, OK], id="emoji"),
        pytest.param(["bank " * 100_000], ["truncated"], id="100,000 × the same token"),
        pytest.param(["[CLS] [SEP] [PAD] [MASK]", "<s></s>"], [OK, OK], id="special tokens"),
        pytest.param(["\ufffd\ufffe\uffff", "\x1b[31m\x07\x7f"], [OK, OK], id="non-characters and control"),
        pytest.param(["=1+1", "'; DROP TABLE rows; --", "{{7*7}}"], [OK] * 3, id="somebody else's code"),
    ],
)
def test_texts(values, statuses, audit, write_file):
    for ending in (".parquet", ".csv"):
        table = audit(write_file("rows.jsonl", texts(*values)), ending=ending)
        assert table["status"].to_pylist() == statuses
        for text, value, status in zip(table["text"].to_pylist(), values, statuses, strict=True):
            if isinstance(value, str) and status != "empty_text":
                assert text == value


def test_other_label_columns_are_shown_with_their_first_values(run, fails, bundle_folder, write_file, tmp_path):
    rows = "text,category,target\nthe bank,train,0\nteam cup,test,1\n"
    arguments = ["audit", bundle_folder, write_file("rows.csv", rows), "-o", tmp_path / "x.csv", "--no-tune"]
    fails(
        arguments,
        "'train' of row 0",
        "aren't in category (train, test …), name another column, target (0, 1 …), with --label-column",
    )
    write_file("rows.csv", rows.replace("train", "World").replace("test", "World"))
    assert (
        "might not be in category (World, World …) but in another column: target (0, 1 …); see --label-column"
        in run(*arguments).stdout
    )


def test_a_column_of_names_beside_one_of_numbers_is_shown(fails, bundle_folder, write_file, tmp_path):
    rows = "text,label,label_text\nthe bank,1,World\nteam cup,4,Sci/Tech\n"
    arguments = ["audit", bundle_folder, write_file("rows.csv", rows), "-o", tmp_path / "x.csv", "--no-tune"]
    fails(
        arguments,
        "numbers from 1 to 4",
        "aren't in label (1, 4 …), name another column, label_text (World, Sci/Tech …)",
    )


def test_a_column_for_each_label_is_no_label_of_a_single_label_model(fails, bundle_folder, write_file, tmp_path):
    rows = write_file("rows.csv", "text,World,Sports,Business,Sci/Tech\nthe bank,1,0,0,0\n")
    fails(
        ["audit", bundle_folder, rows, "-o", tmp_path / "x.csv"],
        "the columns World, Sports, Business, Sci/Tech are called as the model's labels are",
        "one column with each row's label; name it with --label-column, or export the model with --multi-label",
    )


def test_labels_that_are_names_of_folders_are_told(fails, bundle_folder, write_file, tmp_path):
    for label in ("World", "Sports"):
        write_file(f"label={label}/part.csv", "text\nthe bank\n")
    fails(
        ["audit", bundle_folder, tmp_path / "*" / "*.csv", "-o", tmp_path / "x.csv"],
        "can't tell which column holds the label",
        "The files are in the folders label=Sports, label=World; if those names are the labels, write them into",
    )


@pytest.mark.parametrize("values", [[None, None], ["", " "]])
def test_no_text_at_all(values, fails, bundle_folder, write_file, tmp_path):
    data = write_file("rows.jsonl", texts(*values))
    fails(["audit", bundle_folder, data, "-o", tmp_path / "x.csv"], "no row has a loss: 2 empty_text (first: row 0 of")


def test_lone_surrogates_are_refused_by_their_line(fails, bundle_folder, write_file, tmp_path):
    path = write_file("rows.jsonl", texts("a") + '{"text": "\\ud83d", "label": 0}\n')
    fails(["audit", bundle_folder, path, "-o", tmp_path / "x.csv"], str(path), "line 2 holds half of a surrogate pair")


def test_surrogates_that_claim_to_be_utf_8_are_bad_texts(audit, write_file):
    content = b'{"text": "a", "label": 0}\n{"text": "\xed\xa0\xbd", "label": 1}\n'
    table = audit(write_file("rows.jsonl", content))
    assert table["status"].to_pylist() == [OK, "bad_text"]
    assert table["status_reason"].to_pylist() == [None, "not UTF-8"]


@pytest.mark.parametrize(
    ("content", "statuses", "expected"),
    [
        pytest.param("text,label\na,0\nb\nc,1\n", [OK, MISSING, OK], ["a", "b", "c"], id="short row"),
        pytest.param("text,label\na,0,\nb,1,\n", [OK, OK], ["a", "b"], id="comma at each end"),
        pytest.param('text,label\n"a ""b"", c",0\n"d\ne",1\n', [OK, OK], ['a "b", c', "d\ne"], id="quotes"),
        pytest.param('text,label\na"b,0\n', [OK], ['a"b'], id="a quote inside"),
        pytest.param("text,label\r\na,0\r\nb,1\r\n", [OK, OK], ["a", "b"], id="CRLF"),
        pytest.param("text,label\ra,0\rb,1\r", [OK, OK], ["a", "b"], id="CR"),
        pytest.param(b"\xef\xbb\xbftext,label\na,0\n", [OK], ["a"], id="BOM"),
        pytest.param("text,label\na,0\n\n\nb,1\n", [OK, OK], ["a", "b"], id="blank lines"),
        pytest.param("text,label\na,0", [OK], ["a"], id="one row, no line break"),
        pytest.param("text,label\na,0\na,0\na,0\n", [OK] * 3, ["a"] * 3, id="one class"),
        pytest.param("text,label,label\na,0,x\nb,1,y\n", [OK, OK], ["a", "b"], id="duplicate label column"),
        pytest.param("text,text,label\na,x,1\nb,y,0\n", [OK, OK], ["a", "b"], id="duplicate text column"),
        pytest.param('"text","label","",\na,0,1,2\n', [OK], ["a"], id="columns without names"),
        pytest.param("place,ranges,text,label\n1,2,a,0\n", [OK], ["a"], id="columns named like our workings"),
    ],
)
def test_csv(content, statuses, expected, audit, write_file):
    table = audit(write_file("rows.csv", content))
    assert table["status"].to_pylist() == statuses
    assert table["text"].to_pylist() == expected


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        pytest.param("a.csv", "text,label\na,0\nb,1,2,3\n", "line 3", id="a long row"),
        pytest.param("a.csv", "text,label\na,0,1\nb,1,2\n", "more cells than the header", id="all rows too long"),
        pytest.param("a.csv", 'text,label\n"a\nb,0\n', "line 2 opens a quoted cell", id="an open quote"),
        pytest.param("a.csv", "text,label\ncafé,0\n".encode("latin-1"), "line 2 is not UTF-8", id="latin-1"),
        pytest.param("a.csv", "text,label\na,0\n".encode("utf-16")[:-1], "is not utf-16-le", id="half of UTF-16"),
        pytest.param("a.csv", b"\0" * 1000, "a.csv", id="zeros"),
        pytest.param("a.csv", "text,label\n", "a.csv has no rows", id="zero rows"),
        pytest.param("a.csv", "", "a.csv has no rows", id="empty CSV"),
        pytest.param("a.jsonl", "", "a.jsonl has no rows", id="empty JSON Lines"),
        pytest.param("a.jsonl", "\n\n", "a.jsonl", id="blank JSON Lines"),
        pytest.param("a.jsonl", '{"text": "a", "text": "b", "label": 0}\n', "a.jsonl", id="duplicate JSON names"),
        pytest.param("a.jsonl", '{"text": "a"}\n{"text":\n', "line 2 is not JSON", id="broken JSON"),
        pytest.param("a.json", "[" * 100_000, "a.json", id="deep JSON"),
        pytest.param("a.parquet", b"PAR1 and PAR1", "a.parquet", id="corrupt Parquet"),
        pytest.param("a.parquet", b"", "a.parquet", id="empty Parquet"),
        pytest.param("a.txt", "a", "must end in .csv", id="another ending"),
    ],
)
def test_files_that_cannot_be_read(name, content, says, fails, bundle_folder, write_file, tmp_path):
    fails(["audit", bundle_folder, write_file(name, content), "-o", tmp_path / "x.csv"], name, says)


def test_a_csv_without_a_header(fails, bundle_folder, write_file, tmp_path):
    data = write_file("a.csv", "the bank,0\nthe team,1\n")
    fails(
        ["audit", bundle_folder, data, "-o", tmp_path / "x.csv"], "--label-column: 'the bank', '0'. The first line of"
    )


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz"])
@pytest.mark.parametrize("lost", [1, 8, 500])
def test_a_truncated_gzip(name, lost, fails, bundle_folder, tmp_path):
    rows = "".join(f'{{"text": "the bank {n * 7919}", "label": 0}}\n' for n in range(5000))
    (tmp_path / name).write_bytes(gzip.compress(rows.encode())[:-lost])
    fails(["audit", bundle_folder, tmp_path / name, "-o", tmp_path / "x.csv"], name)


@pytest.mark.parametrize("at", [4, 500, -500, -20])
def test_a_parquet_file_with_a_hole(at, fails, bundle_folder, tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": [f"the bank {n}" for n in range(500)], "label": [0] * 500}), path)
    data = bytearray(path.read_bytes())
    data[at : at + 16] = bytes(16)
    path.write_bytes(data)
    fails(["audit", bundle_folder, path, "-o", tmp_path / "x.csv"])


def test_a_folder_instead_of_a_file(fails, bundle_folder, tmp_path):
    fails(["audit", bundle_folder, tmp_path, "-o", tmp_path / "x.csv"], f"write '{tmp_path}/*.csv'")


def test_parquet_whose_strings_are_not_utf_8(audit, run, tmp_path):
    note = claimed_strings(b"\xff", b"fine", b"\xed\xa0\xbd")
    text = claimed_strings(b"the bank", b"caf\xe9", b"the team")
    columns = {"text": text, "label": [0, 1, 2], "note": note, "deep": pa.ListArray.from_arrays([0, 1, 2, 3], note)}
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    for ending in (".parquet", ".jsonl", ".csv"):
        table = audit(tmp_path / "rows.parquet", ending=ending)
        assert table["status"].to_pylist() == [OK, "bad_text", OK]
        assert table["text"].to_pylist() == ["the bank", "caf\ufffd", "the team"]
        assert table["note"].to_pylist() == ["\ufffd", "fine", "\ufffd\ufffd\ufffd"]
        top = run("top", tmp_path / f"losses{ending}", "--format", "jsonl")
        assert [json.loads(line)["status"] for line in top.stdout.splitlines()] == [OK, OK]


def test_a_label_that_is_not_utf_8(audit, tmp_path):
    labels = claimed_strings(b"World", b"\xff\xfe", b"Sports")
    pq.write_table(pa.table({"text": ["a", "b", "c"], "label": labels}), tmp_path / "rows.parquet")
    table = audit(tmp_path / "rows.parquet")
    assert table["status"].to_pylist() == [OK, UNKNOWN, OK]
    assert table["label_name"].to_pylist() == ["World", "\ufffd\ufffd", "Sports"]


@pytest.mark.parametrize("ending", [".parquet", ".jsonl", ".json", ".csv"])
def test_columns_of_every_kind_come_along(ending, audit, run, tmp_path):
    columns = {
        "text": ["a", "b"],
        "label": [0, 1],
        "nested": [{"x": [1], "y": {"z": "é"}}, None],
        "numbers": [[1.5, None], []],
        "day": pa.array([0, None], pa.date32()),
        "time": pa.array([0, 10**18 + 1], pa.timestamp("ns", "UTC")),
        "far": pa.array([2**62, -(2**62)], pa.timestamp("ms")),
        "length": pa.array([1, None], pa.duration("ms")),
        "money": pa.array([None, "1.50"]).cast(pa.decimal128(9, 2)),
        "raw": [b"\xff\x00", None],
        "nothing": pa.nulls(2),
        "odd": [float("nan"), float("-inf")],
        "words": pa.array(["x", "x"]).dictionary_encode(),
    }
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    table = audit(tmp_path / "rows.parquet", ending=ending)
    assert set(columns) - {"label"} <= set(table.column_names)
    assert table["text"].to_pylist() == ["a", "b"]
    for format_ in ("table", "jsonl", "csv"):
        assert run("top", tmp_path / f"losses{ending}", "--format", format_).exit_code == 0


def test_duplicate_columns_in_parquet(fails, bundle_folder, tmp_path):
    arrays = [pa.array(["a"]), pa.array(["b"]), pa.array([0])]
    pq.write_table(pa.Table.from_arrays(arrays, names=["text", "text", "label"]), tmp_path / "rows.parquet")
    fails(["audit", bundle_folder, tmp_path / "rows.parquet", "-o", tmp_path / "x.csv"], "rows.parquet", "text")


def test_columns_named_like_ours(audit, write_file):
    row = {"text": "a", "label": 0, "id": "q", "loss": 5, "status": "x", "probabilities": [1], "source_id": 3}
    (found,) = audit(write_file("rows.jsonl", jsonl(row))).to_pylist()
    assert (found["id"], found["source_id"], found["source_source_id"]) == (0, 3, "q")
    assert (found["status"], found["source_status"], found["source_loss"]) == ("ok", "x", 5)
    assert found["source_probabilities"] == [1]


def test_a_thousand_classes(audit, make_checkpoint, write_file, tmp_path):
    from lossaudit.export.exporter import export_bundle

    names = tuple(f"class {n}" for n in range(1000))
    bundle = export_bundle(str(make_checkpoint(labels=names)), tmp_path / "wide").folder
    labels = [*names, "class 1000", None]
    table = audit(write_file("rows.jsonl", labelled(*labels)), model=bundle)
    assert table["label"].to_pylist() == [*range(1000), None, None]
    assert table["status"].to_pylist()[1000:] == [UNKNOWN, MISSING]
    assert {len(row) for row in table["probabilities"].to_pylist()} == {1000}


@pytest.mark.parametrize("change", ["a row more", "a row less", "another text", "another label"])
def test_a_file_that_changed_since_the_interruption(change, run, fails, bundle_folder, write_file, tmp_path):
    from lossaudit.engine.model.scoring import Scorer

    lines = [f"the bank {n},0\n" for n in range(64)]
    changed = {
        "a row more": [*lines, "one more,0\n"],
        "a row less": lines[:-1],
        "another text": ["the team,0\n", *lines[1:]],
        "another label": ["the bank 0,1\n", *lines[1:]],
    }[change]
    data = write_file("rows.csv", "".join(["text,label\n", *lines]))
    arguments = ("audit", bundle_folder, data, "-o", tmp_path / "losses.csv", "--precision", "fp32", "--no-tune")
    score, calls = Scorer.score, []

    def interrupted(self, *rest):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return score(self, *rest)

    with pytest.MonkeyPatch.context() as patch, small_shards(16):
        patch.setattr(Scorer, "score", interrupted)
        assert run(*arguments).exit_code == 130
    write_file("rows.csv", "".join(["text,label\n", *changed]))
    with small_shards(16):
        fails(arguments, "parts of another audit (dataset was", "--restart")
        result = run(*arguments, "--restart")
    assert result.exit_code == 0, result.output
    assert len(read_table(tmp_path / "losses.csv")) == len(changed)
