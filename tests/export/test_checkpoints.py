"""The stored checkpoints against the transformers that is installed: it still gives the logits beside them."""

import json
import shutil

import numpy as np
import onnxruntime as ort
import pytest
import torch
import transformers
from safetensors.numpy import load_file

from lossaudit.engine.errors import LossAuditError
from lossaudit.export.checkpoint import Checkpoint
from lossaudit.export.loading import load_model
from lossaudit.export.writer.writing import write_classifier
from tests.make_checkpoints import CASES, FOLDER, VARIANTS, pytorch_logits


def test_all_are_stored():
    assert {folder.name for folder in FOLDER.iterdir()} == set(VARIANTS)


@pytest.mark.parametrize("name", VARIANTS)
def test_pytorch_still_gives_the_stored_logits(name):
    model = transformers.AutoModelForSequenceClassification.from_pretrained(FOLDER / name, dtype=torch.float32)
    cases = load_file(FOLDER / name / CASES)
    np.testing.assert_allclose(pytorch_logits(model.eval(), cases), cases["logits"], atol=1e-5)


@pytest.mark.parametrize("name", ["llama-odd", "modernbert-mean", "qwen3"])
def test_rotary_positions_are_read_where_transformers_5_writes_them(name, tmp_path):
    """Which transformers 4 doesn't: it would take its default, and graph and PyTorch would agree and both be wrong."""
    folder = shutil.copytree(FOLDER / name, tmp_path / name)
    path, cases = folder / "config.json", load_file(folder / CASES)
    config = json.loads(path.read_text())
    if name.startswith("modernbert"):
        bases = {"full_attention": "global_rope_theta", "sliding_attention": "local_rope_theta"}
        newer = {kind: {"rope_theta": config.pop(old), "rope_type": "default"} for kind, old in bases.items()}
    else:
        newer = {"rope_theta": config.pop("rope_theta"), "rope_type": "default"}
    path.write_text(json.dumps(config | {"rope_parameters": newer}))
    model, _ = load_model(Checkpoint(folder, name, ""))
    np.testing.assert_allclose(pytorch_logits(model, cases), cases["logits"], atol=1e-5)
    written = write_classifier(folder, json.loads(path.read_text()), cases["logits"].shape[1], None)
    session = ort.InferenceSession(written.model.SerializeToString(), providers=["CPUExecutionProvider"])
    given = {one.name: cases[one.name] for one in session.get_inputs()}
    np.testing.assert_allclose(session.run(None, given)[0], cases["logits"], atol=2e-5)
    path.write_text(json.dumps(config | {"rope_parameters": {"rope_theta": 1.0, "rope_type": "yarn"}}))
    with pytest.raises(LossAuditError, match="rope_parameters"):
        load_model(Checkpoint(folder, name, ""))
