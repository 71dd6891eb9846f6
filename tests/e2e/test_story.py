"""A review that outlives its first audit: rows are appended and another model audits, and no decision is lost."""

import csv

from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.reviewing import Review
from lossaudit.review.server import Site, make_app
from tests.review.requesting import ORIGIN, TOKEN, Client

NAMES = ("World", "Sports", "Business", "Sci/Tech")
MORE = [("the storm closed the airport", "World"), ("a goal in extra time", "Sports"), ("shares fell", "Sci/Tech")]


def test_audit_review_append_audit_again_review_on_apply(lossaudit, bundle_folder, make_checkpoint, rows, tmp_path):
    source, losses, cleaned = tmp_path / "reviews.csv", tmp_path / "losses.parquet", tmp_path / "cleaned.csv"
    write(source, [(f"{n}: {row['text']}", NAMES[row["label"]]) for n, row in enumerate(rows)])
    run(lossaudit, "audit", bundle_folder, source, "-o", losses, "--no-tune")
    first = review(losses, 40)
    assert len(first) == 40

    write(source, [*MORE, *read(source)])  # every row has another number now
    run(lossaudit, "export", make_checkpoint("distilbert"), "-o", tmp_path / "better")
    said = run(lossaudit, "audit", tmp_path / "better", source, "-o", losses, "--no-tune", "--precision", "fp32")
    assert "40 rows are decided in" in said
    assert "Decisions: all 40 are about rows of the new table" in said

    second = review(losses, 10)
    assert not first.keys() & second.keys()
    said = run(lossaudit, "apply", losses, "-o", cleaned)
    decided = first | second
    relabelled = sum(label is not None for label in decided.values())
    assert f"{relabelled:,} relabelled" in said
    given = read(source)
    expected = [(text, decided.get(text) or label) for text, label in given]
    assert read(cleaned) == expected
    before, after = (path.read_text().splitlines() for path in (source, cleaned))
    assert sum(one != other for one, other in zip(before, after, strict=True)) == relabelled
    shown = run(lossaudit, "decisions", "show", losses, "-n", "0")
    assert "50 rows decided" in shown


def review(losses, many):
    """Decides the next records on the page, every second one as the next label; gives the new labels by text."""
    opened = Review.open(losses, 100)
    client = Client(make_app(opened, Site("127.0.0.1", 8765, TOKEN)), ORIGIN).enter()
    ranks = client.view(status="undecided")["ranks"][:many]
    decided = {}
    for number, record in enumerate(client.records(*ranks)):
        new = NAMES[(NAMES.index(record["label"]) + 1) % 4] if number % 2 else None
        client.decide(record["row"], "relabel" if new else "keep", new)
        decided[record["text"]] = new
    client.close()
    opened.close()
    assert len(LossesTable.open(losses)) >= many
    return decided


def run(lossaudit, *arguments):
    done = lossaudit(*arguments)
    assert done.returncode == 0, done.stderr
    return " ".join(done.stdout.split())


def write(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return [tuple(row) for row in csv.reader(file)][1:]
