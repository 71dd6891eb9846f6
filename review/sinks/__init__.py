"""The places where people annotate records: annotation servers, and files of JSON Lines.

`SINKS` names them and `connect` opens one; each module holds one `Sink`. log.py sends records to any of them, pull.py
turns people's answers into decisions. docs/annotation-servers.md describes what each of them gets.
"""

import dataclasses
import importlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lossaudit.engine.errors import LossAuditError

if TYPE_CHECKING:  # the command line names the sinks without loading their libraries
    from lossaudit.engine.table.losses import LossesTable

    from ..records import Record

SINKS = {"rubrix": "rubrix", "argilla": "argilla", "label-studio": "label_studio", "jsonl": "jsonl"}
"""Names of the sinks, and their modules."""
_LONGEST_NAME = 50


@dataclass(frozen=True)
class Place:
    """Where the records are, as given by the user; each sink takes missing values from the environment."""

    name: str | None = None
    """Name of the dataset or project; None for one made of the audited dataset's name."""
    url: str | None = None
    key: str | None = None
    workspace: str | None = None
    file: Path | None = None


@dataclass(frozen=True)
class About:
    """The model and dataset that the records come from."""

    model: str
    dataset: str
    labels: tuple[str, ...]
    """Label names of the model, by class index."""
    multi_label: bool = False
    """Whether a record has a set of labels."""
    text_pair: tuple[str, str] | None = None
    """Names of the columns of both texts, where a record has two."""

    @property
    def none_of_these(self) -> str:
        """The choice for a record without any label, for servers that can't store an empty choice."""
        name = "None of these"
        while name in self.labels:
            name = f"({name})"
        return name

    @property
    def default_name(self) -> str:
        """The audited dataset's name in the form that every server takes: a-z, 0-9 and _, a letter or digit first."""
        for part in (Path(self.dataset).name.split(".")[0], Path(self.dataset).parent.name):
            if name := re.sub(r"[^a-z0-9]+", "_", part.lower()).strip("_"):
                return name[:_LONGEST_NAME]
        return "lossaudit"

    def chosen(self, labels: Sequence[str]) -> str | tuple[str, ...] | None:
        """The label, or the set, that people mean who choose these among the labels and `none_of_these`.

        None if it is unclear: nothing chosen, several labels where a record has one, or `none_of_these` with others.
        """
        if not self.multi_label:
            return labels[0] if len(labels) == 1 else None
        if self.none_of_these in labels:
            return () if len(labels) == 1 else None
        return tuple(labels) or None

    @classmethod
    def of(cls, losses: "LossesTable") -> "About":
        """Read from a losses file, or guessed from its name if its format carries no facts."""
        return cls(
            model=losses.facts.model or f"model of {losses.path.name}",
            dataset=losses.facts.source.name or losses.path.stem,
            labels=losses.label_names,
            multi_label=losses.is_multi_label,
            text_pair=(str(losses.text_column), pair) if (pair := losses.text_pair_column) else None,
        )


@dataclass(frozen=True)
class Answer:
    """One person's answer about one record."""

    label: str | tuple[str, ...] | None
    """Label that they chose, or set of labels; None if neither."""
    verdict: str | None
    """Verdict that they gave instead of a label: keep, unsure or discard."""
    annotator: str
    made_at: str
    """Time in ISO 8601 with a time zone."""


@dataclass(frozen=True)
class Held:
    """A record that a sink holds."""

    row: int | None
    """`id` in the losses table; None if the record wasn't sent by lossaudit."""
    text: str | None
    loss: float | None
    answers: tuple[Answer, ...] = ()
    text_pair: str | None = None
    """Second text of a pair."""
    name: str | None = None
    """What the program that holds it calls it, where that isn't the row."""

    def has_texts(self, text: str, text_pair: str | None) -> bool:
        """Whether the record's texts, as far as it has them, are these."""
        told = [(self.text, text), (self.text_pair, text_pair or "")]
        return all(said is None or without_nul(said) == without_nul(there) for said, there in told)


class Sink(Protocol):
    """A dataset on an annotation server, or a file. All methods raise LossAuditError."""

    batch_size: int
    """Records per request."""

    @property
    def address(self) -> str:
        """What the sink is and where, for messages."""

    @property
    def page(self) -> str | None:
        """Address of the server's page that shows the records highest loss first, once it is found; None for a file."""

    def find(self, *, create: bool) -> None:
        """Finds the dataset, or creates it if it doesn't exist and `create` is set. Call this first."""

    def held(self) -> Iterator[Held]:
        """All records that are there, whoever sent them."""

    def send(self, records: "Sequence[Record]") -> None:
        """Adds at most `batch_size` records that aren't there yet. If it fails, some of them may have been stored."""

    def close(self) -> None:
        """Closes connections."""


def connect(kind: str, place: Place, about: About) -> Sink:
    """The sink of a kind (one of SINKS); nothing is requested yet.

    Raises LossAuditError for an invalid URL or key, and for a library that isn't installed.
    """
    if place.name is None:
        place = dataclasses.replace(place, name=about.default_name)
    try:
        module = importlib.import_module(f"{__name__}.{SINKS[kind]}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("lossaudit"):
            raise
        raise LossAuditError(
            f"{kind} needs the package {error.name}, which isn't installed: pip install 'lossaudit[{kind}]'"
        ) from error
    sink: Sink = module.connect(place, about)
    return sink


def without_nul(text: str) -> str:
    """A text that any server's database can store: PostgreSQL allows no NUL in texts."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def utc(time: str) -> str:
    """A server's time with its time zone, UTC if it has none."""
    made_at = datetime.fromisoformat(time)
    return (made_at if made_at.tzinfo else made_at.replace(tzinfo=UTC)).isoformat()
