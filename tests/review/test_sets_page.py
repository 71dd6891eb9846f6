"""Sets of labels and pairs of texts on the page, in a real browser."""

import pytest

from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.store import Decision, DecisionStore, utc_now
from tests.review.browsing import decided, expect, press, title
from tests.review.sets import sets_table, write_sets
from tests.review.test_page_for_everyone import CONTRASTS


@pytest.fixture
def sets_page(sets_file, serve, visit):
    return visit(serve(sets_file).link)


def ticked(page, *labels):
    expect(page.locator(".class[aria-pressed=true] .name")).to_have_text(list(labels))


# Sets of labels.


def test_digits_tick_and_enter_confirms(sets_page, sets_file):
    page = sets_page
    ticked(page, "joy")  # what the model says
    expect(page.locator("#doubt")).to_have_text("anger is given; the model gives it 1 %")
    expect(page.locator(".class[data-doubted] .tag.doubted")).to_have_text("doubted")
    expect(page.locator("#accept")).to_contain_text("Accept joy")
    page.keyboard.press("4")
    page.keyboard.press("1")
    ticked(page, "love")
    expect(page.locator("#accept")).to_contain_text("Confirm love")
    expect(page.locator("#said")).to_have_text("joy: not ticked; Enter confirms")
    press(page, "Enter")
    expect(page.locator("#said")).to_have_text("Record 1: relabelled as love")
    expect(page.locator("#doubt")).to_have_text("love isn’t given; the model gives it 98 %")
    press(page, "a")
    page.keyboard.press("3")
    expect(page.locator("#accept")).to_contain_text("Confirm (no label)")
    press(page, "Enter")  # the given set, which is empty
    press(page, "k")
    press(page, "u")
    page.keyboard.press("d")
    expect(page.locator("#counts")).to_have_text("6 of 6 decided")
    assert decided(sets_file) == {
        0: ("relabel", '["love"]'),
        1: ("relabel", '["joy", "love"]'),
        2: ("keep", None),
        3: ("keep", None),
        4: ("unsure", None),
        5: ("discard", None),
    }
    expect(page.locator("#estimate")).to_have_text("Wrong labels 50 % (15–85 %)")


def test_what_was_decided_is_ticked_again_and_undo_takes_it_back(sets_page, sets_file):
    page = sets_page
    page.keyboard.press("3")
    press(page, "Enter", "p")
    expect(page.locator("#decision")).to_contain_text("Relabelled as joy, fear by Ada")
    ticked(page, "joy", "fear")
    press(page, "k", "p")
    ticked(page, "joy", "anger")
    press(page, "j", "z")
    expect(page.locator("#decision")).to_contain_text("Relabelled as joy, fear")
    ticked(page, "joy", "fear")
    press(page, "j", "z")
    ticked(page, "joy")
    assert decided(sets_file) == {}


def test_changes_that_nobody_confirmed_are_not_stored_and_that_is_said(sets_page, sets_file):
    sets_page.keyboard.press("2")
    press(sets_page, "j")
    expect(sets_page.locator("#said")).to_have_text(
        "The changes to the previous record weren't confirmed and are discarded"
    )
    press(sets_page, "p")
    ticked(sets_page, "joy")
    assert decided(sets_file) == {}


def test_buttons_do_the_same_and_keep_the_focus_of_the_keyboard(sets_page, sets_file):
    page = sets_page
    page.click(".class:has-text('fear')")
    ticked(page, "joy", "fear")
    press(page, "Enter")  # the label that was clicked must not be ticked again
    page.locator(".class").first.focus()
    page.keyboard.press("Space")
    ticked(page, "love")
    expect(page.locator(".class").first).to_be_focused()
    page.keyboard.press("Space")
    ticked(page, "joy", "love")
    before = page.locator("#title").text_content()
    page.click("#accept")
    expect(page.locator("#title")).not_to_have_text(before)
    assert decided(sets_file) == {0: ("relabel", '["joy", "fear"]'), 1: ("relabel", '["joy", "love"]')}


def test_filters_and_bulk_on_sets(sets_page, sets_file):
    page = sets_page
    expect(page.locator(".entry .pair").first).to_have_text("anger given, 1 %")
    page.select_option("#filter-doubted", label="love · 2")
    expect(page.locator("#found")).to_have_text("2 records")
    page.reload()
    expect(page.locator("#found")).to_have_text("2 records")
    page.keyboard.press("b")
    expect(page.locator("#bulk-label")).to_be_hidden()
    page.select_option("select[aria-label='Label to add']", label="fear")
    page.click("#bulk-confirm")
    expect(page.locator("#said")).to_have_text("Decided 2 records; one undo takes all of it back")
    assert decided(sets_file) == {1: ("relabel", '["joy", "fear"]'), 4: ("relabel", '["joy", "fear", "love"]')}


def test_what_others_decide_is_ticked_unless_one_is_about_to(sets_page, sets_file):
    with DecisionStore.open(LossesTable.open(sets_file)) as other:
        other.add([Decision(0, "relabel", '["fear", "love"]', "Bob", "page", utc_now())])
    ticked(sets_page, "fear", "love")
    sets_page.keyboard.press("1")
    with DecisionStore.open(LossesTable.open(sets_file)) as other:
        other.add([Decision(0, "relabel", "[]", "Bob", "page", utc_now())])
    expect(sets_page.locator("#decision")).to_contain_text("Relabelled as (no label) by Bob")
    ticked(sets_page, "joy", "fear", "love")


