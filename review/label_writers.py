"""Writes a decision's label, or set of labels, into cells as the source writes labels.

`writer_of` learns how from the facts of the audit and from the source's rows. Sets are written in the source's form: a
list, a text with separators, or a 0 or 1 for each label. Labels that stay in a cell keep their spelling.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

import datasets

from lossaudit.engine.arrays import Ints
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.labels.alignment import spelling_key
from lossaudit.engine.labels.cells import SEPARATORS
from lossaudit.engine.labels.form import LabelForm
from lossaudit.engine.table.losses import LossesTable
from lossaudit.engine.table.schema import own_schema, source_names
from lossaudit.engine.table.text_rows import Row

from .audited_rows import AuditedRows
from .field_writer import InField
from .label_sets import names_of, shown
from .label_writer import LabelWriter
from .store import Decision


@dataclass(frozen=True)
class _InCell:
    """A column that holds the labels."""

    column: str
    values: Mapping[str, Any]
    """The cell, or its part, for each label; labels whose spelling isn't known are missing."""

    @property
    def columns(self) -> Sequence[str]:
        return (self.column,)

    @property
    def repeated(self) -> str | None:
        return self.column

    @property
    def texts(self) -> Sequence[str]:
        return _texts_in(self.values.values())


@dataclass(frozen=True)
class LabelInCell(_InCell):
    """A column with one label per row."""

    def check(self, row: int, label: str) -> None:
        pass  # `values` has all of them

    def cells(self, row: Mapping[str, Any], label: str) -> Row:  # noqa: ARG002
        return {self.column: self.values[label]}

    def told(self, row: Mapping[str, Any]) -> Any:
        return row.get(self.column)


@dataclass(frozen=True)
class SetInCell(_InCell):
    """A column whose cells name a row's labels: in a list, in a text, or one label per row."""

    between: str | None
    """Separator of labels in a text; None for lists and for single labels that aren't texts."""
    in_list: bool
    as_json: bool = False
    """Whether a cell is JSON text, in which Arrow stores cells of several types."""

    def check(self, row: int, label: str) -> None:
        names = names_of(label)
        for name in names:
            if name not in self.values:
                raise LossAuditError(
                    f"row {row}: no row of the dataset has the label {name!r}, so its spelling in column "
                    f"{self.column!r} isn't known; change this decision, or add a row with the label"
                )
            if self.between is not None and len(names) > 1 and self.between.strip() in str(self.values[name]):
                raise LossAuditError(
                    f"row {row}: column {self.column!r} separates labels by {self.between.strip()!r}, and the label "
                    f"{name!r} has it in its name, so it can't be written beside others; change this decision"
                )
        if len(names) > 1 and self.between is None and not self.in_list:
            raise LossAuditError(
                f"row {row}: column {self.column!r} holds one number per row, so it can't hold {shown(names)}; "
                "change this decision"
            )

    def cells(self, row: Mapping[str, Any], label: str) -> Row:
        cell = row.get(self.column)
        there = json.loads(cell) if self.as_json and cell is not None else cell
        wanted = names_of(label)
        kept = [part for part in self._parts(there) if self._name(part) in wanted]
        names = {self._name(part) for part in kept}
        parts = [*kept, *(self.values[name] for name in wanted if name not in names)]
        if self.in_list:
            return {self.column: json.dumps(parts, ensure_ascii=False) if self.as_json else parts}
        if self.between is not None:
            return {self.column: self.between.join(map(str, parts))}
        return {self.column: parts[0] if parts else None}

    def told(self, row: Mapping[str, Any]) -> Any:
        return row.get(self.column)

    def _parts(self, cell: Any) -> list[Any]:
        if cell is None:
            return []
        if isinstance(cell, str) and self.between is not None:
            return [part.strip() for part in cell.split(self.between.strip())]
        return list(cell) if isinstance(cell, list) else [cell]

    def _name(self, part: Any) -> str | None:
        """The label that a part of a cell means, if it has the known spelling."""
        return next((name for name, value in self.values.items() if str(value) == str(part)), None)


