"""What this machine has for an audit: CPUs with their instructions, and memory."""

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..cpus import CGROUPS, cpu_name, instructions, usable_cpus


@dataclass(frozen=True)
class Cpus:
    """The CPUs of this machine, and how many of them this process may use."""

    name: str
    features: dict[str, bool] | None
    """The instructions that decide which kernels run; None where the system doesn't report them (outside Linux)."""
    of_machine: int
    by_affinity: int
    """CPUs that the process may be scheduled on."""
    usable: int
    """CPUs that it may use at once, as a cgroup's quota allows."""


@dataclass(frozen=True)
class Memory:
    """Memory in bytes; None means unknown, or no limit."""

    total: int | None
    available: int | None
    """Memory that programs can get now without swapping."""
    cgroup_limit: int | None

    @property
    def at_hand(self) -> int | None:
        """What an audit could get now, as far as it is known."""
        known = [size for size in (self.available or self.total, self.cgroup_limit) if size is not None]
        return min(known, default=None)


def cpu() -> Cpus:
    """The CPUs here."""
    no_cgroups = Path(os.devnull)
    return Cpus(cpu_name(), instructions(), os.cpu_count() or 1, usable_cpus(no_cgroups), usable_cpus())


def memory() -> Memory:
    """The memory here."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        total = None
    return Memory(total, _available(), cgroup_limit(total))


def _available(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    try:
        lines = meminfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    kilobytes = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(kilobytes[0]) * 1024 if kilobytes else None


def cgroup_limit(
    total: int | None, cgroups: Path = CGROUPS, membership: Path = Path("/proc/self/cgroup")
) -> int | None:
    """The lowest memory limit, in bytes, of this process's cgroup (v1 or v2) and those above it.

    total: the machine's memory; a limit that isn't lower doesn't count.
    """
    limits = [limit for limit in _limits(cgroups, membership) if limit < (total or sys.maxsize)]
    return min(limits, default=None)


def _limits(cgroups: Path, membership: Path) -> Iterator[int]:
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, name = cgroups, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = cgroups / "memory", "memory.limit_in_bytes"
        else:
            continue
        own = root / path.lstrip("/")
        for folder in (own, *own.parents):
            if folder.is_relative_to(root):
                try:
                    yield int((folder / name).read_text(encoding="utf-8"))
                except (OSError, ValueError):  # no such file, or the word "max"
                    continue


def system() -> str:
    """The system and the architecture, such as `Linux x86_64`."""
    return f"{platform.system()} {platform.machine()}"
