"""Finds out how an audited dataset's own rows hold labels: a losses file, its source and the decisions come in, a
`LabelWriter` goes out. The audit's facts tell most of it, the source's rows the rest.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import datasets

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.labels.cells import SEPARATORS
from lossaudit.engine.labels.form import LabelForm
from lossaudit.engine.table.losses import LossesTable
from lossaudit.engine.table.schema import MULTI_LABEL_SCHEMA, source_names

from .label_sets import names_of
from .label_writers import LabelWriter, OneLabel, SetInCell, SetInIndicators, between_labels, in_columns
from .source_rows import Source
from .store import Decision


def writer_of(losses: LossesTable, source: Source, decisions: Mapping[int, Decision]) -> LabelWriter:
    """What writes labels as the source has them."""
    column = losses.facts.source.label_column or ""
    if not losses.is_multi_label:
        return OneLabel(column, _values(losses, source, column, decisions))
    form = losses.facts.given.form or LabelForm(None)
    labels = losses.label_names
    for decision in decisions.values():
        if unknown := set(names_of(decision.label or "[]")) - set(labels):
            raise LossAuditError(f"the decisions name a label {min(unknown)!r}, which the model doesn't have")
    if form.kind == "columns":
        own = {ours: name for name, ours in source_names(source.rows.features, None, MULTI_LABEL_SCHEMA).items()}
        of_labels = {label: own[ours] for label, ours in zip(labels, form.columns or (), strict=False)}
        return in_columns(of_labels, source.cells(tuple(of_labels.values())))
    source.check()
    if form.kind == "indicators":
        return SetInIndicators(column, labels)
    return _set_in_cell(column, form, labels, source)


def _set_in_cell(column: str, form: LabelForm, labels: Sequence[str], source: Source) -> SetInCell:
    """The writer of cells that name labels. form: `label_form` (docs/losses.md)."""
    kind, feature = form.kind, source.rows.features[column]
    in_list = kind == "list"
    values = {label: value for label, value in zip(labels, form.values or [], strict=False) if value is not None}
    holds_texts = source.has_texts_alone or _holds_names(getattr(feature, "feature", feature))
    holds_texts = holds_texts or any(isinstance(value, str) for value in values.values())
    if holds_texts or kind == "separated":
        values = {label: str(values.get(label, label)) for label in labels}
    if in_list or not (holds_texts or kind == "separated"):
        as_json = isinstance(feature, datasets.Json) and not source.as_text
        return SetInCell(column, values, between=None, in_list=in_list, as_json=as_json)
    # A text of one label a row gets a separator that no label has.
    names = "".join(values.values())
    separator = form.separator or next((sign for sign in SEPARATORS if sign not in names), SEPARATORS[0])
    texts = (row.get(column) for row in source.cells([column]))
    return SetInCell(column, values, between_labels(separator, texts), in_list=False)


def _values(losses: LossesTable, source: Source, column: str, decisions: Mapping[int, Decision]) -> dict[str, Any]:
    """What the source's label column holds for each label that was decided on: as in a row that has it already."""
    wanted = {decision.label for decision in decisions.values() if decision.label is not None}
    names = losses.label_names
    first: dict[str, int] = {}
    for batch in losses.batches(["id", "label", "label_name"]):
        for row in batch.to_pylist():
            if row["label"] is not None and row["label_name"] in wanted:
                first[row["label_name"]] = min(row["id"], first.get(row["label_name"], row["id"]))
    wanted_places = {*first.values()}
    held = {place: row.get(column) for place, row in enumerate(source.cells([column])) if place in wanted_places}
    values = {name: held[place] for name, place in first.items()}
    known = dict(zip(names, losses.facts.given.values or [], strict=False))
    for name in sorted(wanted - set(values)):
        if name not in names:
            raise LossAuditError(f"the decisions name a label {name!r}, which the model doesn't have")
        value = known.get(name)
        if value is None and not _holds_names(source.rows.features[column]):
            raise LossAuditError(
                f"no row of the dataset has the label {name!r}, so how its column writes it isn't known; "
                "decide these rows otherwise, or add a row with it"
            )
        value = name if value is None else value
        values[name] = str(value) if source.as_text and isinstance(next(iter(held.values()), ""), str) else value
    return values


def _holds_names(feature: object) -> bool:
    return isinstance(feature, datasets.Value) and feature.dtype in ("string", "large_string")
