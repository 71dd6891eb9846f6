"""The machine, the environment and the command: what is measured once a run, beside the contenders."""

import importlib.metadata
import platform
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from lossaudit.engine.cpus import cpu_name, instructions, processor, usable_cpus
from lossaudit.engine.table.formats import write_table

TOP_ROWS = 120_000


@dataclass(frozen=True)
class Machine:
    """What ran it."""

    cpu: str
    instructions: tuple[str, ...]
    """Of those that decide which kernels run."""
    cpus: int
    """That may be used."""
    system: str
    python: str

    @classmethod
    def here(cls) -> "Machine":
        name, known = cpu_name(), processor()
        if "cpu family" in known:  # names such as "AMD EPYC" don't tell generations apart
            name += f" (family {known['cpu family']}, model {known['model']})"
        return cls(
            " ".join(name.split()),
            tuple(instruction for instruction, there in (instructions() or {}).items() if there),
            usable_cpus(),
            f"{platform.system()} {platform.machine()}",
            platform.python_version(),
        )

    @property
    def slug(self) -> str:
        """For file names."""
        return f"{re.sub(r'[^a-z0-9]+', '-', self.cpu.lower()).strip('-')}-{self.cpus}cpu"

    def __str__(self) -> str:
        return f"{self.cpu}, {self.cpus} CPUs ({', '.join(self.instructions)}); {self.system}, Python {self.python}"


def install_megabytes(packages: tuple[str, ...]) -> float | None:
    """Size of packages and all that they require, as they are installed here; None if one isn't."""
    files: set[Path] = set()
    try:
        for name in _closure(packages):
            found = importlib.metadata.files(name) or []
            files |= {Path(str(file.locate())) for file in found}
    except importlib.metadata.PackageNotFoundError:
        return None
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def _closure(packages: tuple[str, ...]) -> set[str]:
    from packaging.requirements import Requirement

    seen: set[str] = set()
    todo = list(packages)
    while todo:
        name = re.sub(r"[-_.]+", "-", todo.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        for text in importlib.metadata.requires(name) or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                todo.append(requirement.name)
    return seen


def folder_megabytes(folder: Path) -> float:
    """Size of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def version_seconds() -> float:
    """The fastest of five `lossaudit --version`."""
    return min(_seconds("--version") for _ in range(5))


def top_seconds(work: Path) -> float:
    """The fastest of three `lossaudit top` over a losses table of 120,000 rows with texts of AG News' length."""
    path = work / f"losses-{TOP_ROWS}.parquet"
    if not path.is_file():
        losses = _losses()
        write_table([losses], losses.schema, path)
    return min(_seconds("top", str(path), "-n", "50") for _ in range(3))


def _seconds(*arguments: str) -> float:
    command = Path(sys.executable).with_name("lossaudit")
    begun = time.perf_counter()
    subprocess.run([command, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def _losses() -> pa.Table:
    rng = np.random.default_rng(0)
    words = np.array(["the", "market", "fell", "after", "report", "on", "oil", "prices", "while", "teams", "met", "in"])
    names = np.array(["World", "Sports", "Business", "Sci/Tech"])
    label, prediction = rng.integers(0, 4, (2, TOP_ROWS))
    loss = np.sort(rng.exponential(size=TOP_ROWS))[::-1]
    return pa.table(
        {
            "id": rng.permutation(TOP_ROWS),
            "label": label,
            "label_name": names[label],
            "prediction": prediction,
            "prediction_name": names[prediction],
            "probability": rng.uniform(size=TOP_ROWS),
            "label_probability": np.exp(-loss),
            "loss": loss,
            "margin": rng.uniform(-1, 1, TOP_ROWS),
            "tokens": rng.integers(20, 80, TOP_ROWS),
            "truncated": np.zeros(TOP_ROWS, dtype=bool),
            "precision": np.full(TOP_ROWS, "fp32"),
            "text": [" ".join(row) for row in words[rng.integers(0, len(words), (TOP_ROWS, 40))]],
        }
    )
