"""`python -m bench.speed.gpu`: refused where there is no GPU, and right on the CPU."""

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from bench.speed import gpu
from lossaudit.engine.model import backends
from lossaudit.engine.run.shards import encoder_of
from lossaudit.export.exporter import export_bundle


@pytest.mark.skipif("cuda" in backends.available() and torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_in_a_line():
    result = CliRunner().invoke(gpu.main, [])
    assert result.exit_code == 2
    assert "CUDA" in result.output.splitlines()[-1]
    assert "Traceback" not in result.output


def test_every_contender_gives_the_same_losses(checkpoint, rows, tmp_path):
    bundle = export_bundle(str(checkpoint), tmp_path / "bundle", fp16=True)
    encoded = encoder_of(bundle, 64).encode([row["text"] for row in rows])
    labels = np.array([row["label"] for row in rows])
    found = gpu.compare(gpu.contenders(checkpoint, bundle, "cpu"), encoded, labels, (256, 512))
    assert [row[0] for row in found] == ["torch-fp32", "torch-bf16", "torch-fp16", "ours-fp32", "ours-fp16"]
    differences = {name: float(difference) for name, *_, difference in found}
    assert differences["torch-fp32"] == 0
    assert differences["ours-fp32"] < 1e-5
    assert 0 < differences["ours-fp16"] < 0.01
    assert 0 < differences["torch-bf16"] < 0.1


def test_a_batch_that_is_too_large_counts_as_no_speed(checkpoint, rows, tmp_path):
    bundle = export_bundle(str(checkpoint), tmp_path / "bundle")
    encoded = encoder_of(bundle, 64).encode([row["text"] for row in rows])

    def small(batch):
        if batch.ids.size > 300:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return np.zeros((len(batch.ids), 4))

    assert gpu.score(small, encoded, 10_000)[0] == float("inf")
    ((_, _, _, budget, _),) = gpu.compare({"torch-fp32": lambda: small}, encoded, np.zeros(60, np.int64), (10_000, 256))
    assert budget == "256"
