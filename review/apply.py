"""Applies the decisions about a losses file: writes its dataset with the new labels.

audited_rows.py reads the dataset, placing.py finds the decided rows in it, label_writers.py knows how its cells hold
labels, and cleaning/ edits, writes and checks.
"""

import contextlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lossaudit.engine.data.containers import ending_of, packing_of
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.files import check_not_of, check_output_file, file_beside
from lossaudit.engine.run.kept_parts import folder_for
from lossaudit.engine.scratch import Scratch
from lossaudit.engine.shortening import shortened
from lossaudit.engine.table.losses import LossesTable
from lossaudit.engine.table.text_rows import TEXT_ENDINGS

from .audited_rows import AuditedRows
from .cleaning.comparing import DifferentError
from .cleaning.edit import Edit
from .cleaning.form import Form
from .cleaning.forms import beside, form_of
from .label_sets import names_of, shown
from .label_writers import writer_of
from .placing import Placed, placed
from .resolving import ADJUDICATED, resolved
from .store import DecisionStore, Gone

_ENDINGS = (*TEXT_ENDINGS, ".parquet", ".arrow", ".feather")
"""Endings of files; a name without an ending is the folder of a saved dataset."""
_SHOWN = 60
"""Characters of a text in a message."""


@dataclass(frozen=True)
class Change:
    """A given label and its replacement; for multi-label rows, sets as names separated by commas."""

    given: str
    """Given label."""
    new: str
    """Label that was decided."""
    rows: int
    """Rows with this change."""


@dataclass(frozen=True)
class LabelChange:
    """How many multi-label rows got a label, and how many lost it."""

    label: str
    """Name of the label."""
    added: int
    """Rows that got it."""
    removed: int
    """Rows that lost it."""


@dataclass(frozen=True)
class Cleaned:
    """The result of applying decisions to a dataset."""

    source: str
    """Name of the dataset."""
    rows: int
    """Rows of the source."""
    written: int
    """Rows of the output."""
    relabelled: int
    """Rows with a new label."""
    discarded: int
    """Rows that a person discarded."""
    kept: int
    """Rows whose given label a person kept."""
    unsure: int
    """Rows of which a person couldn't tell."""
    is_as_audited: bool
    """Whether the dataset is the one that was audited; else it has changed since."""
    gone: tuple[Gone, ...]
    """Decisions that weren't applied, since the dataset doesn't have their texts, with the same labels, any more."""
    lost: str | None
    """What of the source the output's format can't hold; None where all but the decided cells stays as it is."""
    unresolved: tuple[int, ...]
    """Rows of the losses file whose decisions weren't applied, since no majority made one of them."""
    changes: tuple[Change, ...]
    """Changes, most frequent first."""
    labels: tuple[LabelChange, ...] | None
    """How often each label was added or removed, most often first; None unless rows are multi-label."""


def apply_decisions(losses_path: Path, output: Path, **options: Any) -> Cleaned:
    """Writes the dataset behind a losses file with the labels that people decided; see `apply_to`."""
    return apply_to(LossesTable.open(losses_path), output, **options)


def apply_to(
    losses: LossesTable,
    output: Path,
    *,
    dataset: str | None = None,
    flag_discarded: bool = False,
    review_columns: bool = False,
    strict: bool = False,
    check: bool = False,
    resolve: str = ADJUDICATED,
) -> Cleaned:
    """Writes the dataset behind a losses table with the labels that people decided.

    output: a text file (.gz, .bz2, .xz or .zip too) or a Parquet, Arrow or Feather file, or a folder for
    a saved dataset.
    dataset: where the dataset is now, if not where it was audited. flag_discarded: keep discarded rows and flag them in
    a column, instead of leaving them out. review_columns: add the given label and the decision. strict: whether each
    decided text must still be in the dataset. check: write nothing, but compare an output that is there already.
    resolve: which decision counts where people differ, as `resolving.resolved` takes it.
    Also writes OUTPUT.changes.json. Raises LossAuditError if the dataset can't be opened, has none of the decided texts
    any more, or doesn't show how it writes a label, and for an output that isn't the dataset with the decisions.
    """
    ending = ending_of(output)
    if ending not in TEXT_ENDINGS:  # others aren't compressed as a whole
        ending += packing_of(output.name)
    if ending:
        check_output_file(output, ending, _ENDINGS, otherwise=", or have no ending for a saved dataset's folder")
    source = AuditedRows.open(losses, output, dataset)
    with source.rows:
        check_not_of(output, source.places)
        if not check:
            _check_is_ours(output)
        with DecisionStore.open(losses, create=False) as store:
            counting = resolved(store, resolve)
        found = placed(losses, source, counting.decisions)
        check_places(found, source, strict)
        writer = writer_of(losses, source, found.decisions, found.labelled)
        edit = Edit(writer, found.decisions, flag_discarded, review_columns)
        edit.check(source.features)
        form = form_of(source, edit, output)
        if check:
            return _cleaned(losses, source, found, counting.open, form.lost, _checked(form, output, source))
        # What a killed process leaves there, the next one deletes.
        with contextlib.closing(Scratch(folder_for(output))) as scratch, beside(output, form, scratch.path) as place:
            written = _written(form, place, output, source)
            cleaned = _cleaned(losses, source, found, counting.open, form.lost, written)
            # It tells that the output is ours, so it comes first.
            _write_changes(cleaned, _changes_of(output))
    return cleaned


