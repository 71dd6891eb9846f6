"""How long does the review page take to show the next record? A losses file comes in, milliseconds go out.

    python -m bench.cost.page losses.parquet --n 500 --keys 100

Decides on a copy of the file in headless Chromium, key by key, and measures from the key press (the event's own time)
until the next record has been painted: the decision is on disk by then. Needs playwright and a Chromium.
"""

import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import click
from playwright.sync_api import Page, sync_playwright

_WATCH = """() => {
  window.times = [];
  let pressed = null;
  addEventListener("keydown", (event) => { pressed = event.timeStamp; }, true);
  new MutationObserver(() => {
    const from = pressed;
    const { port1, port2 } = new MessageChannel();  // its message comes after the frame
    port1.onmessage = () => window.times.push(performance.now() - from);
    requestAnimationFrame(() => port2.postMessage(0));
  }).observe(document.getElementById("title"), { childList: true });
}"""
_PAUSE_MS = 50
_PATIENCE = 500


@click.command()
@click.argument("losses", type=click.Path(exists=True, path_type=Path))
@click.option("--n", "records", default=500, show_default=True, help="Records under review.")
@click.option("--keys", default=100, show_default=True, help="Keys to press.")
def main(losses: Path, records: int, keys: int) -> None:
    """Measure the page on LOSSES."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copy(losses, folder)
        command = [
            sys.executable,
            "-m",
            "lossaudit",
            "review",
            copy,
            "--no-open",
            "--port",
            "0",
            "--annotator",
            "bench",
        ]
        with subprocess.Popen([*command, "-n", str(records)], stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            link = next(found.group() for line in server.stdout if (found := re.search(r"http://\S+", line)))
            with sync_playwright() as playwright:
                page = playwright.chromium.launch(executable_path=chromium).new_page()
                page.goto(link)
                page.wait_for_selector(".class")
                page.evaluate(_WATCH)
                _say("a decision, then the next record", _pressed(page, ["a", "k", "u", "d"], keys))
                _say("back and next", _pressed(page, ["p", "j"], keys))
                page.context.close()
            server.send_signal(signal.SIGINT)


def _pressed(page: Page, which: list[str], keys: int) -> list[float]:
    """Milliseconds of each of so many key presses."""
    page.evaluate("window.times = []")
    for pressed in range(1, keys + 1):
        page.keyboard.press(which[pressed % len(which)])
        for _ in range(_PATIENCE):
            if page.evaluate("window.times.length") == pressed:
                break
            page.wait_for_timeout(2)
        else:
            raise click.ClickException(f"key {pressed} showed no other record; are there more than --keys records?")
        page.wait_for_timeout(_PAUSE_MS)
    return sorted(page.evaluate("window.times"))


def _say(what: str, times: list[float]) -> None:
    high = times[int(0.95 * len(times))]
    click.echo(
        f"{what}: median {statistics.median(times):.0f} ms, 95 % within {high:.0f} ms, longest {times[-1]:.0f} ms "
        f"({len(times)} keys, {os.cpu_count()} CPUs)"
    )


if __name__ == "__main__":
    main()
