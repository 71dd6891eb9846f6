"""Users' mistakes: one line that says what is wrong, where and what to do, and exit code 2."""

import json

import pytest


@pytest.fixture
def out(tmp_path):
    return tmp_path / "losses.parquet"


@pytest.fixture
def audit_fails(fails, out):
    """Holds that an audit fails in one line, and that nothing was written."""

    def check(model, dataset, *parts, options=()):
        fails(["audit", model, dataset, "-o", out, *options], *parts)
        assert not out.exists()

    return check


def test_an_unknown_model(audit_fails, data_csv):
    audit_fails("no/such/model", data_csv, "no/such/model", "isn't a checkpoint")
    audit_fails("nosuchmodel", data_csv, "there is no folder nosuchmodel")


def test_a_model_folder_that_is_none(audit_fails, data_csv, tmp_path):
    audit_fails(tmp_path, data_csv, str(tmp_path), "config.json")


def test_an_onnx_file_without_manifest(audit_fails, data_csv, bundle_copy):
    (bundle_copy / "manifest.json").unlink()
    audit_fails(bundle_copy, data_csv, "manifest.json", "lossaudit export")


def test_a_missing_file(audit_fails, bundle_folder):
    audit_fails(bundle_folder, "nowhere.csv", "nowhere.csv")
    audit_fails(bundle_folder, "parts/*.csv", "parts/*.csv")
    audit_fails(bundle_folder, "nosuchdataset", "nosuchdataset")


@pytest.mark.parametrize("option", ["--text-column", "--label-column"])
def test_a_wrong_column_says_which_exist(option, audit_fails, bundle_folder, data_csv):
    audit_fails(bundle_folder, data_csv, "'body'", "'text', 'label'", options=[option, "body"])


def test_a_column_that_cannot_be_guessed_says_which_exist(audit_fails, bundle_folder, write_file):
    audit_fails(bundle_folder, write_file("a.csv", "a,b\nx,0\n"), "--label-column", "'a', 'b'")


def test_a_label_that_is_not_in_the_model(audit_fails, bundle_folder, write_file):
    data = write_file("a.csv", "text,label\na,World\nb,Politics\nc,Health\n")
    audit_fails(bundle_folder, data, "'Politics' of row 1", "'Sci/Tech'", "--label-map Politics=World")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a,World\nb,\n", "1 missing_label (first: row 1 of"),
        (",World\nb,World\n", "1 empty_text (first: row 0 of"),
        ("a,World\nb,x\nc,World\n", "1 label_not_in_model (first: row 1 of"),
    ],
)
def test_a_row_without_a_loss_under_strict(content, says, audit_fails, bundle_folder, write_file):
    data = write_file("a.csv", f"text,label\n{content}")
    audit_fails(bundle_folder, data, "--strict", f"{says} {data})", "leave --strict out", options=["--strict"])


def test_a_row_without_a_loss_under_strict_says_its_file(audit_fails, bundle_folder, write_file, tmp_path):
    for number, last in enumerate(("c,2", ",1", "c,", "c,0")):
        write_file(f"{number}.csv", f"text,label\na,0\nb,1\n{last}\n")
    first, second = (f"row 2 of {tmp_path / name}" for name in ("1.csv", "2.csv"))
    says = f"1 empty_text (first: {first}), 1 missing_label (first: {second})"
    audit_fails(bundle_folder, tmp_path / "?.csv", says, options=["--strict"])


@pytest.mark.parametrize("content", ["a,\nb,\n", ",0\n ,1\n"])
def test_a_dataset_without_any_loss(content, audit_fails, bundle_folder, write_file):
    audit_fails(bundle_folder, write_file("a.csv", f"text,label\n{content}"), "no row has a")


def test_an_empty_dataset(audit_fails, bundle_folder, write_file):
    audit_fails(bundle_folder, write_file("a.csv", "text,label\n"), "a.csv has no rows")


def test_a_file_that_is_not_onnx(audit_fails, bundle_copy, data_csv):
    import hashlib

    (bundle_copy / "model.onnx").write_bytes(b"no graph")
    manifest = json.loads((bundle_copy / "manifest.json").read_text())
    manifest["files"]["model.onnx"] = hashlib.sha256(b"no graph").hexdigest()
    (bundle_copy / "manifest.json").write_text(json.dumps(manifest))
    audit_fails(bundle_copy, data_csv, "model.onnx is refused, since it is not an ONNX file")


