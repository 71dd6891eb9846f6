"""A failing runtime: failing rows are reported with the reason, the others are scored, and too many stop the audit."""

import datasets
import numpy as np
import pytest

from lossaudit.engine.model.backends import onnxruntime
from lossaudit.engine.model.backends.onnxruntime import Session
from lossaudit.engine.model.bundle import Bundle
from lossaudit.engine.model.scoring import NOT_FINITE
from lossaudit.engine.run.audit import Audit
from lossaudit.engine.run.kept_parts import folder_for
from lossaudit.engine.run.options import AuditOptions

BAD_WORD = "probe"
"""Texts with this word fail; the tiny tokenizer has one token for it."""


@pytest.fixture(scope="module")
def bundle(bundle_folder):
    return Bundle.load(bundle_folder)


@pytest.fixture
def token(bundle):
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(bundle.tokenizer)).token_to_id(BAD_WORD)


@pytest.fixture
def break_runtime(monkeypatch, token):
    """Makes every session call `failure(ids, logits, hit)` for a batch; hit: its rows with the bad word."""

    def install(failure):
        class Broken(Session):
            def run(self, batch):
                logits = super().run(batch)
                failure(batch.ids, logits, (batch.ids == token).any(axis=1))
                return logits

        monkeypatch.setattr(onnxruntime, "Session", Broken)

    yield install
    monkeypatch.undo()


def raising(error):
    def failure(ids, logits, hit):  # noqa: ARG001 - as the others
        if hit.any():
            raise error

    return failure


def giving(value):
    def failure(ids, logits, hit):  # noqa: ARG001 - as the others
        logits[hit, 0] = value

    return failure


def rows_of(n, bad):
    """n rows of 2 to 31 words without the bad one, which rows `bad` have in their middle."""
    words = ["bank", "shares", "rose", "oil", "talks", "peace", "army", "team", "cup", "season"]
    texts = [" ".join(words[(i + k) % len(words)] for k in range(2 + i % 30)) + f" {i}" for i in range(n)]
    for row in bad:
        texts[row] = f"{texts[row]} {BAD_WORD} {row}"
    return datasets.Dataset.from_dict({"text": texts, "label": [i % 4 for i in range(n)]})


def audit(bundle, dataset, precision="fp32", threads=2, **options):
    return Audit(bundle, dataset, AuditOptions(precision=precision, tune=False, threads=threads, **options))


def by_id(audited):
    return audited.table.sort_by("id").to_pylist()


@pytest.mark.parametrize("precision", ["fp32", "int8", "exact-top"])
@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (
            raising(RuntimeError("Non-zero status code\nreturned while running Add node")),
            "Non-zero status code returned",
        ),
        (raising(MemoryError()), "MemoryError"),
        (giving(np.nan), NOT_FINITE),
        (giving(np.inf), NOT_FINITE),
        (giving(-np.inf), NOT_FINITE),
    ],
)
def test_the_rows_that_fail_are_told_and_the_rest_are_as_before(failure, reason, precision, bundle, break_runtime):
    bad = [0, 7, 8, 100, 299]
    dataset = rows_of(300, bad)
    whole = by_id(audit(bundle, dataset, precision).run())
    break_runtime(failure)
    audited = audit(bundle, dataset, precision).run()
    found = by_id(audited)
    assert [row["id"] for row in found if row["status"] == "failed"] == bad
    for before, now in zip(whole, found, strict=True):
        if now["id"] in bad:
            assert now["status_reason"].startswith(reason)
            assert now["loss"] is now["prediction"] is now["probabilities"] is None
        else:
            assert (now["status"], now["status_reason"]) == (before["status"], None)
            if now["precision"] == before["precision"]:  # with dynamic scales a row's int8 loss depends on its batch
                assert now["loss"] == pytest.approx(before["loss"], abs=1e-5 if now["precision"] == "fp32" else 0.2)
    assert (audited.summary.rows, audited.summary.ranked) == (300, 295)
    assert audited.summary.unranked["failed"].rows == 5
    assert audited.table["id"].to_pylist()[-5:] == bad


def test_a_batch_too_large_for_the_memory_is_scored_in_smaller_ones(bundle, break_runtime):
    dataset = rows_of(300, [])
    whole = by_id(audit(bundle, dataset).run())

    def failure(ids, logits, hit):  # noqa: ARG001 - as the others
        if ids.size > 200:
            raise MemoryError

    break_runtime(failure)
    audited = audit(bundle, dataset).run()
    assert audited.summary.unranked == {}
    np.testing.assert_allclose([r["loss"] for r in by_id(audited)], [r["loss"] for r in whole], atol=1e-5)


def test_up_to_ten_rows_may_fail_in_any_dataset(bundle, break_runtime, refused):
    break_runtime(raising(RuntimeError("no")))
    assert audit(bundle, rows_of(30, range(10))).run().summary.unranked["failed"].rows == 10
    with refused("fails on 11 of 30 rows so far (row 0: no); export the model again, or use another provider"):
        audit(bundle, rows_of(30, range(11))).run()


