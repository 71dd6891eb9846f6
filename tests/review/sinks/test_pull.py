"""Pulling answers: what each means for the row, none twice, and answers that don't fit are reported."""

import pytest

from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.sinks import Answer, Held
from lossaudit.review.sinks.pull import pull

EARLY, LATER, LAST = "2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00+00:00"


class Answered:
    """A sink that holds these records."""

    address = "the list"

    def __init__(self, *held):
        self.list = list(held)

    def find(self, *, create):
        assert not create

    def held(self):
        return iter(self.list)


def held(row, *answers, text=...):
    return Held(row, f"example number {row}" if text is ... else text, None, answers)


def says(label, annotator="ann", made_at=EARLY):
    return Answer(label, None, annotator, made_at)


def test_what_answers_mean(losses, decided):
    # Row n is given World, Sports, Business, Sci/Tech in turn.
    sink = Answered(
        held(0, says("World")),
        held(1, says("World")),
        held(2, Answer(None, "unsure", "bob", EARLY)),
        held(3, Answer(None, "discard", "bob", EARLY)),
        held(4, Answer(None, "keep", "bob", EARLY)),
        held(5),
    )
    pulled = pull(losses, sink, "argilla")
    assert decided() == {
        0: ("keep", None, "ann", "argilla"),
        1: ("relabel", "World", "ann", "argilla"),
        2: ("unsure", None, "bob", "argilla"),
        3: ("discard", None, "bob", "argilla"),
        4: ("keep", None, "bob", "argilla"),
    }
    assert pulled.new == {"keep": 2, "relabel": 1, "unsure": 1, "discard": 1}
    assert (pulled.records, pulled.unanswered, pulled.known) == (6, 1, 0)


def test_a_second_run_adds_nothing_even_if_the_server_moved_the_times(losses, history):
    pull(losses, Answered(held(0, says("Sports"))), "rubrix")
    pulled = pull(losses, Answered(held(0, says("Sports", made_at=LATER))), "rubrix")
    assert (pulled.new.total(), pulled.known) == (0, 1)
    assert len(history(0)) == 1


def test_a_changed_answer_is_a_new_decision_and_the_last_counts(losses, decided, history):
    for label, time in (("Sports", EARLY), ("Business", LATER), ("Sports", LAST)):
        pull(losses, Answered(held(0, says(label, made_at=time))), "rubrix")
    assert decided()[0][:2] == ("relabel", "Sports")
    assert [decision.label for decision in history(0)] == ["Sports", "Business", "Sports"]


def test_one_person_twice_has_said_the_last(losses, history):
    sink = Answered(held(0, says("Business", made_at=LATER), says("Sports", made_at=EARLY)))
    for _ in range(2):
        pull(losses, sink, "label-studio")
    assert [decision.label for decision in history(0)] == ["Business"]


def test_of_two_people_the_later_counts_and_both_stay(losses, decided, history):
    sink = Answered(held(0, says("Business", "bob", LATER), says("Sports", "ann", EARLY)))
    for _ in range(2):
        pull(losses, sink, "label-studio")
    assert decided()[0][:3] == ("relabel", "Business", "bob")
    assert [decision.annotator for decision in history(0)] == ["ann", "bob"]


def test_a_time_in_the_future_adds_nothing_twice(losses, history):
    sink = Answered(held(0, says("Sports", made_at="2999-01-01T00:00:00Z")))
    for _ in range(2):
        pull(losses, sink, "rubrix")
    assert len(history(0)) == 1


def test_labels_with_commas_quotes_emoji_and_blanks(make_losses):
    labels = ("a, b", 'say "hi"', "😀", "x", "x ", "only ")
    losses = LossesTable.open(make_losses([(label, "x", 9.0, "t") for label in labels], labels=labels))
    answers = dict(zip(range(6), ("😀", "a, b", 'say "hi"', "x ", "x", "only"), strict=True))
    pulled = pull(losses, Answered(*(held(row, says(label), text="t") for row, label in answers.items())), "jsonl")
    assert pulled.new == {"relabel": 5, "keep": 1}  # "only" can only be the given "only "
    assert pulled.unknown_labels == {}


def test_a_label_that_could_be_two_is_neither(make_losses):
    losses = LossesTable.open(make_losses([("x ", " x", 9.0, "t")], labels=("x ", " x")))
    assert pull(losses, Answered(held(0, says("x"), text="t")), "jsonl").unknown_labels == {"x": [0]}


def test_labels_that_are_not_the_models_are_said(losses, decided):
    sink = Answered(held(0, says("Politics")), held(1, says("Politics")), held(2, says("World")))
    pulled = pull(losses, sink, "rubrix")
    assert pulled.unknown_labels == {"Politics": [0, 1]}
    assert list(decided()) == [2]


def test_records_that_are_not_of_the_losses_file_are_said(losses, decided):
    sink = Answered(
        held(0, says("Sports")),
        held(1, says("World"), text="another text"),
        held(99, says("World")),
        held(None, says("World")),
        held(98),
    )
    pulled = pull(losses, sink, "rubrix")
    assert pulled.strangers == [1, 99, None]
    assert list(decided()) == [0]


def test_a_dataset_of_another_losses_file_is_refused(losses, refused, tmp_path):
    sink = Answered(held(0, says("Sports"), text="another text"), held(99, says("World")))
    with refused("none of the 2 answered records of the list", str(losses.path)):
        pull(losses, sink, "rubrix")
    assert not list(tmp_path.glob("*.sqlite*"))


def test_no_answers_make_no_store(losses, tmp_path):
    assert pull(losses, Answered(held(0), held(1)), "rubrix").unanswered == 2
    assert not list(tmp_path.glob("*.sqlite*"))


def test_a_record_without_its_text_is_told_by_its_row(losses, decided):
    pull(losses, Answered(held(3, says("World"), text=None)), "jsonl")
    assert decided()[3][:2] == ("relabel", "World")


@pytest.mark.parametrize("name", ["losses.jsonl", "losses.csv", "losses.json"])
def test_losses_without_facts(name, make_losses):
    rows = [("World", "Sports", 9.0, "t"), ("Sports", "World", 8.0, "u")]
    losses = LossesTable.open(make_losses(rows, labels=("World", "Sports"), name=name))
    assert pull(losses, Answered(held(0, says("Sports"), text="t")), "jsonl").new == {"relabel": 1}
