"""The losses table and its top."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossaudit.engine.table.facts import Facts
from lossaudit.engine.table.losses import LossesTable
from lossaudit.engine.table.ranking import ONE_LABEL, PLACE, Filters, places_of_top, rank
from lossaudit.engine.table.schema import source_names


def losses(*values, **columns):
    n = len(values)
    return pa.table(
        {
            "id": pa.array(range(n), pa.int64()),
            "label_name": ["World", "Sports"] * (n // 2) + ["World"] * (n % 2),
            "prediction_name": ["Sports"] * n,
            "loss": pa.array(values, pa.float64()),
        }
        | columns
    )


LOSSES = st.lists(st.floats(0, 20) | st.sampled_from([1.0, 2.0]), max_size=40)


def top(table, n, filters, piece_rows=7):
    """The top of a table that comes in pieces, as `LossesTable.top` takes it."""
    placed = table.append_column(PLACE, pa.array(range(len(table)), pa.int64()))
    starts = range(0, len(table), piece_rows)
    pieces = (placed.slice(start, piece_rows).select([*filters.columns(ONE_LABEL), PLACE]) for start in starts)
    return table.take(pa.array(places_of_top(pieces, n, filters), pa.int64()))


@given(LOSSES)
def test_ranking_is_a_permutation_by_falling_loss_and_then_by_id(values):
    ranked = rank(losses(*values)).select(["loss", "id"]).to_pylist()
    assert ranked == sorted(losses(*values).select(["loss", "id"]).to_pylist(), key=lambda r: (-r["loss"], r["id"]))


@given(LOSSES, st.integers(1, 50), st.randoms())
def test_the_top_is_the_start_of_the_ranking_whatever_the_order_of_the_rows(values, n, random):
    table = losses(*values)
    order = list(range(len(values)))
    random.shuffle(order)
    found = top(table.take(pa.array(order, pa.int64())), n, Filters())
    assert found["id"].to_pylist() == rank(table)["id"].to_pylist()[:n]
    assert len(found) == min(n, len(values))


class TestFilters:
    def ids(self, table=None, **filters):
        return top(table or losses(1, 2, 3, 4), 10, Filters(**filters))["id"].to_pylist()

    def test_given_and_predicted_take_names_in_any_case(self):
        assert self.ids(given="world") == [2, 0]
        assert self.ids(given="Sports") == [3, 1]
        assert self.ids(predicted="SPORTS", given="World") == [2, 0]

    def test_an_unknown_name_lists_the_known(self, refused):
        with refused("given 'Worlds'", "Sports, World"):
            self.ids(given="Worlds")
        with refused("predicted 'World'", "Sports"):
            self.ids(predicted="World")

    def test_min_loss_counts_itself_in(self):
        assert self.ids(min_loss=3) == [3, 2]
        assert self.ids(min_loss=99) == []

    def test_truncated(self):
        assert self.ids(losses(1, 2, 3, truncated=[True, None, True]), truncated=True) == [2, 0]

    def test_truncated_needs_the_column(self, refused, tmp_path):
        table = losses(1, 2)
        with refused("losses.parquet", "leave truncated out"):
            LossesTable(tmp_path / "losses.parquet", table.schema, 2, table).top(1, Filters(truncated=True))

    def test_rows_without_a_loss_are_no_suspects(self):
        assert self.ids(losses(1, None, 3)) == [2, 0]


class TestTextColumn:
    def text_column(self, table):
        return LossesTable(Path("losses.parquet"), table.schema, len(table), table).text_column

    def test_is_the_audits_own_word(self):
        table = losses(1, text=["a"], body=["b"])
        assert self.text_column(table.cast(Facts(text_column="body").stored_in(table.schema))) == "body"

    def test_is_else_guessed(self):
        assert self.text_column(losses(1, author=["a"], text=["b"])) == "text"
        assert self.text_column(losses(1, headline=["a"])) == "headline"
        assert self.text_column(losses(1)) is None

    @pytest.mark.parametrize("stored", [b"", b"{", b"[]", b'{"text_column": "gone"}', b'{"text_column": ["x"]}'])
    def test_is_guessed_where_the_facts_are_spoilt(self, stored):
        table = losses(1, headline=["a"]).replace_schema_metadata({b"lossaudit": stored})
        assert self.text_column(table) == "headline"


class TestSourceNames:
    def test_are_kept_where_they_are_not_ours(self):
        assert source_names(["text", "author"], None) == {"text": "text", "author": "author"}

    def test_get_a_prefix_where_they_are_ours(self):
        names = source_names(["id", "loss", "label", "text"], None)
        assert names == {"id": "source_id", "loss": "source_loss", "label": "source_label", "text": "text"}

    def test_get_another_prefix_where_that_is_taken_too(self):
        assert source_names(["id", "source_id"], None) == {"id": "source_source_id", "source_id": "source_id"}

    def test_leave_out_a_label_column_that_holds_the_same_values(self):
        assert source_names(["text", "label"], "label") == {"text": "text", "label": None}
        assert source_names(["text", "topic"], "topic") == {"text": "text", "topic": "topic"}
