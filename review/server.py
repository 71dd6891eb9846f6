"""The server of the review page: an application that serves the page and answers its requests.

Requests and answers are plain JSON; `Guard` lets only the page's own requests through.
"""

import dataclasses
import json
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from lossaudit.engine.errors import LossAuditError

from .guard import Guard
from .opinions import Remark, Viewer
from .queries import Query
from .records import DoubtedSet
from .reviewing import Review
from .store import Decision
from .views import ConflictError, Item, MovedError, Shown

_PAGE = Path(__file__).parent / "page"
_MOST_RANKS = 200
"""Records per request at most."""
_MOST_CLASSES = 10
"""Classes shown with a record, as many as there are digits. If all fit, they are in the model's order."""
_LONGEST_NAME = 100
_LONGEST_NOTE = 2000
_MOST_TAGS = 20

Json = dict[str, Any]


class _BadRequestError(Exception):
    """A request that the page would never send."""


class _ConflictError(Exception):
    """Somebody else has decided a record; the argument is the answer, with the record as it is now."""


@dataclass(frozen=True)
class Site:
    """Where the page is served, and to whom."""

    host: str
    """Address that the server is bound to."""
    port: int
    token: str
    """Token that the start link has."""
    base_path: str = ""
    """Path of the page, with a slash before it and none behind."""
    trust_proxy: bool = False
    """Whether to believe the forwarded headers of a proxy."""


def make_app(review: Review, site: Site, annotator: str | None = None, guidelines: str | None = None) -> Starlette:
    """The application for a review, for those who have the token.

    annotator: the name to start with; None makes the page ask. guidelines: a text in Markdown, for the annotators.
    """
    api = _Api(review, annotator, guidelines)
    routes = [
        Route("/", api.page),
        Mount("/static", StaticFiles(directory=_PAGE / "static")),
        Route("/api/start", _get(api.start)),
        Route("/api/version", _get(api.version)),
        Route("/api/agreement", _get(api.agreement)),
        Route("/api/view", _get(api.view)),
        Route("/api/items", _get(api.items)),
        Route("/api/records", _get(api.records)),
        Route("/api/decide", _post(api.decide), methods=["POST"]),
        Route("/api/decide-all", _post(api.decide_all), methods=["POST"]),
        Route("/api/undo", _post(api.undo), methods=["POST"]),
    ]
    guard = Middleware(Guard, token=site.token, host=site.host, port=site.port, trust_proxy=site.trust_proxy)
    # A proxy may leave out the path, so the page answers without it too.
    under = [Mount(site.base_path, routes=routes)] if site.base_path else []
    return Starlette(routes=[*under, *routes], middleware=[guard])


