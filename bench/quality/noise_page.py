"""The noise bench's results as Markdown: what `bench.quality.noise` found comes in, a page goes out."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

_BASE = "loss"
Runs = list[dict[str, Any]]


def page(report: dict[str, Any]) -> str:
    """The page of a report (the content of noise.json)."""
    runs: Runs = report["runs"]
    settings = sorted({(run["data"], run["kind"]) for run in runs}, key=_order(runs))
    shares = sorted({run["share"] for run in runs})
    seeds = len({run["seed"] for run in runs})
    parts = [
        "# Planted wrong labels, and who finds them",
        f"{report['date']}, {report['machine']}; {report['seconds']:,} s. Made by `python -m bench.quality.noise`; "
        "[docs/noise.md](../../docs/noise.md) says what it means.",
        f"Figures are means over {', '.join(f'{share:.0%}' for share in shares)} of wrong labels and {seeds} seeds.",
        "## Average precision",
        _scores(runs, settings, "average_precision"),
        "## Precision in the top K as planted, which is recall too",
        _scores(runs, settings, "at_planted"),
        "## Heads and a network that knows its labels by heart, 10 % wrong: average precision",
        _network(runs, settings),
        "## The estimate by the number planted",
        "In brackets: scaled up to the rows that reach no threshold, as in the paper; and the share of planted labels "
        "in the rows that it suggests to review.",
        _estimates(runs, settings, shares),
        "Counted in the labels as they are: "
        + "; ".join(
            f"{name} {found['in sample']} in sample, {found['out of sample']} out of sample, {found['blend']} blend"
            for name, found in report["clean"].items()
        )
        + ".",
    ]
    if all(run["filtered"] for run in runs):
        parts += ["## cleanlab's filter: rows by the number planted, precision, recall", _filter(runs, settings)]
    return "\n\n".join(parts) + "\n"


def _order(runs: Runs) -> Callable[[tuple[str, str]], int]:
    first: dict[tuple[str, str], int] = {}
    for place, run in enumerate(runs):
        first.setdefault((run["data"], run["kind"]), place)
    return first.__getitem__


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _of(runs: Runs, setting: tuple[str, str]) -> Runs:
    return [run for run in runs if (run["data"], run["kind"]) == setting]


def _names(settings: list[tuple[str, str]]) -> list[str]:
    return [f"{data}, {kind}" for data, kind in settings]


def _scores(runs: Runs, settings: list[tuple[str, str]], figure: str) -> str:
    def means(score: str) -> list[float]:
        return [float(np.mean([run["scores"][score][figure] for run in _of(runs, s)])) for s in settings]

    names = [score for score in runs[0]["scores"] if not score.startswith("network")]
    base = means(_BASE)
    rows = [[f"**{_BASE}**", *(f"{value:.3f}" for value in base), f"{np.mean(base):.3f}"]]
    for score in names:
        if score != _BASE:
            differences = np.subtract(means(score), base)
            rows.append([score, *(f"{value:+.3f}" for value in differences), f"{differences.mean():+.3f}"])
    return table(["score, by its difference from the loss", *_names(settings), "mean"], rows)


def _network(runs: Runs, settings: list[tuple[str, str]]) -> str:
    tried = [run for run in runs if run["network_knows"] is not None]
    names = ("loss, in sample", "loss", "network, in sample", "network, out of sample")
    rows = []
    for setting in settings:
        here = _of(tried, setting)
        known = np.mean([run["network_knows"] for run in here])
        found = [np.mean([run["scores"][name]["average_precision"] for run in here]) for name in names]
        rows.append([", ".join(setting), f"{known:.1%}", *(f"{value:.3f}" for value in found)])
    head = ["setting", "labels it knows", "head, in sample", "head, out of sample", *names[2:]]
    return table(head, rows)


def _estimates(runs: Runs, settings: list[tuple[str, str]], shares: list[float]) -> str:
    models = list(runs[0]["estimates"])
    rows = []
    for setting in settings:
        for share in shares:
            here = [run for run in _of(runs, setting) if run["share"] == share]
            cells = []
            for model in models:
                seen = [(run["estimates"][model], run["planted"]) for run in here]
                ratio, scaled = (np.mean([found[f] / planted for found, planted in seen]) for f in ("rows", "scaled"))
                held = np.mean([found["held"] for found, _ in seen])
                cells.append(f"{ratio:.2f} ({scaled:.2f}, {held:.0%})")
            rows.append([", ".join(setting), f"{share:.0%}", *cells])
    return table(["setting", "planted", *models], rows)


def _filter(runs: Runs, settings: list[tuple[str, str]]) -> str:
    rows = []
    for setting in settings:
        here = [(run["filtered"], run["planted"]) for run in _of(runs, setting)]
        rows.append(
            [
                ", ".join(setting),
                f"{np.mean([found['rows'] / planted for found, planted in here]):.2f}",
                f"{np.mean([found['planted'] / max(1, found['rows']) for found, _ in here]):.3f}",
                f"{np.mean([found['planted'] / planted for found, planted in here]):.3f}",
            ]
        )
    return table(["setting", "rows by planted", "precision", "recall"], rows)
