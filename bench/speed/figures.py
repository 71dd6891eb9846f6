"""From runs to figures: the processes of one contender, and the loop's beside them, come in; a `Figures` goes out."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .child import Ran
from .flops import Dimensions


@dataclass(frozen=True)
class Spread:
    """Several measurements of one thing."""

    least: float
    median: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        ordered = sorted(values)
        return cls(ordered[0], statistics.median(ordered), ordered[-1])


@dataclass(frozen=True)
class Work:
    """What every contender had to do."""

    tokens: NDArray[np.int64]
    """(rows,) tokens of each row."""
    dimensions: Dimensions
    peaks: dict[str, dict[str, Any]]
    """See `bench.speed.peak`."""
    top: int


@dataclass(frozen=True)
class Parity:
    """How a contender's losses compare with the loop's."""

    largest_difference: float
    """Of a row's two losses, in nats."""
    mean_difference: float
    top_shared: int
    """Rows in both tops."""


@dataclass(frozen=True)
class Figures:
    """What is reported of a contender that ran."""

    name: str
    settings: str
    versions: dict[str, str]
    precision: str
    seconds: Spread
    """Of a job."""
    rows_per_second: Spread
    ratio: Spread
    """The loop's seconds by this one's, within each repeat."""
    tokens_per_second: float
    padding: float
    """Padded tokens in excess of real ones, as a share of the real ones."""
    gflops: float
    """Useful FLOP of the unpruned model by seconds in the runtime."""
    peak_share: float
    """Of the machine's peak at this precision."""
    pruned_gflops: float | None
    """The same with the FLOP that a pruned last layer leaves; ours only."""
    pruned_peak_share: float | None
    load_seconds: float
    outside_share: float
    """Of the job's seconds, those that are neither loading nor in the runtime."""
    start_seconds: float
    """The process's wall time outside the job: Python, imports, the end."""
    peak_megabytes: float
    install_megabytes: float | None
    prepare_seconds: float
    parity: Parity


def figures(
    name: str, runs: list[Ran], loop: list[Ran], prepared: Ran, work: Work, parity: Parity, install: float | None
) -> Figures:
    """Sums up a contender's runs; loop: the loop's run of the same repeats."""
    facts = [run.facts for run in runs]
    last, seconds = facts[-1], Spread.of(fact["seconds"] for fact in facts)
    running = statistics.median(fact["run_seconds"] for fact in facts)
    rows, tokens = len(work.tokens), int(work.tokens.sum())
    peak = work.peaks[last["precision"]]["gflops"]
    gflops = work.dimensions.whole(work.tokens) / running / 1e9
    pruned = work.dimensions.pruned(work.tokens) / running / 1e9 if name.startswith("ours") else None
    return Figures(
        name=name,
        settings=last["settings"],
        versions=last["versions"],
        precision=last["precision"],
        seconds=seconds,
        rows_per_second=Spread.of(rows / fact["seconds"] for fact in facts),
        ratio=Spread.of(a.facts["seconds"] / b["seconds"] for a, b in zip(loop, facts, strict=True)),
        tokens_per_second=tokens / seconds.median,
        padding=last["padded_tokens"] / last["tokens"] - 1,
        gflops=gflops,
        peak_share=gflops / peak,
        pruned_gflops=pruned,
        pruned_peak_share=pruned and pruned / peak,
        load_seconds=statistics.median(fact["load_seconds"] for fact in facts),
        outside_share=statistics.median(
            1 - (fact["load_seconds"] + fact["run_seconds"]) / fact["seconds"] for fact in facts
        ),
        start_seconds=statistics.median(run.wall_seconds - run.facts["seconds"] for run in runs),
        peak_megabytes=max(run.peak_megabytes for run in runs),
        install_megabytes=install,
        prepare_seconds=prepared.facts["seconds"],
        parity=parity,
    )


def compare(ours: Path, loop: Path, top: int) -> Parity:
    """Parity of two losses files of the same rows."""
    (ids, losses), (loop_ids, loop_losses) = (_losses(path) for path in (ours, loop))
    difference = np.abs(losses[np.argsort(ids)] - loop_losses[np.argsort(loop_ids)])
    shared = len(np.intersect1d(ids[:top], loop_ids[:top]))
    return Parity(float(difference.max()), float(difference.mean()), shared)


def _losses(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    table = pq.read_table(path, columns=["id", "loss"])
    return table["id"].to_numpy(), table["loss"].to_numpy()
