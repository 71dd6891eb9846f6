"""Every family of models: exported with parity to PyTorch, alone and in a batch, or refused by name."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import transformers
from tokenizers import Tokenizer

from bench.families import FAMILIES, Size
from lossaudit.engine.model import backends
from lossaudit.engine.model.encoding import TextEncoder
from lossaudit.engine.model.scoring import NO_TOKENS, Scorer, encode_shard
from lossaudit.engine.scores.loss import log_softmax
from lossaudit.export.comparison import MOST_TOKENS
from lossaudit.export.exporter import export_bundle

KINDS = {
    "WordPiece": ("BERT", "DistilBERT", "ELECTRA", "MPNet"),
    "BPE": ("RoBERTa", "ModernBERT", "GPT-2", "Llama", "Qwen2", "Qwen3"),
    "Unigram": ("XLM-R", "CamemBERT", "ALBERT", "DeBERTa-v2", "DeBERTa-v3"),
}
DECODERS = ("GPT-2", "Llama", "Qwen2", "Qwen3")


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def texts(rows):
    return ["one", "Ünïcode 価格は安い 😞", *(row["text"] for row in rows[:16])]


def torch_logits(checkpoint, texts):
    """(texts, classes) by transformers, each text alone."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoint).eval()
    with torch.inference_mode():
        inputs = [tokenizer(text, truncation=True, max_length=64, return_tensors="pt") for text in texts]
        return np.concatenate([model(**one).logits.numpy() for one in inputs])


def graph_logits(bundle, texts, graph="fp32", budget=512):
    manifest = bundle.manifest
    encoder = TextEncoder(bundle.tokenizer, manifest.max_length, manifest.pad_id, manifest.truncation_side)
    runner = backends.load("cpu", bundle.file_of(graph), workers=1, threads=1)
    with Scorer(runner, workers=1, budget=budget, classes=len(manifest.labels)) as scorer:
        return scorer.score(encode_shard(texts, encoder)).logits


def change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_logits_are_those_of_pytorch_alone_and_in_a_batch(family, export, texts):
    checkpoint, bundle = export(family)
    expected = torch_logits(checkpoint, texts)
    assert np.ptp(expected, axis=0).min() > 0.05, "the checkpoint tells texts apart"
    for budget in (1, 4096):
        np.testing.assert_allclose(graph_logits(bundle, texts, budget=budget), expected, atol=1e-4)
    assert bundle.manifest.parity.max_difference < 1e-4
    assert bundle.manifest.max_length == 64


def test_int8_is_near_fp32(family, export, texts):
    bundle = export(family)[1]
    expected = np.exp(log_softmax(graph_logits(bundle, texts)))
    for graph in bundle.manifest.graphs:
        found = np.exp(log_softmax(graph_logits(bundle, texts, graph.name)))
        assert np.abs(found - expected).mean() < 0.03, graph.name


def test_what_was_done_is_said(family, export):
    manifest = export(family)[1].manifest
    applied = manifest.graphs[0].applied
    names = [graph.name for graph in manifest.graphs]
    token = "last" if family in DECODERS else "first"
    assert applied == (f"written as {family.partition('-v')[0]}", f"last layer for the {token} token alone")
    assert names == ["fp32", "int8-static", "int8-dynamic", "int8-qdq", "fp16"]
    assert manifest.left_out == {}


def test_int8_really_computes_in_int8(family, export):
    bundle = export(family)[1]
    nodes = onnx.load(bundle.file_of("int8-static"), load_external_data=False).graph.node
    # Six products a layer; fewer where the last one is pruned.
    assert sum(node.op_type == "MatMulIntegerToFloat" for node in nodes) >= 6


def test_the_tokenizer_is_of_its_real_kind(family, export):
    checkpoint, bundle = export(family)
    model = json.loads(bundle.tokenizer.read_text())["model"]["type"]
    assert family in KINDS[model]
    assert Tokenizer.from_file(str(checkpoint / "tokenizer.json")).get_vocab_size() > 100


