"""The whole workflow on TREC, decided on the page and in a real Label Studio: those labels change, and no others."""

import json

from lossaudit.review.reviewing import Review
from lossaudit.review.server import Site, make_app
from tests.e2e.conftest import lossaudit  # noqa: F401 - a fixture, as are the next ones
from tests.e2e.test_round_trip import PLANTED, bundle, planted, trec  # noqa: F401
from tests.review.requesting import ORIGIN, TOKEN, Client

LOOKED_AT = 400


def test_what_people_decide_is_what_is_corrected(lossaudit, bundle, planted, studio, tmp_path):  # noqa: F811
    source, true, wrong = planted
    before = source.read_bytes()
    losses, cleaned = tmp_path / "losses.parquet", tmp_path / "cleaned.jsonl"

    def run(*arguments):
        result = lossaudit(*arguments)
        assert result.returncode == 0, result.stderr
        return result.stdout

    server = ("--name", "TREC errors", "--url", studio.url, "--key", studio.key)
    run("audit", bundle, source, "-o", losses, "--no-tune", "--precision", "fp32")
    run("log", losses, "--to", "label-studio", *server, "-n", LOOKED_AT)
    tasks = studio.tasks()
    assert len(tasks) == LOOKED_AT
    found = wrong & set(tasks)
    assert len(found) > 0.7 * PLANTED

    review = Review.open(losses, LOOKED_AT)
    client = Client(make_app(review, Site("127.0.0.1", 8765, TOKEN)), ORIGIN).enter()
    for row in list(tasks)[::2]:
        client.decide(row, *(("relabel", true[row]) if row in wrong else ("keep", None)))
    client.close()
    review.close()
    for row in list(tasks)[1::2]:
        studio.annotate(tasks[row], true[row])
    assert f"Pulled {LOOKED_AT // 2} new decisions" in run("pull", losses, "--from", "label-studio", *server)

    run("apply", losses, "-o", cleaned)
    expected = [json.loads(line) for line in before.decode().splitlines()]
    for row in found:
        expected[row]["label"] = true[row]
    assert [json.loads(line) for line in cleaned.read_text(encoding="utf-8").splitlines()] == expected
    assert source.read_bytes() == before
