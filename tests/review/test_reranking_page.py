"""The page while its order is learned anew: the record on the screen stays, and the page says what was learned."""

import re

import pytest

from tests.review.browsing import expect
from tests.review.test_reranking import LABELS, N


@pytest.fixture
def losses_file(make_losses):
    rows = [(LABELS[n % 4], LABELS[(n + 1 + n // 4 % 3) % 4], 8.0 - n / 25, f"example {n}") for n in range(N)]
    return make_losses(rows)


def test_the_record_on_the_screen_stays(serve, visit, losses_file):
    page = visit(serve(losses_file, "-n", 40, "--rerank-every", 10).link)
    for _ in range(10):
        title = page.locator("#title").text_content()
        page.keyboard.press("k")
        expect(page.locator("#title")).not_to_have_text(title)
    shown = page.locator("#text").text_content()
    expect(page.locator("#order")).to_have_text(
        re.compile(r"^Order learned from 10 decisions; \d+ of the next 30 are expected to be wrong$"), timeout=20_000
    )
    expect(page.locator("#title")).to_have_text("Record 11 of 40")
    assert page.locator("#text").text_content() == shown == "example 10"
    page.keyboard.press("k")
    expect(page.locator("#title")).to_have_text("Record 12 of 40")
    expect(page.locator("#counts")).to_have_text("11 of 40 decided")
    expect(page.locator("#filter-sort")).to_have_value("loss")
    assert page.locator("#sort-loss").text_content() == "Most likely wrong"


def test_it_can_be_turned_off(serve, visit, losses_file):
    page = visit(serve(losses_file, "-n", 40, "--rerank-every", 0).link)
    for number in range(12):
        page.keyboard.press("k")
        expect(page.locator("#title")).to_have_text(f"Record {number + 2} of 40")
    expect(page.locator("#order")).to_be_hidden()