class _Api:
    """The page's requests: each method takes the values of a query string or a body and returns an object for JSON."""

    def __init__(self, review: Review, annotator: str | None, guidelines: str | None) -> None:
        self.review = review
        self._guidelines = guidelines
        self._annotator = annotator
        self._order = {label: place for place, label in enumerate(review.labels)}
        templates = Environment(loader=FileSystemLoader(_PAGE), autoescape=True, undefined=StrictUndefined)
        self._template = templates.get_template("page.html")

    async def page(self, request: Request) -> Response:  # noqa: ARG002
        return HTMLResponse(self._template.render(losses=self.review.losses_path.name))

    def start(self, values: Json) -> Json:  # noqa: ARG002
        """The values that don't change while the server runs, and who has decided so far."""
        review, shown = self.review, self.review.listing.listed
        return {
            "losses": str(review.losses_path),
            "store": str(review.store_path),
            "labels": review.labels,
            "multi_label": review.records.is_multi_label,
            "order": review.order,
            "text_columns": review.records.text_columns,
            "given": review.columns.given.counts(shown),
            "predicted": review.columns.predicted.counts(shown),
            "doubted": review.columns.doubted.counts(shown) if review.columns.doubted else [],
            "annotator": self._annotator,
            "annotators": review.annotators(),
            "adjudicating": review.people.adjudicating,
            "tags": review.tags(),
            "new_labels": review.new_labels(),
            "guidelines": self._guidelines,
        }

    def version(self, values: Json) -> Json:
        return self._now(self._viewer(values))

    def agreement(self, values: Json) -> Json:  # noqa: ARG002
        found = self.review.agreement()
        return {"agreement": None if found is None else dataclasses.asdict(found)}

    def view(self, values: Json) -> Json:
        """The ranks that a query finds; of a query `after` a rank, the first undecided record is behind that rank."""
        version, viewer = self.review.version(), self._viewer(values)
        after = _ranks({"ranks": values["after"]})[0] if "after" in values else None
        query = _query({name: value for name, value in values.items() if name not in ("annotator", "whose", "after")})
        view = self.review.view(query, viewer, after)
        return {**dataclasses.asdict(view), **self._now(viewer), "version": version}

    def items(self, values: Json) -> Json:
        version = self.review.version()
        items = self.review.items(_ranks(values), self._viewer(values))
        return {"version": version, "items": [self._item(item) for item in items]}

    def records(self, values: Json) -> Json:
        version = self.review.version()
        records = self.review.shown(_ranks(values), self._viewer(values))
        return {"version": version, "records": [self._shown(record) for record in records]}

    def decide(self, values: Json) -> Json:
        """Stores a decision. ahead: the ranks that follow in the list, of which the next undecided one is told."""
        row, verdict, label, seen = (values.get(name) for name in ("row", "verdict", "label", "seen"))
        if type(row) is not int or not isinstance(verdict, str) or not _is_choice(label):
            raise _BadRequestError("a decision needs a row, a verdict and, to relabel, a label or a list of labels")
        if not isinstance(seen, (str, type(None))):
            raise _BadRequestError("seen is the time of a decision")
        ahead, remark = _ranks(values) if values.get("ranks") else [], _remark(values)
        viewer = self._decider(values)
        try:
            shown = self.review.decide(row, verdict, label, viewer, seen, remark, values.get("new") is True)
        except ConflictError as error:
            record = self._shown(self.review.shown_row(row, viewer))
            raise _ConflictError({"error": str(error), "record": record, **self._now(viewer)}) from error
        following = self.review.next_undecided(ahead, viewer)
        return {"record": self._shown(shown), "next": following, **self._now(viewer)}

    def decide_all(self, values: Json) -> Json:
        verdict, label, expected = values.get("verdict"), values.get("label"), values.get("expected")
        query = values.get("query")
        if not isinstance(verdict, str) or not _is_choice(label) or type(expected) is not int:
            raise _BadRequestError("a bulk decision needs a verdict, an expected number and, to relabel, a label")
        if not isinstance(query, dict):
            raise _BadRequestError("a bulk decision needs a query")
        viewer = self._decider(values)
        decided = self.review.decide_all(_query(query), verdict, label, viewer, expected)
        return {"decided": decided, **self._now(viewer)}

    def undo(self, values: Json) -> Json:
        viewer = self._decider(values)
        undone = self.review.undo(viewer.name)
        rows = [decision.row for decision in undone]
        ranks = self.review.ranks_of(rows[:1])
        return {
            "undone": len(rows),
            "first": {"row": rows[0], "rank": ranks[0], "origin": undone[0].origin} if rows else None,
            **self._now(viewer),
        }

    def _now(self, viewer: Viewer) -> Json:
        """The version of the decisions, and the progress that a person sees."""
        return {"version": self.review.version(), "progress": dataclasses.asdict(self.review.progress(viewer))}

    def _viewer(self, values: Json) -> Viewer:
        """Who asks; the page asks before it knows the name, too."""
        name = _annotator(values) if values.get("annotator") else ""
        return self.review.viewer(name, values.get("whose") == "me")

    def _decider(self, values: Json) -> Viewer:
        return self.review.viewer(_annotator(values), values.get("whose") == "me")

    def _shown(self, shown: Shown) -> Json:
        record = shown.record
        return {
            "rank": record.rank,
            "row": record.row,
            "text": record.text,
            "text_pair": record.text_pair,
            "label": record.label,
            "prediction": record.prediction,
            "doubt": _doubt(record.doubt),
            "loss": _finite(record.loss),
            "classes": self._classes(shown),
            "metadata": [[name, str(value)] for name, value in record.metadata.items()],
            "truncated": shown.truncated,
            "history": [self._decision(decision) for decision in shown.history],
        }

    def _item(self, item: Item) -> Json:
        decision = None if item.decision is None else self._decision(item.decision)
        doubt = _doubt(item.doubt)
        return dataclasses.asdict(item) | {"loss": _finite(item.loss), "decision": decision, "doubt": doubt}

    def _decision(self, decision: Decision) -> Json:
        told = dataclasses.asdict(decision) | {"label": self.review.decided_labels(decision)}
        return {name: value for name, value in told.items() if name not in ("text_key", "given")}

    def _classes(self, shown: Shown) -> list[tuple[str, float | None]]:
        """The classes to show, each with its probability if known."""
        record = shown.record
        known = dict(record.probabilities)
        if record.doubt is not None:
            known[record.doubt.worst] = record.doubt.probability
            names = self._of_sets(record.doubt, shown.history, known)
        else:
            # The loss is −log of the given label's probability.
            known.setdefault(record.label, math.exp(-max(record.loss, 0.0)))
            names = self._likeliest(known)
            if record.label not in names:
                names = [*names[: _MOST_CLASSES - 1], record.label]
        return [(name, _finite(known[name]) if name in known else None) for name in names]

    def _likeliest(self, known: dict[str, float]) -> list[str]:
        if len(self._order) <= _MOST_CLASSES:
            return list(self._order)
        return sorted(known, key=lambda name: -known[name])[:_MOST_CLASSES]

    def _of_sets(self, doubt: DoubtedSet, history: list[Decision], known: dict[str, float]) -> list[str]:
        """The labels shown with a multi-label record: all given, predicted, chosen or doubted ones, and the likeliest.

        They are in the model's order if all fit; else the doubted one comes first, then the others, likeliest first.
        """
        decided = self.review.decided_labels(history[-1]) if history else None
        spoken_of = {doubt.worst: None} | dict.fromkeys([*doubt.given, *doubt.predicted, *(decided or ())])
        likeliest = [name for name in self._likeliest(known) if name not in spoken_of]
        names = [*spoken_of, *likeliest[: max(0, _MOST_CLASSES - len(spoken_of))]]
        if len(self._order) <= _MOST_CLASSES:
            return sorted(names, key=lambda name: self._order.get(name, len(names)))
        return sorted(names, key=lambda name: (name != doubt.worst, -known.get(name, 0.0)))


