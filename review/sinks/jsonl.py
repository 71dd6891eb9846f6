"""Records as a file of JSON Lines, in which a program or a person fills in `annotation` (docs/annotation-servers.md).

An existing file keeps its lines unchanged and gets the missing ones.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lossaudit.engine.errors import LossAuditError, brief
from lossaudit.engine.files import file_beside

from ..records import Record
from . import About, Answer, Held, Place
from .exports import Export, records_of, row_number

_NEEDED = ("id", "annotation")
_VERDICTS = ("keep", "unsure", "discard")


class JsonLines:
    """A file of records."""

    batch_size = 1_000_000  # the file is written as a whole

    def __init__(self, file: Path, about: About) -> None:
        self._file = file
        self._about = about
        self._export: Export | None = None
        """How records of other programs are read; None where records are sent."""

    @property
    def address(self) -> str:
        return str(self._file)

    @property
    def page(self) -> None:
        return None

    def find(self, *, create: bool) -> None:
        if not create and not self._file.is_file():
            raise LossAuditError(f"there is no file {self._file}; write it with `lossaudit log`")
        if self._file.exists() and not self._file.is_file():
            raise LossAuditError(f"{self._file} isn't a file; name another")
        self._export = None if create else Export(self._about, self._changed())

    @property
    def unknown(self) -> list[str]:
        """Fields of other programs' records of which nothing was taken."""
        return list(self._export.unknown) if self._export else []

    def held(self) -> Iterator[Held]:
        if not self._file.is_file():
            return
        if self._export is not None:
            for where, found in records_of(self._file):
                theirs = self._export.held(found, where)
                yield theirs if theirs is not None else self._held(self._checked(found, where), where)
            return
        for number, line in enumerate(self._lines(), start=1):
            yield self._held(self._parsed(line, number), f"{self._file}, line {number}")

    def send(self, records: Sequence[Record]) -> None:
        lines = self._lines() if self._file.is_file() else []
        lines += [json.dumps(_object(record), ensure_ascii=False, allow_nan=False) for record in records]
        with file_beside(self._file) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")

    def close(self) -> None:
        pass

    def _lines(self) -> list[str]:
        try:
            text = self._file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeError) as error:
            raise LossAuditError(f"{self._file} can't be read: {brief(error)}") from error
        return [line for line in text.split("\n") if line.strip()]

    def _parsed(self, line: str, number: int) -> dict[str, Any]:
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise LossAuditError(f"{self._file}, line {number}, isn't JSON: {brief(error)}") from error
        return self._checked(found, f"{self._file}, line {number}")

    def _checked(self, found: object, where: str) -> dict[str, Any]:
        if not isinstance(found, dict) or any(name not in found for name in _NEEDED):
            raise LossAuditError(f"{where}, isn't a record of `lossaudit log`: it lacks {' or '.join(_NEEDED)}")
        return found

    def _changed(self) -> str:
        return datetime.fromtimestamp(self._file.stat().st_mtime, UTC).isoformat() if self._file.exists() else ""

    def _held(self, found: dict[str, Any], where: str) -> Held:
        row, loss = row_number(found["id"]), found.get("loss")
        if row is None:
            raise LossAuditError(f"{where}: id is {found['id']!r}, not a row number")
        return Held(
            row,
            _text(found, "text", where),
            loss if isinstance(loss, float) else None,
            tuple(_answers(found, where, self._changed(), self._about.multi_label)),
            _text(found, "text_pair", where),
        )


def connect(place: Place, about: About) -> JsonLines:
    """The file, or NAME.jsonl."""
    return JsonLines(place.file or Path(f"{place.name}.jsonl"), about)


def _object(record: Record) -> dict[str, Any]:
    return {
        "id": record.row,
        "rank": record.rank,
        "text": record.text,
        **({} if record.text_pair is None else {"text_pair": record.text_pair}),
        **_labels(record),
        "probabilities": [list(pair) for pair in record.probabilities],
        "loss": record.loss,
        "metadata": record.metadata,
        "annotation": None,
        "verdict": None,
        "annotator": None,
        "annotated_at": None,
    }


def _labels(record: Record) -> dict[str, Any]:
    """The given and the predicted label, or lists of them."""
    if (doubt := record.doubt) is None:
        return {"label": record.label, "prediction": record.prediction}
    return {"labels": list(doubt.given), "predictions": list(doubt.predicted), "worst_label": doubt.worst}


def _answers(found: dict[str, Any], where: str, changed: str, multi_label: bool) -> Iterator[Answer]:
    label = _set(found, where) if multi_label else _label(found, where)
    verdict = _text(found, "verdict", where)
    if label is None and verdict is None:
        return
    if label is not None and verdict is not None:
        raise LossAuditError(f"{where}: it has both an annotation and a verdict; remove one")
    if verdict is not None and verdict not in _VERDICTS:
        raise LossAuditError(
            f"{where}: verdict is {verdict!r}, not one of {', '.join(_VERDICTS)}; a new label goes into annotation"
        )
    made_at = _text(found, "annotated_at", where) or changed
    try:
        time = datetime.fromisoformat(made_at)
    except ValueError as error:
        raise LossAuditError(f"{where}: annotated_at is {made_at!r}, not a time like {changed}") from error
    if time.tzinfo is None:
        raise LossAuditError(f"{where}: annotated_at is {made_at!r}, without a time zone; write it like {changed}")
    annotator = (_text(found, "annotator", where) or "").strip() or "jsonl"
    yield Answer(label, verdict, annotator, time.isoformat())


def _set(found: dict[str, Any], where: str) -> tuple[str, ...] | None:
    value = found["annotation"]
    if value is None:
        return None
    if isinstance(value, list) and all(isinstance(label, (str, int)) for label in value):
        return tuple(map(str, value))
    raise LossAuditError(f"{where}: annotation is {value!r}, not a list of labels or null")


def _label(found: dict[str, Any], where: str) -> str | None:
    """The label's name, or its class index."""
    value = found["annotation"]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(found, "annotation", where)


def _text(found: dict[str, Any], name: str, where: str) -> str | None:
    value = found.get(name)
    if value is None or isinstance(value, str):
        return value
    raise LossAuditError(f"{where}: {name} is {value!r}, not a text or null")
