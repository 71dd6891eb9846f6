"""The page's server without a browser: who gets in, what it tells, what it refuses."""

import asyncio
import math
import random
import sqlite3

import httpx
import pyarrow as pa
import pytest

from lossaudit.engine.formats import write_table
from lossaudit.engine.losses import Losses
from lossaudit.engine.table import SCHEMA, with_facts
from lossaudit.review.estimate import wrong_share
from lossaudit.review.guard import LARGEST_BODY, is_loopback
from lossaudit.review.listening import listen
from lossaudit.review.server import make_app
from lossaudit.review.session import Session
from lossaudit.review.store import Decision, DecisionStore, utc_now

ORIGIN = "http://127.0.0.1:8765"
TOKEN = "a-token"
COOKIE = {"lossaudit_8765": TOKEN}
NAMES = {"annotator": "Ada"}


class Client:
    """Requests to an application without a network, one at a time; redirects aren't followed."""

    def __init__(self, app, base_url):
        self._runner = asyncio.Runner()
        self._http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=base_url)
        self.cookies = self._http.cookies

    def get(self, path, **options):
        return self._runner.run(self._http.get(path, **options))

    def post(self, path, **options):
        return self._runner.run(self._http.post(path, **options))

    def close(self):
        self._runner.run(self._http.aclose())
        self._runner.close()


@pytest.fixture
def serving(losses_file):
    """Opens a session on a losses file and gives a client that has no token yet."""
    opened = []

    def serve(path=losses_file, n=500, host="127.0.0.1", base_url=ORIGIN):
        session = Session.open(path, n)
        client = Client(make_app(session, TOKEN, host, 8765), base_url)
        opened.append((client, session))
        return client

    yield serve
    for client, session in opened:
        client.close()
        session.close()


@pytest.fixture
def client(serving):
    """A client of the twelve examples that has come in by the start link."""
    return enter(serving())


def enter(client):
    answer = client.get("/", params={"token": TOKEN})
    assert answer.status_code == 303
    return client


def post(client, path, values, origin=ORIGIN):
    return client.post(f"/api/{path}", json=values, headers={"Origin": origin})


def decide(client, row, verdict, label=None, annotator="Ada"):
    answer = post(client, "decide", {"row": row, "verdict": verdict, "label": label, "annotator": annotator})
    assert answer.status_code == 200, answer.text
    return answer.json()