def _changes_of(output: Path) -> Path:
    return output.with_name(f"{output.name}.changes.json")


def _check_is_ours(output: Path) -> None:
    """Raises LossAuditError for an output that is there and that no apply has written."""
    holds = any(output.iterdir()) if output.is_dir() else output.exists() and output.stat().st_size > 0
    if holds and not _changes_of(output).is_file():
        raise LossAuditError(
            f"{output} exists and isn't a cleaned dataset (no {_changes_of(output).name} is beside it); remove it, or "
            "write to another place"
        )


def _written(form: Form, place: Path, output: Path, source: AuditedRows) -> int:
    """Writes the output to a place beside its own, reads it again, and returns its number of rows."""
    form.write(place, output.name)
    try:
        return form.check(place, output.name)
    except DifferentError as error:
        raise LossAuditError(
            f"{output} wasn't written, since it wouldn't be {source.name} with the decisions: {error}; please report "
            "this, with the first lines of the dataset"
        ) from error


def _checked(form: Form, output: Path, source: AuditedRows) -> int:
    """The number of rows of an output that is there."""
    if not output.exists():
        raise LossAuditError(f"there is no {output} to check")
    try:
        return form.check(output, output.name)
    except DifferentError as error:
        raise LossAuditError(f"{output} isn't {source.name} with the decisions: {error}") from error


def check_places(found: Placed, source: AuditedRows, strict: bool) -> None:
    """Raises LossAuditError if decisions can't be applied to a dataset that has changed."""
    if not found.gone or (found.decisions and not strict):
        return
    many = f"{len(found.gone):,} of the decided rows aren't" if found.decisions else "none of the decided rows is"
    first = found.gone[0]
    raise LossAuditError(
        f"{source.name} has changed since the audit, and {many} in it any more, with the same text and label (first, "
        f"row {first.decision.row}: {shortened(first.start, _SHOWN)!r}); audit it again"
    )


def _write_changes(cleaned: Cleaned, path: Path) -> None:
    told = asdict(cleaned)
    told["gone"] = [gone.decision.row for gone in cleaned.gone]
    if cleaned.labels is None:
        del told["labels"]
    with file_beside(path) as temporary:
        temporary.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _cleaned(
    losses: LossesTable,
    source: AuditedRows,
    found: Placed,
    unresolved: tuple[int, ...],
    lost: str | None,
    written: int,
) -> Cleaned:
    verdicts = Counter(decision.verdict for decision in found.original.values())
    changes, labels = _changes(losses, {row: d.label for row, d in found.original.items() if d.label is not None})
    return Cleaned(
        source=source.name,
        rows=len(source),
        written=written,
        relabelled=verdicts["relabel"],
        discarded=verdicts["discard"],
        kept=verdicts["keep"],
        unsure=verdicts["unsure"],
        is_as_audited=source.is_as_audited,
        gone=tuple(found.gone),
        lost=lost,
        unresolved=unresolved,
        changes=changes,
        labels=labels,
    )


def _changes(
    losses: LossesTable, relabelled: Mapping[int, str]
) -> tuple[tuple[Change, ...], tuple[LabelChange, ...] | None]:
    """The changes; for multi-label rows also label by label."""
    sets = losses.is_multi_label
    column = "labels" if sets else "label_name"
    given: dict[int, Any] = {}
    for batch in losses.batches(["id", column]):
        given |= {row["id"]: row[column] for row in batch.to_pylist() if row["id"] in relabelled}
    if not sets:
        return _counted((str(given[row]), new) for row, new in relabelled.items()), None
    pairs = [(given[row] or [], names_of(new)) for row, new in relabelled.items()]
    added = Counter(name for old, new in pairs for name in set(new) - set(old))
    removed = Counter(name for old, new in pairs for name in set(old) - set(new))
    changed = sorted(added | removed, key=lambda name: (-added[name] - removed[name], name))
    return (
        _counted((shown(old), shown(new)) for old, new in pairs),
        tuple(LabelChange(name, added[name], removed[name]) for name in changed),
    )


def _counted(pairs: Iterable[tuple[str, str]]) -> tuple[Change, ...]:
    ordered = sorted(Counter(pairs).items(), key=lambda item: (-item[1], item[0]))
    return tuple(Change(old, new, count) for (old, new), count in ordered)
