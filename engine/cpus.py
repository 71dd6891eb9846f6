"""What this process has to compute with: the CPUs it may really use (affinity and quota), and what they can do."""

import math
import os
import platform
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


def cpu_name() -> str:
    """The CPU's model name, as well as this system tells it."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def has_int8_instructions() -> bool:
    """Whether the CPU multiplies int8 in one instruction: VNNI on x86, dot product on Arm."""
    info = _cpuinfo()
    flags = set(f"{info.get('flags', '')} {info.get('Features', '')}".split())
    return bool(flags & {"avx512_vnni", "avx_vnni", "asimddp"})


def _cpuinfo() -> dict[str, str]:
    """The first processor's lines of Linux's /proc/cpuinfo; {} elsewhere."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}
