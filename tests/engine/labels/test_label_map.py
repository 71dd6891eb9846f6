"""The syntax of `--label-map`: GIVEN=MODEL pairs."""

from lossaudit.engine.labels.alignment import parse_label_map


def test_is_parsed_at_the_last_equals_sign():
    assert parse_label_map(("a=b=C", " x = y ")) == {"a=b": "C", "x": "y"}


def test_without_an_equals_sign_is_refused(refused):
    with refused("'sport'", "GIVEN=MODEL"):
        parse_label_map(("sport",))


def test_two_answers_for_one_label_are_refused(refused):
    with refused("'A'", "'B'", "'x'"):
        parse_label_map(("x=A", "x=B"))
