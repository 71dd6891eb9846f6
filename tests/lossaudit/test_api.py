"""The Python API: datasets, frames and arrays give the same losses as the command."""

import subprocess
import sys

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import lossaudit as la
from lossaudit.engine.labels.given import Seen
from lossaudit.engine.table.losses import LossesTable
from tests.hiding import HIDE

VOCABULARY = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n"
FP32 = {"precision": "fp32", "tune": False}


@pytest.fixture(scope="module")
def bundle(bundle_folder):
    return la.Bundle.load(bundle_folder)


@pytest.fixture(scope="module")
def frame(rows):
    return pd.DataFrame(rows, index=[f"row {n}" for n in range(len(rows))])


@pytest.fixture(scope="module")
def losses(bundle, frame):
    return la.audit(bundle, frame, **FP32)


def test_an_arrow_table_and_a_frame_without_names_are_read(losses, bundle, rows):
    unnamed = pa.Table.from_pandas(pd.DataFrame([[row["text"], row["label"]] for row in rows]), preserve_index=False)
    for data in (unnamed, unnamed.to_pandas()):
        found = la.audit(bundle, data, text_column=0, label_column=1, **FP32)
        assert found.ids().tolist() == losses.ids().tolist()


def test_a_frame_gets_its_index_back(losses, frame):
    found = losses.to_pandas()
    assert found["loss"].is_monotonic_decreasing
    assert found.loc[frame.index, "text"].tolist() == frame["text"].tolist()
    assert losses.top(3).to_pandas().index.tolist() == found.index[:3].tolist()


@pytest.mark.parametrize("kind", ["dataset", "path", "model folder", "output"])
def test_every_way_in_gives_the_same(kind, losses, bundle, bundle_folder, rows, data_csv, tmp_path):
    dataset = datasets.Dataset.from_list(rows)
    found = {
        "dataset": lambda: la.audit(bundle, dataset, **FP32),
        "path": lambda: la.audit(bundle, data_csv, **FP32),
        "model folder": lambda: la.audit(bundle_folder, dataset, **FP32),
        "output": lambda: la.audit(bundle, dataset, output=tmp_path / "losses.parquet", **FP32),
    }[kind]()
    assert found.to_arrow()["loss"].to_pylist() == losses.to_arrow()["loss"].to_pylist()
    assert found.facts["labels"] == losses.facts["labels"]
    assert isinstance(found.to_dataset(), datasets.Dataset)


def test_an_audit_with_an_output_leaves_the_table_alone(bundle, frame, tmp_path):
    la.audit(bundle, frame, output=tmp_path / "losses.csv", **FP32)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["losses.csv", "losses.csv.facts.json"]
    assert len(la.load(tmp_path / "losses.csv")) == len(frame)


def test_what_is_saved_is_what_is_loaded(losses, tmp_path):
    loaded = la.load(losses.save(tmp_path / "losses.parquet"))
    assert loaded.to_arrow().equals(losses.to_arrow())
    assert loaded.facts == losses.facts
    assert loaded.summary() == losses.summary()


def test_the_top_can_be_filtered(losses):
    top = losses.top(5, given="sports", min_loss=0.1).to_pandas()
    assert set(top["label_name"]) == {"Sports"}
    with pytest.raises(la.LossAuditError, match="no such label"):
        losses.top(5, given="nothing")


def test_the_same_text_with_different_labels(bundle, rows, tmp_path):
    one, two = dict(rows[0]), dict(rows[1])
    more = [{**one, "label": (one["label"] + 1) % 4}, one, two, {**two, "text": f" {two['text']}\n"}]
    losses = la.audit(bundle, pd.DataFrame([*rows, *more]), output=tmp_path / "losses.parquet", **FP32)
    assert (losses.summary().conflicting_texts, losses.summary().conflicting_rows) == (1, 3)
    found = losses.top(9, conflicts=True)
    assert sorted(found.to_arrow()["id"].to_pylist()) == [0, 60, 61]
    for ending in (".csv", ".jsonl", ".json"):
        again = la.load(losses.save(tmp_path / f"losses{ending}"))
        assert (again.summary().conflicting_texts, again.summary().conflicting_rows) == (1, 3)
        assert again.top(9, conflicts=True).to_arrow()["id"].equals(found.to_arrow()["id"])