def test_above_one_in_a_hundred_it_stops_keeps_what_it_has_and_goes_on_after_repair(
    bundle, break_runtime, tmp_path, refused, monkeypatch
):
    dataset = rows_of(2000, range(1000, 1030))
    expected = audit(bundle, dataset, shard_rows=100).run().table
    folder = folder_for(tmp_path / "losses.parquet")
    break_runtime(raising(RuntimeError("the GPU fell\noff")))
    for _ in range(2):  # the same again stops at the same place
        broken = audit(bundle, dataset, shard_rows=100)
        with broken.keep_parts(folder), refused("fails on 30 of 1,100 rows so far (row 1000: the GPU fell off)"):
            broken.run()
        assert len(list(folder.glob("part-*"))) == 10
    monkeypatch.undo()
    repaired = audit(bundle, dataset, shard_rows=100)
    with repaired.keep_parts(folder) as kept:
        audited = repaired.run()
        assert audited.table == expected
        kept.discard()
    assert audited.scored == 1000


def test_one_in_a_hundred_is_not_too_many(bundle, break_runtime):
    break_runtime(raising(RuntimeError("no")))
    assert audit(bundle, rows_of(2000, range(0, 2000, 100))).run().summary.unranked["failed"].rows == 20


def test_failures_of_parts_that_were_kept_count_too(bundle, break_runtime, tmp_path, refused):
    break_runtime(raising(RuntimeError("no")))
    folder = folder_for(tmp_path / "losses.parquet")
    dataset = rows_of(200, [*range(8), *range(100, 108)])
    for _ in range(2):
        broken = audit(bundle, dataset, shard_rows=50)
        with (
            broken.keep_parts(folder),
            refused("fails on 16 of 150 rows so far", "shards are kept: make the same call"),
        ):
            broken.run()


def test_all_rows_that_fail_are_an_error(bundle, break_runtime, refused):
    break_runtime(raising(RuntimeError("the model is broken")))
    with refused("no row has a loss: 3 failed (first: row 0)"):
        audit(bundle, rows_of(3, range(3))).run()
    with refused("fails on 40 of 40 rows so far", "the model is broken"):
        audit(bundle, rows_of(40, range(40))).run()


def test_strict_stops_at_the_first_shard_with_a_failure(bundle, break_runtime, tmp_path, refused):
    break_runtime(raising(RuntimeError("no")))
    strict = audit(bundle, rows_of(40, [25]), strict=True, shard_rows=10)
    folder = folder_for(tmp_path / "losses.parquet")
    with strict.keep_parts(folder), refused("strict=True: 1 failed (first: row 25)"):
        strict.run()
    assert len(list(folder.glob("part-*"))) == 2


def test_a_measurement_that_fails_is_no_reason_to_stop(bundle, break_runtime, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    break_runtime(raising(RuntimeError("no")))
    dataset = rows_of(1200, [600])
    for precision in ("fp32", "auto"):
        audited = Audit(bundle, dataset, AuditOptions(precision=precision)).run()
        assert audited.summary.unranked["failed"].rows == 1


@pytest.mark.parametrize("bad", [3, 30])
def test_a_second_pass_that_fails_is_an_error_and_the_first_is_kept(bad, bundle, tmp_path, refused, monkeypatch):
    dataset = rows_of(bad, range(bad))
    options = {"precision": "exact-top", "top": 2}
    expected = audit(bundle, dataset, **options).run().table
    folder = folder_for(tmp_path / "losses.parquet")

    class Broken(Session):
        def __init__(self, model, *arguments):
            super().__init__(model, *arguments)
            self.broken = model.name == "model.onnx"

        def run(self, batch):
            if self.broken:
                raise RuntimeError("no")
            return super().run(batch)

    monkeypatch.setattr(onnxruntime, "Session", Broken)
    broken = audit(bundle, dataset, **options)
    says = "no row has a loss: 3 failed" if bad == 3 else "fails on 30 of 30 rows so far (row 0: no)"
    with broken.keep_parts(folder), refused(says):
        broken.run()
    if bad == 30:
        monkeypatch.undo()
        repaired = audit(bundle, dataset, **options)
        with repaired.keep_parts(folder) as kept:
            audited = repaired.run()
            assert (audited.table, audited.scored) == (expected, 0)
            kept.discard()


def test_strict_looks_at_the_parts_that_were_kept_too(bundle, break_runtime, tmp_path, refused):
    folder = folder_for(tmp_path / "losses.parquet")
    break_runtime(raising(RuntimeError("no")))
    dataset = rows_of(40, [25])
    with (first := audit(bundle, dataset)).keep_parts(folder):
        assert first.run().summary.ranked == 39
    with (second := audit(bundle, dataset, strict=True)).keep_parts(folder), refused("strict=True: 1 failed"):
        second.run()
