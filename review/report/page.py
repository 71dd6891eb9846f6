"""Writes the report about a losses file: one HTML page that needs no other file.

Jinja2 escapes all texts, and characters that can't be printed are replaced. A content policy in the page allows its own
style sheet and nothing else: no script, no picture, no network.
"""

import base64
import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.files import check_output_file, file_beside
from lossaudit.engine.shortening import shortened
from lossaudit.engine.table.losses import LossesTable
from lossaudit.version import __version__

from ..sampling import SampledShare
from . import charts
from .confident import WrongLabels, estimate_wrong
from .examples import Example, most_cut, mostly_unknown, top_of_pairs
from .facts import facts_shown
from .figures import ClassFigures, Coder, Figures, Missing, PairFigures, gather
from .reviewed import Reviewed, reviewed
from .same_texts import RepeatFigures, gather_repeats
from .sets import DoubtFigures, SetFigures, gather_sets, top_of_doubts

DEFAULT_TOP = 500
"""Number of rows with the highest loss to highlight, unless the user or the audit says another."""
_HERE = Path(__file__).parent
_MARKER = "<!doctype html>\n<!-- lossaudit report -->"
_ENDINGS = (".html", ".htm")
_MOST_CLASSES = 25
_MOST_PAIRS = 12
_EXAMPLES_A_PAIR = 3
_WORST_ROWS = 10
_LONGEST = 120
"""Characters of a label's name, or of a fact, that are shown."""


@dataclass(frozen=True)
class ClassRow:
    """A class as the table shows it."""

    figures: ClassFigures
    wrong: int | None


@dataclass(frozen=True)
class Report:
    """Everything that the page shows."""

    name: str
    """Name of the losses file."""
    figures: Figures
    wrong: WrongLabels | Missing
    reviewed: Reviewed | Missing
    classes: list[ClassRow]
    """Classes with the most wrong labels; where that isn't known, with the most disagreement."""
    pairs: list[tuple[PairFigures, list[Example]]]
    sets: SetFigures | None
    """Figures of a multi-label table, which has no classes and pairs; else None."""
    doubts: list[tuple[DoubtFigures, list[Example]]]
    """Most frequent doubts of a multi-label table."""
    repeats: RepeatFigures
    has_texts: bool
    cut: list[Example]
    unknown_rows: int
    """Rows whose tokens are mostly unknown."""
    unknown: list[Example]
    facts: list[tuple[str, str]]

    @property
    def sampled(self) -> SampledShare | None:
        """What decisions about a random sample say of all rows; None without any."""
        return self.reviewed.sampled if isinstance(self.reviewed, Reviewed) else None


def check_report(path: Path) -> None:
    """Raises LossAuditError if a report can't be written to `path`; call it before the work.

    An existing report may be replaced; any other file may not.
    """
    check_output_file(path, path.suffix.lower(), _ENDINGS)
    try:
        if path.exists():
            with path.open("rb") as file:
                if file.read(len(_MARKER)) != _MARKER.encode():
                    raise LossAuditError(f"{path} exists and isn't a lossaudit report; remove it or name another file")
    except OSError as error:
        raise LossAuditError(f"cannot write {path}: {error.strerror or error}") from error


def write_report(losses_path: Path, path: Path, top: int | None = None) -> Report:
    """Writes the report of a losses file, and returns what it shows.

    top: how many rows with the highest loss to highlight; None for the audit's exact top, or DEFAULT_TOP.
    Raises LossAuditError if either file can't be used.
    """
    check_report(path)
    report = make_report(LossesTable.open(losses_path), top)
    page = render(report)
    with file_beside(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return report


def make_report(losses: LossesTable, top: int | None = None) -> Report:
    """Counts everything that the page shows. See `write_report`."""
    if top is None:
        exact = losses.facts.exact_top
        top = exact if exact is not None and exact > 0 else DEFAULT_TOP
    coder = Coder(losses)
    figures = gather(losses, coder, top)
    wrong = estimate_wrong(losses, coder, figures.classes)
    sets = gather_sets(losses, figures.cut) if losses.is_multi_label else None
    unknown_rows, unknown = mostly_unknown(losses, _WORST_ROWS)
    return Report(
        name=losses.path.name,
        figures=figures,
        wrong=wrong,
        reviewed=reviewed(losses),
        classes=_worst_classes(figures.classes, wrong),
        pairs=top_of_pairs(losses, coder, figures.pairs[:_MOST_PAIRS], _EXAMPLES_A_PAIR),
        sets=sets,
        doubts=top_of_doubts(losses, sets.doubts[:_MOST_PAIRS], _EXAMPLES_A_PAIR) if sets else [],
        repeats=gather_repeats(losses),
        has_texts=losses.text_column is not None,
        cut=most_cut(losses, _WORST_ROWS) if figures.truncated else [],
        unknown_rows=unknown_rows,
        unknown=unknown,
        facts=facts_shown(losses),
    )


def _worst_classes(classes: tuple[ClassFigures, ...], wrong: WrongLabels | Missing) -> list[ClassRow]:
    estimates: Iterable[int | None] = [None] * len(classes)
    if isinstance(wrong, WrongLabels):
        estimates = [*wrong.classes, *[None] * (len(classes) - len(wrong.classes))]
    rows = [ClassRow(found, estimate) for found, estimate in zip(classes, estimates, strict=True) if found.rows]
    rows.sort(
        key=lambda row: (
            -(row.wrong or 0),
            row.figures.agreeing - row.figures.rows,
            row.figures.name,
        )
    )
    return rows[:_MOST_CLASSES]


def render(report: Report) -> str:
    """The page as HTML."""
    templates = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters |= {"plain": plain, "name": lambda value: shortened(plain(value), _LONGEST), "percent": percent}
    templates.tests["missing"] = lambda value: isinstance(value, Missing)
    style = (_HERE / "report.css").read_text(encoding="utf-8")
    figures = report.figures
    lengths = figures.lengths
    drawn = {
        "loss": charts.loss_chart(figures) if figures.ranked else None,
        "confusion": charts.heat_map(figures.pairs) if figures.pairs else None,
        "reliability": charts.reliability_chart(figures) if figures.ranked and report.sets is None else None,
        "length": charts.length_chart(lengths) if not isinstance(lengths, Missing) and lengths else None,
    }
    labels = {name for pair in figures.pairs for name in (pair.given, pair.predicted)}
    return templates.get_template("page.html").render(
        report=report,
        figures=figures,
        charts=drawn,
        width=charts.WIDTH,
        loss_table=charts.loss_table(figures),
        span=charts.span,
        labels_confused=len(labels),
        most_labels=charts.MOST_LABELS,
        most_classes=_MOST_CLASSES,
        widest=max((row.wrong / row.figures.rows for row in report.classes if row.wrong), default=1.0),
        style=style,
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        version=__version__,
        now=datetime.now(UTC),
    )


def plain(value: object) -> str:
    """A text with a dot for every character that is invisible or changes the direction of others."""
    return "".join(c if c.isprintable() or c in "\n\t" else "·" for c in str(value))


def percent(share: float) -> str:
    """A share in per cent, with as many digits as are useful."""
    if not math.isfinite(share):
        return "–"
    return f"{share:.0%}" if share in (0, 1) else f"{share:.2%}" if share < 0.01 else f"{share:.1%}"
