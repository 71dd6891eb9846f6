"""What is installed for an audit: builds of ONNX Runtime and whether they clash, CUDA, packages and extras.

Everything is read from the installed distributions' own metadata, so it also works where a package can't be imported.
"""

import ctypes
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ..errors import brief

_PACKAGE = "lossaudit"
_CORE = "onnxruntime_pybind11_state"
"""The compiled part of ONNX Runtime, which differs between its builds."""


@dataclass(frozen=True)
class Build:
    """A distribution that installs the module `onnxruntime`."""

    name: str
    """`onnxruntime`, `onnxruntime-gpu` and the like."""
    version: str
    files_missing: int
    """Number of its files that aren't there, as after another build's removal."""
    in_place: bool
    """Whether the compiled module in place is its own (has the size that it was installed with)."""


@dataclass(frozen=True)
class Runtime:
    """ONNX Runtime as it is installed here."""

    builds: tuple[Build, ...]
    clash: tuple[str, ...]
    """The builds that own the same files, so that one has overwritten another; () if none do."""
    version: str | None
    """Version of the module that is imported; None if it can't be."""
    providers: tuple[str, ...]
    cuda: str | None
    """The version of CUDA that it was built for, such as `12.8`; None for a build without."""
    fault: str | None
    """Why it can't be imported; None if it can."""


@dataclass(frozen=True)
class CudaLibraries:
    """What the CUDA provider of ONNX Runtime needs."""

    built_for: str | None
    driver: bool
    """Whether NVIDIA's driver is installed."""
    found: tuple[str, ...]
    missing: tuple[str, ...]
    """Libraries of CUDA and cuDNN."""


@dataclass(frozen=True)
class Package:
    """A package that lossaudit needs, in the base install or for an extra."""

    name: str
    version: str | None
    """None if it isn't installed."""
    wanted: str
    """The versions that lossaudit is made for, such as `<5,>=4.57`."""
    fits: bool
    """Whether it is installed in such a version."""
    extra: str | None
    """The extra that needs it; None for the base install."""


@dataclass(frozen=True)
class Extra:
    """An extra of lossaudit."""

    name: str
    installed: bool
    missing: tuple[str, ...]
    """Packages that aren't installed."""


class Installed:
    """The installed distributions, the metadata of each read once."""

    def __init__(self, path: list[str] | None = None) -> None:
        """path: folders to look in, instead of sys.path."""
        read = [_Distribution.read(dist) for dist in importlib.metadata.distributions(path=path or sys.path)]
        self._by_name = {dist.key: dist for dist in reversed(read) if dist.name}  # the first that Python finds

    @cached_property
    def _builds(self) -> dict["_Distribution", dict[Path, int | None]]:
        """The builds of ONNX Runtime, with their files."""
        named = [dist for key, dist in self._by_name.items() if key.startswith("onnxruntime")]
        return {dist: files for dist in named if (files := _files_of(dist.found))}

    def onnxruntime(self) -> Runtime:
        """ONNX Runtime as it is installed and as it is imported."""
        owned = self._builds
        clashing = {
            dist.name for a, b in combinations(owned, 2) if owned[a].keys() & owned[b].keys() for dist in (a, b)
        }
        builds = tuple(_build(dist, files) for dist, files in owned.items())
        version: str | None = None
        providers: tuple[str, ...] = ()
        built_for: str | None = None
        fault: str | None = None
        try:
            import onnxruntime as module

            version, providers = str(module.__version__), tuple(module.get_available_providers())
            built_for = str(getattr(module, "cuda_version", None) or "") or None
        except Exception as error:  # a damaged install fails in many ways
            fault = brief(error)
        return Runtime(builds, tuple(sorted(clashing)), version, providers, built_for, fault)

    def openvino(self) -> str | None:
        """The version of OpenVINO; None if it isn't installed."""
        dist = self._by_name.get("openvino")
        return None if dist is None else dist.version

    def packages(self) -> tuple[Package, ...] | None:
        """Every package that the installed lossaudit requires, with the version installed here.

        None if lossaudit itself isn't installed.
        """
        own = self._by_name.get(_PACKAGE)
        if own is None:
            return None
        requirements = [Requirement(text) for text in own.found.requires or []]
        versions = {name: dist.version for name, dist in self._by_name.items()}
        if "onnxruntime" not in versions and self._builds:  # another build of it will do
            versions["onnxruntime"] = next(iter(self._builds)).version
        extras = [None, *(own.found.metadata.get_all("Provides-Extra") or [])]
        return tuple(
            _package(requirement, versions, extra) for extra in extras for requirement in _of_extra(requirements, extra)
        )


