"""The review page in a real browser: hostile and unusual texts, screen readers, contrast, widths, and the link."""

import pytest

from tests.review.browsing import decided, expect, press, title

PAIR = ("World", "Sports")


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
    expect(page.locator("#ending")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("p")
    expect(page.locator("#decision")).to_contain_text(f"by {HOSTILE[1]}")
    page.locator("#filter-text").fill("<img")
    expect(page.locator("#found")).to_have_text("2 records")  # a text has it, and another record's column
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
    page.locator("#filter-text").fill('"text 5000"')
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
    assert "key" not in page.url
    context.close()


SCREENS = [(320, 256), (390, 844), (740, 360), (853, 400), (910, 432), (1093, 518), (1366, 648), (1920, 1080)]
TEXTS_SHARE = """() => {
  const { left, width } = document.getElementById("text").getBoundingClientRect();
  const x = Math.min(left + width / 2, innerWidth / 2);
  let lines = 0;
  for (let y = 0; y < innerHeight; y++) lines += Boolean(document.elementFromPoint(x, y)?.closest("#text"));
  return lines / innerHeight;
}"""


def test_on_every_screen_the_text_comes_first_and_all_buttons_can_be_reached(make_losses, serve, visit):
    page = visit(serve(make_losses([(*PAIR, 9.0 - n, f"words {n} " * 400) for n in range(3)])).link)
    for width, height in SCREENS:
        page.set_viewport_size({"width": width, "height": height})
        page.keyboard.press("j")
        assert page.evaluate(TEXTS_SHARE) >= 0.4, (width, height)
        for action in ("accept", "keep", "unsure", "discard", "undo", "back", "next"):
            button = page.locator(f".actions [data-action={action}]")
            button.scroll_into_view_if_needed()
            expect(button).to_be_in_viewport(ratio=0.9)
        for place in range(4):
            label = page.locator(".class").nth(place)
            label.scroll_into_view_if_needed()
            expect(label).to_be_in_viewport(ratio=0.9)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.keyboard.press("p")


def test_no_button_moves_between_records_and_one_does_for_an_agreement(make_losses, serve, visit):
    long = "A label with a name that is longer than any button"
    rows = [("World", "Sports", 3.0, "a"), (long, "World", 2.0, "b"), ("World", "World", 1.0, "c")]
    path = make_losses(rows, labels=("World", "Sports", long))
    page = visit(serve(path).link)
    places = []
    for _ in rows:
        places.append(
            [page.locator(f"[data-action={name}]").bounding_box()["x"] for name in ("unsure", "discard", "next")]
        )
        page.keyboard.press("j")
        page.wait_for_timeout(100)
    assert places[0] == places[1] == places[2]
    expect(page.locator("#accept")).to_be_hidden()
    page.keyboard.press("Enter")
    expect(page.locator("#counts")).to_have_text("1 of 3 decided")
    assert decided(path) == {2: ("keep", None)}


def test_a_filter_by_one_label_of_hundreds_is_found_by_its_name(make_losses, serve, visit):
    labels = tuple(f"Laptop {colour} {n}" for n in range(60) for colour in ("Red", "Blue"))
    rows = [(label, labels[n - 1], 200.0 - n, f"text {n}") for n, label in enumerate(labels)]
    page = visit(serve(make_losses(rows, labels=labels)).link)
    page.select_option("#filter-given", label="Find a label…")
    page.locator("#picker-input").fill("17 red laptop")
    page.keyboard.press("Enter")
    expect(page.locator("#found")).to_have_text("1 record")
    expect(page.locator("#text")).to_have_text("text 34")
    page.select_option("#filter-given", label="Find a label…")
    page.keyboard.press("Escape")
    expect(page.locator("#filter-given option:checked")).to_have_text("Laptop Red 17 · 1")


def test_a_search_folds_case_and_accents_takes_words_in_any_order_and_shows_the_place(make_losses, serve, visit):
    texts = ["Tickets to İSTANBUL are cheap", "x " * 30_000 + "the Café Müller closes", "Straße und Cafe", "plain"]
    rows = [(*PAIR, 9.0 - n, text) for n, text in enumerate(texts)]
    page = visit(serve(make_losses(rows, columns={"author": ["Ana", "Ben", "Zoë", None], "stars": [1, 2, 3, 4]})).link)
    for words, found, marks in [
        ("istanbul", 1, ["İSTANBUL"]),
        ("cheap tickets", 1, ["Tickets", "cheap"]),
        ("MULLER cafe", 1, ["Café", "Müller"]),
        ('"cafe muller"', 1, ["Café Müller"]),
        ('"muller cafe"', 0, []),
        ("strasse", 1, ["Straße"]),
        ("zoe", 1, []),
        ("3", 2, []),  # the number of a row, and a cell
    ]:
        page.locator("#filter-text").fill(words)
        expect(page.locator("#found")).to_have_text(f"{found} record{'' if found == 1 else 's'}")
        if marks:
            expect(page.locator("#text mark")).to_have_text(marks)
            expect(page.locator("#text mark").first).to_be_in_viewport()


def test_paragraphs_of_mixed_direction_each_have_their_own(make_losses, serve, visit):
    page = visit(serve(make_losses([(*PAIR, 1.0, "English first\nثم العربية\nand English")])).link)
    lefts = page.evaluate(
        """() => {
          const text = document.getElementById("text").firstChild;
          const range = document.createRange();
          return [0, 14, 25].map((at) => {
            range.setStart(text, at);
            range.setEnd(text, at + 9);
            return range.getBoundingClientRect().left;
          });
        }"""
    )
    assert lefts[0] == lefts[2]
    assert lefts[1] > lefts[0] + 200


def test_two_people_in_two_tabs_keep_their_names(serve, visit):
    server = serve(annotator=None)
    first = visit(server.link)
    type_name(first, "Ana", suggested="")
    second = visit(server.link, context=first.context)
    type_name(second, "Ben", suggested="Ana")
    for page, name in ((first, "Ana"), (second, "Ben")):
        page.reload()
        expect(page.locator("#who")).to_have_text(name)


def test_a_name_that_was_typed_outlives_the_one_of_the_command(serve, visit):
    page = visit(serve(annotator="Ana").link)
    page.click("#who")
    type_name(page, "Ben", suggested="Ana")
    page.reload()
    expect(page.locator("#who")).to_have_text("Ben")


def type_name(page, name, suggested):
    expect(page.locator("#name")).to_have_value(suggested)
    page.locator("#name").fill(name)
    page.keyboard.press("Enter")
    expect(page.locator("#who")).to_have_text(name)


def test_a_browser_that_refuses_storage_shows_the_page_all_the_same(serve, browser):
    context = browser.new_context()
    context.add_init_script(
        "for (const name of ['localStorage', 'sessionStorage']) Object.defineProperty(window, name, "
        "{get() { throw new DOMException('refused', 'SecurityError'); }})"
    )
    page = context.new_page()
    page.goto(serve(annotator=None).link)
    type_name(page, "Ana", suggested="")
    press(page, "a")
    expect(page.locator("#counts")).to_have_text("1 of 12 decided")
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
    option = page.get_by_role("listbox", name="Records in this list").get_by_role("option", selected=True)
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


# Keys of other keyboards: what is typed, the key's place, the verdict that it gives the first record.
TYPED = [
    ("л", "KeyK", "keep", "Russian"),
    ("κ", "KeyU", "unsure", "Greek"),
    ("ג", "KeyD", "discard", "Hebrew"),
    ("&", "Digit1", "keep", "French"),
    ("ě", "Digit2", "relabel", "Czech"),
    ("٣", "Digit3", "relabel", "Arabic"),
    ("1", "Numpad1", "keep", "a number pad"),
    (";", "KeyZ", None, "Dvorak"),
    ("w", "KeyZ", None, "French"),
    ("!", "Digit1", None, "English with Shift"),
    ("Dead", "Digit3", None, "a dead key"),
]


def test_keys_of_other_keyboards(page):
    for typed, code, verdict, layout in TYPED:
        press_key(page, typed, code, shift=typed == "!")
        if verdict is None:
            page.wait_for_timeout(50)
        else:
            title(page, "Record 2 of 12")
            press_key(page, "w", "KeyZ", ctrl=True)  # Ctrl+W in French isn't Ctrl+Z
            page.wait_for_timeout(50)
            decision = page.locator(".entry[data-verdict]").first
            assert decision.get_attribute("data-verdict") == verdict, layout
            press_key(page, "я", "KeyZ", ctrl=True)
        expect(page.locator("#counts")).to_have_text("0 of 12 decided")
        title(page, "Record 1 of 12")
    press_key(page, "لا", "KeyB")  # one key of an Arabic keyboard types two letters
    expect(page.locator("#bulk")).to_be_visible()


def press_key(page, typed, code, *, shift=False, ctrl=False):
    page.evaluate(
        "event => document.body.dispatchEvent(new KeyboardEvent('keydown', {...event, bubbles: true}))",
        {"key": typed, "code": code, "shiftKey": shift, "ctrlKey": ctrl},
    )


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
