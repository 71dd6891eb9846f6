"""Folders that are ONNX already: they become bundles without torch, and report that PyTorch wasn't compared."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import lossaudit
from bench.families import LABELS
from lossaudit.engine.model.bundle import Bundle
from lossaudit.engine.run.audit import Audit
from lossaudit.engine.run.options import AuditOptions
from lossaudit.export.adopted import adopt_bundle, cached_adoption, is_onnx_folder

HIDDEN_PACKAGES = """
import sys
HIDDEN = {hidden!r}
class Hiding:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, *rest):
        return None if name.split(".")[0] in HIDDEN else self.finder.find_spec(name, *rest)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
from lossaudit.cli.main import main
sys.argv[0] = "lossaudit"
main()
"""


@pytest.fixture
def copy(onnx_folder, tmp_path):
    """BERT's folder, which the test may spoil."""
    return Path(shutil.copytree(onnx_folder("BERT"), tmp_path / "onnx"))


@pytest.fixture
def refuse(copy, tmp_path, refused):
    """Holds that the spoilt folder is refused with these words, and that no part of a bundle is left."""

    def check(*parts):
        with refused(*parts):
            adopt_bundle(copy, tmp_path / "bundle")
        assert {path.name for path in tmp_path.iterdir()} <= {"onnx"}

    return check


def losses(bundle, rows):
    options = AuditOptions(precision="fp32", tune=False)
    return Audit(bundle, datasets.Dataset.from_list(rows), options).run().table.sort_by("id")["loss"].to_pylist()


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("name", ["BERT", "DistilBERT", "XLM-R", "DeBERTa-v3", "GPT-2"])
def test_an_adopted_folder_gives_what_its_checkpoint_gives(name, adopt, export, rows):
    adopted, exported = adopt(name), export(name)[1]
    np.testing.assert_allclose(losses(adopted, rows), losses(exported, rows), atol=1e-4)
    for field in ("architecture", "labels", "max_length", "truncation_side", "pad_id"):
        assert getattr(adopted.manifest, field) == getattr(exported.manifest, field), field
    forms = {graph.name for graph in adopted.manifest.graphs} | set(adopted.manifest.left_out)
    assert forms == {graph.name for graph in exported.manifest.graphs if graph.name != "fp16"}


@pytest.mark.parametrize("name", ["BERT", "DistilBERT", "RoBERTa"])
def test_optimums_graph_is_fused_and_its_last_layer_pruned(name, adopt):
    applied = adopt(name).manifest.graphs[0].applied
    assert applied[0].startswith("fused 2 Attention")
    assert applied[1] == "last layer for the first token alone"


def test_the_manifest_says_that_pytorch_was_not_compared(adopt):
    manifest = adopt("BERT").manifest
    assert manifest.parity.texts == 0
    assert 0 < manifest.parity.max_difference < manifest.parity.tolerance == 1e-4
    assert "torch" not in manifest.versions
    assert manifest.source.revision.startswith("sha256:")


def test_weights_in_a_file_beside_it_come_along(copy, adopt, tmp_path, rows):
    expected = losses(adopt("BERT"), rows)
    model = onnx.load(copy / "model.onnx")
    (copy / "model.onnx").unlink()
    onnx.save(model, copy / "model.onnx", save_as_external_data=True, location="model.onnx_data", size_threshold=64)
    assert (copy / "model.onnx_data").stat().st_size > 10_000
    np.testing.assert_allclose(losses(adopt_bundle(copy, tmp_path / "apart"), rows), expected, atol=1e-6)
    (copy / "model.onnx_data").unlink()
    with pytest.raises(lossaudit.LossAuditError, match=r"model\.onnx"):
        adopt_bundle(copy, tmp_path / "lost")


