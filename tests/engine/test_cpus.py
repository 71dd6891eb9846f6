"""Usable CPUs: affinity and the container's quota."""

import os

import pytest

from lossaudit.engine.cpus import usable_cpus

ALLOWED = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def v2(folder, content):
    (folder / "cpu.max").write_text(content)


def v1(folder, quota, period):
    (folder / "cpu").mkdir()
    (folder / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (folder / "cpu" / "cpu.cfs_period_us").write_text(period)


@pytest.mark.parametrize(
    ("content", "cpus"),
    [
        ("100000 100000\n", 1),
        ("50000 100000\n", 1),
        ("150000 100000\n", min(2, ALLOWED)),
        ("99900000 100000\n", ALLOWED),
        ("max 100000\n", ALLOWED),
        ("0 100000\n", ALLOWED),
        ("100000 0\n", ALLOWED),
        ("what is this\n", ALLOWED),
        ("", ALLOWED),
    ],
)
def test_the_quota_of_cgroup_v2_counts(content, cpus, tmp_path):
    v2(tmp_path, content)
    assert usable_cpus(tmp_path) == cpus


@pytest.mark.parametrize(
    ("quota", "period", "cpus"),
    [("100000\n", "100000\n", 1), ("-1\n", "100000\n", ALLOWED), ("10000\n", "100000\n", 1), ("x", "y", ALLOWED)],
)
def test_the_quota_of_cgroup_v1_counts(quota, period, cpus, tmp_path):
    v1(tmp_path, quota, period)
    assert usable_cpus(tmp_path) == cpus


def test_without_cgroups_the_affinity_counts(tmp_path):
    assert usable_cpus(tmp_path / "none") == ALLOWED