class TestDecoders:
    """They read the last token that isn't padding."""

    @pytest.fixture(params=DECODERS)
    def copy(self, request, export, tmp_path):
        return Path(shutil.copytree(export(request.param)[0], tmp_path / "checkpoint"))

    def test_the_config_says_which_token_is_padding(self, copy, tmp_path, texts):
        change_config(copy, pad_token_id=7)
        bundle = export_bundle(str(copy), tmp_path / "bundle")
        assert bundle.manifest.pad_id == 7
        np.testing.assert_allclose(graph_logits(bundle, texts), torch_logits(copy, texts), atol=1e-4)

    def test_without_one_it_is_the_tokenizers_whichever_side_that_pads(self, copy, tmp_path, texts):
        """The bundles of the other tests are of tokenizers that pad their own side."""
        expected = torch_logits(copy, texts)
        change_config(copy, pad_token_id=None)
        path = copy / "tokenizer_config.json"
        settings = json.loads(path.read_text())
        own = transformers.AutoTokenizer.from_pretrained(copy).padding_side
        path.write_text(json.dumps(settings | {"padding_side": {"left": "right", "right": "left"}[own]}))
        bundle = export_bundle(str(copy), tmp_path / "bundle")
        np.testing.assert_allclose(graph_logits(bundle, texts), expected, atol=1e-4)

    def test_without_any_it_is_the_last_of_the_text(self, copy, tmp_path, texts):
        change_config(copy, pad_token_id=None)
        settings = json.loads((copy / "tokenizer_config.json").read_text())
        (copy / "tokenizer_config.json").write_text(json.dumps(settings | {"pad_token": None}))
        (copy / "special_tokens_map.json").unlink()
        bundle = export_bundle(str(copy), tmp_path / "bundle")
        np.testing.assert_allclose(graph_logits(bundle, texts), torch_logits(copy, texts), atol=1e-4)

    def test_a_text_without_tokens_fails_alone(self, export):
        bundle = export("GPT-2")[1]
        encoder = TextEncoder(bundle.tokenizer, 64, bundle.manifest.pad_id)
        runner = backends.load("cpu", bundle.file_of("fp32"), workers=1, threads=1)
        told = []
        with Scorer(runner, workers=1, budget=512, classes=4) as scorer:
            scored = scorer.score(encode_shard(["one", "", "two three", ""], encoder), told.append)
        assert scored.failed == {1: NO_TOKENS, 3: NO_TOKENS}
        assert np.isnan(scored.logits[:, 0]).tolist() == [False, True, False, True]
        assert sum(told) == 4


def test_texts_that_are_compared_fit_a_models_long_maximum(tmp_path):
    checkpoint = FAMILIES["DistilBERT"].make(tmp_path / "checkpoint", Size(hidden=8, layers=1, tokens=8192))
    assert export_bundle(str(checkpoint), tmp_path / "bundle").manifest.max_length == 8192
    assert MOST_TOKENS == 512


class TestRefused:
    """Families whose graph would give wrong results, or none."""

    @pytest.fixture
    def save(self, export, tmp_path):
        def make(model_type, **config):
            """A classifier of another family, with a tokenizer of BERT's kind."""
            folder = Path(shutil.copytree(export("BERT")[0], tmp_path / "checkpoint"))
            shared = json.loads((folder / "config.json").read_text())
            names = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
            known = {name: shared[name] for name in (*names, "id2label", "label2id", "pad_token_id")}
            known |= {"max_position_embeddings": 66, "initializer_range": 0.2}
            torch.manual_seed(0)
            made = transformers.AutoConfig.for_model(model_type, **known | config)
            transformers.AutoModelForSequenceClassification.from_config(made).save_pretrained(folder)
            return str(folder)

        return make

    def test_one_whose_logits_depend_on_the_padding(self, save, tmp_path, refused):
        checkpoint = save("convbert", embedding_size=16, head_ratio=1, conv_kernel_size=3)
        with refused("ConvBertForSequenceClassification differs from PyTorch", "shares a batch"):
            export_bundle(checkpoint, tmp_path / "bundle")
        assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]

    def test_one_that_wants_other_inputs(self, save, tmp_path, refused):
        with refused("LongformerForSequenceClassification can't be exported", "global_attention_mask"):
            export_bundle(save("longformer", attention_window=16), tmp_path / "bundle")

    def test_one_that_optimum_does_not_know(self, save, tmp_path, refused):
        with refused("Optimum can't export ErnieForSequenceClassification"):
            export_bundle(save("ernie"), tmp_path / "bundle")
