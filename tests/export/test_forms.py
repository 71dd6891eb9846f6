"""The forms of a model: rewritten graphs give PyTorch's logits, and record how they were rewritten."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.model import backends
from lossaudit.engine.model.batching import batches_by_token_budget
from lossaudit.engine.model.bundle import Bundle
from lossaudit.engine.model.encoding import TextEncoder
from lossaudit.engine.scores.loss import log_softmax
from lossaudit.export import exporter
from lossaudit.export.arithmetic import Activation, quantised_columns
from lossaudit.export.exporter import export_bundle
from lossaudit.export.onnx_graph import GraphEditor
from lossaudit.export.pruning import NotPrunedError, prune_last_layer
from lossaudit.export.weights import WEIGHTS


@pytest.fixture(scope="module", params=("BERT", "DistilBERT", "RoBERTa"))
def bundle(request, export):
    return export(request.param)[1]


def log_probabilities(bundle, graph, texts, budget=512):
    manifest = bundle.manifest
    encoded = TextEncoder(bundle.tokenizer, manifest.max_length, manifest.pad_id).encode(texts)
    runner = backends.load("cpu", bundle.file_of(graph), workers=1, threads=1)
    found = np.empty((len(texts), len(manifest.labels)))
    for rows in batches_by_token_budget(encoded.lengths, budget):
        found[rows] = log_softmax(runner.run(encoded.padded(rows)))
    return found


def test_fp32_is_written_pruned_and_near_pytorch(bundle):
    graph = bundle.graph("fp32")
    assert graph.applied[0].startswith("written as ")
    assert graph.applied[1] == "last layer for the first token alone"
    assert bundle.manifest.parity.max_difference < 1e-4


def test_the_slow_fused_operators_are_gone_from_the_layers(bundle):
    operators = [node.op_type for node in onnx.load(bundle.file_of("fp32"), load_external_data=False).graph.node]
    assert "Attention" not in operators
    # What is left of them runs on one position a text.
    assert operators.count("SkipLayerNormalization") <= 2


def test_all_int8_forms_are_written_and_near_fp32(bundle, rows):
    names = [graph.name for graph in bundle.manifest.graphs]
    assert names == ["fp32", "int8-static", "int8-dynamic", "int8-qdq", "fp16"]
    assert bundle.manifest.left_out == {}
    texts = [row["text"] for row in rows]
    expected = np.exp(log_probabilities(bundle, "fp32", texts))
    for name in ("int8-static", "int8-dynamic", "int8-qdq"):
        assert np.abs(np.exp(log_probabilities(bundle, name, texts)) - expected).mean() < 0.02


def test_static_int8_gives_a_row_the_same_loss_in_any_batch(bundle, rows):
    texts = [row["text"] for row in rows]
    first, second = (log_probabilities(bundle, "int8-static", texts, budget) for budget in (64, 2048))
    np.testing.assert_allclose(first, second, atol=1e-4)


def test_each_constant_is_stored_once(bundle):
    held = {}
    for graph in bundle.manifest.graphs:
        for tensor in onnx.load(bundle.file_of(graph.name), load_external_data=False).graph.initializer:
            if tensor.external_data:
                place = {entry.key: entry.value for entry in tensor.external_data}
                assert place["location"] == WEIGHTS
                held[int(place["offset"])] = int(place["length"])
    ends = [offset + length for offset, length in sorted(held.items())]
    assert all(end <= start for end, start in zip(ends, sorted(held)[1:], strict=False))
    assert max(ends) == (bundle.folder / WEIGHTS).stat().st_size
    assert len({(bundle.folder / WEIGHTS).read_bytes()[o : o + n] for o, n in held.items()}) == len(held)


@pytest.mark.skipif("openvino" not in backends.available(), reason="OpenVINO isn't installed")
def test_openvino_gives_what_onnx_runtime_gives(bundle, rows):
    texts = [row["text"] for row in rows]
    encoder = TextEncoder(bundle.tokenizer, bundle.manifest.max_length, bundle.manifest.pad_id)
    encoded = encoder.encode(texts)
    runner = backends.load("openvino", bundle.file_of("int8-qdq"), workers=1, threads=1)
    found = np.exp(log_softmax(runner.run(encoded.padded(np.arange(len(texts))))))
    np.testing.assert_allclose(found, np.exp(log_probabilities(bundle, "int8-qdq", texts)), atol=0.03)


def test_an_architecture_that_cannot_be_rewritten_is_kept_as_exported_and_its_products_in_int8(
    make_checkpoint, tmp_path
):
    # The optimiser doesn't fuse an attention with relative positions.
    checkpoint = make_checkpoint("bert", position_embedding_type="relative_key")
    bundle = export_bundle(str(checkpoint), tmp_path / "bundle")
    assert [graph.name for graph in bundle.manifest.graphs] == ["fp32", "int8-static", "int8-dynamic", "int8-qdq"]
    assert bundle.manifest.graphs[0].applied == ("as exported: its attention wasn't fused",)
    assert bundle.manifest.left_out == {"written graph": "its config.json has position_embedding_type: 'relative_key'"}
    assert Bundle.load(bundle.folder).manifest == bundle.manifest


def test_a_written_graph_that_differs_gives_way_to_optimums(checkpoint, tmp_path, monkeypatch):
    check, called, said = exporter.check_parity, [], []

    def differs_twice(*arguments):
        called.append(arguments)
        if len(called) <= 2:
            raise LossAuditError("it differs")
        return check(*arguments)

    monkeypatch.setattr(exporter, "check_parity", differs_twice)
    bundle = export_bundle(str(checkpoint), tmp_path / "bundle", said.append)
    assert bundle.manifest.graphs[0].applied[0].startswith("fused 2 Attention")
    assert bundle.manifest.left_out == {"written graph": "it differs"}
    assert "exporting by Optimum, since it differs" in said


def test_a_rewritten_graph_that_differs_leaves_only_the_written_one(checkpoint, tmp_path, monkeypatch):
    check, called = exporter.check_parity, []

    def differs_at_first(*arguments):
        called.append(arguments)
        if len(called) == 1:
            raise LossAuditError("it differs")
        return check(*arguments)

    monkeypatch.setattr(exporter, "check_parity", differs_at_first)
    bundle = export_bundle(str(checkpoint), tmp_path / "bundle")
    assert bundle.manifest.graphs[0].applied == ("written as BERT", "as written: it differs")
    graph = onnx.load(bundle.file_of("fp32"), load_external_data=False).graph
    places = [{entry.key: entry.value for entry in tensor.external_data} for tensor in graph.initializer]
    assert min(int(place["offset"]) for place in places if place) == 0, "nothing of the other graph stands before it"


def small_graph(head):
    """A fused attention with its residual, and a head over it."""
    hidden = 4
    weights = {"w": np.ones((hidden, 3 * hidden), np.float32), "b": np.zeros(3 * hidden, np.float32)}
    weights |= {"gamma": np.ones(hidden, np.float32), "zero": np.array(0), "axes": np.array([1])}
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["hidden"], to=TensorProto.FLOAT),
        helper.make_node(
            "Attention", ["hidden", "w", "b", "attention_mask"], ["context"], domain="com.microsoft", num_heads=1
        ),
        helper.make_node("SkipLayerNormalization", ["context", "hidden", "gamma"], ["out"], domain="com.microsoft"),
        *head,
    ]
    inputs = [
        helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["rows", "tokens", hidden]),
        helper.make_tensor_value_info("attention_mask", TensorProto.INT32, ["rows", "tokens"]),
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)]
    constants = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    return GraphEditor(helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, constants)))


def test_a_head_that_reads_the_first_token_is_pruned():
    editor = small_graph([helper.make_node("Gather", ["out", "zero"], ["logits"], axis=1)])
    assert prune_last_layer(editor).hidden == "hidden"
    assert "Attention" not in [node.op_type for node in editor.nodes]


@pytest.mark.parametrize(
    "head",
    [
        [helper.make_node("ReduceMean", ["out", "axes"], ["logits"])],
        [
            helper.make_node("Gather", ["out", "zero"], ["first"], axis=1),
            helper.make_node("ReduceMean", ["out", "axes"], ["mean"], keepdims=0),
            helper.make_node("Add", ["first", "mean"], ["logits"]),
        ],
        [helper.make_node("Identity", ["out"], ["logits"])],
    ],
    ids=["mean", "first and mean", "all"],
)
def test_a_head_that_reads_more_than_the_first_token_is_left_alone(head):
    editor = small_graph(head)
    before = editor.model.SerializeToString()
    with pytest.raises(NotPrunedError):
        prune_last_layer(editor)
    assert editor.model.SerializeToString() == before


def test_quantised_columns_are_within_half_a_step():
    weight = np.random.default_rng(0).normal(size=(64, 16)).astype(np.float32)
    weight[:, 3] = 0
    columns, scales = quantised_columns(weight)
    assert np.abs(columns * scales - weight).max() <= scales.max() / 2 + 1e-7
    assert (columns[:, 3] == 0).all()


def test_only_channels_far_above_the_others_are_damped():
    high = np.ones(100, dtype=np.float32)
    high[7] = 50
    damping = Activation(-high, high, np.zeros(100, np.float32)).damping()
    assert damping[7] == pytest.approx(25)
    assert (np.delete(damping, 7) == 1).all()


def test_a_fixed_scale_covers_what_was_seen_and_zero():
    activation = Activation(np.full(4, 2.0, np.float32), np.full(4, 3.0, np.float32), np.full(4, 2.5, np.float32))
    scale, zero_point = activation.fixed_scale()
    assert zero_point == 0
    assert 255 * scale >= 3.0
