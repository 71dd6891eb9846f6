"""A head on an encoder's bundle: every form gives the head's logits on the states, or is left out or refused."""

import json
import shutil

import numpy as np
import pytest

from lossaudit.engine.data.source import open_dataset
from lossaudit.engine.model import backends
from lossaudit.engine.model.bundle import CLASSIFY, Bundle
from lossaudit.engine.model.scoring import encode_shard
from lossaudit.engine.model.tuning import Plan
from lossaudit.engine.run.audit import Audit
from lossaudit.engine.run.options import AuditOptions
from lossaudit.engine.run.shards import encoder_of, load_scorer
from lossaudit.export.head_bundle import FittedHead, write_head_bundle
from lossaudit.export.heads import Head

LABELS = ("World", "Sports", "Business")
TEXTS = ["the bank shares rose", "oil", "the striker scored in the cup final and the coach said so"]


@pytest.fixture(scope="module")
def encoder(encoder_folder):
    return Bundle.load(encoder_folder)


@pytest.fixture(scope="module")
def head():
    rng = np.random.default_rng(0)
    return Head(rng.normal(size=(3, 32)).astype(np.float32), rng.normal(size=3).astype(np.float32))


@pytest.fixture(scope="module")
def written(encoder, head, tmp_path_factory):
    return write_head_bundle(encoder, FittedHead(head, LABELS, 40, 1234), tmp_path_factory.mktemp("heads") / "bundle")


def outputs(bundle, graph):
    backend = graph.backends[0] if graph.backends[0] in backends.available() else backends.CPU
    with load_scorer(bundle, Plan(graph.name, backend, workers=1, threads=1)) as scorer:
        return scorer.score(encode_shard(TEXTS, encoder_of(bundle, 40))).logits


def test_every_form_gives_the_head_of_its_states(encoder, head, written):
    assert [graph.name for graph in written.manifest.graphs] == [graph.name for graph in encoder.manifest.graphs]
    for graph in written.manifest.graphs:
        expected = head.logits(outputs(encoder, graph))
        openvino = graph.backends == (backends.OPENVINO,)  # whose own choice for the head is bf16 on some CPUs
        assert outputs(written, graph) == pytest.approx(expected, abs=0.05 if openvino else 1e-3)


def test_the_manifest_says_what_it_is(encoder, written):
    manifest = written.manifest
    assert (manifest.task, manifest.labels, manifest.max_length) == (CLASSIFY, LABELS, 40)
    assert manifest.source == encoder.manifest.source
    assert all("a head fitted on 1,234 rows" in graph.applied for graph in manifest.graphs)
    assert 0 <= manifest.parity.max_difference < manifest.parity.tolerance
    assert all(graph.mean_difference > 0 for graph in manifest.graphs if graph.precision == "int8")


def test_it_is_audited_like_any_other(written, write_file):
    data = write_file("rows.csv", "text,label\n" + "".join(f"{text},{LABELS[0]}\n" for text in TEXTS))
    audited = Audit(written, open_dataset(str(data)), AuditOptions(precision="fp32", tune=False)).run()
    assert audited.summary.ranked == 3


def test_a_form_that_the_head_drives_too_far_from_fp32_is_left_out(encoder, head, tmp_path):
    written = write_head_bundle(encoder, FittedHead(head, LABELS, 40, 1), tmp_path / "bundle", {"int8": 1e-4})
    assert [graph.precision for graph in written.manifest.graphs] == ["fp32"]
    assert set(written.manifest.left_out) >= {"int8-static", "int8-dynamic"}
    assert "with the head its probabilities differ by" in written.manifest.left_out["int8-static"]
    assert {file.name for file in written.folder.iterdir()} == {*written.manifest.files, "manifest.json"}


def test_a_graph_that_gives_something_else_is_not_written(encoder, head, tmp_path, refused):
    class Other(Head):
        def logits(self, features):
            return head.logits(features) + 1

    with refused("the graph with the head differs from the head"):
        write_head_bundle(encoder, FittedHead(Other(head.weight, head.bias), LABELS, 40, 1), tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_what_stands_there_is_replaced_only_if_it_is_a_bundle(encoder, head, written, tmp_path, refused):
    short, copy = FittedHead(head, LABELS, 20, 1), shutil.copytree(written.folder, tmp_path / "bundle")
    assert write_head_bundle(encoder, short, copy).manifest.max_length == 20
    assert json.loads((copy / "manifest.json").read_text())["max_length"] == 20
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with refused("holds other files"):
        write_head_bundle(encoder, short, tmp_path / "other")
