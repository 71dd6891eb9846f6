"""Reads what annotation programs export as files: doccano, Prodigy, Label Studio, Rubrix, Argilla, and plain CSV.

Each record is told apart by its fields. docs/annotation-servers.md lists what is taken from which.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lossaudit.engine.errors import LossAuditError, brief
from lossaudit.engine.labels.alignment import spelling_key

from ..csv_texts import rows_of
from . import About, Answer, Held, utc

Fields = dict[str, Any]
_TEXTS = ("text", "data", "text_a", "sentence")
_OURS = {"text_pair", "rank", "row_id", "loss", "given_label", "doubted", "prediction", "probabilities", "metadata"}
"""Fields that records of `lossaudit log` have, whatever program they went through."""
_DISCARDED = {"discarded", "rejected"}


@dataclass
class Export:
    """The records of a file."""

    about: About
    changed: str
    """Time of answers that have none."""
    unknown: dict[str, None] = field(default_factory=dict)
    """Fields of which nothing was taken."""

    def held(self, record: Fields, where: str) -> Held | None:
        """A record of another program than ours; None for a record that none of them writes."""
        for is_it, read in _PROGRAMS:
            if is_it(record):
                try:
                    used, answers = read(record, self)
                except (AttributeError, KeyError, TypeError, ValueError) as error:  # whatever the file made of it
                    raise LossAuditError(f"{where}, isn't as its program writes it: {brief(error)}") from error
                meant = used | _OURS
                self.unknown |= {
                    name: None for name, value in record.items() if value is not None and name not in meant
                }
                return self._held(record, [answer for answer in answers if answer is not None], where)
        return None

    def answer(self, chosen: object, who: object, made_at: object, verdict: str | None = None) -> Answer | None:
        """An answer with the chosen labels, or the verdict; None where nothing clear was chosen."""
        by, at = str(who) if who not in (None, "") else "file", _time(made_at, self.changed)
        if verdict is not None:
            return Answer(None, verdict, by, at)
        label = self.about.chosen([str(one) for one in _listed(chosen)])
        return None if label is None else Answer(label, None, by, at)

    def _held(self, record: Fields, answers: list[Answer], where: str) -> Held:
        inside: Fields = {}
        for name in ("data", "fields", "inputs", "meta", "metadata"):
            value = record.get(name)
            inside |= value if isinstance(value, dict) else {}
        values = inside | {name: value for name, value in record.items() if value is not None}
        text = next((values[name] for name in _TEXTS if isinstance(values.get(name), str)), None)
        pair = values.get("text_pair")
        if text is None and row_number(values.get("row_id")) is None:
            raise LossAuditError(f"{where}: it has no text, by which its row could be found")
        theirs = record.get("id", record.get("_input_hash"))
        return Held(
            row=row_number(values["row_id"] if "row_id" in values else record.get("id")),
            text=text,
            loss=None,
            answers=tuple(answers),
            text_pair=pair if isinstance(pair, str) else None,
            name=None if theirs is None else str(theirs),
        )


def row_number(value: object) -> int | None:
    """A row number, as a number or as text."""
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None


def records_of(file: Path) -> Iterator[tuple[str, Fields]]:
    """The records of a file of JSON Lines, a JSON list or CSV, each with its place in words.

    Raises LossAuditError if it can't be read.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            text = opened.read()
    except (OSError, UnicodeError) as error:
        raise LossAuditError(f"{file} can't be read: {brief(error)}") from error
    if file.suffix.lower() in (".csv", ".tsv"):
        return _rows(file, text)
    return _items(file, text) if text.lstrip().startswith("[") and _is_list(text) else _lines(file, text)


def _is_list(text: str) -> bool:
    try:
        return isinstance(json.loads(text), list)
    except (ValueError, RecursionError):
        return False


def _items(file: Path, text: str) -> Iterator[tuple[str, Fields]]:
    for number, record in enumerate(json.loads(text), start=1):
        yield _object(f"{file}, record {number}", record)


def _lines(file: Path, text: str) -> Iterator[tuple[str, Fields]]:
    lines = (line for line in text.split("\n") if line.strip())
    for number, line in enumerate(lines, start=1):
        where = f"{file}, line {number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise LossAuditError(f"{where}, isn't JSON: {brief(error)}") from error
        yield _object(where, record)


def _object(where: str, record: object) -> tuple[str, Fields]:
    if not isinstance(record, dict):
        raise LossAuditError(f"{where}, isn't a record but {type(record).__name__}")
    return where, record


def _rows(file: Path, text: str) -> Iterator[tuple[str, Fields]]:
    for where, row in rows_of(file, text):
        yield where, {name: _cell(name, value) for name, value in row.items()}


