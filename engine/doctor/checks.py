"""Checks whether this machine, its packages and, on request, a bundle are in order for an audit, and what to do.

The facts come from machine.py, software.py and speed.py; here they are judged. `docs/doctor.md` lists the fields,
which other programs read as JSON.
"""

import dataclasses
import platform
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossaudit.version import __version__

from .. import telemetry
from ..cpus import multiplies_int8
from ..errors import LossAuditError, Option, Wording, brief, in_library
from ..model.bundle import Bundle, Manifest
from ..model.caches import Cache, caches, size_of
from . import machine, software
from .machine import Cpus, Memory
from .software import CudaLibraries, Extra, Package, Runtime

if TYPE_CHECKING:  # it imports ONNX Runtime, which may be what is broken
    from .speed import SpeedTest

OK, NOTE, PROBLEM = "ok", "note", "problem"
_ENOUGH_MEMORY = 1_000_000_000
"""Bytes: an audit with a DistilBERT-base took 0.8 GB at its peak (bench/results)."""
OPENVINO_SPEEDUP = 1.2
"""Rows/s of OpenVINO against ONNX Runtime's CPU provider: int8, DistilBERT-base on BBC News, a CPU with VNNI
(bench/results; a test compares)."""
TO_CPU = "pip uninstall --yes onnxruntime-gpu && pip install --force-reinstall --no-deps onnxruntime"
TO_GPU = "pip uninstall --yes onnxruntime && pip install --force-reinstall --no-deps onnxruntime-gpu"
"""The two commands that leave one build in order where one has overwritten the other (docs/install.md)."""


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    name: str
    """Stable name, for programs."""
    state: str
    """`ok`, `note` (works, but could be better, or can't be known) or `problem`."""
    finding: str
    advice: str | None = None
    """What to do."""


@dataclass(frozen=True)
class Facts:
    """What was found of this machine and of what is installed on it."""

    cpu: Cpus
    memory: Memory
    onnxruntime: Runtime
    cuda: CudaLibraries | None
    """None where onnxruntime-gpu isn't installed."""
    openvino: str | None
    """Its version."""
    packages: tuple[Package, ...] | None
    """None where lossaudit itself isn't installed."""


@dataclass(frozen=True)
class BundleFacts:
    """The bundle that was checked."""

    folder: str
    manifest: Manifest | None
    """None if the bundle can't be used."""
    bytes: int
    speed: "SpeedTest | None" = None
    """None if the speed couldn't be measured."""


