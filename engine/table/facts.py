"""A run's facts: how a losses table was made. They are in the Arrow schema's metadata, and so in Parquet files.

docs/losses.md describes them. Older versions wrote less and other programs write what they like, so any fact may be
missing, and one of the wrong type counts as missing.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import pyarrow as pa

from ..data.rows import Split
from ..labels.form import GivenFacts, LabelForm

FACTS_KEY = b"lossaudit"
_ONLY_SOME_HAVE = ("label_form", "out_of_sample")
"""Facts that are left out, not null, where there is nothing to say."""


@dataclass(frozen=True)
class SourceFacts:
    """The audited dataset, and its own names of the columns."""

    name: str | None = None
    config: str | None = None
    split: str | None = None
    splits: tuple[Split, ...] | None = None
    """The splits that were read as one dataset, in the order of ids, with all of their rows; None for a single one."""
    separator: str | None = None
    encoding: str | None = None
    header: bool | None = None
    """Whether CSV or TSV files have one; null for another dataset. Separator and encoding are null if not specified."""
    sheet: str | None = None
    """The sheet of an Excel workbook, if specified."""
    limit: int | None = None
    """Number of its first rows that were audited, if not all."""
    rows: int | None = None
    fingerprint: str | None = None
    text_column: str | None = None
    text_pair_column: str | None = None
    label_column: str | None = None


@dataclass(frozen=True)
class RunFacts:
    """The run that finished the table."""

    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions of lossaudit and of the runtimes available there."""
    scored: int | None = None
    """Rows that this run scored; the others were kept from an interrupted one."""
    seconds: float | None = None


@dataclass(frozen=True)
class OutOfSample:
    """How the heads were fitted, each of which scored only rows whose labels it never saw."""

    folds: int | None = None
    seed: int | None = None
    score: str | None = None
    weights: tuple[float, ...] | None = None
    """Weights of heads and neighbours in a blended score."""


@dataclass(frozen=True)
class Facts:
    """Everything that a losses table says about how it was made; columns have their names in the table."""

    model: str | None = None
    revision: str | None = None
    task: str | None = None
    labels: tuple[str, ...] | None = None
    """The model's labels, by class index."""
    text_column: str | None = None
    text_pair_column: str | None = None
    max_length: int | None = None
    stride: int | None = None
    precision: str | None = None
    graph: str | None = None
    backend: str | None = None
    exact_top: int | None = None
    run: RunFacts = field(default_factory=RunFacts)
    source: SourceFacts = field(default_factory=SourceFacts)
    given: GivenFacts = field(default_factory=GivenFacts)
    out_of_sample: OutOfSample | None = None
    """Only in a table that `fit` wrote."""

    @classmethod
    def of(cls, schema: pa.Schema) -> Self:
        """The facts of a table with this schema; all missing where it carries none (it was read from CSV or JSON)."""
        return cls.from_json(stored_facts(schema))

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """The facts as `stored_facts` gives them."""
        told = _Told(stored)
        return cls(
            model=told.text("model"),
            revision=told.text("revision"),
            task=told.text("task"),
            labels=told.texts("labels"),
            text_column=told.text("text_column"),
            text_pair_column=told.text("text_pair_column"),
            max_length=told.count("max_length"),
            stride=told.count("stride"),
            precision=told.text("precision"),
            graph=told.text("graph"),
            backend=told.text("backend"),
            exact_top=told.count("exact_top"),
            run=_run(told.inner("run")),
            source=_source(told.inner("source")),
            given=GivenFacts(told.text("label_column"), told.items("label_values"), _form(told)),
            out_of_sample=_out_of_sample(told),
        )

    def stored_in(self, schema: pa.Schema) -> pa.Schema:
        """The schema with these facts in its metadata."""
        told = asdict(self)
        out_of_sample, given = told.pop("out_of_sample"), told.pop("given")
        told |= {f"label_{name}": value for name, value in given.items()} | {"out_of_sample": out_of_sample}
        kept = {name: value for name, value in told.items() if value is not None or name not in _ONLY_SOME_HAVE}
        return schema.with_metadata({FACTS_KEY: json.dumps(kept, ensure_ascii=False).encode()})


def stored_facts(schema: pa.Schema) -> dict[str, Any]:
    """The facts as they are stored, including those that this version doesn't know; {} where there are none."""
    stored = (schema.metadata or {}).get(FACTS_KEY)
    try:
        facts = json.loads(stored) if stored else {}
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


class _Told:
    """A JSON object whose values may be anything; each method returns None for a value of another type."""

    def __init__(self, values: object) -> None:
        self._values: Mapping[str, Any] = values if isinstance(values, dict) else {}

    def text(self, name: str) -> str | None:
        value = self._values.get(name)
        return value if isinstance(value, str) else None

    def count(self, name: str) -> int | None:
        value = self._values.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def truth(self, name: str) -> bool | None:
        value = self._values.get(name)
        return value if isinstance(value, bool) else None

    def number(self, name: str) -> float | None:
        value = self._values.get(name)
        return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None

    def items(self, name: str) -> tuple[Any, ...] | None:
        value = self._values.get(name)
        return tuple(value) if isinstance(value, list) else None

    def texts(self, name: str) -> tuple[str, ...] | None:
        items = self.items(name)
        return None if items is None else tuple(map(str, items))

    def inner(self, name: str) -> "_Told":
        return _Told(self._values.get(name))

    def __bool__(self) -> bool:
        return bool(self._values)

    def all_texts(self) -> dict[str, str]:
        return {name: str(value) for name, value in self._values.items()}


def _run(told: _Told) -> RunFacts:
    return RunFacts(told.inner("versions").all_texts(), told.count("scored"), told.number("seconds"))


def _source(told: _Told) -> SourceFacts:
    return SourceFacts(
        name=told.text("name"),
        config=told.text("config"),
        split=told.text("split"),
        splits=_splits(told),
        separator=told.text("separator"),
        encoding=told.text("encoding"),
        header=told.truth("header"),
        sheet=told.text("sheet"),
        limit=told.count("limit"),
        rows=told.count("rows"),
        fingerprint=told.text("fingerprint"),
        text_column=told.text("text_column"),
        text_pair_column=told.text("text_pair_column"),
        label_column=told.text("label_column"),
    )


def _splits(source: _Told) -> tuple[Split, ...] | None:
    told = [_Told(item) for item in source.items("splits") or ()]
    found = [(split.text("name"), split.count("rows")) for split in told]
    return tuple(Split(name, rows) for name, rows in found if name is not None and rows is not None) or None


def _form(facts: _Told) -> LabelForm | None:
    told = facts.inner("label_form")
    if not told:
        return None
    return LabelForm(told.text("kind"), told.text("separator"), told.items("values"), told.texts("columns"))


def _out_of_sample(facts: _Told) -> OutOfSample | None:
    told = facts.inner("out_of_sample")
    if not told:
        return None
    weights = told.items("weights") or ()
    numbers = tuple(float(weight) for weight in weights if isinstance(weight, (int, float)))
    return OutOfSample(told.count("folds"), told.count("seed"), told.text("score"), numbers or None)
