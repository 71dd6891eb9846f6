"""The bar chart: contenders' figures come in, an SVG goes out that reads on light and on dark pages.

Bars are the median rows/s with the least and most as a line over them; their ends say the figure and the ratio to
the loop. Colours are of Okabe and Ito's palette, and which is which stands in the names too.
"""

import re
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt
from matplotlib.patches import Patch

from .figures import Figures

_INK, _PAPER = "#1f2328", "#ffffff"
_COLOURS = {"ours": "#0072b2", "peers": "#e69f00", "PyTorch loops": "#999999"}
_DARK = f"""<style>
@media (prefers-color-scheme: dark) {{
  [style*="fill: {_INK}"] {{ fill: #e6edf3 !important; }}
  [style*="stroke: {_INK}"] {{ stroke: #e6edf3 !important; }}
  [style*="fill: {_PAPER}"] {{ fill: #0d1117 !important; }}
}}
</style>
"""


def draw(found: list[Figures], title: str, subtitle: str, path: Path) -> None:
    """Writes the chart, the fastest contender on top."""
    found = sorted(found, key=lambda figures: figures.rows_per_second.median)
    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "lossaudit",
        "font.family": "sans-serif",
        "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"],
        "text.color": _INK,
        "axes.labelcolor": _INK,
        "axes.edgecolor": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
    }
    with mpl.rc_context(settings):
        figure, axes = plt.subplots(figsize=(9, 1.6 + 0.36 * len(found)), facecolor=_PAPER)
        axes.set_facecolor(_PAPER)
        speeds = [figures.rows_per_second for figures in found]
        names = [figures.name for figures in found]
        axes.barh(names, [speed.median for speed in speeds], color=[_COLOURS[_group(name)] for name in names])
        for place, (speed, figures) in enumerate(zip(speeds, found, strict=True)):
            axes.plot([speed.least, speed.most], [place, place], color=_INK, linewidth=1.5)
            label = f"{speed.median:.3g} rows/s, {figures.ratio.median:.1f} ×"
            axes.annotate(label, (speed.most, place), (5, 0), textcoords="offset points", va="center", fontsize=9)
        axes.set_xlim(0, 1.28 * max(speed.most for speed in speeds))
        axes.set_xlabel("rows/s of the whole job (× the loop); line: least to most")
        axes.spines[["top", "right"]].set_visible(False)
        patches = [Patch(color=colour, label=group) for group, colour in _COLOURS.items()]
        axes.legend(handles=patches, loc="lower right", frameon=False)
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        axes.set_title(subtitle, loc="left", x=0, fontsize=8)
        figure.tight_layout()
        figure.savefig(path, format="svg", metadata={"Date": None}, facecolor=_PAPER)
        plt.close(figure)
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"(<svg [^>]*>\n)", lambda head: head[1] + _DARK, text, count=1), encoding="utf-8")


def _group(name: str) -> str:
    if name.startswith("ours"):
        return "ours"
    return "PyTorch loops" if name.startswith("loop") else "peers"
