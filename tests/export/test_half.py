"""The form for GPUs: the layers in fp16 and the rest in fp32, left out if an activation could overflow."""

import numpy as np
import onnx
import pytest
import torch
import transformers
from onnx import TensorProto

from bench.families import FAMILIES
from lossaudit.engine.model import backends
from lossaudit.engine.model.encoding import TextEncoder
from lossaudit.engine.model.scoring import Scorer, encode_shard
from lossaudit.engine.scores.loss import log_softmax
from lossaudit.export.arithmetic import halved
from lossaudit.export.exporter import cached_bundle, export_bundle
from lossaudit.export.forms import FP16_TOLERANCE
from lossaudit.export.half import check_range
from lossaudit.export.weights import WEIGHTS

FLOAT, FLOAT16 = TensorProto.FLOAT, TensorProto.FLOAT16
REWRITTEN, AS_EXPORTED, WITH_BRANCHES = "BERT", "GPT-2", "DeBERTa-v3"


def probabilities(bundle, graph, texts):
    manifest = bundle.manifest
    encoder = TextEncoder(bundle.tokenizer, manifest.max_length, manifest.pad_id)
    runner = backends.load("cpu", bundle.file_of(graph), workers=1, threads=1)
    with Scorer(runner, workers=1, budget=512, classes=len(manifest.labels)) as scorer:
        return np.exp(log_softmax(scorer.score(encode_shard(texts, encoder)).logits))


def graph_of(bundle, name="fp16"):
    return onnx.load(bundle.file_of(name), load_external_data=False).graph


def types(graph):
    """The type of each floating-point constant, by name."""
    return {tensor.name: tensor.data_type for tensor in graph.initializer if tensor.data_type in (FLOAT, FLOAT16)}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_one_that_is_far_nearer_than_int8_need_be(family, export, rows):
    bundle = export(family)[1]
    graph = bundle.graph("fp16")
    assert (graph.precision, graph.backends, graph.file) == ("fp16", ("cuda",), "model.fp16.onnx")
    assert graph.mean_difference < FP16_TOLERANCE / 3
    texts = [row["text"] for row in rows]
    difference = np.abs(probabilities(bundle, "fp16", texts) - probabilities(bundle, "fp32", texts))
    assert 0 < difference.mean() < FP16_TOLERANCE / 3


def test_the_shared_model_is_as_near(shared_bundle):
    graph = shared_bundle.graph("fp16")
    assert graph.mean_difference < FP16_TOLERANCE / 5
    assert graph.applied[-1] == "layers in fp16: 5"


def test_without_being_asked_for_there_is_none(bundle_folder):
    assert not (bundle_folder / "model.fp16.onnx").exists()


def test_a_checkpoint_that_is_audited_where_cuda_is_installed_is_exported_with_one(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    checkpoint = str(FAMILIES[REWRITTEN].make(tmp_path / "checkpoint"))
    without = cached_bundle(checkpoint)
    monkeypatch.setitem(backends.BACKENDS, "cuda", backends.BACKENDS["cpu"])
    bundle = cached_bundle(checkpoint)
    assert "fp16" in [graph.precision for graph in bundle.manifest.graphs]
    assert "fp16" not in [graph.precision for graph in without.manifest.graphs]
    assert cached_bundle(checkpoint).folder == bundle.folder != without.folder


class TestLayers:
    """Of a graph that was fused."""

    def test_they_keep_the_fused_operators(self, export):
        operators = [node.op_type for node in graph_of(export(REWRITTEN)[1]).node]
        # Of two layers the last is pruned to one token, which leaves no Attention of it.
        assert operators.count("Attention") == 1
        assert "BiasGelu" in operators
        assert "SkipLayerNormalization" in operators

    def test_only_they_are_in_fp16(self, export):
        graph = graph_of(export(REWRITTEN)[1])
        kinds = types(graph)
        layers = [node for node in graph.node if any(kinds.get(name) == FLOAT16 for name in node.input)]
        assert {node.op_type for node in layers} == {"Attention", "MatMul", "SkipLayerNormalization", "BiasGelu"}
        casts = [node.attribute[0].i for node in graph.node if node.op_type == "Cast"]
        assert casts.count(FLOAT16) == 1, "into the layers"
        assert all(kinds[name] == FLOAT for node in graph.node if node.op_type == "Gemm" for name in node.input[1:])

    def test_what_it_takes_and_gives_is_as_in_fp32(self, export):
        half, whole = graph_of(export(REWRITTEN)[1]), graph_of(export(REWRITTEN)[1], "fp32")
        assert [i.name for i in half.input] == [i.name for i in whole.input]
        assert {i.type.tensor_type.elem_type for i in half.input} == {TensorProto.INT64}
        assert [(o.name, o.type.tensor_type.elem_type) for o in half.output] == [("logits", FLOAT)]

    def test_its_weights_lie_in_the_shared_file_once(self, export):
        bundle = export(REWRITTEN)[1]
        data = (bundle.folder / WEIGHTS).read_bytes()
        places = {graph.name: stored(graph_of(bundle, graph.name)) for graph in bundle.manifest.graphs}
        different = {place for of_graph in places.values() for place in of_graph.values()}
        assert len({data[start : start + length] for start, length in different}) == len(different)
        assert any(kind == FLOAT16 for _, kind in places["fp16"])
        whole = {place for (_, kind), place in places["fp16"].items() if kind == FLOAT}
        assert whole
        assert whole <= set(places["fp32"].values()), "what stays in fp32 is what the fp32 graph has"


def stored(graph):
    """Where weights.bin holds each constant, as (start, length), by its name and type."""
    found = {}
    for tensor in graph.initializer:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if entries:
            found[tensor.name, tensor.data_type] = int(entries["offset"]), int(entries["length"])
    return found


@pytest.mark.parametrize("family", [AS_EXPORTED, WITH_BRANCHES])
def test_of_a_graph_that_is_kept_as_exported_the_products_are_in_fp16(family, export):
    bundle = export(family)[1]
    assert bundle.graph("fp16").applied[-1] == "products in fp16"
    graph = graph_of(bundle)
    kinds = types(graph)
    half = [node for node in graph.node if any(kinds.get(name) == FLOAT16 for name in node.input)]
    assert {node.op_type for node in half} == {"MatMul"}
    assert len(half) >= 8


@pytest.fixture
def spoilt(tmp_path):
    """Changes a family's checkpoint so that its activations are large, and exports it; gives the manifest."""

    def make(family, change):
        checkpoint = FAMILIES[family].make(tmp_path / "checkpoint")
        model = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoint)
        with torch.no_grad():
            change(model)
        model.save_pretrained(checkpoint)
        return export_bundle(str(checkpoint), tmp_path / "bundle", fp16=True).manifest

    return make