def view(client, **query):
    answer = client.get("/api/view", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def records(client, *ranks):
    answer = client.get("/api/records", params={"ranks": ",".join(map(str, ranks))})
    assert answer.status_code == 200, answer.text
    return answer.json()["records"]


# Who gets in.


def test_the_token_becomes_a_cookie_and_leaves_the_address(serving):
    client = serving()
    answer = client.get("/", params={"token": TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert all(part in cookie for part in ("lossaudit_8765=", "httponly", "samesite=strict", "path=/"))
    page = client.get("/")
    assert page.status_code == 200
    assert TOKEN not in page.text
    assert "losses.parquet" in page.text


def test_a_link_clicked_on_another_site_works_too(serving):
    client = serving()
    answer = client.get("/", params={"token": TOKEN}, headers={"Sec-Fetch-Site": "cross-site"})
    assert (answer.status_code, "set-cookie" in answer.headers) == (200, True)
    assert 'http-equiv="refresh" content="0;url=/"' in answer.text


@pytest.mark.parametrize(
    "path", ["/", "/static/main.js", "/api/start", "/api/view", "/api/records?ranks=1", "/no-such"]
)
def test_without_the_token_there_is_nothing(path, serving):
    client = serving()
    for cookie in ("", "lossaudit_8765=wrong", f"lossaudit_8765={TOKEN}é", f"lossaudit_1={TOKEN}"):
        answer = client.get(path, headers={"Cookie": cookie.encode()})
        assert answer.status_code == 403
        assert "open the link that it printed" in answer.text


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", "é"])
def test_a_wrong_token_gives_no_cookie(token, serving):
    answer = serving().get("/", params={"token": token})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8765", "evil.example:8765", "[::2]", "[", ""])
def test_another_host_is_refused_even_with_the_token(host, client):
    assert client.get("/", headers={"Host": host}).status_code == 403
    assert client.get("/", params={"token": TOKEN}, headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "LOCALHOST:9", "[::1]:8765"])
def test_the_names_of_this_machine_are_taken_at_any_port(host, serving):
    """A tunnel has another port on the side of the browser."""
    answer = serving().get("/", params={"token": TOKEN}, headers={"Host": host})
    assert answer.status_code == 303


def test_on_all_interfaces_addresses_are_taken_and_foreign_names_are_not(serving):
    client = serving(host="0.0.0.0")
    for host, status in [("192.168.0.7:8765", 303), ("evil.example:8765", 403), ("[fe80::1]:8765", 303)]:
        assert client.get("/", params={"token": TOKEN}, headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:8765", ""]
)
def test_another_origin_is_refused(origin, client):
    assert client.get("/api/start", headers={"Origin": origin}).status_code == 403
    assert post(client, "undo", NAMES, origin=origin).status_code == 403


def test_a_write_without_an_origin_is_refused(client):
    assert client.post("/api/undo", json=NAMES).status_code == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_write_that_is_no_json_is_refused(kind, client):
    headers = {"Origin": ORIGIN, "Content-Type": kind}
    assert client.post("/api/undo", content='{"annotator": "Ada"}', headers=headers).status_code == 415


def test_a_body_that_is_too_large_or_has_no_length_is_refused(client):
    headers = {"Origin": ORIGIN, "Content-Type": "application/json"}
    assert client.post("/api/undo", content=b" " * (LARGEST_BODY + 1), headers=headers).status_code == 413
    assert client.post("/api/undo", content=in_pieces(), headers=headers).status_code == 413


async def in_pieces():
    """A body whose length isn't said."""
    yield b"{}"


def test_every_answer_has_strict_headers(client, serving):
    answers = [client.get("/"), client.get("/static/main.js"), client.get("/api/start"), client.get("/none")]
    answers += [serving().get("/"), client.get("/", headers={"Host": "evil"}), post(client, "undo", {})]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


def test_the_page_has_nothing_inline_and_nothing_from_elsewhere(client):
    page = client.get("/").text
    assert "style=" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("<script") == page.count('<script type="module" src="/static/') == 1


def test_the_files_name_is_escaped(make_losses, serving):
    path = make_losses([("World", "Sports", 1.0, "a")], name="<img src=x>&.parquet")
    page = enter(serving(path)).get("/").text
    assert "<img" not in page
    assert "&lt;img src=x&gt;&amp;.parquet" in page


def test_static_files_stay_in_their_folder(client):
    for path in ("/static/../page.html", "/static/%2e%2e/page.html", "/static/..%2f..%2fserver.py", "/static/"):
        assert client.get(path).status_code == 404


# What it tells.


def test_records_come_with_all_that_the_page_shows(client):
    (record,) = records(client, 2)
    assert (record["row"], record["rank"], record["label"], record["prediction"]) == (1, 2, "Sports", "Business")
    assert record["text"] == "example number 1"
    assert [name for name, _ in record["classes"]] == ["World", "Sports", "Business", "Sci/Tech"]
    assert record["history"] == []


def test_of_a_thousand_classes_the_likeliest_ten_and_the_given_one_are_shown(make_losses, serving):
    labels = tuple(f"intent {n}" for n in range(1000))
    client = enter(serving(make_losses([("intent 700", "intent 500", 3.0, "hello")], labels=labels)))
    names = [name for name, _ in records(client, 1)[0]["classes"]]
    assert (len(names), names[0], names[-1]) == (10, "intent 500", "intent 700")
    assert client.get("/api/start").json()["labels"] == list(labels)


def test_an_older_file_shows_what_it_knows(make_losses, serving):
    path = make_losses([("World", "Sports", math.log(10), "a")], probabilities=False, facts=False, name="losses.csv")
    classes = records(enter(serving(path)), 1)[0]["classes"]
    assert classes == [["World", pytest.approx(0.1)], ["Sports", 0.9]]


def test_decisions_progress_and_estimate(client):
    answer = decide(client, 0, "relabel", "Sports")
    assert answer["record"]["history"][0] | {"made_at": ""} == {
        "row": 0, "verdict": "relabel", "label": "Sports", "annotator": "Ada", "origin": "page", "made_at": "",
    }  # fmt: skip
    decide(client, 1, "keep")
    decide(client, 2, "unsure")
    progress = decide(client, 3, "discard", annotator=" Bob ")["progress"]
    assert progress["counts"] == {"relabel": 1, "keep": 1, "unsure": 1, "discard": 1}
    assert (progress["total"], progress["estimate"]["judged"], progress["estimate"]["share"]) == (12, 2, 0.5)
    assert client.get("/api/start").json()["annotators"] == ["Ada", "Bob"]
    found = view(client)
    assert (found["decided"], found["first_undecided"]) == (4, 4)


def test_to_relabel_with_the_given_label_is_to_keep_it(client):
    (latest,) = decide(client, 0, "relabel", "World")["record"]["history"]
    assert (latest["verdict"], latest["label"]) == ("keep", None)


def test_the_last_decision_counts_and_undo_goes_back_by_annotator(client):
    decide(client, 0, "keep")
    assert len(decide(client, 0, "relabel", "Sports", "Bob")["record"]["history"]) == 2
    assert post(client, "undo", NAMES).json()["first"] == {"row": 0, "rank": 1, "origin": "page"}
    assert [d["annotator"] for d in records(client, 1)[0]["history"]] == ["Bob"]
    assert post(client, "undo", NAMES).json()["undone"] == 0


@pytest.mark.parametrize(
    ("query", "ranks"),
    [
        ({}, list(range(1, 13))),
        ({"given": "World"}, [1, 5, 9]),
        ({"predicted": "World"}, [4, 8, 12]),
        ({"given": "World", "predicted": "World"}, []),
        ({"given": "none such"}, []),
        ({"text": "NUMBER 1"}, [2, 11, 12]),
        ({"text": ".*"}, []),
        ({"status": "undecided"}, list(range(4, 13))),
        ({"status": "decided"}, [1, 2, 3]),
        ({"status": "keep"}, [2]),
        ({"status": "decided", "given": "World"}, [1]),
        ({"sort": "id"}, list(range(1, 13))),
        ({"sort": "length", "text": "number 1"}, [2, 11, 12]),
        ({"sort": "pair"}, [1, 5, 9, 2, 6, 10, 3, 7, 11, 4, 8, 12]),
    ],
)
def test_filters_and_order(query, ranks, client):
    for row, verdict in enumerate(("discard", "keep", "unsure")):
        decide(client, row, verdict)
    assert view(client, **query)["ranks"] == ranks


def test_the_most_frequent_pair_of_labels_comes_first(make_losses, serving):
    pairs = [("World", "Sports"), ("Sports", "World"), ("Business", "World"), ("Sports", "World")]
    path = make_losses([(*pair, 9.0 - n, "text") for n, pair in enumerate(pairs)])
    assert view(enter(serving(path)), sort="pair")["ranks"] == [2, 4, 1, 3]


def test_a_bulk_decides_what_the_filters_find_and_one_undo_takes_it_back(client):
    decide(client, 4, "unsure")
    query = {"given": "World"}
    answer = post(client, "decide-all", {**NAMES, "query": query, "verdict": "accept", "label": None, "expected": 3})
    assert answer.json()["decided"] == 3
    shown = records(client, 1, 5, 9)
    assert [record["history"][-1]["label"] for record in shown] == ["Sports"] * 3
    assert view(client, status="relabel")["ranks"] == [1, 5, 9]
    assert post(client, "undo", NAMES).json()["undone"] == 3
    assert view(client, status="decided")["ranks"] == [5]


def test_a_bulk_to_one_label_keeps_those_that_have_it(client):
    post(client, "decide-all", {**NAMES, "query": {}, "verdict": "relabel", "label": "World", "expected": 12})
    assert view(client, status="keep")["ranks"] == [1, 5, 9]
    assert len(view(client, status="relabel")["ranks"]) == 9


def test_a_bulk_of_other_records_than_were_confirmed_is_refused(client):
    values = {**NAMES, "query": {"status": "undecided"}, "verdict": "discard", "label": None, "expected": 12}
    decide(client, 0, "keep")
    answer = post(client, "decide-all", values)
    assert (answer.status_code, answer.json()["error"]) == (409, "the filters find 11 records now, not 12; look again")
    assert view(client, status="decided")["ranks"] == [1]


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("decide", {"row": 0, "verdict": "keep", "label": None}),
        ("decide", {"row": 0, "verdict": "keep", "label": None, "annotator": "  "}),
        ("decide", {"row": 0, "verdict": "keep", "label": None, "annotator": "x" * 101}),
        ("decide", {"row": 99, "verdict": "keep", "label": None, **NAMES}),
        ("decide", {"row": True, "verdict": "keep", "label": None, **NAMES}),
        ("decide", {"row": "0", "verdict": "keep", "label": None, **NAMES}),
        ("decide", {"row": 0, "verdict": "delete", "label": None, **NAMES}),
        ("decide", {"row": 0, "verdict": "relabel", "label": None, **NAMES}),
        ("decide", {"row": 0, "verdict": "relabel", "label": "Wrld", **NAMES}),
        ("decide", {"row": 0, "verdict": "keep", "label": "Sports", **NAMES}),
        ("decide", {"row": 0, "verdict": "relabel", "label": ["Sports"], **NAMES}),
        ("decide-all", {"query": {"status": "odd"}, "verdict": "keep", "label": None, "expected": 12, **NAMES}),
        ("decide-all", {"query": {"sort": 1}, "verdict": "keep", "label": None, "expected": 12, **NAMES}),
        ("decide-all", {"query": {"drop": "x"}, "verdict": "keep", "label": None, "expected": 12, **NAMES}),
        ("decide-all", {"query": [], "verdict": "keep", "label": None, "expected": 12, **NAMES}),
        ("decide-all", {"query": {}, "verdict": "keep", "label": None, "expected": "12", **NAMES}),
        ("undo", {}),
        ("undo", {"annotator": ["Ada"]}),
    ],
)
def test_what_the_page_would_never_send_is_refused_and_stores_nothing(path, values, client):
    answer = post(client, path, values)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert view(client)["decided"] == 0


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", b"\xff", b"[" * 100_000])
def test_bodies_that_are_no_object_are_refused(body, client):
    headers = {"Origin": ORIGIN, "Content-Type": "application/json"}
    assert client.post("/api/undo", content=body, headers=headers).status_code == 400


@pytest.mark.parametrize("ranks", ["", "0", "13", "-1", "a", "1,,2", "1.5", "9" * 30, "٣", ",".join(["1"] * 201)])
def test_ranks_that_are_none_are_refused(ranks, client):
    for path in ("items", "records"):
        assert client.get(f"/api/{path}", params={"ranks": ranks}).status_code == 400


def test_labels_of_all_kinds_are_told_apart(make_losses, serving):
    labels = ("World", "World ", " World", "a,b", 'say "yes"', "🙂", "<b>x</b>", "", "a\nb", "É")
    rows = [(label, labels[n - 1], 20.0 - n, "text") for n, label in enumerate(labels)]
    for name in ("losses.parquet", "losses.csv", "losses.jsonl"):
        # The text formats write an empty label as none at all.
        kept = [row for row in rows if "" not in row or name == "losses.parquet"]
        path = make_losses(kept, labels=labels, name=name)
        client = enter(serving(path))
        for record in records(client, *range(1, len(client.get("/api/view").json()["ranks"]) + 1)):
            given, predicted = record["label"], record["prediction"]
            assert view(client, given=given)["ranks"] == [record["rank"]]
            assert view(client, predicted=predicted)["ranks"] == [record["rank"]]
            assert decide(client, record["row"], "relabel", predicted)["record"]["history"][-1]["label"] == predicted


def test_what_others_decide_meanwhile_is_seen(client, losses_file):
    decide(client, 0, "keep")
    before = client.get("/api/version").json()["version"]
    with DecisionStore.open(losses_file) as other:
        other.add([Decision(row, "discard", None, "Bob", "label-studio", utc_now()) for row in (0, 5)])
    assert client.get("/api/version").json()["version"] > before
    assert view(client, status="discard")["ranks"] == [1, 6]
    assert decide(client, 5, "keep")["progress"]["counts"] == {"relabel": 0, "keep": 1, "unsure": 0, "discard": 1}


def test_a_store_that_fails_is_said_and_nothing_counts_as_stored(client, losses_file):
    with sqlite3.connect(f"{losses_file}.reviews.sqlite") as other:
        other.execute("DROP TABLE decisions")
    other.close()
    answer = post(client, "decide", {**NAMES, "row": 0, "verdict": "keep", "label": None})
    assert answer.status_code == 400
    assert "reviews.sqlite" in answer.json()["error"]
    assert view(client)["decided"] == 0


# What can't be reviewed.


def test_a_store_of_another_losses_file_is_refused(losses_file, make_losses, refused):
    Session.open(losses_file, 5).close()
    make_losses([("World", "Sports", 1.0, "other")], name=losses_file.name)
    with refused("another losses file", "move it away"):
        Session.open(losses_file, 5)


def test_no_row_with_a_loss(make_losses, refused):
    path = make_losses([("Nowhere", "Sports", None, "a")])
    with refused("no row with a loss"):
        Session.open(path, 5)


def test_rows_that_are_not_whole_are_refused(make_losses, refused):
    path = make_losses([(None, "Sports", 1.0, "a")])
    with refused("label_name"):
        Session.open(path, 5)


# Many records.


@pytest.fixture(scope="module")
def large_file(tmp_path_factory):
    """100,000 records of four labels."""
    draw = random.Random(1)
    n = 100_000
    columns = {
        "id": list(range(n)),
        "label_name": draw.choices(["World", "Sports"], k=n),
        "prediction_name": draw.choices(["Business", "Sci/Tech"], k=n),
        "probability": [0.9] * n,
        "loss": [draw.random() for _ in range(n)],
    }
    table = pa.table(columns | {"text": [f"text of row {row}" for row in range(n)]})
    for name in SCHEMA.names:
        if name not in columns:
            table = table.append_column(SCHEMA.field(name), pa.nulls(n, SCHEMA.field(name).type))
    table = table.cast(with_facts(table.schema, {"labels": ["World", "Sports", "Business", "Sci/Tech"]}))
    path = tmp_path_factory.mktemp("large") / "losses.parquet"
    write_table([table], table.schema, path)
    return path


def test_a_hundred_thousand_records_come_in_pages(large_file, serving):
    client = enter(serving(large_file, n=100_000))
    ranks = view(client)["ranks"]
    assert ranks == list(range(1, 100_001))
    pages = [ranks[start : start + 200] for start in (0, 50_000, 99_800)]
    for page in pages:
        items = client.get("/api/items", params={"ranks": ",".join(map(str, page))}).json()["items"]
        assert [item["rank"] for item in items] == page
        losses = [item["loss"] for item in items]
        assert losses == sorted(losses, reverse=True)
    assert view(client, text="row 99999")["ranks"] == [
        records(client, *view(client, text="row 99999")["ranks"])[0]["rank"]
    ]


def test_a_hundred_thousand_records_are_decided_and_undone_at_once(large_file, serving):
    client = enter(serving(large_file, n=100_000))
    expected = len(view(client, given="World")["ranks"])
    values = {**NAMES, "query": {"given": "World"}, "verdict": "accept", "label": None, "expected": expected}
    assert post(client, "decide-all", values).json()["decided"] == expected
    assert len(view(client, status="undecided")["ranks"]) == 100_000 - expected
    assert post(client, "undo", NAMES).json()["undone"] == expected
    assert view(client)["decided"] == 0


# The parts.


@pytest.mark.parametrize(
    ("wrong", "judged", "low", "high"), [(0, 10, 0, 0.2775), (10, 10, 0.7225, 1), (50, 100, 0.4038, 0.5962)]
)
def test_the_interval_is_wilsons(wrong, judged, low, high):
    estimate = wrong_share(wrong, judged)
    assert estimate is not None
    assert (estimate.low, estimate.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))
    assert 0 <= estimate.low <= estimate.share <= estimate.high <= 1


def test_no_verdict_no_estimate():
    assert wrong_share(0, 0) is None


def test_a_port_that_is_taken_gives_the_next_free_one(refused):
    first = listen("127.0.0.1", 0)
    second = listen("127.0.0.1", first.port)
    try:
        assert first.port < second.port <= first.port + 50
        assert second.link("t") == f"http://127.0.0.1:{second.port}/?token=t"
        assert second.link_from_elsewhere("t") is None
    finally:
        first.socket.close()
        second.socket.close()
    with refused("203.0.113.1", "--host"):
        listen("203.0.113.1", 0)
    with refused("no such host", "--host"):
        listen("no such host", 0)


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("127.9.9.9", True),
        ("0.0.0.0", False),
        ("::", False),
        ("example.org", False),
    ],
)
def test_which_hosts_are_of_this_machine_alone(host, private):
    assert is_loopback(host) is private


def test_a_session_reviews_the_n_and_keeps_decisions_about_others(losses_file):
    with DecisionStore.open(losses_file) as store:
        store.add([Decision(11, "keep", None, "Ada", "jsonl", utc_now())])
    session = Session.open(losses_file, 3)
    assert (len(session.records), session.decided(), session.progress().counts["keep"]) == (3, 1, 0)
    session.close()
    assert len(Losses.open(losses_file)) == 12