def test_the_same_text_in_several_splits(bundle, rows, tmp_path):
    other = {**rows[1], "label": (rows[1]["label"] + 1) % 4}
    parts = {"train": pd.DataFrame(rows), "test": pd.DataFrame([rows[0], other])}
    losses = la.audit(bundle, parts, output=tmp_path / "losses.parquet", **FP32)
    summary = losses.summary()
    assert (summary.leaking_texts, summary.leaking_rows, summary.conflicting_leaks) == (2, 4, 1)
    assert set(losses.top(9, leaks=True).to_pandas()["id"]) == {0, 1, 60, 61}
    assert set(losses.top(9, leaks=True, conflicts=True).to_pandas()["id"]) == {1, 61}
    frame = losses.to_pandas().set_index("id")
    assert frame.loc[[0, 1, 60, 61], "also_in"].tolist() == ["test", "test", "train", "train"]
    assert frame["also_in"].count() == 4
    assert "<th>split</th>" in losses._repr_html_()
    assert losses.facts["source"]["splits"] == [{"name": "train", "rows": 60}, {"name": "test", "rows": 2}]
    made = datasets.DatasetDict({name: datasets.Dataset.from_pandas(part) for name, part in parts.items()})
    assert la.audit(bundle, made, **FP32).to_pandas()["loss"].tolist() == losses.to_pandas()["loss"].tolist()
    assert len(la.audit(bundle, made, split="test", **FP32)) == 2


def test_of_pairs_both_texts_must_be_the_same(bundle, rows):
    texts = [row["text"] for row in rows[:4]]
    frame = pd.DataFrame({"a": [*texts, *texts], "b": [*texts, *texts[:3], "other"], "label": [0] * 4 + [1] * 4})
    losses = la.audit(bundle, frame, text_column="a", text_pair_column="b", **FP32)
    assert (losses.summary().conflicting_texts, losses.summary().conflicting_rows) == (3, 6)
    assert set(losses.top(9, conflicts=True).to_arrow()["id"].to_pylist()) == {0, 1, 2, 4, 5, 6}


def test_rows_that_failed_are_in_the_summary(losses):
    table = losses.to_arrow()
    failed = {"loss": None, "status": "failed", "status_reason": "why"}
    rows = [failed | {"id": 999}, *table.drop_columns("probabilities").to_pylist()]
    schema = pa.schema([field for field in table.schema if field.name != "probabilities"])
    summary = la.Losses(LossesTable.of(pa.Table.from_pylist(rows, schema))).summary()
    assert (summary.ranked, summary.unranked["failed"]) == (len(table), Seen(1, 999))


def test_a_notebook_shows_the_top_escaped(bundle):
    frame = pd.DataFrame({"text": ["<script>alert(1)</script> the team"], "label": [0]})
    shown = la.audit(bundle, frame, **FP32)._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "1 rows" in shown


def test_arrays_for_cleanlab_go_together(losses, rows):
    labels, probabilities = losses.labels(), losses.pred_probs()
    assert losses.ids().tolist() == list(range(len(rows)))
    assert labels.tolist() == [row["label"] for row in rows]
    assert probabilities.shape == (len(rows), 4)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    table = losses.to_pandas().sort_values("id")
    np.testing.assert_allclose(-np.log(probabilities[np.arange(len(rows)), labels]), table["loss"], rtol=1e-5)


def test_cleanlab_takes_them(losses):
    filters = pytest.importorskip("cleanlab.filter", reason="cleanlab isn't installed")
    issues = filters.find_label_issues(losses.labels(), losses.pred_probs())
    assert issues.shape == (len(losses),)


class TestScore:
    def test_gives_the_losses_of_an_audit_in_order(self, bundle, rows, losses):
        found = la.score(bundle, [row["text"] for row in rows], [row["label"] for row in rows])
        expected = losses.to_pandas().sort_values("id")["loss"]
        np.testing.assert_allclose(found.loss, expected, atol=1e-5)

    def test_takes_names(self, bundle, rows):
        names = [bundle.manifest.labels[row["label"]] for row in rows]
        found = la.score(bundle, [row["text"] for row in rows], names)
        expected = la.score(bundle, [row["text"] for row in rows], [row["label"] for row in rows])
        np.testing.assert_array_equal(found.loss, expected.loss)

    def test_of_nothing_is_nothing(self, bundle):
        assert la.score(bundle, [], np.empty(0, np.int64)).loss.shape == (0,)

    @pytest.mark.parametrize(
        ("texts", "labels", "says"),
        [
            (["a", "b"], [0], "2 texts"),
            (["a"], [4], "from 0 to 3"),
            (["a"], [-1], "from 0 to 3"),
            (["a"], [0.5], "whole numbers"),
            (["a"], ["Nothing"], "'Nothing'"),
        ],
    )
    def test_refuses_what_does_not_go_together(self, bundle, texts, labels, says):
        with pytest.raises(la.LossAuditError, match=says):
            la.score(bundle, texts, labels)


