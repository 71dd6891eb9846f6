"""How many CPUs this process may really use: affinity and the container's quota, not what the machine has."""

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def usable_cpus(cgroups: Path = CGROUPS) -> int:
    """CPUs this process may run on, at least 1: the lesser of its affinity and its cgroup's quota."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS or Windows
        allowed = os.cpu_count() or 1
    quota = _quota(cgroups)
    return max(1, allowed if quota is None else min(allowed, math.ceil(quota)))


def _quota(cgroups: Path) -> float | None:
    """The CPU quota in CPUs, from cgroup v2's cpu.max or v1's cfs files; None where there is none."""
    files = [cgroups / "cpu.max"]
    if not files[0].is_file():
        files = [cgroups / "cpu" / "cpu.cfs_quota_us", cgroups / "cpu" / "cpu.cfs_period_us"]
    try:
        quota, period = (float(word) for file in files for word in file.read_text().split())
    except (OSError, ValueError):  # no quota: no files, or the word "max"
        return None
    return quota / period if quota > 0 and period > 0 else None