def _doubt(doubt: DoubtedSet | None) -> Json | None:
    if doubt is None:
        return None
    return dataclasses.asdict(doubt) | {"is_given": doubt.is_given, "probability": _finite(doubt.probability)}


def _is_choice(label: object) -> bool:
    """Nothing, a label, or a list of labels."""
    return isinstance(label, (str, type(None))) or (
        isinstance(label, list) and all(isinstance(name, str) for name in label)
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _query(values: Json) -> Query:
    known = {field.name for field in dataclasses.fields(Query)}
    if unknown := set(values) - known:
        raise _BadRequestError(f"there is no filter {', '.join(sorted(unknown))}")
    if not all(isinstance(value, str) for value in values.values()):
        raise _BadRequestError("filters must be texts")
    return Query(**values)


def _ranks(values: Json) -> list[int]:
    asked = str(values.get("ranks", "")).split(",")
    if len(asked) > _MOST_RANKS or not all(rank.isascii() and rank.isdigit() and len(rank) < 16 for rank in asked):
        raise _BadRequestError(f"ranks must be up to {_MOST_RANKS} numbers, separated by commas")
    return [int(rank) for rank in asked]


def _remark(values: Json) -> Remark:
    note, tags = values.get("note", ""), values.get("tags", [])
    if not isinstance(note, str) or len(note) > _LONGEST_NOTE:
        raise _BadRequestError(f"a note is a text of up to {_LONGEST_NOTE} characters")
    if not isinstance(tags, list) or len(tags) > _MOST_TAGS:
        raise _BadRequestError(f"tags are a list of up to {_MOST_TAGS}")
    if not all(isinstance(tag, str) and 0 < len(tag.strip()) <= _LONGEST_NAME for tag in tags):
        raise _BadRequestError(f"a tag is a text of up to {_LONGEST_NAME} characters")
    return Remark(note.strip(), tuple(dict.fromkeys(tag.strip() for tag in tags)))


def _annotator(values: Json) -> str:
    name = values.get("annotator")
    if not isinstance(name, str) or not 0 < len(name.strip()) <= _LONGEST_NAME:
        raise _BadRequestError(f"an annotator needs a name of up to {_LONGEST_NAME} characters")
    return name.strip()


def _get(answer: Callable[[Json], Json]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await _answered(answer, dict(request.query_params))

    return endpoint


def _post(answer: Callable[[Json], Json]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            values = json.loads(await request.body())
            json.dumps(values, ensure_ascii=False).encode()  # half a surrogate pair could be neither stored nor sent
        except (ValueError, RecursionError, ClientDisconnect):
            values = None
        if not isinstance(values, dict):
            return JSONResponse({"error": "the body isn't a JSON object"}, 400)
        return await _answered(answer, values)

    return endpoint


async def _answered(answer: Callable[[Json], Json], values: Json) -> Response:
    """The answer as JSON. A thread does the work, since it waits for the disk."""
    try:
        return JSONResponse(await run_in_threadpool(answer, values))
    except _ConflictError as error:
        return JSONResponse(error.args[0], 409)
    except MovedError as error:
        return JSONResponse({"error": str(error)}, 409)
    except (_BadRequestError, LossAuditError) as error:
        return JSONResponse({"error": str(error)}, 400)
