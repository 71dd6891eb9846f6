"""The review page in a real browser: what a person does there, and that no decision is lost."""

import signal
import sqlite3

from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.store import Decision, DecisionStore, utc_now
from tests.review.browsing import decided, expect, press, title

# Deciding.


def test_each_decision_is_one_key(page, losses_file):
    title(page, "Record 1 of 12")
    press(page, "Enter", "a", "k", "4", "1", "u", "d")
    title(page, "Record 8 of 12")
    expect(page.locator("#counts")).to_have_text("7 of 12 decided")
    assert decided(losses_file) == {
        0: ("relabel", "Sports"),
        1: ("relabel", "Business"),
        2: ("keep", None),
        3: ("keep", None),  # 4 is Sci/Tech, the given label
        4: ("keep", None),  # 1 is World, the given label
        5: ("unsure", None),
        6: ("discard", None),
    }
    expect(page.locator("#estimate")).to_have_text("Wrong labels 40 % (12–77 %)")
    page.keyboard.press("?")
    expect(page.locator("#pace")).to_contain_text("decisions per minute; at this pace, the 5 left take")


def test_buttons_do_the_same_as_keys(page, losses_file):
    for action in ("accept", "keep", "unsure", "discard"):
        before = page.locator("#title").text_content()
        page.click(f"[data-action={action}]")
        expect(page.locator("#title")).not_to_have_text(before)
    page.click(".class:has-text('World')")
    title(page, "Record 6 of 12")
    press(page, "Enter")  # the button that was clicked must not be pressed again
    assert list(decided(losses_file).values()) == [
        ("relabel", "Sports"),
        ("keep", None),
        ("unsure", None),
        ("discard", None),
        ("keep", None),
        ("relabel", "Business"),
    ]


def test_a_key_held_down_decides_once(page):
    page.keyboard.down("a")
    title(page, "Record 2 of 12")
    for _ in range(5):
        page.keyboard.down("a")
    page.keyboard.up("a")
    page.keyboard.press("u")
    title(page, "Record 3 of 12")
    expect(page.locator("#counts")).to_have_text("2 of 12 decided")


def test_back_next_and_what_was_decided(page):
    press(page, "a", "ArrowLeft")
    title(page, "Record 1 of 12")
    expect(page.locator("#decision")).to_contain_text("Relabelled as Sports by Ada")
    expect(page.locator(".class[aria-pressed=true] .name")).to_have_text("Sports")
    press(page, "ArrowRight", "j", "p")
    title(page, "Record 2 of 12")
    expect(page.locator("#decision")).to_be_hidden()


def test_undo_by_key_and_by_control_z(page, losses_file):
    press(page, "a", "k", "d")
    press(page, "z")
    title(page, "Record 3 of 12")
    expect(page.locator("#said")).to_have_text("Took back the decision on row 2")
    press(page, "Control+z")
    title(page, "Record 2 of 12")
    assert decided(losses_file) == {0: ("relabel", "Sports")}
    press(page, "z")
    page.keyboard.press("z")
    expect(page.locator("#said")).to_have_text("Ada has nothing to undo")
    assert decided(losses_file) == {}


def test_one_label_of_a_thousand(make_losses, serve, visit):
    labels = tuple(f"intent {n}" for n in range(1000))
    path = make_losses([("intent 3", "intent 5", 3.0, "hello"), ("intent 1", "intent 2", 2.0, "there")], labels=labels)
    page = visit(serve(path).link)
    page.keyboard.press("/")
    expect(page.locator("#picker-list li").first).to_have_text("intent 5")
    page.keyboard.type("T 87")
    expect(page.locator("#picker-list li")).to_have_count(21)  # 11 hold it, 9 only its words, and it may be a new label
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    title(page, "Record 2 of 2")
    assert decided(path) == {0: ("relabel", "intent 870")}
    page.keyboard.press("/")
    page.keyboard.type("nothing like it")
    expect(page.locator("#picker-note")).to_contain_text("None of the 1,000 labels")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    expect(page.locator("#said")).to_have_text("All 2 records are decided. Next, in a terminal: lossaudit apply")
    expect(page.locator("#ending-title")).to_have_text("All 2 records are decided")
    expect(page.locator("#ending-next code").first).to_have_text(f"lossaudit apply {path} -o cleaned.csv")