def test_weights_outside_the_folder_are_not_read(copy, tmp_path, refused):
    model = onnx.load(copy / "model.onnx")
    (copy / "model.onnx").unlink()
    onnx.save(model, copy / "model.onnx", save_as_external_data=True, location="model.onnx_data", size_threshold=64)
    shutil.move(copy / "model.onnx_data", tmp_path / "secret")
    spoilt = onnx.load(copy / "model.onnx", load_external_data=False)
    for tensor in spoilt.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../secret"
    (copy / "model.onnx").write_bytes(spoilt.SerializeToString())
    with refused("model.onnx is refused", "'../secret'", "with its links followed"):
        adopt_bundle(copy, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_in_the_hubs_cache_the_graph_is_a_link_but_weights_may_not_be(copy, tmp_path, refused):
    def link(name):
        (tmp_path / "blobs").mkdir(exist_ok=True)
        (copy / name).symlink_to((copy / name).rename(tmp_path / "blobs" / name))

    link("model.onnx")
    adopt_bundle(copy, tmp_path / "bundle")
    model = onnx.load(copy / "model.onnx")
    (copy / "model.onnx").unlink()
    onnx.save(model, copy / "model.onnx", save_as_external_data=True, location="model.onnx_data", size_threshold=64)
    link("model.onnx_data")
    with refused("model.onnx is refused", "'model.onnx_data'", "with its links followed"):
        adopt_bundle(copy, tmp_path / "apart")


def test_a_change_of_the_weights_beside_it_is_seen_whatever_they_are_called(copy):
    model = onnx.load(copy / "model.onnx")
    (copy / "model.onnx").unlink()
    onnx.save(model, copy / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=64)
    before = cached_adoption(copy).manifest.source.revision
    data = bytearray((copy / "weights.bin").read_bytes())
    data[-1] ^= 1
    (copy / "weights.bin").write_bytes(data)
    assert cached_adoption(copy).manifest.source.revision != before


def test_a_checkpoint_with_an_onnx_file_beside_its_weights_is_exported(export, copy):
    assert is_onnx_folder(copy)
    shutil.copy(export("BERT")[0] / "model.safetensors", copy)
    assert not is_onnx_folder(copy)
    assert not is_onnx_folder(copy.parent / "nowhere")


def test_the_python_functions_take_it_too(onnx_folder, tmp_path, rows):
    folder = str(onnx_folder("BERT"))
    assert lossaudit.export(folder, tmp_path / "bundle") == Bundle.load(tmp_path / "bundle")
    scores = lossaudit.audit(folder, datasets.Dataset.from_list(rows))
    assert len(scores) == len(rows)
    assert cached_adoption(folder).folder == cached_adoption(folder).folder


class TestCommands:
    """In a process of their own, with packages hidden."""

    def run(self, *arguments, hidden=("torch", "transformers", "optimum")):
        code = HIDDEN_PACKAGES.format(hidden=hidden)
        done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def test_export_works_without_torch(self, onnx_folder, tmp_path):
        said = self.run("export", onnx_folder("BERT"), "-o", tmp_path / "bundle")
        assert "Not compared with PyTorch" in said
        assert "Parity with PyTorch" not in said
        names = [graph.name for graph in Bundle.load(tmp_path / "bundle").manifest.graphs]
        assert names == ["fp32", "int8-static", "int8-dynamic", "int8-qdq"]

    def test_audit_takes_the_folder_itself(self, onnx_folder, tmp_path, data_csv):
        output = tmp_path / "losses.parquet"
        self.run("audit", onnx_folder("BERT"), data_csv, "-o", output, "--no-tune")
        assert output.is_file()


class TestRefused:
    def test_no_config(self, copy, refuse):
        (copy / "config.json").unlink()
        refuse("has no config.json")

    def test_no_tokenizer(self, copy, refuse):
        (copy / "tokenizer.json").unlink()
        refuse("has no tokenizer.json", "save_pretrained")

    @pytest.mark.parametrize("content", ["{", "[]", '{"version": "9"}'])
    def test_files_that_are_none(self, content, copy, refuse):
        (copy / "tokenizer.json").write_text(content)
        refuse("tokenizer.json")

    @pytest.mark.parametrize("content", ["{", "[]", '{"id2label": [1]}', '{"architectures": 7}', "\xff"])
    def test_configs_that_are_none(self, content, copy, refuse):
        (copy / "config.json").write_bytes(content.encode("latin-1"))
        refuse("config.json")

    def test_a_graph_that_is_none(self, copy, refuse):
        (copy / "model.onnx").write_bytes(b"no graph")
        refuse("model.onnx")

    def test_another_count_of_labels(self, copy, refuse):
        change(copy / "config.json", id2label={"0": "a", "1": "b"})
        refuse("names 2 labels", "gives 4 logits")

    def test_labels_with_a_gap(self, copy, refuse):
        change(copy / "config.json", id2label={"1": "a", "2": "b", "3": "c", "4": "d"})
        refuse("id2label has no label 0")

    def test_regression(self, copy, refuse):
        change(copy / "config.json", problem_type="regression")
        refuse("is a regression model")

    def test_one_logit(self, copy, refuse):
        change(copy / "config.json", id2label={"0": "score"}, label2id={"score": 0})
        refuse("is a regression model")

    def test_a_truncation_side_that_is_none(self, copy, refuse):
        change(copy / "tokenizer_config.json", truncation_side="top")
        refuse("truncation_side")

    @pytest.mark.parametrize(("inputs", "output"), [(["pixel_values"], "logits"), (["input_ids"], "last_hidden_state")])
    def test_a_graph_of_something_else(self, inputs, output, copy, refuse):
        graph = helper.make_graph(
            [helper.make_node("Cast", [inputs[0]], [output], to=TensorProto.FLOAT)],
            "other",
            [helper.make_tensor_value_info(name, TensorProto.INT64, ["rows", "tokens"]) for name in inputs],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["rows", "tokens"])],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, copy / "model.onnx")
        refuse("is not a text classifier's graph")

    def test_logits_that_depend_on_the_padding(self, copy, refuse):
        """A graph that counts the padding too."""
        nodes = [
            helper.make_node("Cast", ["input_ids"], ["numbers"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["numbers"], ["mean"], axes=[1], keepdims=1),
            helper.make_node("Concat", ["mean"] * 4, ["logits"], axis=1),
        ]
        ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["rows", "tokens"])
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", len(LABELS)])
        graph = helper.make_graph(nodes, "mean", [ids], [logits])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, copy / "model.onnx")
        refuse("BertForSequenceClassification", "shares a batch")


def test_labels_that_are_not_named_are_called_as_transformers_does(copy, tmp_path):
    data = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({k: v for k, v in data.items() if k not in ("id2label", "label2id")}))
    labels = adopt_bundle(copy, tmp_path / "bundle").manifest.labels
    assert labels == ("LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3")
