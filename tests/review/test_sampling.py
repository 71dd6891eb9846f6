"""Random samples: drawn once, kept beside the losses, and what their decisions say of all rows."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from lossaudit.engine.table.learned import Learned, write_learned
from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.choosing import chosen_records
from lossaudit.review.opinions import Viewer
from lossaudit.review.reviewing import Review
from lossaudit.review.sampling import LEAST_JUDGED, read_decided_sample, read_sample, sample_path, sampled
from lossaudit.review.store import Decision, DecisionStore

LABELS = ("World", "Sports", "Business", "Sci/Tech")
N = 400


@pytest.fixture
def losses(make_losses):
    """Rows of falling loss; those with a loss of at least 9 are wrong."""
    rows = [(LABELS[n % 4], LABELS[(n + 1) % 4], 10.0 - n / 50, f"example {n}") for n in range(N)]
    return LossesTable.open(make_losses([*rows, (None, "World", None, "no label")]))


def decide(losses, rows, verdict=None):
    """A person decides rows, by default rightly."""
    with DecisionStore.open(losses) as store:
        store.add(
            Decision(
                row, said, None if said != "relabel" else LABELS[(row + 1) % 4], "ada", "page", "2026-01-02T03:04Z"
            )
            for row in rows
            for said in [verdict or ("relabel" if row <= 50 else "keep")]
        )


def test_the_same_sample_comes_back(losses):
    first = sampled(losses, 50)
    assert len(set(first.drawn.tolist())) == 50
    assert N not in first.ids
    decide(losses, first.drawn[:10].tolist())
    again = sampled(losses, 50)
    np.testing.assert_array_equal(again.drawn, first.drawn)
    np.testing.assert_array_equal(again.strata, first.strata)
    assert sample_path(losses.path).stat().st_mode & 0o777 == 0o600


def test_all_decided_gives_the_share(losses):
    sample = sampled(losses, 100)
    decide(losses, sample.drawn.tolist())
    found = read_decided_sample(losses)
    assert (found.drawn, found.judged, found.rows) == (100, 100, N)
    assert found.share.low <= 51 / N <= found.share.high
    assert found.share.high - found.share.low < 0.12


def test_too_few_give_none_yet(losses):
    sample = sampled(losses, 100)
    assert read_decided_sample(losses) is None
    decide(losses, sample.drawn[: LEAST_JUDGED - 1].tolist())
    decide(losses, sample.drawn[40:45].tolist(), "unsure")
    assert read_decided_sample(losses).share is None
    decide(losses, sample.drawn[50:51].tolist())
    assert read_decided_sample(losses).judged == LEAST_JUDGED
    assert read_decided_sample(losses).share is not None


def test_decisions_from_the_top_count_only_as_known(losses):
    """They don't make the sample's share higher, though all of them are wrong."""
    decide(losses, range(51))
    sample = sampled(losses, 60)
    assert not set(range(51)) & set(sample.drawn.tolist())
    decide(losses, sample.drawn.tolist())
    found = read_decided_sample(losses).share
    assert found.share == pytest.approx(51 / N)
    decide(losses, range(51, 120))  # later ones outside of the sample change nothing
    assert read_decided_sample(losses).share == found


def test_another_size_is_drawn_anew(losses):
    first = sampled(losses, 30)
    decide(losses, first.drawn.tolist())
    second = sampled(losses, 40)
    assert not set(first.drawn.tolist()) & set(second.drawn.tolist())
    np.testing.assert_array_equal(read_sample(losses).drawn, second.drawn)


def test_strata_follow_the_learned_order(losses):
    ids = np.arange(N)[::-1].copy()
    write_learned(Learned(ids, np.linspace(1, 0, N), np.zeros(N, dtype=bool), 1, "abc"), losses.path)
    sample = sampled(losses, 50)
    assert set(sample.ids[sample.strata == 0].tolist()) == set(range(320, 400))


def test_few_rows_and_none(losses):
    assert len(sampled(losses, 10_000).drawn) == N
    decide(losses, range(N))
    assert len(sampled(losses, 5).drawn) == 0


def test_a_sample_of_another_table_is_drawn_anew(losses, make_losses):
    sampled(losses, 50)
    other = LossesTable.open(make_losses([("World", "Sports", 3.0 - n / 9, f"text {n}") for n in range(9)]))
    assert read_sample(other) is None
    assert len(sampled(other, 50).drawn) == 9


@pytest.mark.parametrize("kind", ["text", "cut"])
def test_a_damaged_one_is_one_line(kind, losses, refused):
    sampled(losses, 50)
    path = sample_path(losses.path)
    path.write_bytes({"text": b"hello", "cut": path.read_bytes()[:-9]}[kind])
    with refused("losses.parquet.sample.parquet isn't a sample", "remove it"):
        sampled(losses, 50)


def test_a_review_of_a_sample_shows_its_rows_and_the_share_of_all(losses):
    review = Review.open(losses.path, 40, order="sample")
    try:
        rows = [record.row for record in review.records]
        assert rows == read_sample(losses).drawn.tolist()
        assert review.progress(Viewer("ada")).estimate is None
        decide(losses, rows)
        progress = review.progress(Viewer("ada"))
        assert (progress.total, progress.rows) == (40, N)
        assert progress.estimate == review.sampled().share
    finally:
        review.close()


def test_a_review_follows_the_learned_order(losses, refused):
    with refused("no order has been learned", "lossaudit rerank"):
        chosen_records(losses, 5, "learned")
    assert [record.row for record in chosen_records(losses, 3).records] == [0, 1, 2]
    ids = np.arange(N)[::-1].copy()
    write_learned(Learned(ids, np.linspace(1, 0, N), np.zeros(N, dtype=bool), 1, "abc"), losses.path)
    choice = chosen_records(losses, 3)
    assert choice.order == "learned"
    assert [(record.row, record.rank) for record in choice.records] == [(399, 1), (398, 2), (397, 3)]
    assert chosen_records(losses, 3, "loss").order == "loss"


def test_nothing_left_to_sample(losses, refused):
    decide(losses, range(N))
    with refused("nothing to sample"):
        Review.open(losses.path, 10, order="sample")


def test_an_order_with_a_row_that_is_gone(losses, refused):
    learned = Learned(np.array([3, 999]), np.array([0.9, 0.1]), np.zeros(2, dtype=bool), 1, "abc")
    write_learned(learned, losses.path)
    with refused("has no row 999"):
        chosen_records(losses, 5)


def test_the_file_holds_no_texts(losses):
    sampled(losses, 5)
    assert pq.read_schema(sample_path(losses.path)).names == ["id", "stratum", "place"]
