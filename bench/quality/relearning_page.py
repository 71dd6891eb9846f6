"""The bench of learned orders as Markdown: what `bench.quality.relearning` found comes in, a page goes out."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from .noise_page import table

Runs = list[dict[str, Any]]
_ORDERS = {"table": "learned from the table", "states": "learned with states"}


def page(report: dict[str, Any]) -> str:
    """The page of a report (the content of relearning.json)."""
    runs: Runs = report["runs"]
    parts = [
        "# Orders that learn from decisions",
        f"{report['date']}, {report['machine']}; {report['seconds']:,} s. Made by "
        "`python -m bench.quality.relearning`; [docs/noise.md](../../docs/noise.md) says what it means.",
        "Wrong labels found with as many decisions as labels are wrong. A decision is made 50 rows at a time: in the "
        "printed order, or in one that is learned again after each 50. Every 50th row is drawn at random.",
        "## Real mistakes",
        _real([run for run in runs if run["kind"] == "real"]),
        "## Planted mistakes",
        "The change of the wrong labels found, in the mean of all sets and shares; in brackets the worst of them.",
        _planted([run for run in runs if run["kind"] != "real"]),
        "## Reviewers who err",
        "The same, by the share of decisions that are wrong themselves. Such a reviewer finds fewer in any order; the "
        "change is from what the same reviewer finds in the printed order.",
        _errors(runs),
        "## Every run",
        _all(runs),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _changes(runs: Runs, order: str, errors: float) -> list[float]:
    """By how much more is found, of each run."""
    return [_of(run, errors)[order] / _of(run, errors)["printed"] - 1 for run in runs]


def _of(run: dict[str, Any], errors: float) -> dict[str, Any]:
    return next(found for found in run["found"] if found["errors"] == errors)


def _real(runs: Runs) -> str:
    rows = []
    for run in runs:
        found = _of(run, 0.0)
        cells = [f"{found[order]:,} ({found[order] / found['printed'] - 1:+.0%})" for order in _ORDERS]
        rows.append([run["name"], f"{run['rows']:,}", f"{run['wrong']:,}", f"{found['printed']:,}", *cells])
    if runs:
        means = [f"{np.mean(_changes(runs, order, 0.0)):+.0%}" for order in _ORDERS]
        rows.append(["mean", "", "", "", *means])
    return table(["set", "rows", "wrong", "printed order", *_ORDERS.values()], rows)


def _planted(runs: Runs) -> str:
    rows = []
    for kind in _kinds(runs):
        here = [run for run in runs if run["kind"] == kind]
        rows.append([kind, *(_mean_and_worst(_changes(here, order, 0.0)) for order in _ORDERS)])
    return table(["kind", *_ORDERS.values()], rows)


def _errors(runs: Runs) -> str:
    rates = [found["errors"] for found in runs[0]["found"]] if runs else []
    rows = [
        [kind, name, *(_mean_and_worst(_changes([r for r in runs if r["kind"] == kind], order, e)) for e in rates)]
        for kind in _kinds(runs)
        for order, name in _ORDERS.items()
    ]
    return table(["kind", "order", *(f"errs in {rate:.0%}" for rate in rates)], rows)


def _all(runs: Runs) -> str:
    rows = []
    for run in runs:
        name = run["name"] if run["share"] is None else f"{run['name']}, {run['share']:.0%}"
        found = [f"{each['printed']} / {each['table']} / {each['states']}" for each in run["found"]]
        rows.append([run["kind"], name, f"{run['wrong']:,}", *found])
    rates = [found["errors"] for found in runs[0]["found"]] if runs else []
    heads = [f"printed / table / states, errs in {rate:.0%}" for rate in rates]
    return table(["kind", "set", "wrong", *heads], rows)


def _kinds(runs: Runs) -> Iterable[str]:
    return dict.fromkeys(run["kind"] for run in runs)


def _mean_and_worst(changes: list[float]) -> str:
    return f"{np.mean(changes):+.1%} ({min(changes):+.1%})"
