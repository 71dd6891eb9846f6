"""Shared by the tests of the review: losses files, the page's server without a network, and a browser."""

import shutil

import pyarrow as pa
import pytest

from lossaudit.engine.data.csv_dialect import NOTHING_ASKED
from lossaudit.engine.data.source import open_dataset
from lossaudit.engine.model.bundle import Bundle
from lossaudit.engine.run.audit import Audit
from lossaudit.engine.run.options import AuditOptions
from lossaudit.engine.table.facts import Facts
from lossaudit.engine.table.formats import write_table
from lossaudit.engine.table.losses import LossesTable
from lossaudit.engine.table.schema import SCHEMA
from lossaudit.review.opinions import People
from lossaudit.review.reviewing import Review
from lossaudit.review.server import Site, make_app
from lossaudit.review.store import Decision, DecisionStore
from tests.review.browsing import Server, expect
from tests.review.requesting import ORIGIN, TOKEN, Client
from tests.review.sets import ROWS, sets_table, write_sets

TIME = "2026-01-02T03:04:05+00:00"
LABELS = ("World", "Sports", "Business", "Sci/Tech")


@pytest.fixture
def make_losses(tmp_path):
    """Writes a losses file. rows: (given, predicted, loss, text), in the file's order; None as given or loss is no
    loss. `columns` are the source's others; facts=False leaves the facts out, as older files and CSV do, and a dict
    adds some."""

    def make(rows, labels=LABELS, name="losses.parquet", facts=True, probabilities=True, columns=None, text="text"):
        classes = {label: index for index, label in enumerate(labels)}
        table = [row(index, *values, classes) for index, values in enumerate(rows)]
        schema = SCHEMA if probabilities else SCHEMA.remove(SCHEMA.get_field_index("probabilities"))
        made = pa.Table.from_pylist(table, schema=schema)
        if text is not None:
            made = made.append_column(text, pa.array([said for *_, said in rows], pa.string()))
        for column, values in (columns or {}).items():
            made = made.append_column(column, pa.array(values))
        told = {"labels": list(labels), "text_column": "text", "label_column": "label"}
        if facts:
            told |= facts if isinstance(facts, dict) else {}
            made = made.cast(Facts.from_json(told).stored_in(made.schema))
        path = tmp_path / name
        write_table([made], made.schema, path)
        return path

    return make


@pytest.fixture
def losses_file(make_losses):
    """Twelve examples of falling loss."""
    return make_losses([(LABELS[n % 4], LABELS[(n + 1) % 4], 12.0 - n, f"example number {n}") for n in range(12)])


@pytest.fixture
def sets_file(tmp_path):
    """Six multi-label examples of falling loss."""
    return write_sets(sets_table(ROWS), tmp_path / "sets.parquet")


@pytest.fixture
def pairs_file(make_losses):
    """Three pairs of texts, of which the last has an empty half."""
    texts = ("A man reads.", "A dog runs.", "The dog")
    rows = [(LABELS[n], LABELS[n + 1], 3.0 - n, text) for n, text in enumerate(texts)]
    columns = {"hypothesis": ["He <b>sleeps</b>.", "It runs.", None]}
    facts = {"text_column": "premise", "text_pair_column": "hypothesis"}
    return make_losses(rows, columns={"premise": texts, **columns}, facts=facts, text=None, name="pairs.parquet")


@pytest.fixture
def serving(losses_file):
    """Opens a review on a losses file and gives a client that has no token yet."""
    opened = []

    def serve(path=losses_file, n=500, host="127.0.0.1", base_url=ORIGIN, people=None, **site):
        review = Review.open(path, n, people or People())
        client = Client(make_app(review, Site(host, 8765, TOKEN, **site)), base_url)
        opened.append((client, review))
        return client

    yield serve
    for client, review in opened:
        client.close()
        review.close()


@pytest.fixture
def client(serving):
    """A client of the twelve examples that has come in by the start link."""
    return serving().enter()


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium; without one, or without Playwright, the tests are skipped."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright isn't installed: pip install playwright")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("there is no Chromium on this machine: apt install chromium")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium)
        yield opened
        opened.close()


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


def row(index, given, predicted, loss, text, classes):  # noqa: ARG001 - the text is a column of the source
    """A row of the losses table, its probabilities made to fit its prediction."""
    chances = [0.1 / max(1, len(classes) - 1)] * len(classes)
    chances[classes[predicted]] = 0.9
    has_loss = loss is not None
    return {
        "id": index,
        "label": classes.get(given),
        "label_name": given,
        "prediction": classes[predicted] if has_loss else None,
        "prediction_name": predicted if has_loss else None,
        "probability": 0.9 if has_loss else None,
        "label_probability": 0.9 if given == predicted else chances[0],
        "loss": loss,
        "margin": 0.0,
        "tokens": 5,
        "unknown_tokens": 0,
        "truncated": False,
        "precision": "fp32",
        "status": "ok" if has_loss else "label_not_in_model",
        "status_reason": None,
        "probabilities": chances if has_loss else None,
    }


@pytest.fixture
def decided(bundle_folder, tmp_path):
    """Audits a dataset and stores decisions, row → (verdict, label); gives the losses file."""

    def make(dataset, decisions, split=None, asked=NOTHING_ASKED, **options):
        rows = open_dataset(str(dataset), split=split, asked=asked)
        audited = Audit(Bundle.load(bundle_folder), rows, AuditOptions(precision="fp32", tune=False, **options)).run()
        losses = tmp_path / "losses.parquet"
        write_table(audited.rows(), audited.schema, losses)
        with DecisionStore.open(LossesTable.open(losses)) as store:
            store.add(Decision(row, *what, "ada", "page", TIME) for row, what in decisions.items())
        return losses

    return make
