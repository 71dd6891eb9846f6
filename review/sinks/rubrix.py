"""Rubrix 0.18, over its HTTP interface: its own client needs pandas 1 and httpx 0.15, which conflict with ours.

A record's JSON equals what that client's `rb.log` sends for the same record (see tests/contracts/rubrix).
"""

import base64
import json
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

import httpx

from lossaudit.engine.errors import LossAuditError, Option
from lossaudit.engine.shortening import shortened

from ..records import Record
from . import About, Answer, Held, Place, utc, without_nul
from .http import MOST_PAGES, Account, Server, ServerError, checked_key, checked_url

_URL, _KEY = "http://localhost:6900", "rubrix.apikey"
"""Defaults of Rubrix' own client."""
_TASK, _TEXT = "TextClassification", "text"
_LONGEST_LABEL = 128
_LONGEST_AGENT = 64
_PAGE = 1000


class Rubrix:
    """A text classification dataset on a Rubrix server."""

    batch_size = 500

    def __init__(self, server: Server, name: str, workspace: str | None, about: About) -> None:
        self._server = server
        self._name = name
        self._workspace = workspace
        self._about = about
        self._agent = _agent(about.dataset)
        self._fields = _fields(about.text_pair)
        self._user = ""

    @property
    def address(self) -> str:
        where = f" in the workspace {self._workspace}" if self._workspace else ""
        return f"Rubrix dataset {self._name}{where} at {self._server.account.url}"

    @property
    def page(self) -> str:
        order = json.dumps([{"id": "metadata.loss", "order": "desc"}], separators=(",", ":"))
        sort = base64.urlsafe_b64encode(order.encode()).decode()
        workspace = self._workspace or self._user
        return f"{self._server.account.url}/datasets/{workspace}/{self._name}?sort={sort}&viewMode=annotate"

    def find(self, *, create: bool) -> None:
        if create:
            _check_labels(self._about.labels)
        with self._server.account.understood():
            self._check_workspace()
            task = self._task()
            if task is None and not create:
                raise LossAuditError(f"there is no {self.address}{self._others()}")
            if task is None:
                self._server.post("/api/datasets", {"name": self._name, "task": _TASK})
            elif task != _TASK:
                raise LossAuditError(f"{self.address} is for {task}, not for {_TASK}; give another ", Option("name"))

    def held(self) -> Iterator[Held]:
        last: str | None = None
        with self._server.account.understood():
            for _ in range(MOST_PAGES):
                page = self._page(last)
                yield from map(self._held, page)
                if len(page) < _PAGE:
                    return
                last = str(page[-1]["id"])
        raise self._server.account.endless()

    def send(self, records: Sequence[Record]) -> None:
        bulk = {"tags": {}, "metadata": {}, "records": [self._record(record) for record in records]}
        done = self._server.post(f"/api/datasets/{self._name}/{_TASK}:bulk", bulk)
        with self._server.account.understood():
            if done.get("failed") or done["processed"] != len(records):
                raise ServerError(f"{self._server.account} stored only some records of a bulk: {done}")

    def close(self) -> None:
        self._server.close()

    def _check_workspace(self) -> None:
        try:
            user = self._server.get("/api/me")
        except ServerError as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise
            raise self._server.account.nonsense() from error
        self._user = str(user.get("username"))
        theirs = [user.get("username"), *(user.get("workspaces") or [])]
        # A user for whom the server lists no workspaces may use all of them.
        if self._workspace and user.get("workspaces") is not None and self._workspace not in theirs:
            raise LossAuditError(
                f"there is no workspace {self._workspace} for the user {theirs[0]} on {self._server.account}; "
                f"there are {', '.join(sorted(filter(None, theirs)))}"
            )

    def _task(self) -> str | None:
        """The task of the dataset of this name, None if there is no such dataset."""
        try:
            return str(self._server.get(f"/api/datasets/{self._name}")["task"])
        except ServerError as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise
            return None

    def _others(self) -> str:
        names = sorted(dataset["name"] for dataset in self._server.get("/api/datasets/") if dataset["task"] == _TASK)
        return f"; there are {', '.join(names[:20])}" if names else ""

    def _record(self, record: Record) -> dict[str, Any]:
        doubt = record.doubt
        given = [record.label] if doubt is None else doubt.given
        worst = {} if doubt is None else {"worst_label": doubt.worst}
        return {
            "id": record.row,
            "inputs": self._inputs(record),
            "prediction": {
                "agent": _agent(self._about.model),
                "labels": [{"class": label, "score": min(score, 1.0)} for label, score in record.probabilities],
            },
            "annotation": {"agent": self._agent, "labels": [{"class": label, "score": 1.0} for label in given]},
            # Rubrix' client would mark an annotated record as validated. But nobody has looked at it yet, and for a
            # validated record, the page has no button that confirms the label.
            "status": "Default",
            "metadata": {"loss": record.loss, "rank": record.rank, "row_id": record.row, **worst},
            "multi_label": doubt is not None,
            "event_timestamp": None,
            "explanation": None,
            "metrics": {},
            "search_keywords": None,
        }

    def _inputs(self, record: Record) -> dict[str, str]:
        texts = [record.text] if record.text_pair is None else [record.text, record.text_pair]
        return dict(zip(self._fields, map(without_nul, texts), strict=True))

    def _page(self, last: str | None) -> list[dict[str, Any]]:
        """The next records by id. They are lines of JSON, in which the server also reports failures."""
        params = {"limit": _PAGE} | ({"id_from": last} if last is not None else {})
        response = self._server.request("POST", f"/api/datasets/{self._name}/{_TASK}/data", body={}, params=params)
        page = [json.loads(line) for line in response.text.split("\n") if line.strip()]
        for record in page:
            if "inputs" not in record:
                raise ServerError(
                    f"{self._server.account} can't list the records of {self._name}: {record.get('detail')}"
                )
        return page

    def _held(self, record: dict[str, Any]) -> Held:
        if bool(record.get("multi_label")) != self._about.multi_label:
            raise LossAuditError(
                f"{self.address} is for {'one label' if self._about.multi_label else 'several labels'} per text; "
                "give another ",
                Option("name"),
            )
        metadata = record.get("metadata") or {}
        row = str(record["id"])
        text, pair = [*map(record["inputs"].get, self._fields), None][:2]
        return Held(
            row=int(row) if re.fullmatch(r"\d{1,18}", row) else None,
            text=text,
            loss=metadata.get("loss"),
            answers=tuple(self._answers(record)),
            text_pair=pair,
        )

    def _answers(self, record: dict[str, Any]) -> Iterator[Answer]:
        annotation = record.get("annotation") or {}
        ours = annotation.get("agent", self._agent) == self._agent
        annotator = "rubrix" if ours else annotation["agent"]
        made_at = utc(record["last_updated"])
        if record.get("status") == "Discarded":
            yield Answer(None, "discard", annotator, made_at)
        # An annotation by the dataset itself is the given label, not a person's answer; "Edited" isn't saved yet.
        elif record.get("status") == "Validated" and not ours:
            labels = [str(label["class"]) for label in annotation.get("labels") or []]
            if self._about.multi_label:  # validating a record without labels means that it has none
                yield Answer(tuple(labels), None, annotator, made_at)
            elif labels:
                yield Answer(labels[0], None, annotator, made_at)


