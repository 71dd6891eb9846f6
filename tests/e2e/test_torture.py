"""A short form of `make torture`: it reports lost work and other failures."""

import pytest

from tests.torture import damage, disks, fuzz, fuzz_apply, kills
from tests.torture.apply_kills import kill_apply
from tests.torture.work import Work


@pytest.fixture(scope="module")
def work(bundle_folder, tmp_path_factory):
    return Work.make(tmp_path_factory.mktemp("torture"), bundle_folder, rows=2000)


@pytest.fixture(scope="module")
def interrupted(work):
    """The same, with the folder of an audit that had scored all its shards."""
    damage.interrupt_at_the_end(work)
    return work


def survived(*all_tried):
    for tried in all_tried:
        if not tried.tried:
            pytest.skip("; ".join(tried.notes))
        assert (tried.survived, tried.lost, tried.notes) == (tried.tried, 0, []), tried.fault


def test_what_would_be_lost_is_noticed(work, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = work.expected
    other = table.set_column(7, table.schema.field(7), pa.array([9.0, *table["loss"].to_pylist()[1:]]))
    for found, wrong in ((table, 0), (table.slice(3), 3), (other, 1), (table.slice(0, 0), len(table))):
        pq.write_table(found, tmp_path / "losses.parquet")
        assert work.wrong_rows(tmp_path / "losses.parquet") == wrong


def test_killed_audits_lose_nothing(work):
    survived(kills.kill(work, kills=4, seed=1))


def test_a_killed_apply_leaves_the_output_whole_or_absent(work):
    survived(kill_apply(work, kills=4, seed=1))


def test_interrupted_audits_lose_nothing(work):
    survived(kills.interrupt(work, times=2, seed=1))


def test_two_audits_of_one_output_do_not_meet(work):
    survived(kills.second_run(work))


def test_spoilt_files_lose_nothing(interrupted):
    survived(*damage.spoil_parts(interrupted, times=1, seed=1))
    survived(damage.spoil_while_merging(interrupted, times=3, seed=1))


def test_a_spoilt_bundle_is_refused(interrupted):
    survived(damage.spoil_bundle(interrupted, times=8, seed=1))


def test_full_and_read_only_disks_lose_nothing(interrupted):
    survived(disks.fill(interrupted, disks.SHARES[::3]))
    survived(disks.make_read_only(interrupted))


@pytest.mark.parametrize("first", range(0, 300, 50))
def test_generated_datasets_and_bundles_end_well(first, bundle_folder, tmp_path):
    problems = {seed: fuzz.case(seed, bundle_folder, tmp_path / "work")[1] for seed in range(first, first + 50)}
    assert {seed: problem for seed, problem in problems.items() if problem} == {}


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_generated_datasets_are_cleaned_in_their_decided_cells_alone(first, tmp_path):
    problems = {seed: fuzz_apply.case(seed, tmp_path)[0] for seed in range(first, first + 20)}
    assert {seed: problem for seed, problem in problems.items() if problem} == {}
