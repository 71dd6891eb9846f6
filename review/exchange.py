"""Decisions as a file, JSON Lines or CSV, to keep, to merge with other people's, or to read in a spreadsheet.

An entry is one decision: what it says, who made it and when, and the example that it is about, by the row number, the
hash of the texts and the given label. All decisions are in it, in the order in which they count.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossaudit.engine.errors import LossAuditError, brief
from lossaudit.engine.files import check_output_file, file_beside
from lossaudit.engine.table.identity import given_key, is_text_key
from lossaudit.engine.table.losses import LossesTable
from lossaudit.engine.table.text_rows import write_rows

from .csv_texts import rows_of
from .examples import Example
from .label_sets import LabelSets, names_of
from .store import Decision, DecisionStore

ENDINGS = (".jsonl", ".csv")
_FIELDS = ("row", "text", "given", "verdict", "label", "annotator", "made_at", "origin", "text_key", "note", "tags")
_NEEDED = ("row", "given", "verdict", "annotator", "made_at", "text_key")
"""What spreadsheets write between the cells of a CSV file; it depends on the country."""
_ORIGIN = "import"
"""The origin of a decision that doesn't name one."""


@dataclass(frozen=True)
class Imported:
    """What an import found."""

    new: Counter[str]
    """New decisions by verdict."""
    known: int
    """Decisions that were here already."""
    gone: int
    """New decisions about examples that the losses file doesn't have; they are kept until it has them."""
    unknown: tuple[str, ...]
    """Fields that mean nothing here."""


def export_decisions(losses: LossesTable, output: Path) -> int:
    """Writes all decisions about a losses file and returns their number.

    Raises LossAuditError if there are none, or the file can't be written or isn't one of these already.
    """
    ending = output.suffix.lower()
    check_output_file(output, ending, ENDINGS)
    if output.exists() and output.stat().st_size and not _is_ours(output):
        raise LossAuditError(f"{output} exists and doesn't hold decisions; remove it, or write to another file")
    with DecisionStore.open(losses, create=False) as store:
        entries = [_entry(example, decision, losses.is_multi_label) for example, decision in store.all()]
    with file_beside(output) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        return write_rows(entries, _FIELDS, ending, file, quote_texts=True)


def import_decisions(losses: LossesTable, files: Sequence[Path]) -> Imported:
    """Adds the decisions in files, as one step of each person; those that are here already aren't added again.

    Raises LossAuditError if a file can't be read, and stores nothing then.
    """
    read = [_Reader(file, losses) for file in files]
    told = [entry for reader in read for entry in reader.entries()]
    unknown = dict.fromkeys(name for reader in read for name in reader.unknown)
    if not told:
        return Imported(Counter(), 0, 0, tuple(unknown))
    with DecisionStore.open(losses) as store:
        merged = store.merge(told)
    return Imported(
        Counter(decision.verdict for decision in merged.new), len(told) - len(merged.new), merged.gone, tuple(unknown)
    )


def _entry(example: Example, decision: Decision, sets: bool) -> dict[str, Any]:
    given: Any = decision.given
    label: Any = decision.label
    if sets:
        given, label = json.loads(given) if given else None, label if label is None else list(names_of(label))
    values = (example.row, example.start, given, decision.verdict, label)
    made = (
        decision.annotator,
        decision.made_at,
        decision.origin,
        decision.text_key,
        decision.note,
        list(decision.tags),
    )
    return dict(zip(_FIELDS, (*values, *made), strict=True))


def _is_ours(file: Path) -> bool:
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            first = opened.readline()
        return all(f'"{name}"' in first for name in _NEEDED)
    except (OSError, UnicodeError):
        return False


