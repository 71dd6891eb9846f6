"""The stored checkpoints of every family: the bundles written of them give PyTorch's logits, which are stored too."""

import numpy as np
import onnx
import pytest
from safetensors.numpy import load_file

from lossaudit.engine.model import backends
from lossaudit.engine.model.encoding import Batch
from lossaudit.engine.scores.loss import log_softmax
from tests.export.writer.conftest import STORED

ONE_LAYER = ("bert-relu", "distilbert-odd")
"""Checkpoints whose only layer would be pruned, and which are left as they were written."""
DECODERS = ("gpt2", "llama", "qwen")
WHOLE = ("modernbert-mean",)
"""Checkpoints whose heads read all tokens."""


@pytest.fixture
def cases(name):
    """Token ids, mask, types where there are any, and PyTorch's logits."""
    return load_file(STORED / name / "cases.safetensors")


def losses(runner, cases, rows):
    """The loss of every label, of texts that share a batch."""
    width = int(cases["attention_mask"][rows].sum(axis=1).max())
    ids, mask = (cases[key][rows, :width] for key in ("input_ids", "attention_mask"))
    types = cases.get("token_type_ids", np.zeros_like(cases["input_ids"]))[rows, :width]
    return -log_softmax(runner.run(Batch(ids, mask, types)))


def runner_of(bundle, form="fp32"):
    return backends.load("cpu", bundle.file_of(form), workers=1, threads=1)


def test_the_losses_are_pytorchs_alone_and_in_batches(name, written, cases):
    runner, expected = runner_of(written(name)), -log_softmax(cases["logits"])
    assert np.ptp(expected, axis=0).min() > 0.05, "the checkpoint tells texts apart"
    for rows in (*([row] for row in range(len(expected))), [0, 3], list(range(len(expected)))):
        np.testing.assert_allclose(losses(runner, cases, rows), expected[rows], atol=2e-5)


def test_other_forms_are_near(name, written, cases):
    bundle, expected = written(name), cases["logits"]
    forms = [graph.name for graph in bundle.manifest.graphs]
    assert {"int8-static", "int8-dynamic", "int8-qdq", "fp16"} <= set(forms)
    everything = list(range(len(expected)))
    for form in forms:
        found = np.exp(-losses(runner_of(bundle, form), cases, everything))
        assert np.abs(found - np.exp(log_softmax(expected))).mean() < 0.05, form


def test_the_manifest_tells_where_the_graph_is_from(name, written):
    manifest = written(name).manifest
    assert manifest.graphs[0].applied[0].startswith("written as ")
    if name not in (*ONE_LAYER, *WHOLE):
        token = "last" if name.startswith(DECODERS) else "first"
        assert manifest.graphs[0].applied[1] == f"last layer for the {token} token alone"
    assert manifest.parity.texts == 0
    assert manifest.max_length == 24
    assert not {"torch", "transformers"} & set(manifest.versions)


def test_int8_really_computes_in_int8(name, written):
    nodes = onnx.load(written(name).file_of("int8-static"), load_external_data=False).graph.node
    layers = sum(node.op_type == "Softmax" for node in nodes)
    products = 4 if name.startswith(DECODERS) else 6  # some share heads of keys, which are too narrow here
    assert sum(node.op_type == "MatMulIntegerToFloat" for node in nodes) >= products * (layers - 1)