def large_feed_forward(model):
    """What the feed-forward part gives is 100,000 times larger; the normalisation behind it divides by that."""
    dense = model.bert.encoder.layer[0].output.dense
    dense.weight *= 1e5
    dense.bias *= 1e5


def large_values(model):
    """The attention's values are 100,000 times larger, and its output takes that back."""
    attention = model.bert.encoder.layer[0].attention
    attention.self.value.weight *= 1e5
    attention.self.value.bias *= 1e5
    attention.output.dense.weight /= 1e5


def large_products(model):
    """The same of a decoder's feed-forward part, in one product that is as exported."""
    feed_forward = model.transformer.h[0].mlp
    feed_forward.c_fc.weight *= 1e6


@pytest.mark.parametrize(
    ("family", "change"),
    [(REWRITTEN, large_feed_forward), (REWRITTEN, large_values), (AS_EXPORTED, large_products)],
)
def test_activations_that_fp16_cannot_hold_are_told_and_leave_it_out(family, change, spoilt):
    manifest = spoilt(family, change)
    assert "fp16" not in [graph.name for graph in manifest.graphs]
    assert manifest.left_out["fp16"].startswith("its activations reach ")
    assert "fp16 ends at 65,504" in manifest.left_out["fp16"]
    assert "model.fp16.onnx" not in manifest.files
    assert "range.onnx" not in manifest.files


def test_other_texts_may_reach_further_than_those_it_was_compared_on(spoilt):
    """40,000 is less than fp16 ends at, and too near to it."""

    def near(model):
        dense = model.bert.encoder.layer[0].output.dense
        dense.weight *= 0
        dense.bias *= 0
        dense.bias[0] = 40_000

    assert spoilt(REWRITTEN, near).left_out["fp16"].startswith("its activations reach 40,")


def test_a_graph_whose_values_cannot_be_looked_at(tmp_path, refused):
    """Its products are of integers."""
    nodes = [
        onnx.helper.make_node("MatMul", ["input_ids", "weight"], ["product"]),
        onnx.helper.make_node("Cast", ["product"], ["logits"], to=FLOAT),
    ]
    weight = onnx.numpy_helper.from_array(np.ones((8, 4), np.int64), "weight")
    given = onnx.helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["rows", "tokens"])
    made = onnx.helper.make_tensor_value_info("logits", FLOAT, ["rows", 4])
    graph = onnx.helper.make_graph(nodes, "graph", [given], [made], [weight])
    path = tmp_path / "model.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10), path)
    with refused("its values can't be checked"):
        check_range(path, None, [])
    assert list(tmp_path.iterdir()) == [path]


def test_weights_that_fp16_cannot_hold(refused):
    assert halved(np.array([65504, -1e-9], dtype=np.float32)).tolist() == [65504, 0]
    with refused("its weights reach 70,000; fp16 ends at 65,504"):
        halved(np.array([1, -70_000], dtype=np.float32))
