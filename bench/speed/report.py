"""The report of a run: its figures come in; a JSON file, a Markdown page and a chart go out."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..machine import Machine
from . import chart
from .figures import Figures, Spread


@dataclass(frozen=True)
class Command:
    """The `lossaudit` command's own figures."""

    version_seconds: float
    top_seconds: float
    """Of `top` over a table of 120,000 rows."""
    bundle_megabytes: float | None
    environment_megabytes: float
    """All that is installed beside it here, the peers too."""


@dataclass(frozen=True)
class Report:
    """One run of the benchmark."""

    model: str
    data: str
    rows: int
    tokens: int
    repeats: int
    top: int
    date: str
    machine: Machine
    peaks: dict[str, dict[str, Any]]
    command: Command
    contenders: list[Figures]
    reasons: dict[str, str]
    """Why others didn't run, by name."""

    @property
    def name(self) -> str:
        """The files' name, without ending."""
        return f"{self.model}-{self.data}-{self.machine.slug}"

    def write(self, folder: Path) -> Path:
        """Writes the three files and returns the Markdown one."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False)
        (folder / f"{self.name}.json").write_text(text + "\n", encoding="utf-8")
        title = f"{self.model} on {self.data}: {self.rows:,} rows, whole job"
        chart.draw(self.contenders, title, str(self.machine), folder / f"{self.name}.svg")
        page = folder / f"{self.name}.md"
        page.write_text(self.markdown(), encoding="utf-8")
        return page

    def markdown(self) -> str:
        """The page."""
        found = sorted(self.contenders, key=lambda figures: -figures.ratio.median)
        peaks = "; ".join(f"{name} {peak['gflops']:.0f} ({peak['by']})" for name, peak in self.peaks.items())
        command = self.command
        bundle = f"{command.bundle_megabytes:.0f} MB" if command.bundle_megabytes else "not made"
        return "\n".join(
            [
                f"# {self.model} on {self.data}",
                "",
                f"{self.rows:,} rows, {self.tokens:,} tokens, {self.repeats} repeats, {self.date}.",
                f"Machine: {self.machine}.",
                f"Matrix-product peaks, GFLOP/s: {peaks}.",
                "",
                f"![Rows a second of each contender]({self.name}.svg)",
                "",
                *_table(_SPEED, [_speed(figures) for figures in found]),
                "",
                *_table(_COST, [_cost(figures, self.top) for figures in found]),
                "",
                *(f"- {name} didn't run: {reason}" for name, reason in self.reasons.items()),
                *([""] if self.reasons else []),
                f"`lossaudit --version`: {command.version_seconds:.2f} s; `lossaudit top` on 120,000 rows: "
                f"{command.top_seconds:.2f} s; bundle: {bundle}; the whole environment of this run, peers and all: "
                f"{command.environment_megabytes:,.0f} MB.",
                "",
            ]
        )


_SPEED = (
    "contender",
    "seconds (least–most)",
    "rows/s",
    "× loop (least–most)",
    "tokens/s",
    "padding",
    "GFLOP/s (of peak)",
    "… pruned",
    "settings",
)
_COST = (
    "contender",
    "loading, s",
    "outside the runtime",
    "start-up, s",
    "peak memory, MB",
    "install, MB",
    "prepared in, s",
    "largest Δ loss",
    "mean Δ loss",
    "top shared",
)


def _speed(figures: Figures) -> list[str]:
    pruned = "–"
    if figures.pruned_gflops is not None and figures.pruned_peak_share is not None:
        pruned = f"{figures.pruned_gflops:.0f} ({figures.pruned_peak_share:.0%})"
    return [
        figures.name,
        _spread(figures.seconds, 2),
        f"{figures.rows_per_second.median:.1f}",
        f"**{figures.ratio.median:.2f}** ({figures.ratio.least:.2f}–{figures.ratio.most:.2f})",
        f"{figures.tokens_per_second:,.0f}",
        f"{figures.padding:.0%}",
        f"{figures.gflops:.0f} ({figures.peak_share:.0%} of {figures.precision})",
        pruned,
        figures.settings or "–",
    ]


def _cost(figures: Figures, top: int) -> list[str]:
    parity = figures.parity
    return [
        figures.name,
        f"{figures.load_seconds:.2f}",
        f"{figures.outside_share:.1%}",
        f"{figures.start_seconds:.1f}",
        f"{figures.peak_megabytes:,.0f}",
        "–" if figures.install_megabytes is None else f"{figures.install_megabytes:,.0f}",
        f"{figures.prepare_seconds:.0f}",
        f"{parity.largest_difference:.1e}",
        f"{parity.mean_difference:.1e}",
        f"{parity.top_shared} of {top}",
    ]


def _spread(spread: Spread, digits: int) -> str:
    return f"{spread.median:.{digits}f} ({spread.least:.{digits}f}–{spread.most:.{digits}f})"


def _table(head: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    align = [":--", *["--:"] * (len(head) - 1)]
    return [f"| {' | '.join(line)} |" for line in ([*head], align, *rows)]