@dataclass(frozen=True, eq=False)
class _Distribution:
    name: str
    version: str
    found: importlib.metadata.Distribution
    """Where the rest is; its metadata is parsed anew at each access."""

    @classmethod
    def read(cls, found: importlib.metadata.Distribution) -> "_Distribution":
        metadata = found.metadata
        return cls(metadata["Name"] or "", metadata["Version"] or "", found)

    @property
    def key(self) -> str:
        return canonicalize_name(self.name)


def _files_of(dist: importlib.metadata.Distribution) -> dict[Path, int | None]:
    """The files of the module `onnxruntime` that a distribution installed, and the sizes that they had, in bytes."""
    files = {Path(str(file.locate())): file.size for file in dist.files or [] if file.parts[0] == "onnxruntime"}
    return {file: size for file, size in files.items() if file.suffix != ".pyc"}


def _build(dist: _Distribution, files: dict[Path, int | None]) -> Build:
    missing = sum(not file.exists() for file in files)
    cores = [(file, size) for file, size in files.items() if file.name.startswith(_CORE) and file.exists()]
    in_place = bool(cores) and all(size in (None, file.stat().st_size) for file, size in cores)
    return Build(dist.name, dist.version, missing, in_place)


def cuda(built_for: str | None) -> CudaLibraries:
    """The libraries that a build of ONNX Runtime for some version of CUDA needs, here; unknown outside Linux."""
    driver = Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidia0").exists() or _loads("libcuda.so.1")
    names = _cuda_libraries(built_for) if sys.platform == "linux" else ()
    found = tuple(name for name in names if _loads(name) or _in_wheels(name))
    return CudaLibraries(built_for, driver, found, tuple(name for name in names if name not in found))


def _cuda_libraries(built_for: str | None) -> tuple[str, ...]:
    """What ONNX Runtime's CUDA provider links to (its own list is in onnxruntime.preload_dlls)."""
    major = int((built_for or "12").split(".")[0])
    fft = 12 if major >= 13 else 11
    cuda = (f"libcudart.so.{major}", f"libcublas.so.{major}", f"libcublasLt.so.{major}", f"libnvrtc.so.{major}")
    return (*cuda, f"libcufft.so.{fft}", "libcurand.so.10", "libcudnn.so.9")


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _in_wheels(library: str) -> bool:
    """Whether one of NVIDIA's packages on PyPI has it, from which ONNX Runtime can load it."""
    spec = importlib.util.find_spec("nvidia")
    places = (spec.submodule_search_locations if spec else None) or []
    return any(True for place in places for _ in Path(place).glob(f"*/lib/{library}"))


def _of_extra(requirements: list[Requirement], extra: str | None) -> Iterator[Requirement]:
    """What an extra (None: the base install) requires, with the requirements of the extras that it is made of."""
    for requirement in requirements:
        for_base = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if for_base != (extra is None):
            continue
        if extra is not None and requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        if canonicalize_name(requirement.name) != _PACKAGE:
            yield requirement
            continue
        for part in sorted(requirement.extras):
            yield from _of_extra(requirements, part)


def _package(requirement: Requirement, versions: dict[str, str], extra: str | None) -> Package:
    version = versions.get(canonicalize_name(requirement.name))
    fits = version is not None and requirement.specifier.contains(version, prereleases=True)
    return Package(requirement.name, version, str(requirement.specifier), fits, extra)


def extras(needed: tuple[Package, ...]) -> tuple[Extra, ...]:
    """The extras, from what `packages` found."""
    names = dict.fromkeys(package.extra for package in needed if package.extra is not None)
    missing = {
        name: tuple(package.name for package in needed if package.extra == name and package.version is None)
        for name in names
    }
    return tuple(Extra(str(name), not lacking, lacking) for name, lacking in missing.items())
