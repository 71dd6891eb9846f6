"""Pairs of texts: every family's graphs read them like PyTorch, or the bundle says why it can't read pairs."""

import json
import shutil
from pathlib import Path

import datasets
import numpy as np
import onnx
import pytest
import torch
import transformers

from bench.families import FAMILIES
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.model import backends
from lossaudit.engine.model.bundle import PAIRS, Bundle
from lossaudit.engine.model.scoring import Scorer, encode_shard
from lossaudit.engine.run.audit import Audit
from lossaudit.engine.run.options import AuditOptions
from lossaudit.engine.run.shards import encoder_of
from lossaudit.engine.scores.loss import log_softmax
from lossaudit.export import exporter
from lossaudit.export.adopted import adopt_bundle
from lossaudit.export.comparison import reference_texts
from lossaudit.export.exporter import export_bundle

TELLING_APART = ("BERT", "ALBERT", "ELECTRA")
"""Families whose models are told which of a pair's texts a token is of."""


def torch_logits(checkpoint, pairs):
    """(pairs, classes) by transformers, each pair alone."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoint).eval()
    with torch.inference_mode():
        inputs = [tokenizer(*pair, truncation=True, max_length=64, return_tensors="pt") for pair in pairs]
        return np.concatenate([model(**one).logits.numpy() for one in inputs])


def graph_logits(bundle, texts, graph="fp32", budget=512):
    runner = backends.load("cpu", bundle.file_of(graph), workers=1, threads=1)
    with Scorer(runner, workers=1, budget=budget, classes=len(bundle.manifest.labels)) as scorer:
        return scorer.score(encode_shard(texts, encoder_of(bundle, 64))).logits


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture(scope="module")
def pairs(rows):
    texts = [row["text"] for row in rows]
    return list(zip(["Ünïcode 価格は安い 😞", *texts[:14]], ["one", *texts[14:28]], strict=True))


@pytest.mark.parametrize("family", FAMILIES)
class TestEveryFamily:
    def test_the_logits_are_those_of_pytorch_alone_and_in_a_batch(self, family, export, pairs):
        checkpoint, bundle = export(family)
        expected = torch_logits(checkpoint, pairs)
        assert PAIRS not in bundle.manifest.left_out
        assert bundle.manifest.parity.texts > len(reference_texts(64))
        for budget in (1, 4096):
            np.testing.assert_allclose(graph_logits(bundle, pairs, budget=budget), expected, atol=1e-4)

    def test_int8_is_near_fp32(self, family, export, pairs):
        bundle = export(family)[1]
        expected = np.exp(log_softmax(graph_logits(bundle, pairs)))
        for graph in bundle.manifest.graphs:
            found = np.exp(log_softmax(graph_logits(bundle, pairs, graph.name)))
            assert np.abs(found - expected).mean() < 0.03, graph.name

    def test_who_is_told_the_types_heeds_them(self, family, export, pairs):
        bundle = export(family)[1]
        batch = encoder_of(bundle, 64).encode(pairs).padded(np.arange(len(pairs)))
        runner = backends.load("cpu", bundle.file_of("fp32"), workers=1, threads=1)
        alike = type(batch)(batch.ids, batch.mask, batch.types * 0)
        differences = np.abs(runner.run(batch) - runner.run(alike)).max(axis=1)
        assert (differences.min() > 1e-3) == (family in TELLING_APART)


class TestModelsThatReadNone:
    """They are exported all the same, for texts."""

    def check(self, bundle, reason, refused):
        assert reason in bundle.manifest.left_out[PAIRS]
        assert Bundle.load(bundle.folder).manifest.left_out == bundle.manifest.left_out
        rows = datasets.Dataset.from_list([{"a": "one", "b": "two", "label": 0}, {"a": "the", "b": "of", "label": 1}])
        assert Audit(bundle, rows, AuditOptions(text_column="a", tune=False)).run().summary.ranked == 2
        with refused("can't read pairs of texts", reason):
            Audit(bundle, rows, AuditOptions(text_column="a", text_pair_column="b"))

    def test_one_that_was_onnx_already_and_knows_one_type(self, onnx_folder, tmp_path, refused):
        folder = Path(shutil.copytree(onnx_folder("BERT"), tmp_path / "onnx"))
        model = onnx.load(folder / "model.onnx")
        (types,) = (tensor for tensor in model.graph.initializer if "token_type_embeddings" in tensor.name)
        types.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(types)[:1], types.name))
        onnx.save(model, folder / "model.onnx")
        self.check(adopt_bundle(folder, tmp_path / "bundle"), "model.onnx can't be run", refused)

    def test_one_whose_tokenizer_gives_pairs_otherwise_in_transformers(self, tmp_path, refused):
        """Optimum's graph takes the types that the tokenizer has and transformers doesn't pass on."""
        checkpoint = FAMILIES["BERT"].make(tmp_path / "checkpoint", position_embedding_type="relative_key")
        change(checkpoint / "tokenizer_config.json", model_input_names=["input_ids", "attention_mask"])
        self.check(export_bundle(str(checkpoint), tmp_path / "bundle"), "differs from PyTorch", refused)


def test_a_written_graph_takes_no_types_where_transformers_passes_none_on(tmp_path, pairs):
    checkpoint = FAMILIES["BERT"].make(tmp_path / "checkpoint")
    change(checkpoint / "tokenizer_config.json", model_input_names=["input_ids", "attention_mask"])
    bundle = export_bundle(str(checkpoint), tmp_path / "bundle")
    assert bundle.manifest.inputs == ("input_ids", "attention_mask")
    np.testing.assert_allclose(graph_logits(bundle, pairs), torch_logits(checkpoint, pairs), atol=1e-4)


@pytest.mark.parametrize("family", ["BERT", "RoBERTa", "GPT-2"])
def test_an_adopted_folder_reads_them_as_its_checkpoint_does(family, export, adopt, pairs):
    checkpoint, bundle = export(family)[0], adopt(family)
    assert PAIRS not in bundle.manifest.left_out
    np.testing.assert_allclose(graph_logits(bundle, pairs), torch_logits(checkpoint, pairs), atol=1e-4)


def test_a_rewritten_graph_that_reads_pairs_otherwise_is_not_taken(tmp_path, monkeypatch):
    """A check that fails for the second graph it is given: the first is the exported one, the second the rewritten."""
    check, called = exporter.check_pairs, []

    def differs_at_second(*arguments):
        called.append(arguments)
        if len(called) == 2:
            raise LossAuditError("it differs on pairs")
        return check(*arguments)

    monkeypatch.setattr(exporter, "check_pairs", differs_at_second)
    bundle = export_bundle(str(FAMILIES["BERT"].make(tmp_path / "checkpoint")), tmp_path / "bundle")
    assert bundle.manifest.graphs[0].applied == ("written as BERT", "as written: it differs on pairs")
    assert len(called) == 3
