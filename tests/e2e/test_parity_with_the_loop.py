"""The usual PyTorch loop and lossaudit on real text: the same losses and the same top, in fp32 and with int8 first."""

import numpy as np
import pytest

from bench.quality.parity import TOLERANCE, swapped_rows
from bench.speed import loop
from lossaudit.engine.data.source import open_dataset
from lossaudit.engine.run.audit import Audit
from lossaudit.engine.run.options import AuditOptions

ROWS = 400


@pytest.fixture(scope="module")
def dataset(shared):
    return open_dataset(str(shared / "data" / "ag_news_test.jsonl.gz"))


@pytest.fixture(scope="module")
def table(shared_bundle, dataset):
    return Audit(shared_bundle, dataset, AuditOptions(precision="fp32", tune=False, limit=ROWS)).run().table


def losses(table):
    return table.sort_by("id")["loss"].to_numpy()


def test_losses_and_top_are_those_of_the_loop(shared_checkpoint, dataset, table):
    rows = dataset.take(0, ROWS).to_pydict()
    expected = loop.losses(str(shared_checkpoint), rows["text"], rows["label"])
    assert np.abs(losses(table) - expected).max() <= TOLERANCE
    assert swapped_rows(losses(table), expected, top=40) == 0


@pytest.mark.parametrize("top", [20, 100])
def test_the_exact_top_is_that_of_fp32(shared_bundle, dataset, table, top):
    options = AuditOptions(precision="exact-top", top=top, tune=False, limit=ROWS)
    audited = Audit(shared_bundle, dataset, options).run()
    assert audited.exact is not None
    assert len(audited.exact.rows) < ROWS
    assert audited.table["id"].to_pylist()[:top] == table["id"].to_pylist()[:top]
    assert set(audited.table["precision"].to_pylist()) == {"int8", "fp32"}