@dataclass(frozen=True)
class SetInIndicators:
    """A list with a 0 or 1 for each label."""

    column: str
    labels: Sequence[str]
    """The model's labels, in the order of the list."""

    @property
    def columns(self) -> Sequence[str]:
        return (self.column,)

    @property
    def repeated(self) -> str | None:
        return self.column

    @property
    def texts(self) -> Sequence[str]:
        return ()

    def check(self, row: int, label: str) -> None:
        _check_known(row, label, self.labels, f"the lists of column {self.column!r} have no place")

    def cells(self, row: Mapping[str, Any], label: str) -> Row:
        wanted = names_of(label)
        there = row.get(self.column) or []
        kind = next((type(item) for item in there if item is not None), int)
        return {self.column: [kind(name in wanted) for name in self.labels]}

    def told(self, row: Mapping[str, Any]) -> Any:
        return row.get(self.column)


@dataclass(frozen=True)
class SetInColumns:
    """A column of 0 and 1 for each label."""

    column_of: Mapping[str, str]
    """Column of each label."""
    signs: Mapping[str, tuple[Any, Any]]
    """Cells of each column for rows without its label, and with it."""

    @property
    def columns(self) -> Sequence[str]:
        return tuple(self.column_of.values())

    @property
    def repeated(self) -> str | None:
        return next(iter(self.columns)) if len(self.columns) == 1 else None

    @property
    def texts(self) -> Sequence[str]:
        return _texts_in(sign for signs in self.signs.values() for sign in signs)

    def check(self, row: int, label: str) -> None:
        _check_known(row, label, self.column_of, "the dataset has no column")

    def cells(self, row: Mapping[str, Any], label: str) -> Row:
        wanted = names_of(label)
        cells = {}
        for name, column in self.column_of.items():
            there = row.get(column)
            is_same = there is not None and is_set(there) == (name in wanted)
            cells[column] = there if is_same else self.signs[column][name in wanted]
        return cells

    def told(self, row: Mapping[str, Any]) -> Any:
        """The labels' names, since there is no single column to repeat."""
        return ", ".join(name for name, column in self.column_of.items() if is_set(row.get(column)))


Labelled = Callable[[], tuple[Ints, Sequence[str]]]
"""Gives the place of each of the source's rows' given label, NO_LABEL for none, in a list of labels, and that list."""
NO_LABEL = -1


def label_columns_of(losses: LossesTable, source: AuditedRows) -> list[str]:
    """The columns of the source that hold the labels. Raises LossAuditError if the losses file doesn't say it."""
    form = losses.facts.given.form
    if losses.is_multi_label and form is not None and form.kind == "columns":
        return list(_columns_of_labels(losses, source, form).values())
    return [_label_column(losses)]


def writer_of(
    losses: LossesTable, source: AuditedRows, decisions: Mapping[int, Decision], labelled: Labelled
) -> LabelWriter:
    """The writer for a source's form of labels. Raises LossAuditError if the form isn't known."""
    if not losses.is_multi_label:
        column = _label_column(losses)
        return _in_place(source, LabelInCell(column, _values(losses, source, column, decisions, labelled)))
    form = losses.facts.given.form or LabelForm(None)
    labels = losses.label_names
    for decision in decisions.values():
        if unknown := set(names_of(decision.label or "[]")) - set(labels):
            raise LossAuditError(f"the decisions name a label {min(unknown)!r}, which the model doesn't have")
    if form.kind == "columns":
        of_labels = _columns_of_labels(losses, source, form)
        return in_columns(of_labels, source.cells(tuple(of_labels.values())))
    column = _label_column(losses)
    source.check()
    if form.kind == "indicators":
        return _in_place(source, SetInIndicators(column, labels))
    return _in_place(source, _set_in_cell(column, form, labels, source))


