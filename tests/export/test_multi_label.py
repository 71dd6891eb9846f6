"""Multi-label models: marked by their config or by the user, as checkpoints and as ONNX folders."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import lossaudit as la
from lossaudit.engine.model.bundle import CLASSIFY, MULTI_LABEL, Bundle
from lossaudit.export.adopted import adopt_bundle
from lossaudit.export.exporter import export_bundle
from lossaudit.export.graph import write_graph

MULTI = "multi_label_classification"


@pytest.fixture
def copy(multi_label_checkpoint, tmp_path):
    """A multi-label checkpoint that the test may change."""
    return Path(shutil.copytree(multi_label_checkpoint, tmp_path / "checkpoint"))


@pytest.fixture
def onnx_folder(checkpoint, tmp_path):
    """The tiny BERT in Optimum's layout."""
    import transformers

    model = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoint).eval()
    folder = tmp_path / "onnx"
    folder.mkdir()
    write_graph(model, folder / "model.onnx")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(checkpoint / name, folder / name)
    return folder


def say(folder, problem_type):
    config = json.loads((folder / "config.json").read_text()) | {"problem_type": problem_type}
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def test_the_config_says_it(multi_label_bundle_folder):
    manifest = Bundle.load(multi_label_bundle_folder).manifest
    assert manifest.task == MULTI_LABEL
    assert manifest.labels == ("World", "Sports", "Business", "Sci/Tech")
    assert {graph.precision for graph in manifest.graphs} == {"fp32", "int8"}


def test_the_user_says_it(copy, tmp_path):
    say(copy, None)
    assert export_bundle(str(copy), tmp_path / "one").manifest.task == CLASSIFY
    assert la.export(copy, tmp_path / "several", multi_label=True).manifest.task == MULTI_LABEL


def test_both_may_say_it(copy, tmp_path):
    assert export_bundle(str(copy), tmp_path / "bundle", multi_label=True).manifest.task == MULTI_LABEL


@pytest.mark.parametrize(
    ("problem_type", "says"),
    [("single_label_classification", "leave multi_label out"), ("regression", "regression model")],
)
def test_they_may_not_contradict_each_other(problem_type, says, copy, tmp_path, refused):
    say(copy, problem_type)
    with refused(says):
        export_bundle(str(copy), tmp_path / "bundle", multi_label=True)
    assert not (tmp_path / "bundle").exists()


def test_one_logit_is_a_regression_whatever_the_user_says(make_checkpoint, tmp_path, refused):
    folder = make_checkpoint(labels=("score",))
    with refused("regression model", "at least two classes"):
        export_bundle(str(folder), tmp_path / "bundle", multi_label=True)


def test_the_int8_forms_are_compared_by_each_labels_probability(multi_label_bundle_folder, multi_label_rows):
    bundle = Bundle.load(multi_label_bundle_folder)
    texts, labels = ([row[name] for row in multi_label_rows] for name in ("text", "labels"))
    fp32, int8 = (la.score(bundle, texts, labels, precision=kind).probabilities for kind in ("fp32", "int8"))
    assert 0 < np.abs(fp32 - int8).mean() < 0.02
    assert all(0 < graph.mean_difference < 0.02 for graph in bundle.manifest.graphs if graph.precision == "int8")


@pytest.mark.parametrize("how", ["config", "user"])
def test_onnx_folders_are_adopted(how, onnx_folder, tmp_path):
    if how == "config":
        say(onnx_folder, MULTI)
    bundle = adopt_bundle(onnx_folder, tmp_path / "bundle", multi_label=how == "user")
    assert bundle.manifest.task == MULTI_LABEL
    scores = la.score(bundle, ["the bank"], [["Business"]])
    assert scores.probabilities.shape == (1, 4)
    assert scores.loss[0] == pytest.approx(-np.log(scores.label_probability[0]))


def test_onnx_folders_that_say_something_else_are_refused(onnx_folder, tmp_path, refused):
    say(onnx_folder, "single_label_classification")
    with refused("leave multi_label out"):
        la.export(onnx_folder, tmp_path / "bundle", multi_label=True)