def connect(place: Place, about: About) -> Rubrix:
    """A dataset by name; URL, key and workspace may come from RUBRIX_API_URL, RUBRIX_API_KEY and RUBRIX_WORKSPACE."""
    name = place.name or ""
    if not re.fullmatch(r"(?![-_])[a-z0-9_-]+", name):
        raise LossAuditError(
            Option("name"),
            f" {name!r} can't name a Rubrix dataset: use a-z, 0-9, - and _, and begin with a letter or digit",
        )
    url = checked_url(place.url or os.environ.get("RUBRIX_API_URL") or _URL, "RUBRIX_API_URL")
    key = checked_key(place.key or os.environ.get("RUBRIX_API_KEY") or _KEY, "RUBRIX_API_KEY")
    workspace = place.workspace or os.environ.get("RUBRIX_WORKSPACE") or None
    if workspace is not None and not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_-]*", workspace):
        raise LossAuditError(
            Option("workspace"), f" {workspace!r} can't name a workspace: use letters, digits, - and _"
        )
    headers = {"X-Rubrix-Api-Key": key, "Authorization": f"Bearer {key}"}
    if workspace is not None:
        headers["X-Rubrix-Workspace"] = workspace
    server = Server(Account("Rubrix", url, key, "RUBRIX_API_KEY"), headers=headers)
    return Rubrix(server, name, workspace, about)


def _agent(name: str) -> str:
    """A name as an agent. Rubrix makes a field's name of it: dots separate its parts, none of which may be empty."""
    return shortened(re.sub(r"\.{2,}", ".", name).strip("."), _LONGEST_AGENT, "end") or "lossaudit"


def _fields(text_pair: tuple[str, str] | None) -> tuple[str, ...]:
    """The names of a record's inputs: for two texts, those of their columns. Dots would split a field's name."""
    if text_pair is None:
        return (_TEXT,)
    first, second = (name.replace(".", "_").strip() or _TEXT for name in text_pair)
    return first, second if second != first else f"{second}_pair"


def _check_labels(labels: Sequence[str]) -> None:
    for label in labels:
        if not 1 <= len(label) <= _LONGEST_LABEL:
            raise LossAuditError(f"Rubrix accepts labels of 1 to {_LONGEST_LABEL} characters, so not {label[:60]!r}")
