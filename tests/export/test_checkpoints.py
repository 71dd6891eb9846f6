"""The stored checkpoints against the transformers that is installed: it still gives the logits beside them."""

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file

from tests.make_checkpoints import CASES, FOLDER, VARIANTS, pytorch_logits


def test_all_are_stored():
    assert {folder.name for folder in FOLDER.iterdir()} == set(VARIANTS)


@pytest.mark.parametrize("name", VARIANTS)
def test_pytorch_still_gives_the_stored_logits(name):
    model = transformers.AutoModelForSequenceClassification.from_pretrained(FOLDER / name, dtype=torch.float32)
    cases = load_file(FOLDER / name / CASES)
    np.testing.assert_allclose(pytorch_logits(model.eval(), cases), cases["logits"], atol=1e-5)
