"""Checkpoints that the writer refuses: those that it doesn't know, by name, and those that are broken or hostile."""

import json
import struct

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lossaudit.engine.errors import LossAuditError
from lossaudit.export.written import write_bundle
from tests.export.writer.conftest import NAMES

UNUSUAL = {
    "activation": "tanh",
    "activation_function": "tanh",
    "hidden_act": "tanh",
    "hidden_activation": "tanh",
    "position_embedding_type": "relative_key",
    "is_decoder": True,
    "add_cross_attention": True,
    "pruned_heads": {"0": [1]},
    "quantization_config": {"quant_method": "bitsandbytes"},
    "rope_scaling": {"rope_type": "linear", "factor": 2.0},
    "rope_parameters": {"rope_type": "llama3", "rope_theta": 10000.0},
    "auto_map": {"AutoModel": "own.Model"},
    "a_key_of_the_future": 3,
}
"""Values that change a computation, or might."""


@pytest.fixture
def copy(stored, tmp_path):
    """A BERT that the test may spoil."""
    return stored("bert", tmp_path)


@pytest.fixture
def refuse(tmp_path, refused):
    """Holds that a checkpoint is refused with these words, and that no part of a bundle is left."""

    def check(folder, *parts):
        with refused(*parts):
            write_bundle(str(folder), tmp_path / "bundle")
        assert {path.name for path in tmp_path.iterdir()} <= {"checkpoint"}

    return check


