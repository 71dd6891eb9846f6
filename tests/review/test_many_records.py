"""The page's server with 100,000 records."""

import random

import pyarrow as pa
import pytest

from lossaudit.engine.table.facts import Facts
from lossaudit.engine.table.formats import write_table
from lossaudit.engine.table.schema import SCHEMA

NAMES = {"annotator": "Ada"}


@pytest.fixture(scope="module")
def large_file(tmp_path_factory):
    """100,000 records of four labels."""
    draw = random.Random(1)
    n = 100_000
    columns = {
        "id": list(range(n)),
        "label_name": draw.choices(["World", "Sports"], k=n),
        "prediction_name": draw.choices(["Business", "Sci/Tech"], k=n),
        "probability": [0.9] * n,
        "loss": [draw.random() for _ in range(n)],
    }
    table = pa.table(columns | {"text": [f"text of row {row}" for row in range(n)]})
    for name in SCHEMA.names:
        if name not in columns:
            table = table.append_column(SCHEMA.field(name), pa.nulls(n, SCHEMA.field(name).type))
    table = table.cast(Facts.from_json({"labels": ["World", "Sports", "Business", "Sci/Tech"]}).stored_in(table.schema))
    path = tmp_path_factory.mktemp("large") / "losses.parquet"
    write_table([table], table.schema, path)
    return path


def test_a_hundred_thousand_records_come_in_pages(large_file, serving):
    client = serving(large_file, n=100_000).enter()
    ranks = client.view()["ranks"]
    assert ranks == list(range(1, 100_001))
    pages = [ranks[start : start + 200] for start in (0, 50_000, 99_800)]
    for page in pages:
        items = client.get("/api/items", params={"ranks": ",".join(map(str, page))}).json()["items"]
        assert [item["rank"] for item in items] == page
        losses = [item["loss"] for item in items]
        assert losses == sorted(losses, reverse=True)
    assert client.view(text="row 99999")["ranks"] == [
        client.records(*client.view(text="row 99999")["ranks"])[0]["rank"]
    ]


def test_a_hundred_thousand_records_are_decided_and_undone_at_once(large_file, serving):
    client = serving(large_file, n=100_000).enter()
    expected = len(client.view(given="World")["ranks"])
    values = {**NAMES, "query": {"given": "World"}, "verdict": "accept", "label": None, "expected": expected}
    assert client.post_json("decide-all", values).json()["decided"] == expected
    assert len(client.view(status="undecided")["ranks"]) == 100_000 - expected
    assert client.post_json("undo", NAMES).json()["undone"] == expected
    assert client.view()["decided"] == 0
