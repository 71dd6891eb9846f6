"""Fresh environments: what installing lossaudit moves in them, and whether its tests pass with the lowest and newest.

    python -m tests.matrix [--only NAME]

Out comes one row per environment, here and in docs/install.md. Exits with 1 if one fails.
"""

import datetime
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import pyarrow.parquet as pq
import uv

from bench.machine import Machine

_HOUSE = Path(__file__).parents[1]
_PAGE = _HOUSE / "docs" / "install.md"
_BEGIN, _END = "<!-- made by `make matrix` -->", "<!-- end -->"
_ROWS = 200
_AUDIT = ("--precision", "fp32", "--no-tune")
_IMPORTS = ("transformers", "datasets", "lossaudit")
_CORE = ("tests/engine", "tests/review", "tests/cli", "tests/lossaudit", "tests/export", "tests/test_ranges.py")
_BUT_TYPES = ("--ignore=tests/lossaudit/test_types.py", "--ignore=tests/lossaudit/test_reference.py")
"""Types and the reference are checked with the libraries and tools that constraints.txt pins."""
_HEAD = ("environment", "installed before", "changed", "what works", "tested on")


class EnvironmentFailedError(Exception):
    """Why an environment isn't as it must be, in one line."""


@dataclass(frozen=True)
class Beside:
    """An environment of others that lossaudit's wheel is installed into."""

    name: str
    holds: tuple[str, ...]
    """What is installed before, each in the newest version that the others allow."""
    shown: tuple[str, ...] = ("transformers", "tokenizers", "huggingface-hub", "datasets")
    """The packages whose versions are said."""


@dataclass(frozen=True)
class Suite:
    """An environment that the tests run in."""

    name: str
    resolution: str
    """What uv takes of each direct dependency's versions."""
    extras: tuple[str, ...]
    tests: tuple[str, ...]
    """The tests that are run."""
    shown: tuple[str, ...] = ("datasets", "pyarrow", "pandas", "onnxruntime", "tokenizers", "transformers", "torch")
    """The packages whose versions are said."""


_HUB = ("tokenizers", "huggingface_hub", "datasets")
ENVIRONMENTS: tuple[Beside | Suite, ...] = (
    Beside("transformers-5", ("transformers>=5", *_HUB)),
    Beside("transformers-4", ("transformers==4.57.6", *_HUB)),
    Suite("lowest", "lowest-direct", ("export", "fit"), (*_CORE, *_BUT_TYPES)),
    Suite("newest", "highest", ("demo",), ("tests",)),
)


@dataclass(frozen=True)
class Row:
    """What came of an environment."""

    name: str
    there: str
    moved: str
    works: str
    failed: bool = False

    def cells(self) -> tuple[str, ...]:
        """In the order of the table's head."""
        return self.name, self.there, self.moved, self.works, datetime.date.today().isoformat()


@dataclass(frozen=True)
class Built:
    """What all environments share."""

    folder: Path
    wheel: Path
    bundle: Path
    data: Path
    losses: Path
    """Of the data, by the checkout's own environment."""
    torch: str
    """What is installed of torch before anything else asks for another build of it."""