def change(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def change_tensors(folder, edit):
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors")


def write_header(folder, header, data=b"", size=None):
    content = json.dumps(header).encode()
    length = struct.pack("<Q", len(content) if size is None else size)
    (folder / "model.safetensors").write_bytes(length + content + data)


@pytest.mark.parametrize("name", [name for name in NAMES if "-" not in name.replace("xlm-", "").replace("-v", "")])
def test_unusual_values_are_refused_by_name(name, stored, tmp_path, refuse):
    folder = stored(name, tmp_path)
    usual = (folder / "config.json").read_text()
    own = {key for key in UNUSUAL if key in json.loads(usual) or not key.startswith(("act", "hidden", "position"))}
    for key in own:
        change(folder, **{key: UNUSUAL[key]})
        refuse(folder, "can't be exported without PyTorch", key, "pip install 'lossaudit[export]'")
        (folder / "config.json").write_text(usual)


class TestUnknown:
    """Another architecture is never guessed at."""

    @pytest.mark.parametrize("named", [["BertForTokenClassification"], ["BertMeanPoolForSequenceClassification"], []])
    def test_architecture(self, named, copy, refuse):
        change(copy, architectures=named)
        refuse(copy, "architectures", "BertForSequenceClassification", "pip install")

    def test_family(self, copy, refuse):
        change(copy, model_type="t5")
        refuse(copy, "its model_type is 't5'", "pip install 'lossaudit[export]'")

    def test_a_tensor_without_a_use(self, copy, refuse):
        change_tensors(copy, lambda tensors: tensors.update(extra=np.zeros(3, dtype=np.float32)))
        refuse(copy, "its weights hold extra, which its architecture has no use for")

    def test_an_adapter_beside_its_base(self, copy, refuse):
        (copy / "adapter_config.json").write_text("{}")
        refuse(copy, "adapter_config.json")

    def test_quantised_weights(self, copy, refuse):
        name = "bert.pooler.dense.weight"
        change_tensors(copy, lambda tensors: tensors.update({name: np.zeros((16, 16), dtype=np.int8)}))
        refuse(copy, "quantised", name, "I8")


class TestBroken:
    """One line, and nothing half-written."""

    def test_no_head(self, copy, refuse):
        change_tensors(copy, lambda tensors: tensors.pop("classifier.weight"))
        refuse(copy, "has no trained classification head", "classifier.weight", "la.fit")

    def test_a_missing_layer(self, copy, refuse):
        change_tensors(copy, lambda tensors: tensors.pop("bert.encoder.layer.1.output.dense.bias"))
        refuse(copy, "no weights for bert.encoder.layer.1.output.dense.bias")

    @pytest.mark.parametrize(
        ("key", "value"),
        [("vocab_size", 41), ("hidden_size", 32), ("num_hidden_layers", 3), ("max_position_embeddings", 9_000_000)],
    )
    def test_a_config_that_lies(self, key, value, copy, refuse):
        change(copy, **{key: value})
        refuse(copy, "weights" if key == "num_hidden_layers" else "by config.json it is")

    @pytest.mark.parametrize("value", ["16", 16.5, True, 0, -1, 10**12, [16]])
    def test_sizes_that_are_none(self, value, copy, refuse):
        change(copy, intermediate_size=value)
        refuse(copy, "config.json", "intermediate_size")

    def test_an_epsilon_that_is_none(self, copy, refuse):
        change(copy, layer_norm_eps="small")
        refuse(copy, "layer_norm_eps")

    def test_heads_that_do_not_divide_the_width(self, copy, refuse):
        change(copy, num_attention_heads=3)
        refuse(copy, "3 attention heads don't divide its width of 16")

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_values_that_are_no_numbers(self, value, copy, refuse):
        name = "bert.pooler.dense.bias"
        change_tensors(copy, lambda tensors: tensors.update({name: np.full(16, value, dtype=np.float32)}))
        refuse(copy, name, "aren't finite")

    def test_truncated_weights(self, copy, refuse):
        path = copy / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-10])
        refuse(copy, "model.safetensors isn't a whole safetensors file")

    @pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\n", b"\0" * 100])
    def test_what_is_no_safetensors_file(self, content, copy, refuse):
        (copy / "model.safetensors").write_bytes(content)
        refuse(copy, "model.safetensors isn't a whole safetensors file")

    def test_a_header_of_gigabytes(self, copy, refuse):
        write_header(copy, {}, size=2**40)
        refuse(copy, "model.safetensors isn't a whole safetensors file")

    @pytest.mark.parametrize("offsets", [(0, 4), (2, 6), (100, 104), (4, 0)])
    def test_offsets_that_overlap_or_leave_the_file(self, offsets, copy, refuse):
        tensor = {"dtype": "F32", "shape": [1]}
        write_header(copy, {"a": tensor | {"data_offsets": [0, 4]}, "b": tensor | {"data_offsets": offsets}}, bytes(8))
        refuse(copy, "model.safetensors isn't a whole safetensors file")

    def test_a_shape_that_is_not_the_datas(self, copy, refuse):
        write_header(copy, {"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 8]}}, bytes(8))
        refuse(copy, "model.safetensors isn't a whole safetensors file")

    def test_weights_that_only_torch_reads(self, copy, refuse):
        (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
        refuse(copy, "has no model.safetensors", "save_pretrained")

    def test_a_tokenizer_of_another_model(self, copy, refuse):
        data = json.loads((copy / "tokenizer.json").read_text())
        data["model"]["vocab"]["new"] = 40
        (copy / "tokenizer.json").write_text(json.dumps(data))
        refuse(copy, "tokens up to 40", "embeddings for 40 only")

    def test_a_padding_token_that_is_none(self, copy, refuse):
        change(copy, pad_token_id=40)
        refuse(copy, "pad_token_id")


class TestShards:
    @pytest.fixture
    def copy(self, stored, tmp_path):
        return stored("bert-shards", tmp_path)

    def test_a_missing_one(self, copy, refuse):
        (copy / "model-00002-of-00002.safetensors").unlink()
        refuse(copy, "model-00002-of-00002.safetensors, which is missing")

    @pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", 3])
    def test_one_outside_the_folder(self, name, copy, refuse):
        (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
        refuse(copy, "model.safetensors.index.json names the file")

    @pytest.mark.parametrize("content", ["{", "[]", "{}", '{"weight_map": 3}', "[" * 100_000])
    def test_an_index_that_is_none(self, content, copy, refuse):
        (copy / "model.safetensors.index.json").write_text(content)
        refuse(copy, "model.safetensors.index.json can't be read")

    def test_a_tensor_twice(self, copy, refuse):
        first, second = (copy / f"model-0000{number}-of-00002.safetensors" for number in (1, 2))
        second.write_bytes(first.read_bytes())
        refuse(copy, "twice")


def test_nothing_is_left_in_the_cache(copy, monkeypatch, tmp_path):
    from lossaudit.export.written import cached_writing

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    change(copy, hidden_size=32)
    with pytest.raises(LossAuditError):
        cached_writing(str(copy))
    assert not [file for file in tmp_path.rglob("cache/**/*") if file.is_file()]
