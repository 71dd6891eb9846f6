"""How the precision is chosen, by the user or by speed here, and how the choice is explained."""

import dataclasses
import json
import time

import numpy as np
import pytest

from lossaudit.engine.cpus import instructions, multiplies_int8
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.model import backends, tuning
from lossaudit.engine.model.bundle import Bundle, Graph
from lossaudit.engine.model.encoding import TextEncoder
from lossaudit.engine.model.precision import Wish, choice_by_speed, choose
from lossaudit.engine.model.tuning import Plan, measured_plan

QUICK = 0.001
"""Seconds of a measurement where any speed will do."""


class StandIn:
    """A backend that this machine may not have: it loads what `runner` is, or fails with it."""

    def __init__(self, runner=None):
        self.runner = runner

    def missing(self):
        return None

    def version(self):
        return "1"

    def load(self, model, workers, threads):  # noqa: ARG002 - as the others
        if isinstance(self.runner, Exception):
            raise self.runner
        return self.runner


@pytest.fixture(scope="module")
def bundle(bundle_folder):
    return Bundle.load(bundle_folder)


@pytest.fixture
def without_int8(bundle):
    manifest = dataclasses.replace(bundle.manifest, graphs=bundle.manifest.graphs[:1], left_out={"int8": "no reason"})
    return dataclasses.replace(bundle, manifest=manifest)


