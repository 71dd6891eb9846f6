"""Shared by the browser tests: the command as a process, and what a person does on its page."""

import re
import signal
import subprocess
import sys

from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.store import DecisionStore


class Server:
    """`lossaudit review` in a process of its own, once it listens."""

    def __init__(self, path, *options):
        command = [sys.executable, "-m", "lossaudit", "review", path, "--no-open", *options]
        self.process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
        self.link = next(line.strip() for line in self.process.stdout if line.startswith("http"))
        self.port = int(re.findall(r":(\d+)/", self.link)[0])

    def stop(self, how=signal.SIGINT):
        self.process.send_signal(how)
        self.process.communicate(timeout=30)


def expect(locator):
    """Playwright's, which waits until something holds; imported late, since it may be missing."""
    from playwright import sync_api

    return sync_api.expect(locator)


def title(page, text):
    expect(page.locator("#title")).to_have_text(text)


def press(page, *keys):
    """Presses keys that show another record, waiting for each as a person does."""
    for key in keys:
        before = page.locator("#title").text_content()
        page.keyboard.press(key)
        expect(page.locator("#title")).not_to_have_text(before)


def decided(path):
    """What the store of a losses file holds: (verdict, label) by row."""
    with DecisionStore.open(LossesTable.open(path), create=False) as store:
        return {row: (d.verdict, d.label) for row, d in sorted(store.decisions().items())}
