"""An audit as on a GPU, short of the GPU itself: the CUDA runner's bindings, on ONNX Runtime's CPU provider."""

import datasets
import numpy as np
import pytest

from lossaudit.engine.model import backends
from lossaudit.engine.model.backends.onnxruntime import CPU_PROVIDER, BoundSession, Cpu
from lossaudit.engine.model.bundle import Bundle
from lossaudit.engine.run.audit import Audit
from lossaudit.engine.run.options import AuditOptions
from lossaudit.export.exporter import export_bundle

TOP = 10
OUT_OF_MEMORY = "bfc_arena.cc:376 AllocateRawInternal Failed to allocate memory for requested buffer of size 8388608000"


class OnTheCpu(Cpu):
    """The CUDA backend without its provider; batches of more than `most` tokens are too large for it."""

    def __init__(self, most=None):
        self.most = most
        self.failures = 0
        self.loaded = []

    def load(self, model, workers, threads):
        assert workers == 1
        backend = self
        backend.loaded.append(model.name)

        class Runner(BoundSession):
            def run(self, batch):
                if backend.most is not None and batch.ids.size > backend.most:
                    backend.failures += 1
                    raise RuntimeError(OUT_OF_MEMORY)
                return super().run(batch)

        return Runner(model, CPU_PROVIDER, threads, "cpu")


@pytest.fixture
def gpu(monkeypatch):
    backend = OnTheCpu()
    monkeypatch.setitem(backends.BACKENDS, "cuda", backend)
    return backend


@pytest.fixture(scope="module")
def bundle(checkpoint, tmp_path_factory):
    return export_bundle(str(checkpoint), tmp_path_factory.mktemp("gpu") / "bundle", fp16=True)


@pytest.fixture(scope="module")
def dataset(rows):
    """Each row six times, each time a little longer, so that an exact top saves something."""
    texts = [f"{row['text']}{' bank' * n}" for row in rows for n in range(6)]
    return datasets.Dataset.from_dict({"text": texts, "label": [row["label"] for row in rows for _ in range(6)]})


def audited(bundle, dataset, provider="cuda", **options):
    return Audit(bundle, dataset, AuditOptions(provider=provider, tune=False, **options)).run()


def test_fp16_scores_all_and_the_top_is_as_fp32_gives_it(bundle, dataset, gpu):
    found, expected = audited(bundle, dataset, top=TOP), audited(bundle, dataset, "cpu", precision="fp32")
    table, exact = found.table, expected.table
    assert gpu.loaded == ["model.fp16.onnx", "model.onnx"]
    assert table["id"][:TOP].to_pylist() == exact["id"][:TOP].to_pylist()
    np.testing.assert_allclose(table["loss"][:TOP].to_numpy(), exact["loss"][:TOP].to_numpy(), atol=1e-5)
    assert set(table["precision"][:TOP].to_pylist()) == {"fp32"}
    assert set(table["precision"].to_pylist()) == {"fp32", "fp16"}
    rest = {row["id"]: row["loss"] for row in exact.to_pylist()}
    assert all(abs(row["loss"] - rest[row["id"]]) < 0.05 for row in table.to_pylist())


@pytest.mark.usefixtures("gpu")
def test_what_is_asked_for_is_what_the_table_says(bundle, dataset):
    for asked in ("fp16", "fp32"):
        assert set(audited(bundle, dataset, precision=asked).table["precision"].to_pylist()) == {asked}


def test_a_bundle_without_fp16_is_scored_in_fp32(bundle_folder, dataset, gpu):
    bundle = Bundle.load(bundle_folder)
    audit = Audit(bundle, dataset, AuditOptions(provider="cuda", tune=False))
    assert "without the option fp16" in audit.choice.why
    assert set(audit.run().table["precision"].to_pylist()) == {"fp32"}
    assert gpu.loaded == ["model.onnx"]


def test_out_of_memory_halves_the_batches_and_costs_no_row(bundle, dataset, gpu):
    expected = audited(bundle, dataset, precision="fp16", shard_rows=60)
    gpu.most = 500
    found = audited(bundle, dataset, precision="fp16", shard_rows=60)
    assert found.summary.ranked == len(dataset)
    assert found.table["id"].to_pylist() == expected.table["id"].to_pylist()
    np.testing.assert_allclose(found.table["loss"].to_numpy(), expected.table["loss"].to_numpy(), atol=1e-3)
    assert 0 < gpu.failures <= 6, "from one shard of six to 500 tokens, once"
