"""Argilla 2, through its own client, which the extra `argilla` installs.

A record has a text, or two, with the given label or labels, the model's prediction as a suggestion, and metadata to
sort and filter by.
"""

import contextlib
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, TypeVar
from uuid import UUID

import argilla as rg
import httpx

from lossaudit.engine.errors import LossAuditError, Option
from lossaudit.engine.shortening import shortened

from ..label_sets import NO_LABEL, shown
from ..records import Record
from . import About, Answer, Held, Place, utc, without_nul
from .http import MOST_PAGES, Account, Server, ServerError, checked_key, checked_url, persistently
from .network import transport_to

_URL = "http://localhost:6900"
_KEY = "ARGILLA_API_KEY"
_QUESTION, _TEXT, _PAIR, _GIVEN, _GIVEN_TERM = "label", "text", "text_pair", "given_label", "given"
_DOUBTED, _DOUBTED_TERM = "doubted_label", "doubted"
"""Names of fields, questions and metadata, which must all be different."""
_LONGEST_AGENT, _LONGEST_TITLE = 200, 500
_NOT_IN_AGENT = re.compile(r"[^a-zA-Z0-9_:./ -]")
_PAGE = 500
_TIMEOUT_S = 120
_GUIDELINES = (
    "Is the given label right? The suggestion is the model's prediction. "
    "Sort by the metadata `loss`, descending, to start with the likeliest mistakes."
)
_SETS_GUIDELINES = (
    "Are the given labels right? Choose all labels that are right. The suggestion is the model's prediction; the "
    "doubted label is the one that the model disagrees about most. Sort by the metadata `loss`, descending, to start "
    "with the likeliest mistakes."
)
_Result = TypeVar("_Result")

# The client also raises whatever it logs.
logging.getLogger("argilla.sdk").setLevel(logging.CRITICAL)


