"""Encoders as bundles: how a text's state is made, which encoders work, and that the states are PyTorch's."""

import json
import shutil

import numpy as np
import pytest
import torch
import transformers

from lossaudit.engine.data.rows import Rows
from lossaudit.engine.model import backends
from lossaudit.engine.model.bundle import FEATURES, Bundle
from lossaudit.engine.model.scoring import encode_shard
from lossaudit.engine.model.tuning import Plan
from lossaudit.engine.run.audit import Audit
from lossaudit.engine.run.shards import encoder_of, load_scorer
from lossaudit.export.encoder import cached_encoder, export_encoder
from lossaudit.export.exporter import export_bundle

TEXTS = ["the bank", "the team scored in the last season and the coach said so", "oil"]


def states_of(bundle, graph="fp32"):
    backend = bundle.graph(graph).backends[0]
    with load_scorer(bundle, Plan(graph, backend, workers=1, threads=1)) as scorer:
        return scorer.score(encode_shard(TEXTS, encoder_of(bundle, bundle.manifest.max_length))).logits


def torch_states(checkpoint, pool):
    """Each text alone, by transformers' own model and tokenizer."""
    model = transformers.AutoModel.from_pretrained(checkpoint).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    with torch.inference_mode():
        return np.concatenate(
            [pool(model(**tokenizer(text, return_tensors="pt")).last_hidden_state).numpy() for text in TEXTS]
        )


def mean(states):
    return states.mean(dim=1)


def first(states):
    return states[:, 0]


@pytest.fixture
def sentence_model(encoder_checkpoint, tmp_path):
    """The tiny encoder as sentence-transformers has it."""

    def make(pooling, **settings):
        folder = tmp_path / f"sentences-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(encoder_checkpoint, folder)
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
        (folder / "sentence_bert_config.json").write_text(json.dumps(settings))
        return folder

    return make


def test_a_bare_encoder_gives_the_mean_of_its_tokens(encoder_folder, encoder_checkpoint):
    bundle = Bundle.load(encoder_folder)
    assert bundle.manifest.task == FEATURES
    assert bundle.manifest.architecture == "BertModel"
    assert len(bundle.manifest.labels) == 32
    assert states_of(bundle) == pytest.approx(torch_states(encoder_checkpoint, mean), abs=1e-5)
    assert {graph.precision for graph in bundle.manifest.graphs} >= {"fp32", "int8"}


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
def test_a_classifiers_encoder_gives_the_first_token_as_its_head_reads_it(kind, make_checkpoint, tmp_path):
    checkpoint = make_checkpoint(kind)
    bundle = export_encoder(str(checkpoint), tmp_path / "encoder")
    assert states_of(bundle) == pytest.approx(torch_states(checkpoint, first), abs=1e-5)
    assert "last layer for the first token alone" in bundle.graph("fp32").applied


@pytest.mark.parametrize(
    ("pooling", "pool"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, mean),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, first),
        ({"embedding_dimension": 32, "pooling_mode": "cls"}, first),
    ],
)
def test_sentence_transformers_pooling_is_as_its_file_says(pooling, pool, sentence_model, tmp_path):
    checkpoint = sentence_model(pooling, max_seq_length=20)
    bundle = export_encoder(str(checkpoint), tmp_path / "encoder")
    assert states_of(bundle) == pytest.approx(torch_states(checkpoint, pool), abs=1e-5)
    assert bundle.manifest.max_length == 20


@pytest.mark.parametrize(
    ("pooling", "named"),
    [
        ({"pooling_mode_max_tokens": True}, "max_tokens"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, "mean and cls"),
        ({"pooling_mode": "lasttoken"}, "lasttoken"),
        ({}, "nothing"),
    ],
)
def test_another_pooling_is_refused_by_its_name(pooling, named, sentence_model, tmp_path, refused):
    with refused("1_Pooling", f"pools by {named};"):
        export_encoder(str(sentence_model(pooling)), tmp_path / "encoder")
    assert not (tmp_path / "encoder").exists()


def test_a_spoilt_pooling_file_is_named(sentence_model, tmp_path, refused):
    folder = sentence_model({})
    (folder / "1_Pooling" / "config.json").write_text("{")
    with refused("1_Pooling/config.json can't be read"):
        export_encoder(str(folder), tmp_path / "encoder")


def test_the_cache_tells_poolings_apart(sentence_model):
    by_mean, by_first = (cached_encoder(str(sentence_model({"pooling_mode": mode}))) for mode in ("mean", "cls"))
    assert by_mean.folder != by_first.folder
    steps = []
    assert cached_encoder(by_mean.manifest.source.name, steps.append).folder == by_mean.folder
    assert steps == ["finding the encoder"]


def test_an_encoder_with_a_decoder_is_refused(tmp_path, refused):
    config = transformers.T5Config(d_model=8, d_ff=8, d_kv=4, num_layers=1, num_heads=2, vocab_size=50)
    transformers.T5ForConditionalGeneration(config).save_pretrained(tmp_path / "t5")
    with refused("t5", "is an encoder with a decoder"):
        export_encoder(str(tmp_path / "t5"), tmp_path / "encoder")


def test_what_is_no_text_encoder_is_refused(encoder_checkpoint, tmp_path, refused):
    small = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.CLIPConfig(text_config=small, vision_config=small | {"image_size": 8, "patch_size": 4})
    folder = shutil.copytree(encoder_checkpoint, tmp_path / "clip")
    transformers.CLIPModel(config).save_pretrained(folder)
    with refused("CLIPModel isn't a text encoder"):
        export_encoder(str(folder), tmp_path / "encoder")


def test_an_encoder_without_all_its_weights_is_refused(encoder_checkpoint, tmp_path, refused):
    folder = shutil.copytree(encoder_checkpoint, tmp_path / "deeper")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with refused("isn't a complete BertModel", "layer.2"):
        export_encoder(str(folder), tmp_path / "encoder")


def test_audit_and_export_send_an_encoder_to_fit(encoder_folder, encoder_checkpoint, rows, tmp_path, refused):
    import datasets

    with refused("bundle of an encoder", "`la.fit`"):
        Audit(Bundle.load(encoder_folder), Rows(datasets.Dataset.from_list(rows)))
    with refused("no trained classification head", "`la.fit`"):
        export_bundle(str(encoder_checkpoint), tmp_path / "bundle")


def test_int8_states_are_near(encoder_folder):
    bundle = Bundle.load(encoder_folder)
    expected = states_of(bundle)
    spread = np.abs(expected - expected.mean(axis=0)).mean()
    for graph in bundle.manifest.graphs[1:]:
        if graph.backends[0] in backends.available():
            assert 0 < np.abs(states_of(bundle, graph.name) - expected).mean() < 0.25 * spread
