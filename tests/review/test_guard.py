"""Access to the page's server: the token, the host, the origin, and the headers of every answer."""

import re

import pytest

from lossaudit.review.guard import LARGEST_BODY, is_loopback
from tests.review.requesting import ORIGIN, TOKEN

NAMES = {"annotator": "Ada"}
NEAR = ["https://127.0.0.1:8765", "ws://127.0.0.1:8765", "http://[", "http://127.0.0.1:8765/", "HTTP://127.0.0.1:8765"]
"""Origins that are almost the page's."""


def test_the_token_becomes_a_cookie_and_leaves_the_address(serving):
    client = serving()
    answer = client.get("/", params={"token": TOKEN})
    assert answer.status_code == 303
    assert re.fullmatch(r"\./#key=[\w-]{32}", answer.headers["location"])
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
    assert 'http-equiv="refresh" content="0;url=./#key=' in answer.text


def test_the_cookie_alone_opens_no_data(serving):
    """Browsers send it to every port of this machine, so that any server there may know it."""
    client = serving()
    client.get("/", params={"token": TOKEN})
    page = client.get("/")
    assert page.status_code == 200
    assert "key=" not in page.text
    for key in ("", "wrong", TOKEN, "é".encode()):
        answer = client.get("/api/start", headers={"X-Lossaudit-Key": key})
        assert (answer.status_code, "open the link" in answer.text) == (403, True)
    assert client.post_json("decide", {"row": 0, "verdict": "keep", "annotator": "Eve"}).status_code == 403


def test_the_key_alone_opens_no_data(serving):
    client = serving().enter()
    assert client.get("/api/start").status_code == 200
    assert client.get("/api/start", headers={"Cookie": "x=y"}).status_code == 403


@pytest.mark.parametrize(
    "path", ["/", "/static/main.js", "/api/start", "/api/view", "/api/records?ranks=1", "/no-such"]
)
def test_without_the_token_there_is_nothing(path, serving):
    client = serving()
    for cookie in ("", "lossaudit_8765=wrong", f"lossaudit_8765={TOKEN}é", f"lossaudit_1={TOKEN}"):
        answer = client.get(path, headers={"Cookie": cookie.encode()})
        assert answer.status_code == 403
        assert "open the link that the review printed" in answer.text


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
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:8765", "", *NEAR]
)
def test_another_origin_is_refused(origin, client):
    assert client.get("/api/start", headers={"Origin": origin}).status_code == 403
    assert client.post_json("undo", NAMES, origin=origin).status_code == 403


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
    both = headers | {"Content-Length": "2", "Transfer-Encoding": "chunked"}
    assert client.post("/api/undo", content=b"{}", headers=both).status_code == 413


@pytest.mark.parametrize(
    "body", [b'{"annotator": "\\ud800"}', b'{"\\udfff": 1}', b'{"annotator": "\xed\xa0\x80"}', b"\xff", b"["]
)
def test_a_body_that_no_page_would_send_is_refused(body, client):
    headers = {"Origin": ORIGIN, "Content-Type": "application/json"}
    answer = client.post("/api/undo", content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (400, {"error": "the body isn't a JSON object"})


async def in_pieces():
    """A body whose length isn't said."""
    yield b"{}"


def test_every_answer_has_strict_headers(client, serving):
    answers = [client.get("/"), client.get("/static/main.js"), client.get("/api/start"), client.get("/none")]
    answers += [serving().get("/"), client.get("/", headers={"Host": "evil"}), client.post_json("undo", {})]
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
    assert page.count("<script") == page.count('<script type="module" src="static/') == 1


def test_the_files_name_is_escaped(make_losses, serving):
    path = make_losses([("World", "Sports", 1.0, "a")], name="<img src=x>&.parquet")
    page = serving(path).enter().get("/").text
    assert "<img" not in page
    assert "&lt;img src=x&gt;&amp;.parquet" in page


def test_static_files_stay_in_their_folder(client):
    for path in ("/static/../page.html", "/static/%2e%2e/page.html", "/static/..%2f..%2fserver.py", "/static/"):
        assert client.get(path).status_code == 404


def test_what_is_refused_is_explained_to_a_person_and_told_to_a_program(serving):
    page = serving().get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "<h1>This page can’t be shown</h1>" in page.text
    assert serving().get("/", headers={"Host": "<b>.example"}).text.count("<b>") == 0
    assert "error" in serving().get("/api/start").json()


PROXIED = {"Host": "10.0.0.7:8765", "X-Forwarded-Host": "review.example", "X-Forwarded-Proto": "https"}


def test_a_proxy_is_believed_only_if_it_is_trusted(serving):
    refused = serving().get("/", params={"token": TOKEN}, headers=PROXIED)
    assert refused.status_code == 403
    assert "trust-proxy" in refused.text
    client = serving(trust_proxy=True)
    entered = client.get("/", params={"token": TOKEN}, headers=PROXIED)
    key = {"X-Lossaudit-Key": entered.headers["location"].removeprefix("./#key=")}
    for origin, status in [("https://review.example", 200), ("http://review.example", 403), (ORIGIN, 403)]:
        headers = PROXIED | key | {"Origin": origin}
        assert client.post("/api/undo", json=NAMES, headers=headers).status_code == status


def test_a_page_with_a_path_answers_with_and_without_it(serving):
    """A proxy may pass the path on, or take it away."""
    client = serving(base_path="/team/lossaudit").enter()
    for path in ("/team/lossaudit/", "/"):
        assert client.get(path).status_code == 200
        assert client.get(f"{path}static/main.js").status_code == 200
        assert client.get(f"{path}api/start").json()["labels"]
    outside = serving(base_path="/team/lossaudit")
    assert outside.get("/team/lossaudit/api/start").status_code == 403
    assert outside.get("/team/lossaudit/", params={"token": TOKEN}).status_code == 303


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