def test_a_bundle_of_a_newer_format(audit_fails, bundle_copy, data_csv):
    manifest = json.loads((bundle_copy / "manifest.json").read_text())
    (bundle_copy / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    audit_fails(bundle_copy, data_csv, "format 99 is newer", "upgrade")


def test_a_damaged_bundle(audit_fails, bundle_copy, data_csv):
    (bundle_copy / "tokenizer.json").write_text("{}")
    audit_fails(bundle_copy, data_csv, "tokenizer.json is damaged")


def test_a_provider_that_is_not_there(audit_fails, bundle_folder, data_csv):
    ort = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("CUDA is here")
    audit_fails(bundle_folder, data_csv, "onnxruntime-gpu", options=["--provider", "cuda"])


def test_a_maximum_above_the_models(audit_fails, bundle_folder, data_csv):
    audit_fails(bundle_folder, data_csv, "--max-length 512", "64", options=["--max-length", "512"])


@pytest.mark.parametrize(
    ("label_map", "says"),
    [("World", "GIVEN=MODEL"), ("Nothing=World", "'Nothing'"), ("0=Nothing", "'Nothing'")],
)
def test_a_wrong_label_map(label_map, says, audit_fails, bundle_folder, data_csv):
    audit_fails(bundle_folder, data_csv, says, options=["--label-map", label_map])


def test_an_output_of_an_unknown_format_fails_before_the_work(fails, data_csv, tmp_path):
    fails(
        ["audit", "nomodel", data_csv, "-o", tmp_path / "losses.xlsx"], "losses.xlsx", ".parquet, .jsonl, .json, .csv"
    )


def test_an_output_below_a_file_fails_before_the_work(fails, data_csv):
    fails(["audit", "nomodel", data_csv, "-o", data_csv / "losses.csv"], "cannot write", "losses.csv")


def test_an_output_that_is_a_folder_fails_before_the_work(fails, data_csv, tmp_path):
    (tmp_path / "losses.csv").mkdir()
    fails(["audit", "nomodel", data_csv, "-o", tmp_path / "losses.csv"], "is a folder")


def test_an_export_of_nothing(fails, tmp_path):
    fails(["export", "no/such/model", "-o", tmp_path / "bundle"], "no/such/model")


def test_an_export_over_other_files(fails, checkpoint, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    fails(["export", checkpoint, "-o", tmp_path], str(tmp_path), "holds other files")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", "x\n1\n", "is not a losses table"),
        ("a.json", "[1]", "can't be read"),
        ("a.parquet", "nothing", "can't be read"),
        ("a.doc", "", "is not a losses table"),
    ],
)
def test_a_top_of_what_is_no_losses_table(name, content, says, fails, write_file):
    fails(["top", write_file(name, content)], name, says)


def test_a_top_of_a_missing_file(fails, tmp_path):
    fails(["top", tmp_path / "losses.parquet"], "there is no file", "lossaudit audit")


@pytest.mark.parametrize(
    "arguments",
    [
        ["audit"],
        ["audit", "model", "data.csv"],
        ["audit", "m", "d", "-o", "l.csv", "--limit", "0"],
        ["audit", "m", "d", "-o", "l.csv", "--threads", "0"],
        ["audit", "m", "d", "-o", "l.csv", "--provider", "tpu"],
        ["top", "losses.csv", "-n", "0"],
        ["top", "losses.csv", "--format", "xml"],
        ["export", "model"],
        ["nonsense"],
    ],
)
def test_wrong_usage_exits_with_2_and_says_how(arguments, run):
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Usage:" in result.stderr
    assert "Error:" in result.stderr


def test_the_dataset_is_not_written_over(fails, bundle_folder, write_file):
    data = write_file("a.csv", "text,label\na,0\n")
    for name in (data, data.with_name("*.csv")):
        fails(["audit", bundle_folder, name, "-o", data], "a.csv", "file of the dataset")
    assert data.read_text() == "text,label\na,0\n"


def test_markup_in_a_file_name_is_only_text(fails, bundle_folder, tmp_path):
    fails(["audit", bundle_folder, "[/a].csv", "-o", tmp_path / "x.csv"], "there is no file", "[/a].csv")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_top_goes_with_exact_top_alone(run, bundle_folder, data_csv, tmp_path, precision):
    arguments = ("audit", bundle_folder, data_csv, "-o", tmp_path / "x.csv", "--top", 5, "--precision", precision)
    result = run(*arguments)
    assert result.exit_code == 2
    assert "exact-top" in result.stderr


def test_a_damaged_int8_graph_says_how_to_export_again(fails, bundle_copy, data_csv, tmp_path):
    graph = bundle_copy / "model.int8-static.onnx"
    graph.write_bytes(graph.read_bytes()[:-7])
    fails(["audit", bundle_copy, data_csv, "-o", tmp_path / "x.csv"], graph.name, "export the model again")
    graph.unlink()
    fails(["audit", bundle_copy, data_csv, "-o", tmp_path / "x.csv"], graph.name, "export the model again")
