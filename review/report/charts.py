"""The charts of a report: turns figures into `Chart`s, which have the place of every mark. charts.html draws them.

Colours are classes of the page's style sheet, so that a chart follows light, dark and paper. Every mark has its figures
as a tooltip, and the page has the same figures as a table.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from lossaudit.engine.shortening import shortened

from ..estimate import wrong_share
from .bins import CONFIDENCE_BINS, LOSS_BINS_A_DECADE, LOSS_EDGES, loss_quantiles
from .figures import ConfidenceFigures, Figures, LengthFigures, PairFigures

WIDTH, HEIGHT = 528, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 506, 18, 262
"""Positions of a chart's axes."""
_BIN_MERGE = 4
"""Bins of losses per bar."""
MOST_LABELS = 12
"""Labels that a heat map has room for."""
_LEVELS = 5
_LONGEST_LABEL, _LONGEST_NAME = 15, 60
"""Characters of a label's name beside a heat map, and in a tooltip."""


@dataclass(frozen=True)
class Rect:
    x: float
    y: float
    width: float
    height: float
    css: str
    tip: str = ""
    kind: str = "rect"


@dataclass(frozen=True)
class Line:
    x1: float
    y1: float
    x2: float
    y2: float
    css: str
    kind: str = "line"


@dataclass(frozen=True)
class Dot:
    x: float
    y: float
    css: str
    tip: str = ""
    kind: str = "dot"


@dataclass(frozen=True)
class Label:
    x: float
    y: float
    text: str
    css: str = ""
    """Classes, including the anchor of the text: start (by default), middle or end."""
    turn: int = 0
    """Rotation in degrees."""
    kind: str = "label"


@dataclass(frozen=True)
class Chart:
    """A picture of WIDTH × height units."""

    name: str
    """Its id on the page."""
    description: str
    """A sentence that describes the chart to people who can't see it."""
    marks: Sequence[Rect | Line | Dot | Label]
    height: float = HEIGHT
    legend: Sequence[tuple[str, str]] = field(default=())
    """Pairs of a class and its meaning."""


def loss_chart(figures: Figures) -> Chart:
    """Rows by loss, both on log scales, with the cut of the top K."""
    rows = figures.losses.reshape(-1, _BIN_MERGE).sum(axis=1)
    edges = LOSS_EDGES[::_BIN_MERGE]
    a_decade = LOSS_BINS_A_DECADE // _BIN_MERGE
    seen = np.flatnonzero(rows)
    first, last = seen[0] // a_decade * a_decade, -(-(seen[-1] + 1) // a_decade) * a_decade
    across, up = _log_scale(edges[first], edges[last], _LEFT, _RIGHT), _log_scale(0.5, rows.max() * 1.3, _BOTTOM, _TOP)
    assert figures.cut is not None
    cut = across(min(max(figures.cut, edges[first]), edges[last]))
    marks: list[Rect | Line | Dot | Label] = [Rect(cut, _TOP, _RIGHT - cut, _BOTTOM - _TOP, "suspect-zone")]
    marks += _rows_axis(up, int(rows.max()))
    for decade in range(first, last + 1, a_decade):
        marks += _tick_below(across(edges[decade]), _power(round(math.log10(edges[decade]))))
    for index in seen:
        x, y = across(edges[index]), up(rows[index])
        tip = f"{_loss_span(edges[index], edges[index + 1])} nats: {rows[index]:,} rows"
        marks.append(Rect(x + 0.75, y, across(edges[index + 1]) - x - 1.5, _BOTTOM - y, "bar", tip))
    note_fits_right = cut < WIDTH / 2
    side = "start" if note_fits_right else "end"
    marks.append(Line(cut, _TOP - 8, cut, _BOTTOM, "cut"))
    note = f"top {figures.top:,}: loss {figures.cut:.2g} or more"
    marks.append(Label(cut + (6 if note_fits_right else -6), _TOP - 2, note, f"note {side}"))
    marks += [*_axes(), *_titles("loss of the given label, in nats", "rows")]
    said = f"{figures.ranked:,} rows by loss. The losses of the top {figures.top:,} begin at {figures.cut:.3g} nats."
    return Chart("loss", said, marks)


def loss_table(figures: Figures) -> list[tuple[str, int]]:
    """The figures of `loss_chart`: spans of losses, and how many rows are in each; empty spans are omitted."""
    rows = figures.losses.reshape(-1, _BIN_MERGE).sum(axis=1).tolist()
    edges = LOSS_EDGES[::_BIN_MERGE].tolist()
    return [(_loss_span(low, high), n) for (low, high), n in zip(pairwise(edges), rows, strict=True) if n]


def _loss_span(low: float, high: float) -> str:
    """A bar's losses in words; the outermost bars include everything beyond them."""
    if low == LOSS_EDGES[0]:
        return f"less than {high:.2g}"
    return f"{low:.2g} or more" if high == LOSS_EDGES[-1] else f"{low:.2g} to {high:.2g}"


