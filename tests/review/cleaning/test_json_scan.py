"""Spans of JSON values: what is at them is what `json` reads, and taking values out or adding some stays JSON."""

import json
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from lossaudit.review.cleaning.json_edit import Spelling, edited_object
from lossaudit.review.cleaning.json_scan import added, by_name, changed, spans_of, without

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
)
OBJECTS = st.dictionaries(st.text(max_size=4), VALUES, max_size=5)
STYLES = st.fixed_dictionaries(
    {
        "ensure_ascii": st.booleans(),
        "indent": st.sampled_from([None, 0, 1, "\t"]),
        "separators": st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : "), (",\r\n", ":")]),
    }
)


def said(value):
    return json.dumps(value, sort_keys=True)  # NaN isn't equal to itself


@given(OBJECTS, STYLES)
def test_members_are_where_their_spans_say(value, style):
    text = json.dumps(value, **style)
    members = by_name(spans_of(text, 0))
    assert list(members) == list(value)
    for name, span in members.items():
        assert said(json.loads(text[span.value : span.stop])) == said(value[name])
        assert json.loads("{" + text[span.start : span.stop] + "}").keys() == {name}


@given(st.lists(VALUES, max_size=6), STYLES, st.data())
def test_items_go_and_come(items, style, data):
    text = json.dumps(items, **style)
    spans = spans_of(text, 0)
    dropped = data.draw(st.sets(st.sampled_from(range(len(items))))) if items else set()
    left = [item for place, item in enumerate(items) if place not in dropped]
    assert said(json.loads(changed(text, without(spans, dropped)))) == said(left)
    assert said(json.loads(changed(text, added(text, 0, spans, ["1", '"x"'], ",")))) == said([*items, 1, "x"])


@given(OBJECTS, OBJECTS, STYLES)
def test_an_object_says_what_it_is_told_to(old, more, style):
    text = json.dumps(old, **style)
    new = old | more
    made = changed(text, edited_object(text, 0, old, new, Spelling()))
    assert said(json.loads(made)) == said(new)
    assert changed(text, edited_object(text, 0, old, old, Spelling())) == text


def test_of_members_with_the_same_name_the_last_counts():
    text = '{"a": 1, "b": 2, "a": 3}'
    assert changed(text, edited_object(text, 0, {"a": 3, "b": 2}, {"a": 4, "b": 2}, Spelling())) == (
        '{"a": 1, "b": 2, "a": 4}'
    )


@given(
    st.lists(st.sampled_from("abc"), max_size=3, unique=True),
    st.lists(st.sampled_from("abcd"), max_size=4, unique=True),
)
def test_a_list_of_labels_keeps_those_that_stay(old, wanted):
    new = [*(name for name in old if name in wanted), *(name for name in wanted if name not in old)]
    text = json.dumps({"label": old, "x": 1}, indent=2)
    made = changed(text, edited_object(text, 0, {"label": old, "x": 1}, {"label": new, "x": 1}, Spelling()))
    assert json.loads(made) == {"label": new, "x": 1}
    if len(old) > 1 and len(new) != len(old):
        assert set(chain(*(line.split(",") for line in made.splitlines()))) >= {f'    "{name}"' for name in new}
