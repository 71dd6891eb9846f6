"""Records: the top of a losses file in any format."""

import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lossaudit.engine.table.formats import ENDINGS
from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.records import Records, records_of

ROWS = [
    ("World", "Sports", 1.5, "first"),
    ("Sports", "Business", 4.0, "second"),
    ("Unknown", "World", None, "no loss"),
    ("Business", "Sci/Tech", 4.0, "a tie, later id"),
    ("Sci/Tech", "World", 0.2, "last"),
]


@pytest.mark.parametrize("ending", ENDINGS)
def test_records_are_ranked_and_have_all_classes(ending, make_losses):
    records = records_of(LossesTable.open(make_losses(ROWS, name=f"losses{ending}")), 10)
    assert [(r.row, r.rank, r.text) for r in records] == [
        (1, 1, "second"),
        (3, 2, "a tie, later id"),
        (0, 3, "first"),
        (4, 4, "last"),
    ]
    first = records[0]
    assert (first.label, first.prediction, first.loss) == ("Sports", "Business", 4.0)
    assert [name for name, _ in first.probabilities] == ["Business", "World", "Sports", "Sci/Tech"]
    assert [p for _, p in first.probabilities] == pytest.approx([0.9, 0.1 / 3, 0.1 / 3, 0.1 / 3])


@pytest.mark.parametrize("n", [1, 2, 4, 100])
def test_n_means_n(n, make_losses):
    assert len(records_of(LossesTable.open(make_losses(ROWS)), n)) == min(n, 4)


def test_without_probabilities_there_is_the_predictions_own(make_losses):
    records = records_of(LossesTable.open(make_losses(ROWS, probabilities=False)), 1)
    assert records[0].probabilities == (("Business", 0.9),)


def test_without_facts_classes_count_only_where_the_table_shows_all(make_losses):
    whole = LossesTable.open(make_losses(ROWS, facts=False))
    assert whole.label_names == ("World", "Sports", "Business", "Sci/Tech")
    assert len(records_of(whole, 1)[0].probabilities) == 4
    part = LossesTable.open(make_losses(ROWS[:2], facts=False))
    assert part.label_names == ("World", "Sports", "Business")
    assert records_of(part, 1)[0].probabilities == (("Business", 0.9),)


def test_labels_are_the_models_and_not_what_the_data_calls_them(make_losses):
    assert LossesTable.open(make_losses(ROWS)).label_names == ("World", "Sports", "Business", "Sci/Tech")


def test_metadata_is_what_a_person_can_read_at_a_glance(make_losses):
    columns = {
        "source": ["wire", "x" * 5000, None, "", "web"],
        "year": [2004, 2005, 2006, 2007, 2008],
        "score": [0.5, float("nan"), 1.0, 2.0, 3.0],
        "day": [datetime.date(2004, 1, 2)] * 5,
        "words": [["a", "list"]] * 5,
    }
    records = {r.row: r for r in records_of(LossesTable.open(make_losses(ROWS, columns=columns)), 9)}
    assert records[0].metadata == {"source": "wire", "year": 2004, "score": 0.5, "day": "2004-01-02"}
    assert records[1].metadata == {"source": "x" * 299 + "…", "year": 2005, "day": "2004-01-02"}


def test_a_file_without_texts_is_refused(make_losses, refused, tmp_path):
    table = pq.read_table(make_losses(ROWS)).drop_columns(["text"])
    pq.write_table(table, tmp_path / "bare.parquet")
    with refused("bare.parquet", "no column with the texts", "`la.audit`"):
        records_of(LossesTable.open(tmp_path / "bare.parquet"), 5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(labels=st.lists(st.text(max_size=8), min_size=2, max_size=6, unique=True), place=st.integers(-6, 5))
def test_labels_of_any_kind_come_through_and_places_agree(labels, place, make_losses):
    rows = [(label, labels[n - 1], float(n), label) for n, label in enumerate(labels)]
    records = Records(LossesTable.open(make_losses(rows, labels=tuple(labels))), 100)
    assert [r.label for r in records] == labels[::-1]
    assert records[:] == list(records)
    if -len(labels) <= place < len(labels):
        assert records[place] == list(records)[place]
    else:
        with pytest.raises(IndexError):
            records[place]


def test_large_strings_from_another_program(make_losses, tmp_path):
    table = pq.read_table(make_losses(ROWS))
    at = table.schema.get_field_index("text")
    pq.write_table(table.set_column(at, "text", table["text"].cast(pa.large_string())), tmp_path / "large.parquet")
    assert records_of(LossesTable.open(tmp_path / "large.parquet"), 1)[0].text == "second"