class Argilla:
    """A dataset on an Argilla server."""

    batch_size = 256

    def __init__(self, account: Account, name: str, workspace: str | None, about: About) -> None:
        self._account = account
        self._name = name
        self._workspace = workspace
        self._about = about
        self._dataset: Any = None

    @property
    def address(self) -> str:
        where = f" in the workspace {self._workspace}" if self._workspace else ""
        return f"Argilla dataset {self._name}{where} at {self._account.url}"

    @property
    def page(self) -> str:
        order = "page=1&status=pending&sort=metadata.loss.desc"
        return f"{self._account.url}/dataset/{self._dataset.id}/annotation-mode?{order}"

    def find(self, *, create: bool) -> None:
        workspace = self._find_workspace()
        found = self._ask(lambda: self._client.api.datasets.list(workspace_id=workspace))
        same = [model for model in found if model.name == self._name]
        if same:
            self._dataset = self._ask(lambda: rg.Dataset.from_model(same[0], self._client).get())
            self._check(same[0].status)
        elif create:
            new = rg.Dataset(self._name, workspace=self._workspace, settings=self._settings(), client=self._client)
            self._dataset = self._ask_once(new.create)
        else:
            others = ", ".join(sorted(model.name for model in found)[:20])
            raise LossAuditError(f"there is no {self.address}{f'; there are {others}' if others else ''}")

    def held(self) -> Iterator[Held]:
        people = self._people()
        offset = 0
        with self._account.understood():
            for _ in range(MOST_PAGES):
                page, total = self._page(offset)
                yield from (_held(record, people, self._about) for record in page)
                offset += len(page)
                if not page or offset >= total:
                    return
        raise self._account.endless()

    def send(self, records: Sequence[Record]) -> None:
        models = [self._record(record).api_model() for record in records]
        self._ask(lambda: self._client.api.records.bulk_upsert(self._dataset.id, models))

    def close(self) -> None:
        if "_client" in vars(self):
            self._client.http_client.close()

    @cached_property
    def _client(self) -> Any:
        # The client asks this too, but leaves its connection open if it doesn't understand the answer.
        with contextlib.closing(Server(self._account, headers={"X-Argilla-Api-Key": self._account.key})) as server:
            try:
                me = server.get("/api/v1/me")
            except ServerError as error:
                if error.status != httpx.codes.NOT_FOUND:
                    raise
                raise self._account.nonsense() from error
        if not isinstance(me, dict) or not {"id", "username", "role"} <= me.keys():
            raise self._account.nonsense()
        account, transport = self._account, transport_to(self._account.url)
        mounts = {"all://": transport}  # the client has a transport of its own, which knows no proxies
        return self._ask(lambda: rg.Argilla(account.url, account.key, timeout=_TIMEOUT_S, retries=0, mounts=mounts))

    def _find_workspace(self) -> UUID:
        """The id of the named workspace, or else of the user's only one."""
        ids = {model.name: model.id for model in self._ask(self._client.api.workspaces.list)}
        names = ", ".join(sorted(ids)) or "none"
        if self._workspace is None:
            if len(ids) != 1:
                raise LossAuditError("give ", Option("workspace"), f": this key's user has {names} on {self._account}")
            self._workspace = next(iter(ids))
        if self._workspace not in ids:
            raise LossAuditError(
                f"there is no workspace {self._workspace} for this key's user on {self._account}; there are {names}"
            )
        return UUID(str(ids[self._workspace]))

    def _settings(self) -> Any:
        client, about = self._client, self._about
        labels, many = list(about.labels), about.multi_label
        titles = {_TEXT: "Text"} if about.text_pair is None else dict(zip((_TEXT, _PAIR), about.text_pair, strict=True))
        titles |= {_GIVEN: "Given labels", _DOUBTED: "Doubted label"} if many else {_GIVEN: "Given label"}
        question = (
            rg.MultiLabelQuestion(_QUESTION, [*labels, about.none_of_these], title="Right labels", client=client)
            if many
            else rg.LabelQuestion(_QUESTION, labels, title="Right label", client=client)
        )
        terms = {_GIVEN_TERM: titles[_GIVEN]} | ({_DOUBTED_TERM: titles[_DOUBTED]} if many else {})
        return rg.Settings(
            guidelines=_SETS_GUIDELINES if many else _GUIDELINES,
            fields=[
                rg.TextField(name, title=title.strip()[:_LONGEST_TITLE] or "Text", client=client)
                for name, title in titles.items()
            ],
            questions=[question],
            metadata=[
                rg.FloatMetadataProperty("loss", title="Loss", client=client),
                rg.IntegerMetadataProperty("rank", title="Rank by loss", client=client),
                rg.IntegerMetadataProperty("row_id", title="Row", client=client),
                *(rg.TermsMetadataProperty(name, title=title, client=client) for name, title in terms.items()),
            ],
        )

    def _check(self, status: str) -> None:
        """Raises LossAuditError for a dataset without the parts that `_settings` makes."""
        if status != "ready":
            raise LossAuditError(
                f"{self.address} is a draft that was never published; delete it there, or name another"
            )
        settings = self._dataset.settings
        names = {item.name for items in (settings.fields, settings.metadata) for item in items}
        question = next((question for question in settings.questions if question.name == _QUESTION), None)
        about = self._about
        kind = rg.MultiLabelQuestion if about.multi_label else rg.LabelQuestion
        needed = {
            _TEXT,
            _GIVEN,
            "loss",
            *([_PAIR] if about.text_pair else []),
            *([_DOUBTED] if about.multi_label else []),
        }
        if question is None or type(question) is not kind or not needed <= names:
            raise LossAuditError(f"{self.address} is for another task; give another ", Option("name"))
        wanted = [*about.labels, *([about.none_of_these] if about.multi_label else [])]
        missing = [label for label in wanted if label not in question.labels]
        if missing:
            raise LossAuditError(
                f"{self.address} lacks the labels {', '.join(map(repr, missing[:5]))}; give another ", Option("name")
            )

    def _record(self, record: Record) -> Any:
        agent = _NOT_IN_AGENT.sub("_", shortened(self._about.model, _LONGEST_AGENT, "end"))
        value, score = self._suggested(record)
        suggestion = rg.Suggestion(_QUESTION, value, score=score, agent=agent, type="model")
        fields = {_TEXT: without_nul(record.text)}
        terms: dict[str, str | list[str]] = {_GIVEN_TERM: record.label}
        if record.text_pair is not None:
            fields[_PAIR] = without_nul(record.text_pair)
        fields[_GIVEN] = record.label
        if (doubt := record.doubt) is not None:
            fields |= {_GIVEN: shown(doubt.given), _DOUBTED: doubt.told}
            terms = {_GIVEN_TERM: list(doubt.given) or [NO_LABEL], _DOUBTED_TERM: doubt.worst}
        # The given label isn't a response: that is one user's answer, and it removes the record from their queue.
        return rg.Record(
            id=str(record.row),
            fields=fields,
            metadata={"loss": record.loss, "rank": record.rank, "row_id": record.row, **terms},
            suggestions=[suggestion],
            _dataset=self._dataset,
        )

    def _suggested(self, record: Record) -> tuple[str | list[str], float | list[float]]:
        """The predicted label, or a list of labels, which Argilla doesn't allow to be empty, and the probabilities."""
        if record.doubt is None:
            label, score = record.probabilities[0]
            return label, min(score, 1.0)
        known = dict(record.probabilities)
        if not record.doubt.predicted:
            return [self._about.none_of_these], [max(0.0, 1 - max(known.values()))]
        return list(record.doubt.predicted), [min(known.get(name, 0.5), 1.0) for name in record.doubt.predicted]

    def _page(self, offset: int) -> tuple[list[dict[str, Any]], int]:
        """Records with their responses, and the number of all records.

        They are JSON, since the client's own records lose the times of responses, and responses without a value.
        """
        path = f"/api/v1/datasets/{self._dataset.id}/records"
        params = {"offset": offset, "limit": _PAGE, "include": "responses"}
        said = self._ask(lambda: self._client.http_client.get(path, params=params).raise_for_status().json())
        return said["items"], said["total"]

    def _people(self) -> dict[str, str]:
        """Names by user id, as far as the key's user may see them."""
        try:
            return {str(user.id): user.username for user in self._ask(self._client.api.users.list)}
        except ServerError as error:
            if error.status != httpx.codes.FORBIDDEN:
                raise
            me = self._ask(lambda: self._client.me)
            return {str(me.id): me.username}

    def _ask(self, call: Callable[[], _Result]) -> _Result:
        """The result of a call of the client, retried after temporary failures. Raises ServerError."""
        return persistently(lambda: self._ask_once(call))

    def _ask_once(self, call: Callable[[], _Result]) -> _Result:
        try:
            return call()
        except httpx.TransportError as error:
            raise self._account.silence(error, passing=True) from error
        except Exception as error:
            # The client has many kinds of errors; those that the server caused wrap its answer.
            answer = _answer_beneath(error)
            if answer is None:
                raise self._account.failure(error.__cause__ or error) from error
            raise self._account.refusal(answer) from error