def test_at_the_end_of_the_list_it_goes_back_to_what_was_left_out(page):
    press(page, "a", "j", "a")
    page.locator("#list").focus()
    page.keyboard.press("End")
    title(page, "Record 12 of 12")
    press(page, "k")
    title(page, "Record 2 of 12")
    expect(page.locator("#said")).to_have_text("End of the list: back to the first undecided record")


# Filters, order and bulk.


def test_filters_find_and_a_reload_keeps_them(page):
    page.select_option("#filter-given", index=1)
    expect(page.locator("#found")).to_have_text("3 records")
    page.keyboard.press("s")
    page.locator("#filter-text").fill("NUMBER 8")
    title(page, "Record 1 of 1")
    expect(page.locator("#text mark")).to_have_text(["number", "8"])
    page.reload()
    title(page, "Record 1 of 1")
    expect(page.locator("#filter-text")).to_have_value("NUMBER 8")
    page.locator("#filter-text").fill("no such text")
    expect(page.locator("#empty")).to_have_text("No record matches these filters.")
    page.click("#clear")
    title(page, "Record 1 of 12")


def test_the_list_of_undecided_records_shrinks_when_it_is_asked_for_again(page):
    page.select_option("#filter-status", "undecided")
    page.locator("#record").focus()
    press(page, "a", "k")
    title(page, "Record 3 of 12")
    page.reload()
    title(page, "Record 1 of 10")
    page.select_option("#filter-status", "decided")
    title(page, "Record 1 of 2")


def test_the_list_follows_and_chooses(page):
    press(page, "a", "k")
    expect(page.locator(".entry[aria-selected=true] .rank")).to_have_text("3")
    expect(page.locator(".entry[data-verdict=relabel]")).to_have_count(1)
    page.locator(".entry", has_text="example number 5").click()
    title(page, "Record 6 of 12")
    page.keyboard.press("ArrowDown")
    title(page, "Record 7 of 12")
    page.keyboard.press("d")
    title(page, "Record 8 of 12")
    page.select_option("#filter-sort", "pair")
    expect(page.locator(".entry .rank").nth(1)).to_have_text("5")


def test_a_bulk_says_how_many_and_one_undo_takes_it_back(page, losses_file):
    press(page, "u")
    page.select_option("#filter-given", index=1)
    expect(page.locator("#found")).to_have_text("3 records")
    page.locator("#record").focus()
    page.keyboard.press("b")
    expect(page.locator("#bulk-title")).to_have_text("Decide these 3 records")
    expect(page.locator("#bulk-note")).to_contain_text("1 of them has a decision, which this replaces.")
    page.keyboard.press("Escape")
    assert decided(losses_file) == {0: ("unsure", None)}
    page.keyboard.press("b")
    page.click("#bulk-confirm")
    expect(page.locator("#said")).to_have_text("Decided 3 records; one undo takes all of it back")
    assert decided(losses_file) == dict.fromkeys((0, 4, 8), ("relabel", "Sports"))
    page.keyboard.press("z")
    expect(page.locator("#said")).to_have_text("Took back 3 decisions")
    assert decided(losses_file) == {0: ("unsure", None)}
    page.keyboard.press("b")
    page.select_option("#bulk-label", label="Business")
    page.click("#bulk-confirm")
    expect(page.locator("#counts")).to_have_text("3 of 12 decided")
    assert decided(losses_file) == dict.fromkeys((0, 4, 8), ("relabel", "Business"))


def test_a_bulk_hits_only_what_was_confirmed(page, losses_file):
    page.keyboard.press("b")
    expect(page.locator("#bulk-confirm")).to_have_text("Decide 12 records")
    page.keyboard.press("Escape")
    page.select_option("#filter-status", "undecided")
    expect(page.locator("#found")).to_have_text("12 records")
    page.locator("#record").focus()
    page.keyboard.press("b")
    expect(page.locator("#bulk")).to_be_visible()
    with DecisionStore.open(LossesTable.open(losses_file)) as other:
        other.add([Decision(3, "keep", None, "Bob", "page", utc_now())])
    page.click("#bulk-confirm")
    expect(page.locator("#failure")).to_contain_text("the filters now find 11 records, not 12")
    assert decided(losses_file) == {3: ("keep", None)}


