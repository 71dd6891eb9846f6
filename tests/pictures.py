"""Makes the pictures of the documents in headless Chromium, from an audit of AG News and a few made-up texts.

    python -m tests.pictures MODEL DATASET    writes docs/images

MODEL and DATASET are what `lossaudit audit` takes: a model fine-tuned on AG News, and AG News' test split.
"""

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.review.browsing import Server, press, title
from tests.review.sets import sets_table, write_sets

IMAGES = Path(__file__).parents[1] / "docs" / "images"
WIDE, NARROW = (1280, 800), (400, 760)
REPORT, NARROW_REPORT = (1200, 1690), (390, 1300)
DECISIONS = ["Enter", "Enter", "k", "Enter", "Enter", "d", "Enter", "k", "Enter", "Enter"] * 2
FEELINGS = ("admiration", "anger", "curiosity", "gratitude", "joy", "sadness", "surprise")
TEXTS = [
    (
        ("anger",),
        "Thank you so much for taking the time to explain this. It finally makes sense!",
    ),
    (("joy",), "Thanks to everyone who wrote when my father died. Each letter helped."),
    ((), "Third time this month that they have lost my order, and nobody answers the phone."),
    (("surprise",), "Does anyone know which model they used for this?"),
    (("admiration",), "What a goal! I have watched it ten times and it is still beautiful."),
    (("anger",), "They closed the library where I learnt to read."),
]
PROBABILITIES = [
    (0.86, 0.03, 0.06, 0.97, 0.71, 0.02, 0.08),
    (0.12, 0.02, 0.03, 0.96, 0.04, 0.77, 0.02),
    (0.01, 0.95, 0.07, 0.01, 0.01, 0.31, 0.12),
    (0.02, 0.03, 0.94, 0.02, 0.03, 0.01, 0.09),
    (0.88, 0.01, 0.02, 0.05, 0.81, 0.01, 0.37),
    (0.03, 0.32, 0.02, 0.01, 0.02, 0.66, 0.04),
]


def main() -> None:
    """Audits, reviews and reports in a temporary folder, and takes the pictures."""
    model, dataset = sys.argv[1:]
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        losses, sets = Path(folder) / "losses.parquet", Path(folder) / "sets" / "losses.parquet"
        lossaudit("audit", model, dataset, "-o", losses)
        browser = playwright.chromium.launch(executable_path=chromium)
        review(browser, losses)
        sets.parent.mkdir()
        rows = [(given, of_text, text) for (given, text), of_text in zip(TEXTS, PROBABILITIES, strict=True)]
        review_sets(browser, write_sets(sets_table(rows, FEELINGS), sets, FEELINGS))
        lossaudit("report", losses, "-o", Path(folder) / "report.html")
        report(browser, Path(folder) / "report.html")


def lossaudit(*arguments: object) -> None:
    """Runs the command."""
    subprocess.run([sys.executable, "-m", "lossaudit", *map(str, arguments)], check=True)


@contextlib.contextmanager
def serving(losses: Path) -> Iterator[str]:
    """The link of a review by Ada."""
    server = Server(losses, "--port", "0", "--annotator", "Ada")
    try:
        yield server.link
    finally:
        server.stop()


def opened(browser: Browser, link: str, size: tuple[int, int], scheme: str = "light") -> Page:
    """A page of this size, once its texts are there."""
    width, height = size
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme, device_scale_factor=1)
    page.goto(link)
    page.wait_for_load_state("networkidle")
    return page


def shoot(page: Page, name: str) -> None:
    """Takes the picture."""
    page.screenshot(path=IMAGES / f"{name}.png")


def review(browser: Browser, losses: Path) -> None:
    """A record after some decisions, on a wide and a narrow screen, and a search in dark mode."""
    with serving(losses) as link:
        page = opened(browser, link, WIDE)
        title(page, "Record 1 of 500")
        press(page, *DECISIONS[:19])
        shoot(page, "review-light")
        page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
        shoot(page, "review-narrow")
        page = opened(browser, link, WIDE, "dark")
        page.get_by_role("searchbox").fill("minister")
        page.get_by_role("button", name="Clear").wait_for()
        shoot(page, "review-dark")


def review_sets(browser: Browser, losses: Path) -> None:
    """A record with a set of labels."""
    with serving(losses) as link:
        page = opened(browser, link, WIDE)
        title(page, f"Record 1 of {len(TEXTS)}")
        shoot(page, "review-sets")


def report(browser: Browser, path: Path) -> None:
    """The head of the report, in both modes and on a narrow screen."""
    shoot(opened(browser, path.as_uri(), REPORT), "report-light")
    shoot(opened(browser, path.as_uri(), REPORT, "dark"), "report-dark")
    shoot(opened(browser, path.as_uri(), NARROW_REPORT), "report-narrow")


if __name__ == "__main__":
    main()