def _in_place(source: AuditedRows, writer: LabelInCell | SetInCell | SetInIndicators) -> LabelWriter:
    """The writer, for a field inside of a column if there is no column of the name."""
    field = source.field(writer.column)
    return writer if field is None else InField(field, writer)


def _columns_of_labels(losses: LossesTable, source: AuditedRows, form: LabelForm) -> dict[str, str]:
    """The source's column of each label."""
    names = source_names(source.features, None, own_schema(losses.schema.names))
    own = {ours: name for name, ours in names.items()}
    return {label: own[ours] for label, ours in zip(losses.label_names, form.columns or (), strict=False)}


def _label_column(losses: LossesTable) -> str:
    column = losses.facts.source.label_column
    if column is None:
        raise LossAuditError(f"{losses.path} doesn't say which column of the dataset holds the labels; audit it again")
    return column


def _set_in_cell(column: str, form: LabelForm, labels: Sequence[str], source: AuditedRows) -> SetInCell:
    """The writer for cells that name labels. form: `label_form` (docs/losses.md)."""
    kind, feature = form.kind, source.feature(column)
    in_list = kind == "list"
    values = {label: value for label, value in zip(labels, form.values or [], strict=False) if value is not None}
    holds_texts = source.has_texts_alone or _holds_names(getattr(feature, "feature", feature))
    holds_texts = holds_texts or any(isinstance(value, str) for value in values.values())
    if holds_texts or kind == "separated":
        values = {label: str(values.get(label, label)) for label in labels}
    if in_list or not (holds_texts or kind == "separated"):
        as_json = isinstance(feature, datasets.Json) and not source.as_text
        return SetInCell(column, values, between=None, in_list=in_list, as_json=as_json)
    # A text column with one label per row gets a separator that no label contains.
    names = "".join(values.values())
    separator = form.separator or next((sign for sign in SEPARATORS if sign not in names), SEPARATORS[0])
    texts = (row.get(column) for row in source.cells([column]))
    return SetInCell(column, values, between_labels(separator, texts), in_list=False)


def _values(
    losses: LossesTable, source: AuditedRows, column: str, decisions: Mapping[int, Decision], labelled: Labelled
) -> dict[str, Any]:
    """The cell of the source's label column for each decided label, as it is written most often."""
    wanted = {decision.label for decision in decisions.values() if decision.label is not None}
    names = losses.label_names
    known = dict(zip(names, losses.facts.given.values or [], strict=False))
    usual = _usual_cells(*labelled(), source.cells([column]), column)
    values = {name: cell for name, cell in usual.items() if name in wanted}
    if _holds_names(source.feature(column)):
        values |= {name: known[name] for name in values if isinstance(known.get(name), str)}
    in_texts = any(isinstance(cell, str) for cell in usual.values()) or not usual
    for name in sorted(wanted - set(values)):
        if name not in names:
            if not _names_labels(usual):
                raise LossAuditError(
                    f"column {column!r} holds numbers, and the decisions name a new label {name!r}, which has none; "
                    "give the dataset a column with the labels' names, or change these decisions"
                )
            values[name] = name
            continue
        value = known.get(name)
        if value is None and not _holds_names(source.feature(column)):
            raise LossAuditError(
                f"no row of the dataset has the label {name!r}, so its spelling in the label column isn't known; "
                "change these decisions, or add a row with the label"
            )
        value = name if value is None else _as_numbers_are(value, usual.values())
        values[name] = str(value) if source.as_text and in_texts else value
    return values


def _names_labels(usual: Mapping[str, Any]) -> bool:
    """Whether cells are texts in which a name that no row has can be written. usual: the cell of each label."""
    numbers = all(re.fullmatch(r"-?\d+(\.0+)?", str(cell)) for cell in usual.values())
    return not numbers or any(spelling_key(str(cell)) == spelling_key(name) for name, cell in usual.items())