# Nothing is lost.


def test_a_reload_goes_on_at_the_same_record(page):
    press(page, "a", "a", "k")
    page.reload()
    title(page, "Record 4 of 12")
    expect(page.locator("#counts")).to_have_text("3 of 12 decided")


def test_a_killed_server_is_said_loses_nothing_and_is_taken_up_again(serve, visit, losses_file):
    server = serve()
    page = visit(server.link)
    press(page, "a", "k")
    server.stop(signal.SIGKILL)
    page.keyboard.press("d")
    expect(page.locator("#failure")).to_contain_text("May not be stored. The server doesn't answer.")
    title(page, "Record 3 of 12")
    expect(page.locator("#counts")).to_have_text("2 of 12 decided")
    assert decided(losses_file) == {0: ("relabel", "Sports"), 1: ("keep", None)}
    again = serve(port=server.port)
    expect(page.locator("#failure")).to_contain_text("open the link that the review printed")
    new = visit(again.link, page.context)
    title(new, "Record 3 of 12")
    # The old tab has the new cookie now.
    expect(page.locator("#failure")).to_be_hidden()
    press(page, "d")
    assert decided(losses_file)[2] == ("discard", None)


def test_two_tabs_see_each_others_decisions(serve, visit, losses_file):
    server = serve()
    first = visit(server.link)
    second = visit(server.link, first.context)
    press(first, "a", "a")
    expect(second.locator("#counts")).to_have_text("2 of 12 decided")
    expect(second.locator("#decision")).to_contain_text("Relabelled as Sports by Ada")
    expect(second.locator(".entry[data-verdict=relabel]")).to_have_count(2)
    press(second, "k", "j", "d")
    press(first, "u")
    expect(first.locator("#counts")).to_have_text("3 of 12 decided")
    assert decided(losses_file) == {0: ("keep", None), 1: ("relabel", "Business"), 2: ("unsure", None)}
    expect(first.locator(".entry[data-verdict=keep]")).to_have_count(1)


def test_what_the_disk_refuses_is_said_and_the_record_stays(page, losses_file):
    press(page, "a")
    path = f"{losses_file}.reviews.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("ALTER TABLE decisions RENAME TO away")
    page.keyboard.press("k")
    expect(page.locator("#failure")).to_contain_text("Not stored.")
    title(page, "Record 2 of 12")
    with sqlite3.connect(path) as other:
        other.execute("ALTER TABLE away RENAME TO decisions")
    other.close()
    press(page, "k")
    expect(page.locator("#failure")).to_be_hidden()
    assert decided(losses_file) == {0: ("relabel", "Sports"), 1: ("keep", None)}


def test_several_annotators_by_name(serve, visit, losses_file):
    server = serve(annotator=None)
    page = visit(server.link)
    expect(page.locator("#name-dialog")).to_be_visible()
    page.keyboard.press("Escape")  # nothing can be decided without a name
    expect(page.locator("#name-dialog")).to_be_visible()
    page.keyboard.type("  Grace 🙂 ")
    page.keyboard.press("Enter")
    expect(page.locator("#who")).to_have_text("Grace 🙂")
    press(page, "a")
    page.reload()
    expect(page.locator("#who")).to_have_text("Grace 🙂")
    page.click("#who")
    page.locator("#name").fill("Bob")
    page.keyboard.press("Enter")
    press(page, "p", "k", "p")
    expect(page.locator("#decision")).to_contain_text("Kept by Bob")
    expect(page.locator("#decision")).to_contain_text("earlier: Relabelled as Sports by Grace 🙂")
    press(page, "j")
    with DecisionStore.open(LossesTable.open(losses_file)) as store:
        assert store.annotators() == ["Bob", "Grace 🙂"]
