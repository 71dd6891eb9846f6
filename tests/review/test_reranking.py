"""A review that learns its order anew while people decide."""

import pytest

from lossaudit.engine.table.learned import learned_path, read_learned
from lossaudit.review.opinions import Remark, Viewer
from lossaudit.review.queries import Query
from lossaudit.review.reviewing import Review

LABELS = ("World", "Sports", "Business", "Sci/Tech")
N = 200
ADA = Viewer("Ada")


@pytest.fixture
def losses_file(make_losses):
    """Rows of falling loss, of which those given World and predicted Sports are wrong."""
    rows = [(LABELS[n % 4], LABELS[(n + 1 + n // 4 % 3) % 4], 8.0 - n / 25, f"example {n}") for n in range(N)]
    return make_losses(rows)


@pytest.fixture
def open_review(losses_file):
    opened = []

    def go(n=60, **options):
        opened.append(Review.open(losses_file, n, **({"rerank_every": 30} | options)))
        return opened[-1]

    yield go
    for review in opened:
        review.close()


def rows_of(review, query=None):
    return [review.records[rank - 1].row for rank in review.view(query or Query(), ADA).ranks]


def is_wrong(row):
    return row % 4 == 0 and row // 4 % 3 == 0


def decide(review, rows):
    for row in rows:
        verdict, label = ("relabel", "Sports") if is_wrong(row) else ("keep", None)
        review.decide(row, verdict, label, ADA, None, Remark(), is_new=False)
    review.progress(ADA)
    review.wait()


def test_the_undecided_rest_is_learned_anew(open_review, losses_file):
    review = open_review()
    before = rows_of(review)
    assert before == list(range(60))
    decide(review, before[:29])
    assert review.progress(ADA).order is None
    assert rows_of(review) == before
    decide(review, before[29:30])
    order = review.progress(ADA).order
    assert (order.lessons, order.following) == (30, 30)
    after = rows_of(review)
    assert len(after) == review.progress(ADA).total == 60
    assert after[:30] == before[:30]  # what is decided stays where it was
    assert sum(map(is_wrong, after[30:])) > sum(map(is_wrong, before[30:]))
    assert set(after) - set(before)  # others at hand come in
    assert read_learned(losses_file).lessons == 30


def test_other_orders_and_filters_stay(open_review):
    review = open_review()
    decide(review, range(30))
    assert rows_of(review, Query(sort="id")) == sorted(rows_of(review))
    assert rows_of(review, Query(status="decided")) == list(range(30))
    listed = rows_of(review)
    assert rows_of(review, Query(given="World")) == [row for row in listed if row % 4 == 0]


def test_a_record_that_left_the_list_can_still_be_decided(open_review):
    """It may be on a screen."""
    review = open_review()
    decide(review, range(30))
    gone = next(row for row in range(30, 60) if row not in rows_of(review))
    decide(review, [gone])
    assert gone in rows_of(review)
    assert review.progress(ADA).total == 60
    assert sum(review.progress(ADA).counts.values()) == 31


def test_undoing_keeps_the_order(open_review):
    review = open_review()
    decide(review, range(30))
    learned = rows_of(review)
    review.undo("Ada")
    assert rows_of(review) == learned
    assert review.progress(ADA).order.lessons == 30


def test_bulk_decisions_are_those_of_the_list(open_review):
    review = open_review()
    decide(review, range(30))
    listed = rows_of(review, Query(given="World"))
    assert review.decide_all(Query(given="World"), "unsure", None, ADA, len(listed)) == len(listed)
    assert set(rows_of(review, Query(status="unsure"))) == set(listed)


def test_zero_is_never(open_review, losses_file):
    review = open_review(rerank_every=0)
    decide(review, range(60))
    assert review.progress(ADA).order is None
    assert len(review.records) == 60
    assert not learned_path(losses_file).exists()


def test_a_sample_stays_as_it_is(open_review):
    review = open_review(50, order="sample")
    rows = rows_of(review)
    decide(review, rows[:40])
    assert rows_of(review) == rows
    assert review.progress(ADA).order is None


def test_an_order_that_cant_be_learned_changes_nothing(open_review, losses_file):
    review = open_review()
    learned_path(losses_file).mkdir()
    decide(review, range(30))
    assert rows_of(review) == list(range(60))
    assert review.progress(ADA).order is None