def reliability_chart(figures: Figures) -> Chart:
    """How often the model is right for each confidence, with Wilson's intervals."""
    across, up = _linear_scale(0, 1, _LEFT, _RIGHT), _linear_scale(0, 1, _BOTTOM, _TOP)
    marks: list[Rect | Line | Dot | Label] = []
    for tenths in range(0, 11, 2):
        at = tenths / 10
        marks += [Line(_LEFT, up(at), _RIGHT, up(at), "grid"), Label(_LEFT - 8, up(at) + 4, f"{at:.0%}", "end")]
        marks += _tick_below(across(at), f"{at:.0%}")
    marks.append(Line(across(0), up(0), across(1), up(1), "ideal"))
    most = max(b.rows for b in figures.confidence)
    for number, found in enumerate(figures.confidence):
        share = wrong_share(found.agreeing, found.rows)
        if share is None:
            continue
        left, right = (across(edge / CONFIDENCE_BINS) for edge in (number, number + 1))
        height = 44 * found.rows / most
        marks.append(
            Rect(left + 0.75, _BOTTOM - height, right - left - 1.5, height, "faint-bar", _confidence_tip(found))
        )
        x = across(found.confidence)
        marks += [
            Line(x, up(share.low), x, up(share.high), "whisker"),
            Dot(x, up(share.share), "dot", _confidence_tip(found)),
        ]
    marks += [*_axes(), *_titles("probability of the prediction", "prediction is the given label")]
    said = (
        "Share of rows whose prediction is the given label, by the prediction's probability. "
        f"Expected calibration error {figures.calibration_error:.1%}."
    )
    legend = [("dot", "agreement with its 95 % interval"), ("faint-bar", "rows"), ("ideal", "perfect calibration")]
    return Chart("reliability", said, marks, legend=legend)


def _confidence_tip(found: ConfidenceFigures) -> str:
    return f"mean probability {found.confidence:.1%}, agreement {found.agreeing / found.rows:.1%}, {found.rows:,} rows"


def length_chart(lengths: Sequence[LengthFigures]) -> Chart:
    """The losses' quartiles for texts of each length."""
    quantiles = [loss_quantiles(found.losses, (0.05, 0.25, 0.5, 0.75, 0.95)) for found in lengths]
    low = 10.0 ** math.floor(math.log10(min(q[0] for q in quantiles)))
    high = 10.0 ** math.ceil(math.log10(max(q[-1] for q in quantiles)))
    up = _log_scale(low, max(high, low * 10), _BOTTOM, _TOP)
    marks: list[Rect | Line | Dot | Label] = []
    for power in range(round(math.log10(low)), round(math.log10(max(high, low * 10))) + 1):
        y = up(10.0**power)
        marks += [Line(_LEFT, y, _RIGHT, y, "grid"), Label(_LEFT - 8, y + 4, _power(power), "end")]
    step = (_RIGHT - _LEFT) / len(lengths)
    for place, (found, (p5, p25, p50, p75, p95)) in enumerate(zip(lengths, quantiles, strict=True)):
        left, middle, half = _LEFT + place * step, _LEFT + (place + 0.5) * step, min(step * 0.34, 22)
        tip = f"{span(found)} tokens: {found.rows:,} rows, median loss {p50:.2g}, quartiles {p25:.2g} and {p75:.2g}"
        marks.append(Line(middle, up(p5), middle, up(p95), "whisker"))
        marks.append(Rect(middle - half, up(p75), 2 * half, max(up(p25) - up(p75), 1), "bar", tip))
        marks.append(Line(middle - half, up(p50), middle + half, up(p50), "median"))
        if len(lengths) <= 9 or place % 2 == 0:
            marks += _tick_below(left, f"{found.first:,}")
    marks += [*_axes(), *_titles("tokens, special ones included", "loss, in nats")]
    said = "Quartiles of the loss of the given label for texts of each length in tokens."
    legend = [("bar", "the middle half of the rows, with the median"), ("whisker", "nine of ten rows")]
    return Chart("length", said, marks, legend=legend)


