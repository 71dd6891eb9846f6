"""Sending records to any sink: exactly n, highest loss first, none twice; an error says which are in."""

import dataclasses
import sys

import pytest

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.table.facts import SourceFacts
from lossaudit.review.records import records_of
from lossaudit.review.sinks import About, Held, Place, connect, utc, without_nul
from lossaudit.review.sinks.log import log_records


class Kept:
    """A sink that keeps records in a list, and fails as it is told to."""

    batch_size = 5
    address = "the list"

    def __init__(self):
        self.kept, self.bulks, self.fails_at, self.half, self.blind = [], [], None, 0, False

    def find(self, *, create):
        assert create

    def held(self):
        if self.blind:
            raise LossAuditError("the list is gone")
        return iter(self.kept)

    def send(self, records):
        self.bulks.append([record.row for record in records])
        fails = len(self.bulks) == self.fails_at
        for record in records[: self.half] if fails else records:
            self.kept.append(Held(record.row, record.text, record.loss))
        if fails:
            self.blind = self.blind_after
            raise LossAuditError("the list is full")

    blind_after = False


@pytest.fixture
def sink():
    return Kept()


def rows(sink):
    return [held.row for held in sink.kept]


def test_exactly_n_in_loss_order_in_bulks(sink, losses, on_stage):
    logged = log_records(records_of(losses, 11), sink, on_stage)
    assert sink.bulks == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10]]
    assert (logged.sent, logged.there, logged.others) == (11, 0, 0)
    assert on_stage.stages == [("Sending", 11)]
    assert on_stage.done == [5, 5, 1]


def test_a_second_run_sends_nothing_and_a_longer_one_the_rest(sink, losses, on_stage):
    log_records(records_of(losses, 5), sink, on_stage)
    assert log_records(records_of(losses, 5), sink, on_stage).sent == 0
    logged = log_records(records_of(losses, 12), sink, on_stage)
    assert (logged.sent, logged.there) == (7, 5)
    assert rows(sink) == list(range(12))


def test_other_records_are_counted_and_left(sink, losses, on_stage):
    sink.kept = [Held(None, "mine", None), Held(11, "example number 11", 1.0)]
    logged = log_records(records_of(losses, 3), sink, on_stage)
    assert (logged.sent, logged.there, logged.others) == (3, 0, 2)


@pytest.mark.parametrize(
    ("rank", "half", "blind", "says"),
    [
        (1, 0, False, "Of 12 records, none are stored."),
        (2, 0, False, "Of 12 records, those of rank 1-5 are stored."),
        (3, 1, False, "Of 12 records, those of rank 1-11 are stored."),
        (2, 3, True, "Of 12 records, those of rank 1-5 are known to be stored."),
    ],
)
def test_a_failed_bulk_says_which_records_are_in(rank, half, blind, says, sink, records, on_stage, refused):
    sink.fails_at, sink.half, sink.blind_after = rank, half, blind
    with refused("the list is full", says, "Run the same command again to send the rest"):
        log_records(records, sink, on_stage)
    sink.fails_at, sink.blind = None, False
    log_records(records, sink, on_stage)
    assert sorted(rows(sink)) == list(range(12))


def test_ranks_with_gaps(sink, records, on_stage, refused):
    sink.kept = [Held(n, f"example number {n}", 12.0 - n) for n in (1, 3, 4)]
    sink.fails_at = 1
    with refused("of rank 2, 4-5 are stored."):
        log_records(records, sink, on_stage)


@pytest.mark.parametrize("other", [{"text": "something else"}, {"loss": 3.25}])
def test_records_of_another_losses_file_are_refused_before_anything_is_sent(other, sink, records, on_stage, refused):
    sink.kept = [dataclasses.replace(Held(2, "example number 2", 10.0), **other)]
    with refused("the list is about another losses file", "row 2", "another name"):
        log_records(records, sink, on_stage)
    assert sink.bulks == []


def test_a_rounded_loss_and_a_nul_are_no_other_file(sink, records, on_stage):
    nul = dataclasses.replace(records[0], text="a\0b")
    sink.kept = [Held(0, without_nul("a\0b"), records[0].loss + 1e-8), Held(1, None, None)]
    assert log_records([nul, *records[1:]], sink, on_stage).there == 2


def test_a_loss_that_is_no_number_is_refused(sink, records, on_stage, refused):
    with refused("loss of row 0 is inf"):
        log_records([dataclasses.replace(records[0], loss=float("inf"))], sink, on_stage)


def test_what_the_records_are_about(losses):
    told = About.of(losses)
    assert (told.model, told.dataset, told.labels[0]) == ("model of losses.parquet", "losses", "World")
    losses.facts = dataclasses.replace(losses.facts, model="acme/model", source=SourceFacts("ag_news"))
    assert About.of(losses) == About("acme/model", "ag_news", told.labels)


@pytest.mark.parametrize(
    ("time", "stored"),
    [
        ("2026-01-02T03:04:05.678901", "2026-01-02T03:04:05.678901+00:00"),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05+00:00"),
        ("2026-01-02T03:04:05+02:00", "2026-01-02T03:04:05+02:00"),
    ],
)
def test_a_time_without_a_zone_is_utc(time, stored):
    assert utc(time) == stored


def test_the_extra_is_named(monkeypatch, about, refused):
    monkeypatch.delitem(sys.modules, "lossaudit.review.sinks.argilla", raising=False)
    monkeypatch.setitem(sys.modules, "argilla", None)
    with refused("argilla needs the package argilla", "pip install 'lossaudit[argilla]'"):
        connect("argilla", Place(name="a"), about)
