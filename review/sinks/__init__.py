"""Where records go for annotation and decisions come back from: annotation servers, and files of JSON Lines.

`SINKS` names them and `connect` opens one; each module holds one `Sink`. log.py sends records to any of them,
pull.py turns what people said there into decisions. docs/annotation-servers.md says what each of them gets.
"""

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lossaudit.engine.errors import LossAuditError

if TYPE_CHECKING:  # the command line names the sinks without loading what they work with
    from lossaudit.engine.table.losses import LossesTable

    from ..records import Record

SINKS = {"rubrix": "rubrix", "argilla": "argilla", "label-studio": "label_studio", "jsonl": "jsonl"}
"""What the sinks are called, and their modules."""


@dataclass(frozen=True)
class Place:
    """What a user says of where the records are; each sink takes from the environment what isn't said."""

    name: str | None = None
    """Of the dataset or project."""
    url: str | None = None
    key: str | None = None
    workspace: str | None = None
    file: Path | None = None


@dataclass(frozen=True)
class About:
    """What the records are about."""

    model: str
    dataset: str
    labels: tuple[str, ...]
    """The model's label names, by class index."""
    multi_label: bool = False
    """Whether a record has a set of labels."""
    text_pair: tuple[str, str] | None = None
    """The names of the columns of the two texts, where a record has two."""

    @property
    def none_of_these(self) -> str:
        """What people choose to say that a record has no label, where a server can't store that nothing was chosen."""
        name = "None of these"
        while name in self.labels:
            name = f"({name})"
        return name

    def chosen(self, labels: Sequence[str]) -> str | tuple[str, ...] | None:
        """What people say who choose these among the labels and `none_of_these`; None if it can't be told.

        That is where nothing is chosen, or several labels where there is one a record, or none and some.
        """
        if not self.multi_label:
            return labels[0] if len(labels) == 1 else None
        if self.none_of_these in labels:
            return () if len(labels) == 1 else None
        return tuple(labels) or None

    @classmethod
    def of(cls, losses: "LossesTable") -> "About":
        """Told by a losses file, or guessed from its name where its format carries no facts."""
        return cls(
            model=losses.facts.model or f"model of {losses.path.name}",
            dataset=losses.facts.source.name or losses.path.stem,
            labels=losses.label_names,
            multi_label=losses.is_multi_label,
            text_pair=(str(losses.text_column), pair) if (pair := losses.text_pair_column) else None,
        )


@dataclass(frozen=True)
class Answer:
    """What one person said of one record."""

    label: str | tuple[str, ...] | None
    """The label they chose, or the set of labels; None if neither."""
    verdict: str | None
    """What they said instead of a label: keep, unsure or discard."""
    annotator: str
    made_at: str
    """ISO 8601 with a time zone."""


@dataclass(frozen=True)
class Held:
    """A record that a sink holds."""

    row: int | None
    """`id` in the losses table; None if the record wasn't sent by lossaudit."""
    text: str | None
    loss: float | None
    answers: tuple[Answer, ...] = ()
    text_pair: str | None = None
    """The second text of a pair."""

    def has_texts(self, text: str, text_pair: str | None) -> bool:
        """Whether its texts are these, as far as it tells."""
        told = [(self.text, text), (self.text_pair, text_pair or "")]
        return all(said is None or without_nul(said) == without_nul(there) for said, there in told)


class Sink(Protocol):
    """A dataset on an annotation server, or a file. All methods raise LossAuditError."""

    batch_size: int
    """Records that are sent in one request."""

    @property
    def address(self) -> str:
        """What is where, to tell the user."""

    def find(self, *, create: bool) -> None:
        """Finds the dataset, and makes it if it isn't there and `create` is set. To be called first."""

    def held(self) -> Iterator[Held]:
        """All records that are there, whoever sent them."""

    def send(self, records: "Sequence[Record]") -> None:
        """Adds records that aren't there yet; at most `batch_size`. When it fails, some of them may be in."""

    def close(self) -> None:
        """Lets go of connections."""


def connect(kind: str, place: Place, about: About) -> Sink:
    """The sink of that name (one of SINKS), not looked at yet.

    Raises LossAuditError for a URL or key that can't be one, and for a library that isn't installed.
    """
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
    """A text as any server's database can hold it: PostgreSQL has no NUL in texts."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def utc(time: str) -> str:
    """A server's time with its zone; where it says none it is UTC."""
    made_at = datetime.fromisoformat(time)
    return (made_at if made_at.tzinfo else made_at.replace(tzinfo=UTC)).isoformat()