def _as_numbers_are(value: Any, cells: Collection[Any]) -> Any:
    """A class index as other labels are written: 3.0 among 0.0 and 1.0."""
    decimals = {match[1] if (match := re.fullmatch(r"-?\d+(\.0+)", str(cell))) else "" for cell in cells}
    if decimals == {""} or len(decimals) != 1 or not re.fullmatch(r"-?\d+", str(value)):
        return value
    return float(value) if all(isinstance(cell, float) for cell in cells) else f"{value}{decimals.pop()}"


def _usual_cells(labels: Ints, names: Sequence[str], rows: Iterable[Row], column: str) -> dict[str, Any]:
    """The most frequent cell of each label, the first of those. labels: places in `names`, by row."""
    cells: dict[str, Any] = {}
    counts: dict[str, Counter[str]] = {}
    for label, row in zip(chain(labels.tolist(), repeat(NO_LABEL)), rows, strict=False):
        if label != NO_LABEL:
            written = repr(row.get(column))  # cells may be lists, and 1 isn't 1.0 or true
            counts.setdefault(names[label], Counter())[written] += 1
            cells.setdefault(written, row.get(column))
    return {label: cells[seen.most_common(1)[0][0]] for label, seen in counts.items()}


def _texts_in(cells: Iterable[Any]) -> list[str]:
    """The texts among cells and in their lists."""
    items = (item for cell in cells for item in (cell if isinstance(cell, list) else [cell]))
    return [item for item in items if isinstance(item, str)]


def _holds_names(feature: object) -> bool:
    return isinstance(feature, datasets.Value) and feature.dtype in ("string", "large_string")


def in_columns(column_of: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> SetInColumns:
    """The writer for columns of 0 and 1, with the cells that the rows use for them."""
    seen: dict[str, dict[bool, Any]] = {column: {} for column in column_of.values()}
    for row in rows:
        for column, signs in seen.items():
            cell = row.get(column)
            if len(signs) < 2 and cell not in (None, "") and (found := is_set(cell)) is not None:
                signs.setdefault(found, cell)
    every = {is_there: sign for signs in seen.values() for is_there, sign in signs.items()}
    pairs = {column: (_sign(False, signs, every), _sign(True, signs, every)) for column, signs in seen.items()}
    return SetInColumns(column_of, pairs)


def between_labels(separator: str, texts: Iterable[Any]) -> str:
    """The separator with the spaces around it in the first text with several labels."""
    pattern = re.compile(rf"(?<=\S)[^\S\n]*{re.escape(separator)}[^\S\n]*(?=\S)")
    found = (pattern.search(text) for text in texts if isinstance(text, str))
    return next((match[0] for match in found if match), separator)


def is_set(cell: Any) -> bool | None:
    """Whether a cell of 0 or 1 (or false or true) says that the label is there; None for anything else."""
    if isinstance(cell, str):
        lower = cell.strip().lower()
        if lower in ("true", "false"):
            return lower == "true"
    try:
        number = float(cell)
    except (TypeError, ValueError):
        return None
    return bool(number) if number in (0, 1) else None


def _sign(is_there: bool, own: Mapping[bool, Any], every: Mapping[bool, Any]) -> Any:
    """The cell for a label that is there or isn't: the column's own, or one in the form of its opposite."""
    if is_there in own:
        return own[is_there]
    other = own.get(not is_there)
    if not isinstance(other, str):
        return every.get(is_there, int(is_there)) if other is None else type(other)(is_there)
    written = other.strip()
    if written.lower() in ("true", "false"):
        word = str(is_there)
        return word.lower() if written.islower() else word.upper() if written.isupper() else word
    decimals = re.fullmatch(r"[01](\.0*)?", written)
    return f"{int(is_there)}{decimals[1] or '' if decimals else ''}"


def _check_known(row: int, label: str, known: Iterable[str], where: str) -> None:
    missing = [name for name in names_of(label) if name not in set(known)]
    if missing:
        raise LossAuditError(f"row {row}: {where} for the label {missing[0]!r}; change this decision")