@pytest.fixture
def sample(bundle, rows):
    return TextEncoder(bundle.tokenizer, 64, 0).encode([row["text"] for row in rows])


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """A folder for the plans of this test alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def speeds(bundle, sample, own_cache):
    """Sets what an earlier measurement found on the CPU, by precision."""

    def set_speeds(**by_precision):
        for precision, speed in by_precision.items():
            kept = set(own_cache.rglob("plans/*.json"))
            plan = measured_plan(bundle, precision, "cpu", 1, sample, QUICK)
            (path,) = set(own_cache.rglob("plans/*.json")) - kept
            path.write_text(json.dumps(dataclasses.asdict(plan) | {"tokens_per_second": speed}))

    return set_speeds


def auto(bundle, sample, rows=100_000, top=None):
    return choose(bundle, Wish("auto", top, "cpu", 1), rows, sample)


def test_auto_takes_int8_and_an_exact_top_where_that_is_faster(bundle, sample, speeds):
    speeds(fp32=100.0, int8=300.0)
    choice = auto(bundle, sample)
    assert (choice.precision, choice.top, choice.again.graph) == ("exact-top", 500, "fp32")
    assert bundle.graph(choice.first.graph).precision == "int8"
    assert "3.0 ×" in choice.why


@pytest.mark.parametrize("int8", [99.0, 20.0])
def test_auto_never_takes_an_int8_that_is_slower(bundle, sample, speeds, int8):
    speeds(fp32=100.0, int8=int8)
    choice = auto(bundle, sample)
    assert (choice.precision, choice.first.graph, choice.again) == ("fp32", "fp32", None)
    assert "no faster" in choice.why


def test_auto_takes_fp32_for_few_rows(bundle, sample, speeds):
    speeds(fp32=100.0, int8=300.0)
    assert auto(bundle, sample, rows=900).precision == "fp32"
    assert auto(bundle, sample, rows=900, top=50).precision == "exact-top"


def test_without_measuring_the_instructions_decide(bundle):
    plans = [tuning.default_plan(bundle, precision, "cpu", 2) for precision in ("int8", "fp32")]
    for has, expected in (({"AVX-VNNI": True}, "exact-top"), ({"AVX2": True}, "fp32"), (None, "fp32")):
        assert choice_by_speed("int8", *plans, 500, 100_000, has).precision == expected
    here = "exact-top" if multiplies_int8(instructions()) else "fp32"
    assert choose(bundle, Wish("auto", None, "cpu", 2), 100_000).precision == here


@pytest.mark.parametrize("asked", ["fp32", "int8", "exact-top"])
def test_a_wish_is_met(bundle, asked):
    choice = choose(bundle, Wish(asked, 7, "cpu", 2), 100)
    assert choice.precision == asked
    assert bundle.graph(choice.first.graph).precision == ("fp32" if asked == "fp32" else "int8")
    assert (choice.again is not None) == (asked == "exact-top")


def test_more_than_all_rows_are_all_rows(bundle):
    assert choose(bundle, Wish("exact-top", 500, "cpu", 1), 40).top == 40


@pytest.mark.parametrize("asked", ["int8", "exact-top"])
def test_a_bundle_without_int8_says_why(without_int8, asked, refused):
    with refused(f"precision={asked!r}", "no reason"):
        choose(without_int8, Wish(asked, None, "cpu", 1), 100)
    assert choose(without_int8, Wish("auto", None, "cpu", 1), 100).precision == "fp32"


def test_openvino_is_for_int8_alone(bundle, without_int8, monkeypatch, refused):
    monkeypatch.setitem(backends.BACKENDS, "openvino", StandIn())
    for refusing, asked in ((without_int8, "auto"), (bundle, "fp32")):
        with refused("openvino"):
            choose(refusing, Wish(asked, None, "openvino", 1), 100)


def test_a_precision_that_nobody_knows(bundle, refused):
    with refused("bf16", "exact-top"):
        choose(bundle, Wish("bf16", None, "cpu", 1), 100)


class TestOnAGpu:
    """fp16 takes the place of int8. No GPU is needed to choose."""

    @pytest.fixture(autouse=True)
    def cuda(self, monkeypatch):
        monkeypatch.setitem(backends.BACKENDS, "cuda", StandIn())

    @pytest.fixture
    def with_fp16(self, bundle):
        half = Graph("fp16", "model.fp16.onnx", "fp16", ("cuda",), (), 1e-5)
        manifest = dataclasses.replace(
            bundle.manifest,
            graphs=(*bundle.manifest.graphs, half),
            files=bundle.manifest.files | {half.file: "0" * 64},
        )
        return dataclasses.replace(bundle, manifest=manifest)

    @pytest.mark.parametrize("provider", ["auto", "cuda"])
    def test_fp16_scores_all_and_fp32_the_top_again(self, with_fp16, provider):
        choice = choose(with_fp16, Wish("auto", None, provider, 8), 100_000)
        assert choice.precision == "exact-top"
        assert (choice.first.graph, choice.again.graph) == ("fp16", "fp32")
        assert choice.first.backend == choice.again.backend == "cuda"
        assert (choice.first.workers, choice.first.threads, choice.first.budget) == (1, 1, 16_384)

    @pytest.mark.parametrize("asked", ["fp32", "fp16", "exact-top"])
    def test_a_wish_is_met(self, with_fp16, asked):
        choice = choose(with_fp16, Wish(asked, 7, "cuda", 2), 100)
        assert choice.precision == asked
        assert choice.first.graph == ("fp32" if asked == "fp32" else "fp16")
        assert (choice.again is not None) == (asked == "exact-top")

    @pytest.mark.parametrize("provider", ["auto", "cuda"])
    def test_int8_is_not_offered(self, with_fp16, provider, refused):
        with refused("precision='int8'", "no kernel", "provider='cpu'"):
            choose(with_fp16, Wish("int8", None, provider, 1), 100)

    @pytest.mark.parametrize("asked", ["fp16", "exact-top"])
    def test_a_bundle_without_fp16_says_how_to_have_it(self, bundle, asked, refused):
        with refused(f"precision={asked!r}", "no fp16 graph", "export the model again with fp16=True"):
            choose(bundle, Wish(asked, None, "cuda", 1), 100)
        choice = choose(bundle, Wish("auto", None, "cuda", 1), 100_000)
        assert (choice.precision, choice.first.backend, choice.again) == ("fp32", "cuda", None)
        assert "without the option fp16" in choice.why

    def test_a_bundle_whose_fp16_was_left_out_says_why(self, bundle):
        left_out = {"int8-qdq": "no reason", "fp16": "its activations reach 100,000"}
        without = dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, left_out=left_out))
        why = choose(without, Wish("auto", None, "cuda", 1), 100_000).why
        assert why == "the bundle has no fp16 graph; fp16: its activations reach 100,000"

    def test_cpus_keep_to_int8(self, with_fp16, refused):
        choice = choose(with_fp16, Wish("exact-top", None, "cpu", 2), 100_000)
        assert (choice.precision, choice.first.graph) == ("exact-top", "int8-static")
        with refused("precision='fp16'", "provider='cuda'"):
            choose(with_fp16, Wish("fp16", None, "cpu", 2), 100)

    @pytest.mark.usefixtures("own_cache")
    def test_budgets_are_a_gpus_and_what_runs_out_of_memory_is_not_taken(self, with_fp16, sample, monkeypatch):
        largest = []

        class Gpu:
            """Takes as long for a small batch as for a large one."""

            def run(self, batch):
                largest.append(batch.ids.size)
                if batch.ids.size > 20_000:
                    raise RuntimeError("Failed to allocate memory for requested buffer of size 8388608000")
                time.sleep(0.002)

        monkeypatch.setitem(backends.BACKENDS, "cuda", StandIn(Gpu()))
        plan = measured_plan(with_fp16, "fp16", "cuda", 8, sample)
        assert (plan.graph, plan.backend, plan.workers, plan.budget) == ("fp16", "cuda", 1, 16_384)
        assert plan.tokens_per_second > 0
        assert max(largest) > 32_768, "the sample's texts are repeated until they fill the batches"


def test_a_measured_plan_is_kept(bundle, sample, own_cache, monkeypatch):
    first = measured_plan(bundle, "int8", "cpu", 2, sample, QUICK)
    assert first.tokens_per_second > 0
    (kept,) = own_cache.rglob("plans/*.json")
    assert json.loads(kept.read_text()) == dataclasses.asdict(first)
    monkeypatch.setattr(backends, "load", lambda *_: pytest.fail("measured again"))
    assert measured_plan(bundle, "int8", "cpu", 2, sample, QUICK) == first


@pytest.mark.parametrize("spoilt", ["", "[]", '{"graph": 1}', "{"])
def test_a_spoilt_plan_is_measured_again(bundle, sample, own_cache, spoilt):
    measured_plan(bundle, "fp32", "cpu", 1, sample, QUICK)
    (kept,) = own_cache.rglob("plans/*.json")
    kept.write_text(spoilt)
    assert measured_plan(bundle, "fp32", "cpu", 1, sample, QUICK).graph == "fp32"


def test_a_backend_that_runs_nothing_of_the_bundle_has_no_plan(without_int8, sample):
    assert measured_plan(without_int8, "int8", "cpu", 1, sample) is None
    assert tuning.default_plan(without_int8, "int8", "cpu", 1) is None


def test_speed_counts_tokens_without_padding(sample):
    class Slow:
        def run(self, batch):
            assert batch.ids.shape == batch.mask.shape
            return np.zeros((len(batch.ids), 2), np.float32)

    plan = Plan("fp32", "cpu", workers=2, threads=1, budget=64)
    assert tuning.tokens_per_second(Slow(), plan, sample, seconds=0.01) > 0


@pytest.mark.usefixtures("own_cache")
def test_a_backend_that_does_not_load_is_passed_over(bundle, sample, monkeypatch, refused):
    monkeypatch.setitem(backends.BACKENDS, "openvino", StandIn(LossAuditError("its libraries are missing")))
    assert measured_plan(bundle, "int8", "auto", 1, sample, QUICK).backend == "cpu"
    with refused("its libraries are missing"):
        measured_plan(bundle, "int8", "openvino", 1, sample, QUICK)


def test_auto_takes_the_cpu_where_cuda_is_installed_but_does_not_work(bundle, monkeypatch):
    monkeypatch.setitem(backends.BACKENDS, "cuda", StandIn(LossAuditError("cuDNN doesn't load")))
    assert choose(bundle, Wish("fp32", None, "auto", 1), 100).first.backend == "cpu"