def heat_map(pairs: Sequence[PairFigures]) -> Chart:
    """Rows in which the model disagrees, by given and predicted label, for the labels of the most frequent pairs."""
    names = confused_labels(pairs)
    count = {(pair.given, pair.predicted): pair.rows for pair in pairs}
    turned = len(names) > 4
    tight = " tight" if turned else ""  # no larger on a narrow page
    left, right, top = 140, 484 if turned else _RIGHT, 134 if turned else 52
    wide = (right - left) / len(names)
    high = min(48.0, max(26.0, wide))
    most = max(count.values())
    marks: list[Rect | Line | Dot | Label] = []
    for row, given in enumerate(names):
        y, x = top + row * high, left + (row + 0.5) * wide
        marks.append(Label(left - 8, y + high / 2 + 4, _short(given), f"end{tight}"))
        marks.append(Label(x, top - 10, _short(given), tight or "middle", turn=-60 if turned else 0))
        for column, predicted in enumerate(names):
            rows = count.get((given, predicted), 0)
            css = "same" if row == column else f"heat-{level(rows, most)}"
            tip = "" if row == column else f"{_pair(given, predicted)}: {rows:,} rows"
            x = left + column * wide
            marks.append(Rect(x + 1, y + 1, wide - 2, high - 2, css, tip))
            if rows:
                marks.append(Label(x + wide / 2, y + high / 2 + 4, _brief(rows, wide), f"middle value on-{css}{tight}"))
    bottom = top + len(names) * high
    marks.append(Label((left + right) / 2, 16, "predicted", "middle axis-title"))
    marks.append(Label(14, (top + bottom) / 2, "given", "middle axis-title", turn=-90))
    said = "Rows whose prediction isn't the given label, by given and predicted label. " + "; ".join(
        f"{_pair(p.given, p.predicted)}: {p.rows:,}" for p in pairs[:3]
    )
    return Chart("confusion", said, marks, height=bottom + 8, legend=_heat_legend(most))


def confused_labels(pairs: Sequence[PairFigures]) -> list[str]:
    """The labels of the most frequent pairs, at most MOST_LABELS of them."""
    names: list[str] = []
    for pair in pairs:
        new = [name for name in (pair.given, pair.predicted) if name not in names]
        if len(names) + len(new) <= MOST_LABELS:
            names += new
        if len(names) == MOST_LABELS:
            break
    return names


def span(found: LengthFigures) -> str:
    """A bin of lengths in words."""
    return f"{found.first:,}–{found.last:,}" if found.last is not None else f"{found.first:,} or more"


def level(rows: int, most: int) -> int:
    """1 to _LEVELS by the logarithm of a count; 0 for none."""
    return math.ceil(_LEVELS * math.log1p(rows) / math.log1p(most) - 1e-9) if rows else 0


def _heat_legend(most: int) -> list[tuple[str, str]]:
    """The counts of each level; levels without any are omitted."""
    # The largest count of level n is the last below (1 + most)^(n / levels).
    lasts = [math.floor(math.exp(math.log1p(most) * level / _LEVELS) - 1 + 1e-6) for level in range(_LEVELS + 1)]
    found = []
    for level, (before, last) in enumerate(pairwise(lasts), 1):
        if last > before:
            text = f"{before + 1:,}–{last:,}" if last > before + 1 else f"{last:,}"
            found.append((f"heat-{level}", text))
    return found


def _axes() -> list[Line]:
    return [Line(_LEFT, _BOTTOM, _RIGHT, _BOTTOM, "axis"), Line(_LEFT, _TOP, _LEFT, _BOTTOM, "axis")]


def _titles(across: str, up: str) -> list[Label]:
    return [
        Label((_LEFT + _RIGHT) / 2, HEIGHT - 14, across, "middle axis-title"),
        Label(14, (_TOP + _BOTTOM) / 2, up, "middle axis-title", turn=-90),
    ]


def _tick_below(x: float, text: str) -> Iterable[Line | Label]:
    return [Line(x, _BOTTOM, x, _BOTTOM + 5, "axis"), Label(x, _BOTTOM + 21, text, "middle")]


def _rows_axis(up: Callable[[float], float], most: int) -> Iterable[Line | Label]:
    for power in range(int(math.log10(most)) + 1):
        y = up(10**power)
        yield Line(_LEFT, y, _RIGHT, y, "grid")
        yield Label(_LEFT - 8, y + 4, f"{10**power:,}" if power < 5 else _power(power), "end")


def _linear_scale(low: float, high: float, start: float, stop: float) -> Callable[[float], float]:
    return lambda value: start + (value - low) / (high - low) * (stop - start)


def _log_scale(low: float, high: float, start: float, stop: float) -> Callable[[float], float]:
    linear = _linear_scale(math.log(low), math.log(high), start, stop)
    return lambda value: linear(math.log(value))


def _power(exponent: int) -> str:
    if -2 <= exponent <= 2:
        return f"{10.0**exponent:g}"
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _short(name: str) -> str:
    """A name that fits beside a heat map. The middle is cut, since the names of many classes often begin alike."""
    return shortened(name, _LONGEST_LABEL, "both")


def _pair(given: str, predicted: str) -> str:
    return f"given {shortened(given, _LONGEST_NAME)}, predicted {shortened(predicted, _LONGEST_NAME)}"


def _brief(rows: int, width: float) -> str:
    """A count that fits into a cell."""
    fits = len(f"{rows:,}") * 8 < width
    return f"{rows:,}" if fits or rows < 1000 else f"{rows / 1000:.0f}k" if rows < 999_500 else f"{rows / 1e6:.0f}M"