def test_a_top_that_is_named_is_exact(bundle, frame):
    assert la.audit(bundle, frame, top=5, tune=False).facts["exact_top"] == 5


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"top": 5, "precision": "int8"}, "top goes with precision='exact-top', not with int8"),
        ({"top": 0}, "top=0: it must be at least 1"),
        ({"limit": 0}, "limit=0"),
        ({"limit": -3}, "limit=-3"),
        ({"max_length": 7}, "max_length=7: it must be at least 8"),
        ({"stride": -1}, "stride=-1: it must be at least 0"),
        ({"threads": 0}, "threads=0"),
        ({"provider": "gpu"}, "gpu"),
        ({"precision": "fp8"}, "fp8"),
    ],
)
def test_options_are_held_to_what_the_command_takes(options, says, bundle, frame, tmp_path, refused):
    with refused(says):
        la.audit(bundle, frame, **options)
    if options.keys() & {"limit", "max_length", "threads"}:
        with refused(says):
            la.fit(bundle, frame, tmp_path / "fitted", **options)


def test_an_output_is_checked_before_the_work(bundle, frame, tmp_path, refused):
    data = tmp_path / "rows.csv"
    frame.to_csv(data, index=False)
    before = data.read_bytes()
    with refused("is a file of the dataset"):
        la.audit(bundle, data, output=data, **FP32)
    with refused("can't tell the format"):
        la.audit(bundle, frame, output=tmp_path / "losses.txt", **FP32)
    assert data.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["rows.csv"]


def test_other_kinds_of_datasets_are_refused(bundle, refused):
    with refused("not list"):
        la.audit(bundle, ["a", "b"])
    frame = pd.DataFrame({"text": ["a"], "label": [0]})
    with refused("split is for datasets of several splits"):
        la.audit(bundle, frame, split="train")
    for data in (frame, {"train": frame}):
        with refused("config is for hub datasets"):
            la.audit(bundle, data, config="default")


def test_export_is_a_function_whatever_was_imported(checkpoint, tmp_path):
    import lossaudit.export.exporter  # noqa: F401 - its room has the function's name

    bundle = la.export(checkpoint, tmp_path / "bundle")
    assert isinstance(bundle, la.Bundle)
    assert la.export(str(checkpoint), str(tmp_path / "bundle")) == bundle


@pytest.mark.parametrize(
    "imports",
    [
        "import lossaudit",
        "import lossaudit.export",
        "import lossaudit.export.cache",
        "from lossaudit import export",
        "from lossaudit.export import cache; assert cache.cached",
        "import lossaudit; lossaudit.export; import lossaudit.export.cache",
        "import lossaudit.api",
        "import lossaudit.cli.main",
        "from lossaudit import *",
    ],
)
def test_export_is_a_function_in_every_order_of_imports(imports):
    code = f"""
{imports}
import pickle, sys, types
from lossaudit import export
import lossaudit
import lossaudit.export.cache
assert isinstance(export, types.FunctionType)
assert lossaudit.export is export is pickle.loads(pickle.dumps(export))
assert sys.modules["lossaudit.export"].cache.cached
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_a_notebook_completes_the_public_names_alone():
    assert dir(la) == sorted(la.__all__)
    assert all(getattr(la, name) is not None for name in la.__all__)


def test_the_package_is_light_and_complete():
    code = (
        "import sys, lossaudit as la; assert 'numpy' not in sys.modules; [getattr(la, name) for name in la.__all__]; "
    )
    code += "assert callable(la.export); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("call", "hidden", "said"),
    [
        ("la.audit('t5', frame)", "torch", "pip install 'lossaudit[export]'"),
        ("la.export('t5', 'bundle')", "optimum", "pip install 'lossaudit[export]'"),
        ("la.fit('t5', frame, 'fitted')", "transformers", "pip install 'lossaudit[export]'"),
        ("la.fit('t5', frame, 'fitted')", "sklearn", "pip install 'lossaudit[fit]'"),
    ],
)
def test_without_an_extra_the_error_names_it(call, hidden, said, tmp_path):
    (tmp_path / "t5").mkdir()
    for name, content in (
        ("config.json", '{"model_type": "t5"}'),
        ("model.safetensors", ""),
        ("vocab.txt", VOCABULARY),
    ):
        (tmp_path / "t5" / name).write_text(content)
    code = f"""{HIDE}
import lossaudit as la, pandas as pd
frame = pd.DataFrame({{"text": ["a"], "label": [0]}})
try:
    {call}
except la.LossAuditError as error:
    print(error)
"""
    command = [sys.executable, "-c", code, hidden]
    assert said in subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path).stdout


def test_the_docstrings_examples_are_true():
    import doctest
    import importlib

    for name in ("lossaudit", "lossaudit.engine.scores.loss", "lossaudit.engine.scores.multi_label"):
        assert doctest.testmod(importlib.import_module(name), extraglobs={"la": la}).failed == 0
