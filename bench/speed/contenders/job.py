"""What every contender shares: the job, the clock, the settings to try, and reading and writing.

Rows come from a JSON Lines file with `text` and `label`; losses go to a Parquet file with `id` and `loss`.
"""

import abc
import contextlib
import gzip
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lossaudit.engine.cpus import usable_cpus

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]
CPUS = usable_cpus()


class UnavailableError(Exception):
    """This contender can't run here; the message says why."""


@dataclass(frozen=True)
class Job:
    """What to score and where to write."""

    model: Path
    """The checkpoint."""
    data: Path
    """JSON Lines, .gz or not."""
    rows: int
    """How many of its first rows."""
    out: Path
    work: Path
    """What `prepare` made for this model and data."""
    calibration: Path
    """Rows for those who calibrate, like those of `data` but others."""
    top: int
    """How many places of the ranking the user wants."""


@dataclass(frozen=True)
class Batch:
    """How batches are cut from rows sorted by length: by `rows`, or by `tokens` of the padded batch."""

    rows: int | None = 32
    tokens: int | None = None
    multiple: int = 1
    """Lengths are padded up to a multiple of this, so that fewer shapes occur."""

    def __str__(self) -> str:
        size = f"{self.rows} row{'s' * (self.rows > 1)}" if self.rows else f"{self.tokens} tokens"
        return size if self.multiple == 1 else f"{size} padded to {self.multiple}s"


@dataclass(frozen=True)
class Settings:
    """How a contender runs; what a field means is the contender's matter."""

    batch: Batch = field(default_factory=Batch)
    workers: int = 1
    """Batches, streams or sessions at once; they share the CPUs."""
    form: str = ""
    """Which of several forms of the model."""
    precision: str = ""
    """Of what isn't quantised."""

    def __str__(self) -> str:
        words = [str(self.batch), f"{self.workers} at once" if self.workers > 1 else "", self.form, self.precision]
        return ", ".join(word for word in words if word)

    @property
    def threads(self) -> int:
        """CPUs for each of the workers."""
        return max(1, CPUS // self.workers)


class Clock:
    """Where a job's wall-clock seconds go, and the tokens that went through the model."""

    def __init__(self) -> None:
        self.load_seconds = 0.0
        """Loading the model into the runtime."""
        self.run_seconds = 0.0
        """At least one batch was in the runtime. Overlapping batches count once."""
        self.tokens = 0
        self.padded_tokens = 0
        self._lock = threading.Lock()
        self._inside = 0
        self._since = 0.0

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.load_seconds += time.perf_counter() - begun

    @contextlib.contextmanager
    def running(self, mask: Any) -> Iterator[None]:
        """Around one batch; mask: (rows, tokens), 1 where there is a token (numpy or torch)."""
        self.enter(mask)
        yield
        self.leave()

    def enter(self, mask: Any) -> None:
        """A batch goes into the runtime (see `running`)."""
        tokens, padded = int(mask.sum()), mask.shape[0] * mask.shape[1]
        with self._lock:
            self.tokens += tokens
            self.padded_tokens += padded
            if self._inside == 0:
                self._since = time.perf_counter()
            self._inside += 1

    def leave(self) -> None:
        """A batch came out of the runtime."""
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self.run_seconds += time.perf_counter() - self._since


class Contender(abc.ABC):
    """One way to do the job."""

    needs: tuple[str, ...]
    """Packages that a user must install for it."""
    precision: str
    """Of its matrix products: which of the machine's peaks it is measured against."""
    axes: Mapping[str, tuple[Any, ...]] = MappingProxyType({})
    """Fields of `Settings` with the values to try, first what is likely; where nothing is to be tried, one value."""

    @abc.abstractmethod
    def prepare(self, job: Job) -> None:
        """Whatever is done once a model: exports, calibration. Its files go to `job.work`."""

    @abc.abstractmethod
    def run(self, job: Job, settings: Settings, clock: Clock) -> None:
        """The whole job, from `job.data` to `job.out`."""


@dataclass(frozen=True)
class Rows:
    """The rows to score."""

    texts: list[str]
    labels: Ids

    def __len__(self) -> int:
        return len(self.texts)


def read_rows(path: Path, limit: int | None = None) -> Rows:
    """The first rows of a JSON Lines file."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for _, line in zip(range(limit or 2**62), file, strict=False)]
    return Rows([row["text"] for row in rows], np.array([row["label"] for row in rows], dtype=np.int64))


def write_losses(losses: Floats, path: Path) -> None:
    """Writes losses, given in the rows' order, by falling loss."""
    order = np.argsort(-losses, kind="stable")
    pq.write_table(pa.table({"id": order, "loss": losses[order]}), path, compression="zstd")


def cross_entropy(logits: NDArray[Any], labels: Ids) -> Floats:
    """(n,) losses in nats of the labels, from (n, classes) logits."""
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    found: Floats = np.log(np.exp(wide).sum(axis=1)) - wide[np.arange(len(labels)), labels]
    return found
