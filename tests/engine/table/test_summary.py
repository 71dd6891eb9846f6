"""The summary: counting part by part equals counting all rows, in any order of the parts."""

import collections

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossaudit.engine.labels.given import Seen
from lossaudit.engine.table.outcomes import RANKED, STATUSES
from lossaudit.engine.table.summary import Tally

NAMES = ("World", "Sports", "Business")
ROW = st.tuples(st.sampled_from(STATUSES), st.integers(0, 2), st.integers(0, 2), st.floats(0, 20))


def part_of(rows, start=0):
    """A part of these rows: (status, label, prediction, loss)."""
    ranked = [status in RANKED for status, *_ in rows]
    return pa.table(
        {
            "id": range(start, start + len(rows)),
            "status": [status for status, *_ in rows],
            "status_reason": pa.array(["why"] * len(rows)),
            "label": pa.array([label for _, label, *_ in rows]),
            "label_name": [NAMES[label] for _, label, *_ in rows],
            "prediction": [p if scored else None for (_, _, p, _), scored in zip(rows, ranked, strict=True)],
            "prediction_name": [NAMES[p] if s else None for (_, _, p, _), s in zip(rows, ranked, strict=True)],
            "loss": pa.array([x if s else None for (*_, x), s in zip(rows, ranked, strict=True)], pa.float64()),
            "truncated": pa.array([status == "truncated" for status, *_ in rows]),
        }
    )


@given(rows=st.lists(ROW, min_size=1, max_size=60), size=st.integers(1, 20), random=st.randoms())
def test_counting_by_parts_is_counting_all(rows, size, random):
    starts = list(range(0, len(rows), size))
    random.shuffle(starts)
    tally = Tally(3)
    for start in starts:
        tally.add(part_of(rows[start : start + size], start))
    scored = [row for row in rows if row[0] in RANKED]
    found = {status: [n for n, row in enumerate(rows) if row[0] == status] for status in STATUSES}
    assert (tally.rows, tally.ranked, tally.failed) == (len(rows), len(scored), len(found["failed"]))
    expected = {status: Seen(len(found[status]), found[status][0]) for status in STATUSES if found[status]}
    assert tally.unranked == {status: seen for status, seen in expected.items() if status not in RANKED}
    if not scored:
        return
    summary = tally.summary(pairs=100)
    assert summary.rows == len(rows)
    assert summary.ranked == len(scored)
    assert summary.agreeing == sum(label == prediction for _, label, prediction, _ in scored)
    assert summary.truncated == len(found["truncated"])
    assert summary.mean_loss == pytest.approx(sum(loss for *_, loss in scored) / len(scored))
    pairs = collections.Counter((NAMES[label], NAMES[p]) for _, label, p, _ in scored if label != p)
    assert {(pair.label_name, pair.prediction_name): pair.rows for pair in summary.pairs} == pairs
    assert [pair.rows for pair in summary.pairs] == sorted(pairs.values(), reverse=True)


def test_only_the_most_frequent_pairs_are_told():
    rows = [("ok", 0, 1, 2.0)] * 3 + [("ok", 1, 2, 4.0)] * 2 + [("ok", 2, 0, 1.0)]
    tally = Tally(3)
    tally.add(part_of(rows))
    first, second = tally.summary(pairs=2).pairs
    assert (first.label_name, first.prediction_name, first.rows, first.mean_loss) == ("World", "Sports", 3, 2.0)
    assert (second.rows, second.mean_loss) == (2, 4.0)


def test_the_first_failure_is_told_with_its_reason():
    tally = Tally(3)
    tally.add(part_of([("ok", 0, 0, 1.0), ("failed", 0, 0, 1.0), ("failed", 0, 0, 1.0)], start=10))
    assert tally.first_failure == "row 11: why"
