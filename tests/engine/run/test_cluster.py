"""Scoring shards on a cluster: the same parts, and and an audit started either way resumes the other way."""

import importlib.util

import datasets
import pytest

from lossaudit.engine.model.bundle import Bundle
from lossaudit.engine.run.audit import Audit
from lossaudit.engine.run.kept_parts import folder_for
from lossaudit.engine.run.options import AuditOptions
from lossaudit.engine.run.shards import score_here

if not importlib.util.find_spec("ray"):  # not imported, for that is when Ray reads its environment
    pytest.skip("the extra `ray` isn't installed", allow_module_level=True)


@pytest.fixture(scope="module")
def cluster():
    from lossaudit.engine.run.cluster import LOCAL, Cluster

    with Cluster(LOCAL) as cluster:
        yield cluster


@pytest.fixture
def audit(bundle_folder, rows):
    """A new audit in small shards, of which some rows can't be ranked."""
    more = [{"text": "", "label": 1}, {"text": "the bank", "label": -1}]
    dataset = datasets.Dataset.from_list([*rows, *more])
    options = AuditOptions(precision="fp32", tune=False, shard_rows=16)
    return lambda: Audit(Bundle.load(bundle_folder), dataset, options)


def test_the_table_is_that_of_one_machine(audit, cluster):
    done = []
    there = audit().run(lambda stage, rows: done.append, cluster.score)
    assert there.table.equals(audit().run().table)
    assert sum(done) == len(there.table)


def test_an_audit_goes_on_from_one_way_to_the_other(audit, cluster, tmp_path):
    def two_shards(*arguments):
        given = score_here(*arguments)
        yield next(given)
        yield next(given)
        raise KeyboardInterrupt

    begun = audit()
    with begun.keep_parts(folder_for(tmp_path / "losses.parquet")), pytest.raises(KeyboardInterrupt):
        begun.run(score_shards=two_shards)
    finished = audit()
    with finished.keep_parts(folder_for(tmp_path / "losses.parquet")) as kept:
        audited = finished.run(score_shards=cluster.score)
        assert audited.scored == len(audited.table) - 32
        assert audited.table.equals(audit().run().table)
        kept.discard()


def test_no_ray_at_an_address_is_one_line(refused):
    from lossaudit.engine.run.cluster import Cluster

    with refused("Ray at 127.0.0.2:1 can't be reached"):
        Cluster("127.0.0.2:1")


def test_a_ray_that_cannot_ask_for_a_token_is_refused(refused, monkeypatch):
    from lossaudit.engine.run.cluster import LOCAL, Cluster

    monkeypatch.setattr("ray.__version__", "2.51.2")
    for address in (LOCAL, "127.0.0.2:1"):
        with refused("Ray 2.51.2 ", "needs 2.52.0 or newer", "pip install -U 'lossaudit[ray]'"):
            Cluster(address)
