"""Decisions in Python: made by row numbers, shown as a DataFrame, and applied to the DataFrame that was audited."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pandas as pd

from lossaudit.engine.data.in_memory import rows_in_memory
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.table.losses import LossesTable

from .apply import check_places
from .audited_rows import AuditedRows
from .cleaning.edit import DISCARDED, ORIGINAL, REVIEW, Edit
from .examples import examples_of
from .label_names import meant
from .label_sets import LabelSets, names_of
from .label_writers import writer_of
from .placing import placed
from .store import Decision, DecisionStore, utc_now

ORIGIN = "python"
_COLUMNS = ("id", "given", "verdict", "label", "annotator", "made_at", "origin")


def decide(
    losses: LossesTable,
    labels: Mapping[int, str | Sequence[str]],
    verdicts: Mapping[str, Iterable[int]],
    annotator: str,
) -> None:
    """Stores decisions about rows, as one step. labels: the right label, or set, of rows; verdicts: rows by verdict.

    A label that is the given one counts as keeping it. Raises LossAuditError for a row that isn't in the table or is
    named twice, and for a label that the model doesn't have; nothing is stored then.
    """
    stored = {int(row): _stored(label, losses) for row, label in labels.items()}
    told = [(row, "relabel", label) for row, label in stored.items()]
    said = [*told, *((int(row), verdict, None) for verdict, rows in verdicts.items() for row in rows)]
    times = Counter(row for row, *_ in said)
    if twice := [row for row, count in times.items() if count > 1]:
        raise LossAuditError(f"row {twice[0]} is named twice; decide each row once")
    examples, now = examples_of(losses, times), utc_now()
    given = {row: _given(example.given, losses) for row, example in examples.items() if row in stored}
    kept = {row for row, label in stored.items() if label == given.get(row)}
    decisions = [
        Decision(row, *(("keep", None) if row in kept else (verdict, label)), annotator, ORIGIN, now)
        for row, verdict, label in said
    ]
    with DecisionStore.open(losses) as store:
        store.add(decisions, examples, now=True)


def carry_over(losses: LossesTable, path: Path) -> None:
    """Stores the decisions about a table beside the file that it was saved to."""
    with DecisionStore.open(losses) as store:
        told = store.all()
    if told:
        with DecisionStore.open(LossesTable.open(path)) as there:
            there.merge(told)


def as_frame(losses: LossesTable) -> pd.DataFrame:
    """The decisions that count, in the order of rows; sets of labels are lists."""
    with DecisionStore.open(losses) as store:
        decisions = store.decisions()
    sets = losses.is_multi_label
    rows = [
        (
            *(row, _shown(one.given, sets), one.verdict, _shown(one.label, sets)),
            *(one.annotator, one.made_at, one.origin),
        )
        for row, one in sorted(decisions.items())
    ]
    frame = pd.DataFrame(rows, columns=list(_COLUMNS)).astype({"id": "int64"})
    labels = pd.Series([row[_COLUMNS.index("label")] for row in rows], dtype="object")  # None, not NaN
    return frame.assign(label=labels, made_at=pd.to_datetime(frame["made_at"], utc=True, format="ISO8601"))


def cleaned_frame(
    losses: LossesTable, frame: pd.DataFrame, *, flag_discarded: bool, review_columns: bool, strict: bool
) -> pd.DataFrame:
    """A DataFrame with the decided labels; its index, columns and types stay.

    Raises LossAuditError as `apply_decisions` does.
    """
    rows = rows_in_memory(frame)
    with rows:
        source = AuditedRows(rows, as_text=False, is_as_audited=rows.fingerprint == losses.facts.source.fingerprint)
        with DecisionStore.open(losses) as store:
            found = placed(losses, source, store.decisions())
        check_places(found, source, strict)
        writer = writer_of(losses, source, found.decisions, found.labelled)
        edit = Edit(writer, found.decisions, flag_discarded, review_columns)
        edit.check(source.features)
        cells = {name: dict[int, Any]() for name in edit.writer.columns}
        wanted = {row: one.label for row, one in found.decisions.items() if one.label is not None}
        for place, row in enumerate(source.cells(edit.writer.columns)):
            if place in wanted:
                for name, cell in edit.writer.cells(row, wanted[place]).items():
                    cells[name][place] = cell
    return _edited(frame, edit, cells)


def _edited(frame: pd.DataFrame, edit: Edit, cells: Mapping[str, Mapping[int, Any]]) -> pd.DataFrame:
    """cells: the new cells of each column, by place."""
    edited = frame.copy()
    names = [str(name) for name in frame.columns]
    for name, new in cells.items():
        at = names.index(name)
        edited.isetitem(at, cast(Any, _with_cells(edited.iloc[:, at], new)))  # an array would lose the type
    verdicts = [one.verdict if (one := edit.decisions.get(place)) else None for place in range(len(frame))]
    if edit.review_columns:
        repeated = edit.writer.repeated
        edited[ORIGINAL] = frame.iloc[:, names.index(repeated)] if repeated else _told(frame, names, edit)
        edited[REVIEW] = pd.Series(verdicts, index=frame.index, dtype="object")
    if edit.flag_discarded:
        edited[DISCARDED] = [verdict == "discard" for verdict in verdicts]
        return edited
    return edited[[verdict != "discard" for verdict in verdicts]]


def _with_cells(column: pd.Series, cells: Mapping[int, Any]) -> pd.Series:
    """The column with some cells changed; its type stays, and a category that it lacks is added."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        new = dict.fromkeys(cell for cell in cells.values() if cell is not None)
        column = column.cat.add_categories([cell for cell in new if cell not in column.cat.categories])
    changed = column.copy()
    for place, cell in cells.items():
        changed.iat[place] = cell
    return changed


def _told(frame: pd.DataFrame, names: Sequence[str], edit: Edit) -> list[Any]:
    columns = {name: frame.iloc[:, names.index(name)].tolist() for name in edit.writer.columns}
    return [edit.writer.told(dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]


def _stored(label: str | Sequence[str], losses: LossesTable) -> str:
    """A label, or a set, as decisions store it."""
    names = losses.label_names
    chosen = [label] if isinstance(label, str) else list(label)
    known = [found for one in chosen if (found := meant(str(one), names)) is not None]
    if len(known) < len(chosen):
        wrong = next(one for one in chosen if meant(str(one), names) is None)
        raise LossAuditError(f"there is no label {wrong!r}; there are {', '.join(map(repr, names))}")
    if losses.is_multi_label:
        return LabelSets(names).stored(known)
    if not isinstance(label, str):
        raise LossAuditError(f"{label!r} isn't a label; the rows have one each")
    return known[0]


def _given(given: str, losses: LossesTable) -> str:
    """A given label as decisions store a new one."""
    return LabelSets(losses.label_names).stored(names_of(given)) if losses.is_multi_label and given else given


def _shown(label: str | None, sets: bool) -> str | list[str] | None:
    return list(names_of(label)) if sets and label else label
