"""Finds the graph, backend, threads and batch size that are fastest here: measured once per bundle, then kept.

No kernel library is fastest on every CPU, and without VNNI int8 can be slower than fp32 (docs/design.md).
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..cpus import cpu_name
from ..errors import LossAuditError
from ..files import cache_folder, file_beside
from . import backends
from .batching import batches_by_token_budget
from .bundle import Bundle
from .encoding import Encoded

BUDGET = 1024
"""Tokens of a padded batch where nothing was measured: 512 to 1024 fit the caches of the CPUs of docs/design.md."""
_CPU_BUDGETS = (BUDGET, 512, 2048)
_BUDGETS = {backends.CUDA: (16_384, 8_192, 32_768, 65_536)}
"""Budgets to try; the first is used where nothing was measured. A GPU has thousands of cores to fill."""
SECONDS = 0.4
"""Duration of each measurement."""
_FULL_BATCHES = 4
"""The fewest full batches to measure on."""
_CLEARLY = 1.03
"""Times as fast as the plan before it that a plan must be to be preferred."""


@dataclass(frozen=True)
class Plan:
    """How to run a graph."""

    graph: str
    """The graph's name in the manifest."""
    backend: str
    workers: int
    """Batches that run at once."""
    threads: int
    """CPUs that each batch uses."""
    budget: int = BUDGET
    tokens_per_second: float | None = None
    """Measured speed; None if it wasn't measured."""


def starting_plan(graph: str, backend: str, cpus: int) -> Plan:
    """How a graph is run on a backend where nothing was measured: one batch per CPU; a GPU takes one at a time."""
    return Plan(graph, backend, 1 if backend == backends.CUDA else cpus, 1, _budgets(backend)[0])


def default_plan(bundle: Bundle, precision: str, backend: str, cpus: int) -> Plan | None:
    """A plan without measuring: the manifest's first graph of a precision, one batch per CPU.

    None if no graph of that precision can run on the backend here (or, for "auto", on any).
    """
    candidates = _candidates(bundle, precision, backend, cpus)
    return candidates[0] if candidates else None


def measured_plan(
    bundle: Bundle, precision: str, backend: str, cpus: int, sample: Encoded, seconds: float = SECONDS
) -> Plan | None:
    """The fastest plan of a precision, from the cache or measured in a few seconds on `sample`.

    backend: a name, or "auto" for all that can be used here except CUDA. cpus: how many may be used. seconds: duration
    of each measurement. None as in `default_plan`.
    """
    candidates = _candidates(bundle, precision, backend, cpus)
    if not candidates:
        return None
    path = _cache_file(bundle, candidates)
    with contextlib.suppress(OSError, ValueError, TypeError):
        return Plan(**json.loads(path.read_text(encoding="utf-8")))
    plan = _fastest(bundle, candidates, sample, seconds)
    with contextlib.suppress(LossAuditError), file_beside(path) as temporary:
        temporary.write_text(json.dumps(dataclasses.asdict(plan), indent=2), encoding="utf-8")
    return plan


def _candidates(bundle: Bundle, precision: str, backend: str, cpus: int) -> list[Plan]:
    """Every graph of a precision on every backend that can run it here, in the manifest's order."""
    usable = [name for name in backends.available() if name != backends.CUDA] if backend == "auto" else [backend]
    # fp32 losses are reported as exact, so fp32 runs on the reference alone.
    return [
        starting_plan(graph.name, name, cpus)
        for graph in bundle.manifest.graphs
        if graph.precision == precision
        for name in graph.backends
        if name in usable or (precision == "fp32" and name == backends.CPU and backends.CUDA not in usable)
    ]


def _fastest(bundle: Bundle, candidates: list[Plan], sample: Encoded, seconds: float) -> Plan:
    """Measures graphs and backends first, then the batch size, then the way to use the CPUs."""

    @functools.lru_cache(maxsize=1)
    def load(graph: str, backend: str, workers: int, threads: int) -> backends.Runner:
        return backends.load(backend, bundle.file_of(graph), workers, threads)

    def measured(plan: Plan) -> Plan:
        try:
            runner = load(plan.graph, plan.backend, plan.workers, plan.threads)
        except LossAuditError:
            if len(candidates) == 1 or plan.backend == backends.CPU:
                raise
            return replace(plan, tokens_per_second=0.0)  # installed but broken: another one is used
        try:
            return replace(plan, tokens_per_second=tokens_per_second(runner, plan, sample, seconds))
        except Exception:  # out of memory; anything else that fails shows, row by row, during scoring
            return replace(plan, tokens_per_second=0.0)

    best = functools.reduce(_faster, map(measured, candidates))
    budgets = _budgets(best.backend)[1:]
    best = functools.reduce(_faster, (measured(replace(best, budget=budget)) for budget in budgets), best)
    if best.workers > 1:
        best = _faster(best, measured(replace(best, workers=1, threads=best.workers)))
    return best


def _budgets(backend: str) -> tuple[int, ...]:
    return _BUDGETS.get(backend, _CPU_BUDGETS)


def _faster(best: Plan, other: Plan) -> Plan:
    """The other plan only if it is clearly faster, so that noise doesn't change what is chosen."""
    return other if (other.tokens_per_second or 0.0) > _CLEARLY * (best.tokens_per_second or 0.0) else best


def tokens_per_second(runner: backends.Runner, plan: Plan, sample: Encoded, seconds: float) -> float:
    """Tokens of the sample that a loaded graph processes per second under a plan, not counting padding."""
    # Texts are repeated until they fill batches.
    times = 1 + _FULL_BATCHES * plan.budget // max(1, int(sample.lengths.sum()))
    batches = batches_by_token_budget(np.tile(sample.lengths, times), plan.budget)
    # Shuffled, since a measurement may end before it has seen all lengths.
    order = np.random.default_rng(0).permutation(len(batches))
    padded = [sample.padded(batches[i] % len(sample.lengths)) for i in order]
    runner.run(padded[0])  # the first run allocates
    end = time.perf_counter() + seconds

    def work(first: int) -> int:
        done, place = 0, first
        while time.perf_counter() < end or done == 0:
            batch = padded[place % len(padded)]
            runner.run(batch)
            done += int(batch.mask.sum())
            place += plan.workers
        return done

    begun = time.perf_counter()
    with ThreadPoolExecutor(plan.workers) as pool:
        done = sum(pool.map(work, range(plan.workers)))
    return done / (time.perf_counter() - begun)


def _cache_file(bundle: Bundle, candidates: list[Plan]) -> Path:
    """The file that keeps the best of some candidates, named after the graphs, the machine and the libraries."""
    facts = [
        *(f"{plan} {bundle.manifest.files[bundle.graph(plan.graph).file]}" for plan in candidates),
        *backends.versions(),
        cpu_name(),
    ]
    name = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:32]
    return cache_folder() / "plans" / f"{name}.json"