def connect(place: Place, about: About) -> Argilla:
    """A dataset by name; URL and key may come from ARGILLA_API_URL and ARGILLA_API_KEY."""
    if not place.name or not 1 <= len(place.name) <= 200:
        raise LossAuditError(Option("name"), " can't name an Argilla dataset: use 1 to 200 characters")
    url = checked_url(place.url or os.environ.get("ARGILLA_API_URL") or _URL, "ARGILLA_API_URL")
    account = Account("Argilla", url, checked_key(place.key or os.environ.get(_KEY), _KEY), _KEY)
    return Argilla(account, place.name, place.workspace, about)


def _held(record: dict[str, Any], people: dict[str, str], about: About) -> Held:
    row = str(record.get("external_id") or "")
    return Held(
        row=int(row) if re.fullmatch(r"\d{1,18}", row) else None,
        text=record["fields"].get(_TEXT),
        loss=(record.get("metadata") or {}).get("loss"),
        answers=tuple(_answers(record, people, about)),
        text_pair=record["fields"].get(_PAIR),
    )


def _answers(record: dict[str, Any], people: dict[str, str], about: About) -> Iterator[Answer]:
    for response in record.get("responses") or []:
        annotator = people.get(response["user_id"], f"user {response['user_id']}")
        value = ((response.get("values") or {}).get(_QUESTION) or {}).get("value")
        label = about.chosen(list(map(str, value))) if isinstance(value, list) else value
        made_at = utc(response["updated_at"])
        if response["status"] == "discarded":
            yield Answer(None, "discard", annotator, made_at)
        elif response["status"] == "submitted" and label is not None:
            yield Answer(label, None, annotator, made_at)


def _answer_beneath(error: BaseException | None) -> httpx.Response | None:
    while error is not None:
        if isinstance(error, httpx.HTTPStatusError):
            return error.response
        error = error.__cause__ or error.__context__
    return None