def test_one_label_of_a_thousand_is_ticked_by_its_name(tmp_path, serve, visit):
    labels = tuple(f"tag {n}" for n in range(1000))
    chances = [0.9 if n == 5 else 0.001 for n in range(1000)]
    table = sets_table([(["tag 3"], chances, "one"), ([], chances, "two")], labels)
    path = write_sets(table, tmp_path / "many.parquet", labels)
    page = visit(serve(path).link)
    page.keyboard.press("/")
    page.keyboard.type("g 870")
    page.keyboard.press("Enter")
    ticked(page, "tag 5", "tag 870")
    expect(page.locator(".class")).to_have_count(11)
    press(page, "Enter")
    assert decided(path) == {0: ("relabel", '["tag 5", "tag 870"]')}


def test_names_of_labels_and_texts_are_never_html(tmp_path, serve, visit):
    labels = ("<img src=x onerror=alert(1)>", "a, b", " ")
    rows = [(labels[:2], (0.01, 0.6, 0.7), "one"), ([], (0.9, 0.1, 0.1), "two")]
    nasty = "<script>alert(2)</script><b>bold</b>"
    path = write_sets(
        sets_table(rows, labels, **{"<i>pair</i>": [nasty, "x"]}),
        tmp_path / "nasty.parquet",
        labels,
        text_pair_column="<i>pair</i>",
    )
    page = visit(serve(path).link)
    expect(page.locator("#pair")).to_have_text(nasty)
    expect(page.locator("#pair-name")).to_have_text("<i>pair</i>")
    expect(page.locator("#doubt b").first).to_have_text(labels[0])
    expect(page.locator("#pair *, #doubt img, .class img")).to_have_count(0)
    press(page, "a")
    expect(page.locator("#said")).to_have_text("Record 1: relabelled as a, b, ␣")


def test_the_help_has_the_keys_of_sets(sets_page):
    sets_page.keyboard.press("?")
    expect(sets_page.locator("#keys tr").first).to_contain_text("Confirm the ticked labels")


# For everyone.


def test_sets_are_spoken_and_ticked_by_buttons_alone(sets_page, sets_file):
    page = sets_page
    expect(page.locator("#spoken")).to_have_text(
        "Record 1 of 6. Given joy, anger. Predicted joy. Doubted anger, given, 1 %. what a wonderful morning"
    )
    page.keyboard.press("?")
    page.get_by_label("Decide with single keys").uncheck()
    page.get_by_role("button", name="Close").click()
    page.keyboard.press("3")
    ticked(page, "joy")
    page.get_by_role("button", name="fear", exact=False, pressed=False).focus()
    page.keyboard.press("Enter")
    ticked(page, "joy", "fear")
    page.get_by_role("button", name="Confirm joy, fear").focus()
    page.keyboard.press("Enter")
    title(page, "Record 2 of 6")
    assert decided(sets_file) == {0: ("relabel", '["joy", "fear"]')}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_sets_and_pairs_have_contrast(scheme, sets_file, pairs_file, serve, visit):
    page = visit(serve(sets_file).link, color_scheme=scheme)
    press(page, "a", "k", "p")
    assert page.evaluate(CONTRASTS) == []
    page.keyboard.press("b")
    expect(page.locator("#bulk")).to_be_visible()
    assert page.evaluate(CONTRASTS) == []
    pairs = visit(serve(pairs_file).link, color_scheme=scheme)
    expect(pairs.locator("#pair-name")).to_be_visible()
    assert pairs.evaluate(CONTRASTS) == []


@pytest.mark.parametrize("width", [320, 400, 820, 1024, 1280, 1920])
def test_sets_of_long_labels_fit_every_width(width, tmp_path, serve, visit):
    labels = tuple(f"a label with a name of some length {n}" for n in range(12))
    table = sets_table([(labels[:4], [0.9, 0.9, 0.8, 0.01, *([0.6] * 8)], "text")], labels)
    page = visit(
        serve(write_sets(table, tmp_path / "long.parquet", labels)).link, viewport={"width": width, "height": 640}
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for action in ("confirm", "keep", "unsure", "discard", "undo", "back", "next"):
        expect(page.locator(f"[data-action={action}]")).to_be_in_viewport(ratio=1)


# Pairs of texts.


def test_both_texts_stand_under_their_names(pairs_file, serve, visit):
    page = visit(serve(pairs_file).link)
    expect(page.locator("#text-name")).to_have_text("premise")
    expect(page.locator("#text")).to_have_text("A man reads.")
    expect(page.locator("#pair-name")).to_have_text("hypothesis")
    expect(page.locator("#pair")).to_have_text("He <b>sleeps</b>.")
    expect(page.locator("#pair")).to_have_attribute("aria-label", "hypothesis")
    expect(page.locator(".entry .snippet").first.locator("> span")).to_have_text(["A man reads.", "He <b>sleeps</b>."])
    page.locator("#filter-text").fill("sleeps")
    title(page, "Record 1 of 1")
    expect(page.locator("#pair mark")).to_have_text("sleeps")
    page.locator("#filter-text").fill("the dog")
    title(page, "Record 1 of 1")
    expect(page.locator("#pair")).to_have_text("(empty text)")
    page.locator("#filter-text").fill("no such text")
    expect(page.locator("#empty")).to_be_visible()
    expect(page.locator("#pair-name")).to_be_hidden()


def test_one_text_has_no_name_above_it(page):
    for part in ("#text-name", "#pair-name", "#pair", "#doubt", "[data-for=sets]"):
        assert page.locator(part).first.is_hidden(), part
