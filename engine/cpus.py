"""The CPUs that this process may actually use (affinity and quota), and the instructions they have."""

import math
import os
import platform
from collections.abc import Mapping
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
CPUINFO = Path("/proc/cpuinfo")
"""Where Linux describes each processor."""
_INSTRUCTIONS = {
    "flags": {
        "AVX2": "avx2",
        "AVX-512F": "avx512f",
        "AVX-512 VNNI": "avx512_vnni",
        "AVX-VNNI": "avx_vnni",
        "AVX-512 BF16": "avx512_bf16",
        "AMX-TILE": "amx_tile",
        "AMX-INT8": "amx_int8",
        "AMX-BF16": "amx_bf16",
    },
    "Features": {"dot product": "asimddp", "I8MM": "i8mm", "BF16": "bf16", "SVE": "sve"},
}
"""Instructions that decide which kernels run, by Linux's names for them: x86's `flags`, Arm's `Features`."""
_INT8 = {"AVX-512 VNNI", "AVX-VNNI", "AMX-INT8", "dot product", "I8MM"}
"""Instructions that multiply int8 several times as fast as fp32."""


def usable_cpus(cgroups: Path = CGROUPS) -> int:
    """CPUs this process may run on, at least 1: the smaller of its affinity and its cgroup's quota."""
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
    """The CPU's model name, as far as this system reports it."""
    return processor().get("model name") or platform.processor() or platform.machine()


def instructions(cpuinfo: Path = CPUINFO) -> dict[str, bool] | None:
    """Whether the CPU has each of the instructions that matter; None where this can't be known (outside Linux)."""
    found = processor(cpuinfo)
    for key, known in _INSTRUCTIONS.items():
        if key in found:
            flags = set(found[key].split())
            return {name: flag in flags for name, flag in known.items()}
    return None


def multiplies_int8(has: Mapping[str, bool] | None) -> bool:
    """Whether a CPU with these `instructions` has one for int8 products: VNNI on x86, dot product on Arm."""
    return any((has or {}).get(name) for name in _INT8)


def processor(cpuinfo: Path = CPUINFO) -> dict[str, str]:
    """Linux's description of a processor, each field from the first one that has it; {} on other systems."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in reversed(lines))}