@dataclass(frozen=True)
class Environment:
    """A fresh virtual environment."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> "Environment":
        _run(uv.find_uv_bin(), "venv", "--quiet", "--python", sys.executable, folder)
        return cls(folder)

    def install(self, *arguments: str | Path) -> None:
        """Installs what `uv pip install` calls by these arguments."""
        _run(uv.find_uv_bin(), "pip", "install", "--quiet", "--python", self.folder, *arguments)

    def versions(self) -> dict[str, str]:
        """The version of each package."""
        lines = _run(uv.find_uv_bin(), "pip", "freeze", "--python", self.folder).splitlines()
        return dict(line.split("==") for line in lines if "==" in line)

    def run(self, program: str, *arguments: str | Path) -> str:
        """What a program of the environment prints. Raises EnvironmentFailedError."""
        return _run(self.folder / "bin" / program, *arguments)


@click.command()
@click.option(
    "--only", type=click.Choice([environment.name for environment in ENVIRONMENTS]), help="One of them alone."
)
@click.option("--torch", help="Another torch for the tests, such as torch==2.14.1.  [default: as constraints.txt pins]")
def main(only: str | None, torch: str | None) -> None:
    """Try lossaudit in fresh environments."""
    with tempfile.TemporaryDirectory(prefix="matrix-") as scratch:
        # A home of its own, and nothing from the hub.
        os.environ |= {
            "HF_HOME": f"{scratch}/huggingface",
            "XDG_CACHE_HOME": f"{scratch}/cache",
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        }
        built = _build(Path(scratch), torch or _pin("torch"))
        chosen = [environment for environment in ENVIRONMENTS if only in (None, environment.name)]
        rows = [_said(environment, built) for environment in chosen]
    _PAGE.write_text(_with_rows(_PAGE.read_text(encoding="utf-8"), rows), encoding="utf-8")
    sys.exit(any(row.failed for row in rows))


def _build(folder: Path, torch: str) -> Built:
    """The wheel, by way of the sources' archive, and what the checkout's own environment makes of some rows."""
    from bench.cost.memory import tiny_checkpoint
    from lossaudit.export.exporter import export_bundle
    from tests.torture.fuzz_data import LABELS

    _run(uv.find_uv_bin(), "build", "--quiet", "--out-dir", folder / "built", _HOUSE)
    (wheel,) = (folder / "built").glob("*.whl")
    bundle = export_bundle(str(tiny_checkpoint(folder / "checkpoint", LABELS)), folder / "bundle").folder
    data = folder / "rows.csv"
    rows = [f"{'oil talks in the city ' * (row % 9 + 1)}{row},{LABELS[row % len(LABELS)]}\n" for row in range(_ROWS)]
    data.write_text("text,label\n" + "".join(rows), encoding="utf-8")
    losses = folder / "losses.parquet"
    _run(Path(sys.executable).with_name("lossaudit"), "audit", bundle, data, "-o", losses, *_AUDIT)
    return Built(folder, wheel, bundle, data, losses, torch)


def _said(environment: Beside | Suite, built: Built) -> Row:
    try:
        row = _beside(environment, built) if isinstance(environment, Beside) else _suite(environment, built)
    except EnvironmentFailedError as error:
        row = Row(environment.name, "", "", f"fails: {error}", failed=True)
    click.echo(" | ".join(row.cells()))
    return row


def _beside(environment: Beside, built: Built) -> Row:
    fresh = Environment.make(built.folder / environment.name)
    fresh.install(*environment.holds)
    before = fresh.versions()
    fresh.install(built.wheel)
    after = fresh.versions()
    moved = [f"{name} {version} to {after.get(name)}" for name, version in before.items() if after.get(name) != version]
    problem = _problem(fresh, built, built.folder / f"{environment.name}.parquet")
    works = f"fails: {problem}" if problem else f"{', '.join(_IMPORTS)}; {_ROWS} losses are equal to the last bit"
    there = _versions(before, environment.shown)
    return Row(environment.name, there, ", ".join(moved) or "nothing", works, failed=bool(moved or problem))


def _problem(fresh: Environment, built: Built, losses: Path) -> str | None:
    """What doesn't work where the wheel is installed."""
    try:
        for module in _IMPORTS:
            fresh.run("python", "-c", f"import {module}")
        fresh.run("lossaudit", "audit", built.bundle, built.data, "-o", losses, *_AUDIT)
    except EnvironmentFailedError as error:
        return str(error)
    one, other = (pq.read_table(path, columns=["id", "loss"]) for path in (losses, built.losses))
    return None if one.equals(other) else "losses differ from those of the checkout's own environment"


def _suite(environment: Suite, built: Built) -> Row:
    fresh = Environment.make(built.folder / environment.name)
    fresh.install(built.torch)
    extras = [f"--extra={extra}" for extra in environment.extras]
    project: tuple[str | Path, ...] = ("-r", _HOUSE / "pyproject.toml", *extras, *_test_tools(), built.torch)
    fresh.install("--resolution", environment.resolution, *project)
    fresh.install("--no-deps", "--editable", _HOUSE)
    there = _versions(fresh.versions(), environment.shown)
    command = [str(fresh.folder / "bin" / "python"), "-m", "pytest", "-q", "-p", "no:cacheprovider", *environment.tests]
    done = subprocess.run(command, cwd=_HOUSE, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        click.echo("".join(f"  {line}\n" for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))))
    result = re.sub(r" in [\d.]+s.*", "", (done.stdout.splitlines() or ["no test ran"])[-1])
    return Row(environment.name, there, "", f"{' '.join(environment.tests)}: {result}", failed=done.returncode != 0)


def _versions(versions: dict[str, str], names: tuple[str, ...]) -> str:
    return ", ".join(f"{name} {versions[name]}" for name in names)


def _test_tools() -> list[str]:
    project = tomllib.loads((_HOUSE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [
        need
        for need in project["optional-dependencies"]["dev"]
        if need.startswith(("griffelib", "hypothesis", "mypy", "pandas-stubs", "pytest"))
    ]


def _pin(name: str) -> str:
    lines = (_HOUSE / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith(f"{name}=="))


def _with_rows(page: str, rows: list[Row]) -> str:
    """The page with these rows in its table; those of other environments stay as they are."""
    before, _, rest = page.partition(_BEGIN)
    table, end, after = rest.partition(_END)
    if not end:
        raise click.ClickException(f"{_PAGE} lacks the lines {_BEGIN} and {_END}")
    lines = {line.split("|")[1].strip(): line for line in table.splitlines() if line.startswith("|")}
    lines |= {row.name: _line(row.cells()) for row in rows}
    shown = [lines[one.name] for one in ENVIRONMENTS if one.name in lines]
    made = "\n".join([_line(_HEAD), _line(["---"] * len(_HEAD)), *shown])
    return f"{before}{_BEGIN}\n{made}\n\nLast run on {Machine.here()}.\n{end}{after}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell or '–' for cell in cells)} |"


def _environment() -> dict[str, str]:
    """This process's, in which uv looks for packages where pip does too."""
    given = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
    return {"UV_FIND_LINKS": ",".join(given.get("PIP_FIND_LINKS", "").split())} | given


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        reason = " ".join((done.stderr.strip() or done.stdout.strip() or "no message").split())
        raise EnvironmentFailedError(f"`{' '.join(map(str, command))}` exits with {done.returncode}: {reason[-300:]}")
    return done.stdout


if __name__ == "__main__":
    main()