@dataclass(frozen=True)
class Diagnosis:
    """Everything that was found."""

    lossaudit: str
    python: str
    system: str
    cpu: Cpus
    memory: Memory
    onnxruntime: Runtime
    cuda: CudaLibraries | None
    """None where onnxruntime-gpu isn't installed."""
    openvino: str | None
    """The version of OpenVINO; None where it isn't installed."""
    packages: tuple[Package, ...]
    extras: tuple[Extra, ...]
    caches: tuple[Cache, ...]
    bundle: BundleFacts | None
    checks: tuple[Check, ...]

    @property
    def problems(self) -> int:
        return sum(check.state == PROBLEM for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the fields by their names, paths as text, and the number of `problems`."""
        return {**_plain(dataclasses.asdict(self)), "problems": self.problems}


def diagnose(
    bundle: str | Path | None = None,
    on_step: Callable[[str], None] = lambda step: None,
    worded: Wording = in_library,
) -> Diagnosis:
    """Checks everything, and a bundle if there is one, which is then run for a few seconds.

    on_step: called with what begins. worded: makes the text of findings and advice that name options.
    """
    found = _look(on_step)
    checks = judged(found)
    on_step("the caches")
    folders = _caches()
    facts = None
    if bundle is not None:
        facts, of_bundle = _bundle(Path(bundle), found, on_step, worded)
        checks += of_bundle
    packages = found.packages or ()
    return Diagnosis(
        lossaudit=__version__,
        python=platform.python_version(),
        system=machine.system(),
        cpu=found.cpu,
        memory=found.memory,
        onnxruntime=found.onnxruntime,
        cuda=found.cuda,
        openvino=found.openvino,
        packages=packages,
        extras=software.extras(packages),
        caches=folders,
        bundle=facts,
        checks=tuple(checks),
    )


def _look(on_step: Callable[[str], None]) -> Facts:
    on_step("the machine")
    cpu, memory = machine.cpu(), machine.memory()
    on_step("what is installed")
    installed = software.Installed()
    runtime = installed.onnxruntime()
    cuda = software.cuda(runtime.cuda) if any("gpu" in build.name for build in runtime.builds) else None
    return Facts(cpu, memory, runtime, cuda, installed.openvino(), installed.packages())


def judged(facts: Facts) -> list[Check]:
    """The checks on a machine and what is installed on it."""
    cpu, runtime, cuda, packages = facts.cpu, facts.onnxruntime, facts.cuda, facts.packages
    has_gpu = cuda is not None and cuda.driver
    checks = [_cpus(cpu), _instructions(cpu), _memory(facts.memory), _onnxruntime(runtime, has_gpu)]
    if cuda is not None and not runtime.clash:  # which must be fixed first
        checks.append(_cuda(cuda, runtime))
    checks.append(_openvino(facts.openvino, cpu))
    if packages is None:
        checks.append(Check("packages", PROBLEM, "lossaudit itself isn't installed", "pip install lossaudit"))
    else:
        checks += [_packages(packages), _extras(packages)]
    return [*checks, _privacy()]


def _cpus(cpu: Cpus) -> Check:
    usable = f"{cpu.usable} of {cpu.of_machine} CPUs may be used ({cpu.name})"
    why = []
    if cpu.by_affinity < cpu.of_machine:
        why.append(f"the process may run on {cpu.by_affinity} of them (affinity)")
    if cpu.usable < cpu.by_affinity:
        why.append(f"the cgroup's quota is {cpu.usable}")
    if not why:
        return Check("cpus", OK, usable)
    return Check("cpus", NOTE, f"{usable}: {', and '.join(why)}", "give the container or job more CPUs to go faster")


def _instructions(cpu: Cpus) -> Check:
    if cpu.features is None:
        return Check("instructions", NOTE, "which instructions the CPU has can't be known on this system")
    has = [name for name, there in cpu.features.items() if there]
    lacks = [name for name, there in cpu.features.items() if not there]
    finding = "; not ".join(", ".join(names) for names in (has or ["none of those that matter"], lacks) if names)
    if multiplies_int8(cpu.features):
        return Check("instructions", OK, finding)
    return Check("instructions", NOTE, f"{finding}; without int8 products, int8 may be no faster than fp32")


def _memory(memory: Memory) -> Check:
    named = {"total": memory.total, "available": memory.available, "allowed by the cgroup": memory.cgroup_limit}
    finding = ", ".join(f"{size / 1e9:.1f} GB {what}" for what, size in named.items() if size is not None)
    if memory.at_hand is None:
        return Check("memory", NOTE, "how much memory there is can't be known on this system")
    if memory.at_hand < _ENOUGH_MEMORY:
        return Check("memory", NOTE, finding, "an audit with a DistilBERT-base takes 0.8 GB: close other programs")
    return Check("memory", OK, finding)


def _onnxruntime(runtime: Runtime, has_gpu: bool) -> Check:
    if runtime.clash:
        owner = [build.name for build in runtime.builds if build.in_place and build.name in runtime.clash]
        lies = f"; the files now there are {owner[0]}'s" if len(owner) == 1 else ""
        return Check(
            "onnxruntime",
            PROBLEM,
            f"{' and '.join(runtime.clash)} own the same files, so one has overwritten the other{lies}",
            TO_GPU if has_gpu else TO_CPU,
        )
    broken = [build for build in runtime.builds if build.files_missing or not build.in_place]
    if broken:
        build = broken[0]
        lost = (
            f"{build.name} lacks files that it installed: {build.files_missing}"
            if build.files_missing
            else f"another build has overwritten {build.name}"
        )
        repair = f"pip install --force-reinstall --no-deps {build.name}=={build.version}"
        return Check("onnxruntime", PROBLEM, lost, repair)
    if runtime.fault is not None:
        repair = "pip install --force-reinstall --no-deps onnxruntime"
        return Check("onnxruntime", PROBLEM, f"it can't be imported: {runtime.fault}", repair)
    names = ", ".join(build.name for build in runtime.builds) or "onnxruntime, from no package"
    providers = ", ".join(name.removesuffix("ExecutionProvider") for name in runtime.providers)
    return Check("onnxruntime", OK, f"{names} {runtime.version}, with the providers {providers}")


def _cuda(cuda: CudaLibraries, runtime: Runtime) -> Check:
    built = f"built for CUDA {cuda.built_for}" if cuda.built_for else "built for an unnamed version of CUDA"
    if not cuda.driver:
        return Check("cuda", PROBLEM, f"{built}, but there is no NVIDIA driver", f"install it, or do without: {TO_CPU}")
    if cuda.missing:
        return Check(
            "cuda",
            PROBLEM,
            f"{built}; not found: {', '.join(cuda.missing)}",
            f"pip install 'onnxruntime-gpu[cuda,cudnn]=={runtime.version}', or set LD_LIBRARY_PATH to where they are",
        )
    return Check("cuda", OK, f"{built}; the driver, CUDA and cuDNN are there")


def _openvino(version: str | None, cpu: Cpus) -> Check:
    if version is not None:
        return Check("openvino", OK, f"OpenVINO {version}: audit measures it too and uses the faster")
    if cpu.features is None or not any(cpu.features.get(name) for name in ("AVX-512 VNNI", "AVX-VNNI")):
        return Check("openvino", OK, "OpenVINO isn't installed; it isn't needed")
    return Check(
        "openvino",
        NOTE,
        f"OpenVINO isn't installed; it was {OPENVINO_SPEEDUP} × as fast as ONNX Runtime with long texts on a CPU "
        "with VNNI (slower with short ones; audit uses the faster)",
        "pip install 'lossaudit[openvino]'",
    )


def _packages(packages: tuple[Package, ...]) -> Check:
    """Compares the base install, and the installed extras, with the versions that lossaudit is made for."""
    unfit = [package for package in packages if not package.fits and (package.extra is None or package.version)]
    wrong: dict[str, Package] = {}
    for package in unfit:  # the base install's come first
        wrong.setdefault(package.name, package)
    seen = len({package.name for package in packages if package.version is not None})
    if not wrong:
        return Check("packages", OK, f"{seen} packages, all in versions that lossaudit is made for")
    told = [
        f"{package.name} {package.version or 'is missing'} (wanted: {package.wanted or 'any'})"
        for package in wrong.values()
    ]
    needed = any(package.extra is None for package in wrong.values())
    repair = " ".join(f"'{package.name}{package.wanted}'" for package in wrong.values())
    extras = ", ".join(sorted({package.extra for package in unfit if package.extra}))
    for_extras = f"; needed for the extra {extras}" if extras and not needed else ""
    return Check("packages", PROBLEM if needed else NOTE, "; ".join(told) + for_extras, f"pip install {repair}")


def _extras(packages: tuple[Package, ...]) -> Check:
    found = software.extras(packages)
    there = ", ".join(extra.name for extra in found if extra.installed) or "none"
    others = ", ".join(extra.name for extra in found if not extra.installed)
    return Check("extras", OK, f"installed: {there}{f'; not installed: {others}' if others else ''}")


def _privacy() -> Check:
    finding = (
        "telemetry of libraries is off; nothing is contacted but what you name; working copies of texts are in "
        f"OUTPUT.parts or {tempfile.gettempdir()} while a command runs"
    )
    changed = telemetry.changed()
    if not changed:
        return Check("privacy", OK, finding)
    settings = ", ".join(f"{name}={value}" for name, value in changed.items())
    advice = f"unset {' '.join(changed)}, unless you set this on purpose (docs/privacy.md)"
    return Check("privacy", NOTE, f"your environment has {settings}, so libraries may send data", advice)


def _caches() -> tuple[Cache, ...]:
    try:
        return caches()
    except ImportError:  # of packages that the check above names
        return ()


def _bundle(
    folder: Path, found: Facts, on_step: Callable[[str], None], worded: Wording
) -> tuple[BundleFacts, list[Check]]:
    on_step(f"{folder}, against its hashes")
    try:
        bundle = Bundle.load(folder)
    except LossAuditError as error:
        return BundleFacts(str(folder), None, size_of(folder)), [Check("bundle", PROBLEM, worded(error.parts))]
    facts = BundleFacts(str(folder), bundle.manifest, size_of(folder))
    for_gpu = found.cuda is not None
    if found.onnxruntime.fault is not None:
        return facts, judged_bundle(facts, for_gpu, worded)
    on_step("how fast it runs")
    try:
        from . import speed as doctor_bundle

        speed = doctor_bundle.speed_test(bundle, found.cpu.usable, doctor_bundle.SECONDS, worded=worded)
    except (LossAuditError, ImportError) as error:
        return facts, [*judged_bundle(facts, for_gpu, worded), Check("speed", PROBLEM, brief(error))]
    facts = dataclasses.replace(facts, speed=speed)
    return facts, judged_bundle(facts, for_gpu, worded)


def judged_bundle(facts: BundleFacts, for_gpu: bool, worded: Wording = in_library) -> list[Check]:
    """The checks on a bundle that can be used. for_gpu: whether onnxruntime-gpu is installed."""
    manifest = facts.manifest
    if manifest is None:
        return []
    hashes = f"{facts.bytes / 1e6:.0f} MB; all {len(manifest.files)} files match their hashes"
    labels = f"{len(manifest.labels)} labels, from {manifest.source.name}"
    checks = [Check("bundle", OK, f"{manifest.architecture} of {labels}, {hashes}"), _parity(manifest)]
    if for_gpu:
        checks.append(_fp16(manifest, worded))
    if facts.speed is not None:
        checks.append(_speed(facts.speed))
    return checks


def _parity(manifest: Manifest) -> Check:
    parity = manifest.parity
    if parity.texts == 0:
        return Check("parity", OK, "not compared with PyTorch, since there was no PyTorch model when it was exported")
    finding = (
        f"logits within {parity.max_difference:.1e} of PyTorch's on {parity.texts} texts when it was exported "
        f"(allowed: {parity.tolerance:.0e})"
    )
    if parity.max_difference <= parity.tolerance:
        return Check("parity", OK, finding)
    return Check("parity", PROBLEM, finding, "export the model again")


def _fp16(manifest: Manifest, worded: Wording) -> Check:
    graph = next((graph for graph in manifest.graphs if graph.precision == "fp16"), None)
    if graph is not None:
        near = f"its probabilities differ by {graph.mean_difference:.1e} from fp32's on average"
        return Check("fp16", OK, f"{graph.name} is there for CUDA; {near}")
    reason = manifest.left_out.get("fp16")
    if reason is not None:
        return Check("fp16", NOTE, f"CUDA runs fp32, since export left fp16 out: {reason}")
    advice = worded(("export the model again with ", Option("fp16", True)))
    return Check("fp16", NOTE, "CUDA runs fp32, since the bundle has no fp16 graph", advice)


def _speed(test: "SpeedTest") -> Check:
    faults = [f"{speed.graph} on {speed.backend}: {speed.fault}" for speed in test.speeds if speed.fault is not None]
    if test.choice is None:
        return Check("speed", PROBLEM, f"no fp32 graph runs: {'; '.join(faults)}", "export the model again")
    choice = test.choice
    finding = f"audit would choose {choice.precision} for many rows: {choice.first.graph} on {choice.first.backend}"
    finding += f" ({choice.why})"
    if faults:
        return Check("speed", NOTE, f"{finding}; these don't run: {'; '.join(faults)}")
    return Check("speed", OK, finding)


def _plain(value: Any) -> Any:
    """The value with paths as text, however deep."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
