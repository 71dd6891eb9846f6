"""Label Studio, over its HTTP interface: a project with a choice among the labels, and tasks with predictions.

Its keys are legacy tokens, or personal access tokens, which fetch access tokens that are valid for five minutes.
"""

import base64
import json
import os
import re
from collections.abc import Generator, Iterator, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

import httpx

from lossaudit.engine.errors import LossAuditError, Option
from lossaudit.engine.shortening import shortened

from ..label_sets import shown
from ..records import Record
from . import About, Answer, Held, Place, without_nul
from .http import MOST_PAGES, Account, Server, ServerError, checked_key, checked_url, pause

_URL = "http://localhost:8080"
_SHORTEST_TITLE, _LONGEST_TITLE = 3, 50
_LONGEST_VERSION = 200
_PAGE = 100
_IMPORTS = 5
"""Tries per bulk of tasks, each with only the tasks that aren't stored yet."""
_SHOWN_AT_ONCE = 20
"""Most labels that are shown as buttons; more are shown as a list with a search."""
_CONTROL, _OBJECT, _PAIR = "label", "text", "text_pair"
_DOUBTED = '  <Header value="Doubted: $doubted_label" size="5"/>\n'
_NOT_IN_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class LabelStudio:
    """A project on a Label Studio server."""

    batch_size = 250

    def __init__(self, server: Server, title: str, about: About) -> None:
        self._server = server
        self._title = title
        self._about = about
        self._project = 0

    @property
    def address(self) -> str:
        return f"Label Studio project {self._title} at {self._server.account.url}"

    @property
    def page(self) -> str:
        return f"{self._server.account.url}/projects/{self._project}/data"

    def find(self, *, create: bool) -> None:
        with self._server.account.understood():
            # The server also finds projects whose titles only contain the title.
            same = [project for project in self._projects(title=self._title) if project["title"] == self._title]
            if len(same) > 1:
                raise LossAuditError(
                    f"there are {len(same)} Label Studio projects called {self._title} at {self._server.account.url}; "
                    "rename all but one"
                )
            if same:
                self._check(same[0])
                self._project = int(same[0]["id"])
            elif create:
                self._project = int(self._server.post("/api/projects/", self._new_project(), again=False)["id"])
            else:
                others = ", ".join(sorted(project["title"] for project in self._projects())[:20])
                raise LossAuditError(f"there is no {self.address}{f'; there are {others}' if others else ''}")

    def held(self) -> Iterator[Held]:
        seen = 0
        with self._server.account.understood():
            people = self._people()
            for number in range(1, MOST_PAGES + 1):
                page = self._server.get(
                    "/api/tasks/", project=self._project, fields="all", page=number, page_size=_PAGE
                )
                total, tasks = page["total"], page["tasks"]
                yield from (_held(task, people, self._about) for task in tasks)
                seen += len(tasks)
                if not tasks or seen >= total:
                    return
        raise self._server.account.endless()

    def send(self, records: Sequence[Record]) -> None:
        """Sends records. After an unclear answer, checks which are stored: a second import would duplicate those."""
        rest = list(records)
        for tries in range(1, _IMPORTS + 1):
            try:
                self._import(rest)
                return
            except ServerError as error:
                if error.wait_s is None or tries == _IMPORTS:
                    raise
                pause(tries, error.wait_s)
            there = {held.row for held in self.held()}
            rest = [record for record in rest if record.row not in there]
            if not rest:
                return

    def close(self) -> None:
        self._server.close()

    def _people(self) -> dict[int, str]:
        """Names by user id, as far as this key's user may see them."""
        try:
            users = self._server.get("/api/users")
        except ServerError as error:
            if error.status not in (httpx.codes.FORBIDDEN, httpx.codes.NOT_FOUND):
                raise
            return {}
        return {user["id"]: user.get("email") or user.get("username") for user in users}

    def _projects(self, **filters: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for number in range(1, MOST_PAGES + 1):
            page = self._server.get("/api/projects/", **filters, page=number, page_size=_PAGE)
            found += page["results"]
            if not page["next"] or not page["results"]:
                return found
        raise self._server.account.endless()

    def _new_project(self) -> dict[str, Any]:
        return {
            "title": self._title,
            "description": f"Labels of {self._about.dataset} that {self._about.model} doubts, most doubtful first",
            "label_config": labelling_configuration(self._about),
            # Tasks are shown in the order of their import: highest loss first.
            "sampling": "Sequential sampling",
            "show_skip_button": True,
        }

    def _check(self, project: dict[str, Any]) -> None:
        control = (project.get("parsed_label_config") or {}).get(_CONTROL) or {}
        inputs = {source.get("value") for source in control.get("inputs") or []}
        if control.get("type") != "Choices" or _OBJECT not in inputs:
            raise LossAuditError(
                f"{self.address} is for another task: it has no Choices {_CONTROL!r} for a text; give another ",
                Option("name"),
            )
        if self._about.multi_label != (self._about.none_of_these in control["labels"]):
            raise LossAuditError(
                f"{self.address} is for {'one label' if self._about.multi_label else 'several labels'} per text; "
                "give another ",
                Option("name"),
            )
        if self._about.text_pair and f'value="${_PAIR}"' not in project.get("label_config", ""):
            raise LossAuditError(f"{self.address} shows one text per task, not two; give another ", Option("name"))
        missing = [label for label in self._about.labels if label not in control["labels"]]
        if missing:
            raise LossAuditError(
                f"{self.address} lacks the labels {', '.join(map(repr, missing[:5]))}; give another ",
                Option("name"),
            )

    def _import(self, records: Sequence[Record]) -> None:
        tasks = [self._task(record) for record in records]
        done = self._server.post(f"/api/projects/{self._project}/import", tasks, again=False)
        if not isinstance(done, dict) or done.get("task_count") != len(tasks):
            raise ServerError(f"{self._server.account} doesn't confirm that it stored {len(tasks)} tasks: {done}")

    def _task(self, record: Record) -> dict[str, Any]:
        doubt = record.doubt
        result = {
            "from_name": _CONTROL,
            "to_name": _OBJECT,
            "type": "choices",
            "value": {"choices": self._predicted(record)},
        }
        pair = {} if record.text_pair is None else {_PAIR: without_nul(record.text_pair)}
        return {
            "data": {
                _OBJECT: without_nul(record.text),
                **pair,
                "given_label": record.label if doubt is None else shown(doubt.given),
                **({} if doubt is None else {"doubted_label": doubt.told}),
                "loss": record.loss,
                "rank": record.rank,
                "row_id": record.row,
            },
            "predictions": [
                {
                    "model_version": shortened(self._about.model, _LONGEST_VERSION, "end"),
                    "score": record.probabilities[0][1] if doubt is None else doubt.sureness,
                    "result": [result],
                }
            ],
        }

    def _predicted(self, record: Record) -> list[str]:
        if record.doubt is None:
            return [record.prediction]
        return list(record.doubt.predicted) or [self._about.none_of_these]


class _Token(httpx.Auth):
    """Sends a key as Label Studio expects it: personal access tokens fetch short-lived ones, others go directly."""

    requires_response_body = True

    def __init__(self, url: str, key: str) -> None:
        self._url = f"{url}/api/token/refresh"
        self._key = key
        self._personal = _is_personal(key)
        self._access = ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if not self._personal:
            request.headers["Authorization"] = f"Token {self._key}"
            yield request
            return
        if self._access:
            request.headers["Authorization"] = f"Bearer {self._access}"
            response = yield request
            if response.status_code != httpx.codes.UNAUTHORIZED:
                return
        refresh = httpx.Request("POST", self._url, json={"refresh": self._key}, extensions=request.extensions)
        response = yield refresh
        if response.is_success:  # otherwise, this answer says why there is no token
            self._access = _access_token(response)
            request.headers["Authorization"] = f"Bearer {self._access or 'none'}"
            yield request


def connect(place: Place, about: About) -> LabelStudio:
    """A project by title; URL and key may come from LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY."""
    title = (place.name or "").strip()
    if not _SHORTEST_TITLE <= len(title) <= _LONGEST_TITLE:
        raise LossAuditError(
            Option("name"),
            f" {title!r} can't name a Label Studio project: use {_SHORTEST_TITLE} to {_LONGEST_TITLE} characters",
        )
    url = checked_url(place.url or os.environ.get("LABEL_STUDIO_URL") or _URL, "LABEL_STUDIO_URL")
    variable = "LABEL_STUDIO_API_KEY"
    key = checked_key(place.key or os.environ.get(variable), variable)
    server = Server(Account("Label Studio", url, key, variable), auth=_Token(url, key))
    return LabelStudio(server, title, about)


def labelling_configuration(about: About) -> str:
    """The project's page as Label Studio's XML. Raises LossAuditError for labels that XML can't represent."""
    labels = [*about.labels, *([about.none_of_these] if about.multi_label else [])]
    for label in labels:
        if not label or _NOT_IN_XML.search(label):
            raise LossAuditError(f"Label Studio can't show the label {label!r}: it is empty, or has control characters")
    layout = 'layout="select"' if len(labels) > _SHOWN_AT_ONCE else 'showInLine="true"'
    choices = "".join(f"    <Choice value={quoteattr(label)}/>\n" for label in labels)
    return (
        "<View>\n"
        f"{_texts(about.text_pair)}"
        '  <Header value="Given label: $given_label" size="5"/>\n'
        f"{_DOUBTED if about.multi_label else ''}"
        f'  <Choices name="{_CONTROL}" toName="{_OBJECT}" choice="{"multiple" if about.multi_label else "single"}" '
        f"{layout}>\n"
        f"{choices}"
        "  </Choices>\n"
        "</View>\n"
    )


def _texts(text_pair: tuple[str, str] | None) -> str:
    """The text, or both texts, each under its column's name."""
    if text_pair is None:
        return f'  <Text name="{_OBJECT}" value="${_OBJECT}" valueType="text"/>\n'
    return "".join(
        # A dollar sign would refer to a field of the task's data.
        f'  <Header value={quoteattr(_NOT_IN_XML.sub("", column).replace("$", ""))} size="6"/>\n'
        f'  <Text name="{name}" value="${name}" valueType="text"/>\n'
        for name, column in zip((_OBJECT, _PAIR), text_pair, strict=True)
    )


def _held(task: dict[str, Any], people: dict[int, str], about: About) -> Held:
    data = task["data"]
    row = data.get("row_id")
    return Held(
        row=row if isinstance(row, int) else None,
        text=data.get(_OBJECT),
        loss=data.get("loss"),
        answers=tuple(_answers(task, people, about)),
        text_pair=data.get(_PAIR),
    )


def _answers(task: dict[str, Any], people: dict[int, str], about: About) -> Iterator[Answer]:
    for annotation in task.get("annotations") or []:
        by = annotation.get("completed_by")
        who = int(by["id"] if isinstance(by, dict) else by)
        annotator = people.get(who) or f"user {who}"
        chosen = [
            choice
            for region in annotation.get("result") or []
            if region.get("from_name") == _CONTROL
            for choice in region["value"].get("choices") or []
        ]
        label = about.chosen(chosen)
        if annotation.get("was_cancelled"):
            yield Answer(None, "unsure", annotator, annotation["updated_at"])
        elif label is not None:
            yield Answer(label, None, annotator, annotation["updated_at"])


def _access_token(response: httpx.Response) -> str:
    """The token in the answer to a refresh request, "" if there is none."""
    try:
        token = str(response.json()["access"])
    except (ValueError, KeyError, TypeError):
        return ""
    return token if token.isascii() and token.isprintable() else ""


def _is_personal(key: str) -> bool:
    """Whether a key is a JSON Web Token, as personal access tokens are."""
    parts = key.split(".")
    if len(parts) != 3:
        return False
    try:
        return isinstance(json.loads(base64.urlsafe_b64decode(parts[1] + "==")), dict)
    except ValueError:
        return False