def _cell(name: str, value: str) -> object:
    """A cell; lists and objects are JSON in CSV, and an empty one is none."""
    if name not in _TEXTS and value[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value if value or name in _TEXTS else None


_Read = tuple[set[str], list[Answer | None]]


def _label_studio(record: Fields, export: Export) -> _Read:
    answers = []
    for made in record.get("annotations") or []:
        by = made.get("completed_by")
        who = (by.get("email") or by.get("id")) if isinstance(by, dict) else by
        chosen = [
            one for region in made.get("result") or [] for one in (region.get("value") or {}).get("choices") or []
        ]
        skipped = "unsure" if made.get("was_cancelled") else None
        answers.append(export.answer(chosen, who, made.get("updated_at") or made.get("created_at"), skipped))
    used = {"id", "data", "annotations", "predictions", "meta", "created_at", "updated_at", "project", "inner_id"}
    return used | {
        name for name in record if name.startswith(("total_", "cancelled_", "comment", "file_", "drafts"))
    }, answers


def _label_studio_min(record: Fields, export: Export) -> _Read:
    about = {"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", *_TEXTS}
    known = {spelling_key(label) for label in (*export.about.labels, export.about.none_of_these)}
    fields = {name: value for name, value in record.items() if name not in about | _OURS and value is not None}
    choice = next(
        (
            name
            for name in ("label", *fields)
            if all(spelling_key(str(one)) in known for one in _listed(fields.get(name)) or "?")
        ),
        "label",
    )
    made_at = record.get("updated_at") or record.get("created_at")
    return about | {choice}, [export.answer(fields.get(choice), record.get("annotator"), made_at)]


def _argilla(record: Fields, export: Export) -> _Read:
    told = record.get("responses") or {}
    flat = {name.removesuffix(".responses"): record[name] for name in record if name.endswith(".responses")}
    answers = []
    for question, responses in (told or flat).items():
        users = record.get(f"{question}.responses.users") or []
        for place, response in enumerate(responses or []):
            inner = response if isinstance(response, dict) else {"value": response}
            who = inner.get("user_id") or inner.get("user") or (users[place] if place < len(users) else None)
            answers.append(export.answer(inner.get("value"), who, record.get("updated_at")))
    if record.get("status") in _DISCARDED:
        answers = [export.answer(None, None, record.get("updated_at"), "discard")]
    used = {"id", "fields", "responses", "suggestions", "status", "vectors", "_server_id", "updated_at", "inserted_at"}
    return used | {"text"} | {name for name in record if ".responses" in name or ".suggestion" in name}, answers


def _rubrix(record: Fields, export: Export) -> _Read:
    status = str(record.get("status") or "").lower()
    made_at = record.get("event_timestamp")
    who = record.get("annotation_agent")
    answers = []
    if status in _DISCARDED:
        answers = [export.answer(None, who, made_at, "discard")]
    elif record.get("annotation") is not None:
        answers = [export.answer(record["annotation"], who, made_at)]
    used = {"id", "text", "inputs", "annotation", "annotation_agent", "prediction_agent", "status", "event_timestamp"}
    return used | {"multi_label", "explanation", "metrics", "search_keywords", "vectors"}, answers


def _prodigy(record: Fields, export: Export) -> _Read:
    names = {option.get("id"): option.get("text") for option in record.get("options") or [] if isinstance(option, dict)}
    known = {spelling_key(label) for label in export.about.labels}
    chosen = record["accept"] if record.get("accept") is not None else record.get("label")
    chosen = [one if spelling_key(str(one)) in known else names.get(one, one) for one in _listed(chosen)]
    who = record.get("_annotator_id") or record.get("_session_id")
    answer, made_at = record.get("answer"), record.get("_timestamp")
    if answer == "accept":
        answers = [export.answer(chosen, who, made_at)]
    elif answer == "ignore":
        answers = [export.answer(None, who, made_at, "unsure")]
    else:
        # "Not this label" names the right one only where there are two.
        others = [
            label
            for label in export.about.labels
            if spelling_key(label) not in {spelling_key(str(one)) for one in chosen}
        ]
        named = len(export.about.labels) == 2 and len(chosen) == 1 and not export.about.multi_label
        answers = [export.answer(others, who, made_at)] if named else []
    used = {"text", "label", "accept", "answer", "options", "meta", "spans", "score", "priority", "html", "config"}
    return used | {name for name in record if name.startswith("_")}, answers


def _plain(record: Fields, export: Export) -> _Read:
    """doccano's, or a table of texts and labels."""
    chosen = record.get("label", record.get("labels"))
    if isinstance(chosen, str) and "#" in chosen and export.about.multi_label:
        chosen = chosen.split("#")  # doccano's CSV
    who = next(
        (record[name] for name in ("annotator", "username", "user", "annotation_approver") if record.get(name)), None
    )
    made_at = record.get("annotated_at") or record.get("updated_at")
    used = {
        "id",
        "label",
        "labels",
        "meta",
        "annotator",
        "username",
        "user",
        "annotation_approver",
        "Comments",
        "comments",
    }
    return used | {"annotated_at", "updated_at", *_TEXTS}, [export.answer(chosen, who, made_at)]


_PROGRAMS: tuple[tuple[Callable[[Mapping[str, Any]], bool], Callable[[Fields, Export], _Read]], ...] = (
    (lambda record: "annotations" in record and isinstance(record.get("data"), dict), _label_studio),
    (lambda record: "responses" in record or any(name.endswith(".responses") for name in record), _argilla),
    (lambda record: record.get("answer") in ("accept", "reject", "ignore"), _prodigy),
    (lambda record: "annotation" in record and bool({"annotation_agent", "status", "inputs"} & {*record}), _rubrix),
    (lambda record: "annotation" not in record and bool({"annotation_id", "lead_time"} & {*record}), _label_studio_min),
    (lambda record: "annotation" not in record and bool({"label", "labels"} & {*record}), _plain),
)


def _listed(chosen: object) -> list[Any]:
    """Chosen labels, in any of the forms that programs have for one or several."""
    if isinstance(chosen, dict):
        chosen = chosen.get("choices", chosen.get("value"))
    if chosen is None or chosen == "":
        return []
    return (
        [one["label"] if isinstance(one, dict) and "label" in one else one for one in chosen]
        if isinstance(chosen, list)
        else [chosen]
    )


def _time(value: object, otherwise: str) -> str:
    """A time in ISO 8601 with a zone. Numbers are seconds, or milliseconds as pandas writes them."""
    try:
        if isinstance(value, str) and value:
            return utc(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
            return datetime.fromtimestamp(value / 1000 if value > 1e11 else value, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        pass
    return otherwise
