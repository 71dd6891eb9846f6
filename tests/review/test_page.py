"""The review page in a real browser: what a person does there, and what must never get lost or run."""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lossaudit.review.store import Decision, DecisionStore, utc_now

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
sync_api = pytest.importorskip("playwright.sync_api", reason="the page's tests need Playwright: pip install playwright")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="the page's tests need a Chromium: apt install chromium")
expect = sync_api.expect
PAIR = ("World", "Sports")


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM)
        yield opened
        opened.close()


class Server:
    """`lossaudit review` in a process of its own."""

    def __init__(self, path: Path, *options: object) -> None:
        command = [sys.executable, "-m", "lossaudit", "review", path, "--no-open", *options]
        self.process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.link = next(line.strip() for line in self.process.stdout if line.startswith("http"))
        self.port = int(re.findall(r":(\d+)/", self.link)[0])

    def stop(self, how=signal.SIGINT) -> None:
        self.process.send_signal(how)
        self.process.communicate(timeout=30)


@pytest.fixture
def serve(losses_file):
    """Starts a server, by default on the twelve examples and with Ada as the annotator."""
    started = []

    def start(path=losses_file, *options, annotator="Ada", port=0):
        named = ("--annotator", annotator) if annotator else ()
        started.append(Server(path, "--port", port, *named, *options))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.stop()


@pytest.fixture
def visit(browser):
    """Opens a link in a new window of its own cookies; at the end no script may have failed or been refused."""
    contexts, problems = [], []

    def go(link, context=None, **options):
        if context is None:
            context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}} | options)
            contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: problems.append(f"a dialog: {dialog.message}"))
        page.on("console", lambda m: problems.append(m.text) if m.type == "error" and "ERR_" not in m.text else None)
        page.goto(link)
        expect(page.locator("#text")).not_to_be_empty()
        return page

    yield go
    for context in contexts:
        context.close()
    # A refused request is said on the page, and by the browser's console too.
    assert [problem for problem in problems if "status of" not in problem] == []


@pytest.fixture
def page(serve, visit):
    """The page of the twelve examples."""
    return visit(serve().link)


def title(page, text):
    expect(page.locator("#title")).to_have_text(text)


def press(page, *keys):
    """Decides by keys, waiting for each to be stored as a person does."""
    for key in keys:
        counts = page.locator("#title").text_content()
        page.keyboard.press(key)
        expect(page.locator("#title")).not_to_have_text(counts)


def decided(path):
    with DecisionStore.open(path, create=False) as store:
        return {row: (d.verdict, d.label) for row, d in sorted(store.decisions().items())}


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
    expect(page.locator("#said")).to_have_text("There is nothing of Ada to undo")
    assert decided(losses_file) == {}


def test_one_label_of_a_thousand(make_losses, serve, visit):
    labels = tuple(f"intent {n}" for n in range(1000))
    path = make_losses([("intent 3", "intent 5", 3.0, "hello"), ("intent 1", "intent 2", 2.0, "there")], labels=labels)
    page = visit(serve(path).link)
    page.keyboard.press("/")
    expect(page.locator("#picker-list li").first).to_have_text("intent 5")
    page.keyboard.type("T 87")
    expect(page.locator("#picker-list li")).to_have_count(11)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    title(page, "Record 2 of 2")
    assert decided(path) == {0: ("relabel", "intent 870")}
    page.keyboard.press("/")
    page.keyboard.type("nothing like it")
    expect(page.locator("#picker-note")).to_contain_text("No label of 1,000")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    expect(page.locator("#said")).to_have_text("All 2 records are decided. Next, in a terminal: lossaudit apply")


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
    expect(page.locator("#text mark")).to_have_text("number 8")
    page.reload()
    title(page, "Record 1 of 1")
    expect(page.locator("#filter-text")).to_have_value("NUMBER 8")
    page.locator("#filter-text").fill("no such text")
    expect(page.locator("#empty")).to_have_text("No record passes these filters.")
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
    expect(page.locator("#said")).to_have_text("Decided 3 records; undo takes all of it back")
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
    with DecisionStore.open(losses_file) as other:
        other.add([Decision(3, "keep", None, "Bob", "page", utc_now())])
    page.click("#bulk-confirm")
    expect(page.locator("#failure")).to_contain_text("the filters find 11 records now, not 12")
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
    expect(page.locator("#failure")).to_contain_text("Not confirmed as stored. The server doesn't answer.")
    title(page, "Record 3 of 12")
    expect(page.locator("#counts")).to_have_text("2 of 12 decided")
    assert decided(losses_file) == {0: ("relabel", "Sports"), 1: ("keep", None)}
    again = serve(port=server.port)
    expect(page.locator("#failure")).to_contain_text("open the link that it printed")
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
    import sqlite3

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
    expect(page.locator("#decision")).to_contain_text("before that: Relabelled as Sports by Grace 🙂")
    press(page, "j")
    with DecisionStore.open(losses_file) as store:
        assert store.annotators() == ["Bob", "Grace 🙂"]


