"""The facts about a run that are stored in its losses table."""

import json

import pyarrow as pa
import pytest

from lossaudit.engine.data.rows import Split
from lossaudit.engine.labels.form import GivenFacts, LabelForm
from lossaudit.engine.table.facts import Facts, OutOfSample, RunFacts, SourceFacts, stored_facts
from lossaudit.engine.table.ranking import rank

SCHEMA = pa.schema([("id", pa.int64()), ("loss", pa.float64())])
FULL = Facts(
    model="mödel",
    labels=("a", "b"),
    text_column="text",
    max_length=64,
    exact_top=5,
    run=RunFacts({"lossaudit": "1.0"}, 3, 0.25),
    source=SourceFacts(
        "rows", split="a,b", splits=(Split("a", 2), Split("b", 1)), fingerprint="abc", label_column="label"
    ),
    given=GivenFacts("label", (0, 1), LabelForm("list", values=(0, None), columns=("a", "b"))),
    out_of_sample=OutOfSample(5, 0, "blend", (0.5, 0.5)),
)


def of_json(text):
    return Facts.of(SCHEMA.with_metadata({b"lossaudit": text.encode()}))


@pytest.mark.parametrize("facts", [FULL, Facts()])
def test_facts_travel_with_the_table(facts):
    table = pa.table({"id": [0, 1], "loss": [1.0, 2.0]}, facts.stored_in(SCHEMA))
    assert Facts.of(rank(table).schema) == facts


def test_a_table_without_facts_has_none():
    assert Facts.of(SCHEMA) == Facts()
    assert stored_facts(SCHEMA) == {}


def test_they_are_stored_as_documented():
    stored = stored_facts(FULL.stored_in(SCHEMA))
    assert (stored["labels"], stored["label_column"], stored["label_values"]) == (["a", "b"], "label", [0, 1])
    assert stored["label_form"] == {"kind": "list", "separator": None, "values": [0, None], "columns": ["a", "b"]}
    assert stored["source"]["fingerprint"] == "abc"
    assert stored["run"] == {"versions": {"lossaudit": "1.0"}, "scored": 3, "seconds": 0.25}
    assert stored["out_of_sample"]["folds"] == 5


def test_those_of_some_tables_alone_are_left_out_of_others():
    assert not {"label_form", "out_of_sample"} & stored_facts(Facts().stored_in(SCHEMA)).keys()


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '"facts"'])
def test_spoilt_facts_are_none(text):
    assert of_json(text) == Facts()


@pytest.mark.parametrize("foreign", [None, True, 3, 1.5, "text", [], ["x"], {}, {"name": [3], "kind": {}}])
def test_a_fact_of_another_type_is_missing_and_the_others_stay(foreign):
    for name in [*stored_facts(FULL.stored_in(SCHEMA)), "of a newer version"]:
        facts = of_json(json.dumps({"model": "m", "graph": "int8"} | {name: foreign}))
        assert {facts.model, facts.graph, name} >= {"m", "int8"} or name in ("model", "graph")
        for value in (facts.text_column, facts.given.column, facts.source.name, facts.source.label_column):
            assert value is None or isinstance(value, str)
        for count in (facts.max_length, facts.exact_top, facts.run.scored):
            assert count is None or type(count) is int
