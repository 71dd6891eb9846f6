"""Checkpoints that can't be exported: each is refused with the reason, and none of its code runs."""

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lossaudit.export.exporter import export_bundle


@pytest.fixture
def copy(checkpoint, tmp_path):
    """A checkpoint that the test may spoil."""
    return Path(shutil.copytree(checkpoint, tmp_path / "checkpoint"))


@pytest.fixture
def refuse(copy, tmp_path, refused):
    """Holds that the spoilt checkpoint is refused with these words, and that no part of a bundle is left."""

    def check(*parts):
        with refused(*parts):
            export_bundle(str(copy), tmp_path / "bundle")
        assert {path.name for path in tmp_path.iterdir()} <= {"checkpoint"}

    return check


def change_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def to_pickle(folder):
    """The weights as older checkpoints have them."""
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def test_old_pickled_weights_are_read(copy, tmp_path):
    to_pickle(copy)
    assert export_bundle(str(copy), tmp_path / "bundle").manifest.parity.max_difference < 1e-4


class Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_hostile_pickled_weights_are_not_run(save, copy, tmp_path, refuse):
    save({"classifier.weight": Hostile(tmp_path / "marker")}, copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    refuse("can't be loaded")


def test_safetensors_win_over_a_hostile_pickle_beside_them(copy, tmp_path):
    torch.save({"classifier.weight": Hostile(tmp_path / "marker")}, copy / "pytorch_model.bin")
    export_bundle(str(copy), tmp_path / "bundle")
    assert not (tmp_path / "marker").exists()


def test_remote_code_is_not_run(copy, tmp_path, refuse):
    code = f"import pathlib\npathlib.Path({str(tmp_path / 'marker')!r}).touch()\n"
    (copy / "modeling_own.py").write_text(code)
    classes = {"AutoConfig": "modeling_own.C", "AutoModelForSequenceClassification": "modeling_own.M"}
    change_config(copy, auto_map=classes, model_type="own")
    refuse("can't be loaded")


@pytest.mark.parametrize("broken", [b"", b"\xff" * 100])
def test_broken_weights(broken, copy, refuse):
    (copy / "model.safetensors").write_bytes(broken)
    refuse("can't be loaded")


def test_cut_weights(copy, refuse):
    content = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(content[: len(content) // 2])
    refuse("can't be loaded")


def test_no_weights(copy, refuse):
    (copy / "model.safetensors").unlink()
    refuse("has no weights", "model.safetensors", "pytorch_model.bin")


def test_no_config(copy, refuse):
    (copy / "config.json").unlink()
    refuse("has no config.json")


def test_a_config_that_is_none(copy, refuse):
    (copy / "config.json").write_text("{")
    refuse("can't be loaded")


def test_a_head_that_was_not_trained(copy, refuse):
    weights = {name: w for name, w in load_file(copy / "model.safetensors").items() if "classifier" not in name}
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    refuse("no trained classification head", "classifier.weight")


def test_a_head_of_another_size(copy, refuse):
    change_config(copy, id2label={str(i): str(i) for i in range(7)}, label2id={str(i): i for i in range(7)})
    refuse("can't be loaded")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"problem_type": "regression"}, "regression"),
        ({"id2label": {"0": "score"}, "label2id": {"score": 0}}, "regression"),
        (
            {"problem_type": "multi_label_classification", "id2label": {"0": "score"}, "label2id": {"score": 0}},
            "regression",
        ),
    ],
)
def test_other_tasks(changes, says, copy, refuse):
    change_config(copy, **changes)
    refuse(says)


def test_no_tokenizer(copy, refuse):
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        (copy / name).unlink(missing_ok=True)
    refuse("tokenizer")


def test_a_tokenizer_without_fast_form(copy, refuse):
    (copy / "tokenizer.json").unlink()
    (copy / "vocab.txt").unlink(missing_ok=True)
    (copy / "vocab.json").write_text("{}")
    (copy / "tokenizer_config.json").write_text('{"tokenizer_class": "CTRLTokenizer"}')
    (copy / "merges.txt").write_text("#version: 0.2\n")
    refuse("tokenizer")


@pytest.mark.parametrize("name", ["./nowhere", "/no/where", "a/b/c", "config.json"])
def test_a_path_that_is_no_folder(name, copy, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(copy)
    with refused(name, "isn't a checkpoint"):
        export_bundle(name, tmp_path / "bundle")


@pytest.mark.parametrize("name", ["nosuchmodel", "owner/nosuchmodel", "not a name"])
def test_a_hub_name_that_cannot_be_had(name, refused, tmp_path):
    with refused(f"there is no folder {name}", "hub model"):
        export_bundle(name, tmp_path / "bundle")


def test_label_numbers_with_a_gap_are_refused(copy, refuse):
    labels = {"a": 1, "b": 2, "c": 3, "d": 4}
    change_config(copy, id2label={str(number): name for name, number in labels.items()}, label2id=labels)
    refuse("id2label")