# Texts of all kinds.


HOSTILE = [
    "<script>window.hacked = 1; alert(1)</script>",
    "<img src=x onerror='window.hacked = 1; alert(1)'>",
    "</div></section><h1 onclick=alert(1)>&lt;b&gt; &amp;amp; \"'`${alert(1)}{{ 7*7 }}",
    "javascript:alert(1) <a href=javascript:alert(1)>x</a><iframe srcdoc='<script>parent.hacked=1</script>'></iframe>",
]


def test_hostile_texts_labels_names_and_metadata_are_only_text(make_losses, serve, visit):
    labels = tuple(f"{text} {n}" for n, text in enumerate(HOSTILE))
    rows = [(labels[n], labels[n - 1], 9.0 - n, text) for n, text in enumerate(HOSTILE)]
    path = make_losses(rows, labels=labels, columns={HOSTILE[1]: HOSTILE, "plain": HOSTILE[::-1]})
    page = visit(serve(path, annotator=HOSTILE[1]).link)
    for n, text in enumerate(HOSTILE):
        title(page, f"Record {n + 1} of 4")
        assert page.locator("#text").text_content() == text
        assert page.locator("#metadata dd").all_text_contents() == [text, HOSTILE[::-1][n]]
        assert page.locator(".class .name").all_text_contents() == list(labels)
        page.keyboard.press("a")
        expect(page.locator("#counts")).to_have_text(f"{n + 1} of 4 decided")
    page.keyboard.press("p")
    expect(page.locator("#decision")).to_contain_text(f"by {HOSTILE[1]}")
    page.locator("#filter-text").fill("<img")
    expect(page.locator("#found")).to_have_text("1 record")
    page.locator("#record").focus()
    page.keyboard.press("/")
    expect(page.locator("#picker-list li")).to_have_count(4)
    page.keyboard.press("Escape")
    assert page.evaluate("window.hacked") is None
    assert page.locator("img, iframe, #text *:not(mark), #metadata a, script:not([src])").count() == 0


def test_texts_from_right_to_left_long_ones_and_none(make_losses, serve, visit):
    texts = ["هذا نص من اليمين إلى اليسار with English", "long word " * 10_000, "", "👩‍👩‍👧‍👦 🙂\n\tnew line"]
    page = visit(serve(make_losses([(*PAIR, 9.0 - n, text) for n, text in enumerate(texts)])).link)
    assert page.evaluate("getComputedStyle(document.getElementById('text')).direction") == "rtl"
    press(page, "j")
    assert len(page.locator("#text").text_content()) == 20_000
    assert page.evaluate("document.getElementById('record').scrollTop") == 0
    page.keyboard.press("Space")
    assert page.evaluate("document.getElementById('record').scrollTop") > 100
    page.click("#text-more")
    assert page.locator("#text").text_content() == texts[1]
    press(page, "j")
    expect(page.locator("#text")).to_have_text("(empty text)")
    assert page.evaluate("document.getElementById('record').scrollTop") == 0
    press(page, "j")
    assert page.locator("#text").text_content() == texts[3]


def test_labels_that_differ_in_spaces_alone_can_be_told_apart(make_losses, serve, visit):
    path = make_losses([("World", "World ", 2.0, "a"), ("World ", "World", 1.0, "b")], labels=("World", "World "))
    page = visit(serve(path).link)
    assert page.locator(".class .name").all_text_contents() == ["World", "World␣"]
    press(page, "a")
    assert decided(path) == {0: ("relabel", "World ")}
    assert page.locator("#filter-given option").all_text_contents() == ["Any label", "World · 1", "World␣ · 1"]
    page.select_option("#filter-given", index=2)
    title(page, "Record 1 of 1")
    expect(page.locator("#text")).to_have_text("b")


def test_a_hundred_thousand_records_scroll_like_ten(make_losses, serve, visit):
    path = make_losses([(*PAIR, 1e6 - n, f"text {n}") for n in range(100_000)])
    page = visit(serve(path, "-n", 100_000).link)
    title(page, "Record 1 of 100,000")
    page.locator("#list").focus()
    page.keyboard.press("End")
    title(page, "Record 100,000 of 100,000")
    expect(page.locator("#text")).to_have_text("text 99999")
    expect(page.locator(".entry[aria-selected=true] .snippet")).to_have_text("text 99999")
    assert page.locator(".entry").count() < 60
    page.locator("#filter-text").fill("text 5000")
    expect(page.locator("#found")).to_have_text("11 records")