class _Reader:
    """Reads the entries of one file."""

    def __init__(self, file: Path, losses: LossesTable) -> None:
        self._file = file
        self._sets = LabelSets(losses.label_names) if losses.is_multi_label else None
        self.unknown: dict[str, None] = {}

    def entries(self) -> list[tuple[Example, Decision]]:
        if self._file.suffix.lower() not in ENDINGS:
            raise LossAuditError(f"{self._file}: decisions are read from {' and '.join(ENDINGS)} files")
        try:
            with self._file.open(encoding="utf-8-sig", newline="") as file:
                text = file.read()
        except (OSError, UnicodeError) as error:
            raise LossAuditError(f"{self._file} can't be read: {brief(error)}") from error
        is_csv = self._file.suffix.lower() == ".csv"
        return [self._entry(where, values) for where, values in (self._rows(text) if is_csv else self._objects(text))]

    def _objects(self, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for number, line in enumerate(text.split("\n"), start=1):
            if not line.strip():
                continue
            where = f"{self._file}, line {number}"
            try:
                values = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise LossAuditError(f"{where}, isn't JSON: {brief(error)}") from error
            if not isinstance(values, dict):
                raise LossAuditError(f"{where}, isn't a JSON object")
            yield where, values

    def _rows(self, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
        return ((where, self._from_cells(row, where)) for where, row in rows_of(self._file, text))

    def _from_cells(self, row: Mapping[str, str], where: str) -> dict[str, Any]:
        """The values as JSON has them."""
        values: dict[str, Any] = dict(row)
        cell = row.get("row", "").strip()
        if cell.isascii() and cell.isdigit():
            values["row"] = int(cell)
        if row.get("verdict") != "relabel":
            values["label"] = row.get("label") or None
        for name in ("tags", "given", "label") if self._sets is not None else ("tags",):
            try:
                values[name] = json.loads(values[name]) if values.get(name) else None
            except (ValueError, RecursionError) as error:
                raise LossAuditError(f"{where}: {name} is {values[name][:60]!r}, not a JSON list") from error
        return values

    def _entry(self, where: str, values: Mapping[str, Any]) -> tuple[Example, Decision]:
        self.unknown |= dict.fromkeys(name for name in values if name not in _FIELDS)
        if missing := [name for name in _NEEDED if name not in values]:
            raise LossAuditError(f"{where}, isn't a decision of `lossaudit decisions export`: it lacks {missing[0]}")
        row, key = values["row"], values["text_key"]
        if not isinstance(row, int) or isinstance(row, bool) or not 0 <= row < 2**63:
            raise LossAuditError(f"{where}: row is {row!r}, not a row number")
        if key != "" and not (isinstance(key, str) and is_text_key(key)):
            raise LossAuditError(f"{where}: text_key is {key!r}, not 32 hexadecimal digits")
        example = Example(row, key, self._given(values, where), self._text(values, "text", where))
        decision = Decision(
            row,
            self._text(values, "verdict", where),
            self._new_label(values, where),
            self._text(values, "annotator", where),
            self._text(values, "origin", where) or _ORIGIN,
            self._text(values, "made_at", where),
            key,
            example.given,
            self._text(values, "note", where),
            tuple(self._names(values, "tags", where)) if values.get("tags") is not None else (),
        )
        return example, decision

    def _new_label(self, values: Mapping[str, Any], where: str) -> str | None:
        if values.get("label") is None:
            return None
        if self._sets is None:
            return self._text(values, "label", where)
        return self._sets.stored(self._names(values, "label", where))

    def _given(self, values: Mapping[str, Any], where: str) -> str:
        is_set = self._sets is not None and values["given"] is not None
        return given_key((self._names if is_set else self._text)(values, "given", where))

    def _names(self, values: Mapping[str, Any], name: str, where: str) -> list[str]:
        if not isinstance(values[name], list):
            raise LossAuditError(f"{where}: {name} is {values[name]!r}, not a list of texts")
        return [self._text({name: label}, name, where) for label in values[name]]

    def _text(self, values: Mapping[str, Any], name: str, where: str) -> str:
        value = values.get(name) or ""
        try:
            if isinstance(value, str) and value.encode():
                return value
        except UnicodeError:
            pass
        if value == "":
            return ""
        raise LossAuditError(f"{where}: {name} is {value!r}, not a text")