# For everyone.


def test_the_link_works_from_another_site_and_leaves_no_token_behind(serve, browser):
    server, other = serve(), serve()
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"http://localhost:{other.port}/")  # another site, which has only an error to show
    page.evaluate(
        "to => document.body.append(Object.assign(document.createElement('a'), {href: to, textContent: 'x'}))",
        server.link,
    )
    page.click("a")
    title(page, "Record 1 of 12")
    assert "token" not in page.url
    cookie = next(c for c in context.cookies() if c["name"] == f"lossaudit_{server.port}")
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert page.evaluate("document.cookie") == ""
    context.close()


def test_keyboard_and_screen_reader_alone(page):
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#record")).to_be_focused()
    press(page, "Enter")
    expect(page.locator("#spoken")).to_have_text(
        "Record 2 of 12. Given Sports. Predicted Business, 90 %. example number 1"
    )
    expect(page.get_by_role("progressbar", name="Decided")).to_have_attribute("aria-valuenow", "1")
    expect(page.get_by_role("region", name="Record 2 of 12")).to_be_visible()
    option = page.get_by_role("listbox", name="Records of this list").get_by_role("option", selected=True)
    assert page.locator("#list").get_attribute("aria-activedescendant") == option.get_attribute("id")
    assert option.get_attribute("aria-posinset") == "2"
    page.keyboard.press("?")
    page.get_by_label("Decide with single keys").uncheck()
    page.get_by_role("button", name="Close").click()
    page.keyboard.press("d")
    page.keyboard.press("1")
    page.get_by_role("button", name="Keep Sports").focus()
    page.keyboard.press("Enter")
    title(page, "Record 3 of 12")
    expect(page.get_by_role("button", name="Keep Business")).to_be_focused()
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, select')].filter(e => e.checkVisibility() && !e.labels?.length "
        "&& !e.ariaLabel && !e.textContent.trim()).map(e => e.outerHTML)"
    )
    assert unnamed == []


CONTRASTS = """
() => {
  const channels = (color) => { const [r, g, b, a = 1] = color.match(/[\\d.]+/g).map(Number); return [r, g, b, a]; };
  const over = ([r, g, b, a], below) => [r, g, b].map((v, i) => v * a + below[i] * (1 - a));
  const backdrop = (e) => {
    if (!e) return [255, 255, 255];
    const own = channels(getComputedStyle(e).backgroundColor);
    return own[3] === 1 ? own.slice(0, 3) : over(own, backdrop(e.parentElement));
  };
  const light = (rgb) => rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const opacity = (e) => (e ? Number(getComputedStyle(e).opacity) * opacity(e.parentElement) : 1);
  const poor = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !e.checkVisibility() || e.closest(".unseen, option, :disabled")) continue;
    const below = backdrop(e);
    const ink = over([...channels(getComputedStyle(e).color).slice(0, 3), opacity(e)], below);
    const [a, b] = [light(ink), light(below)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) poor.push(`${e.tagName}.${e.className} ${e.textContent.slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return poor;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_contrast(scheme, serve, visit):
    page = visit(serve().link, color_scheme=scheme)
    press(page, "a", "k", "u", "d", "p")
    page.locator("#filter-text").fill("number")
    expect(page.locator("#text mark")).to_be_visible()
    assert page.evaluate(CONTRASTS) == []
    page.locator("#record").focus()
    for key, dialog in [("?", "#help"), ("b", "#bulk"), ("/", "#picker")]:
        page.keyboard.press(key)
        expect(page.locator(dialog)).to_be_visible()
        assert page.evaluate(CONTRASTS) == []
        page.keyboard.press("Escape")


@pytest.mark.parametrize("width", [320, 400, 820, 1024, 1280, 1920])
def test_it_fits_every_width(width, serve, visit):
    page = visit(serve().link, viewport={"width": width, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for action in ("accept", "keep", "unsure", "discard", "undo", "back", "next"):
        expect(page.locator(f"[data-action={action}]")).to_be_in_viewport(ratio=1)
    if width <= 820:
        expect(page.locator("#list")).to_be_hidden()
        page.click("#list-toggle")
        page.locator(".entry", has_text="example number 2").click()
    title(page, "Record 3 of 12" if width <= 820 else "Record 1 of 12")
    expect(page.locator("#text")).to_be_visible()
