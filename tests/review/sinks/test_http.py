"""The connection to a server: it retries, describes failures in one line, and shows the key to nobody."""

import contextlib
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from lossaudit.engine.errors import LossAuditError
from lossaudit.review.sinks import Place
from lossaudit.review.sinks import connect as connect_sink
from lossaudit.review.sinks.http import Account, Server, ServerError, checked_key, checked_url


@pytest.fixture
def connect(key):
    """A Server for a service, or for a URL."""
    opened = []

    def open_(url):
        account = Account("Testing", url, key, "TESTING_KEY")
        opened.append(Server(account, headers={"X-Key": key}))
        return opened[-1]

    yield open_
    for server in opened:
        server.close()


@pytest.fixture
def there(serve, service):
    return serve(service())


def test_json_goes_out_and_comes_in(connect, there, key):
    server = connect(there.url)
    assert server.post("/a", {"é": [1, None]}) == {"you": "said", "what": {"é": [1, None]}}
    assert server.get("/b", page=2)["you"] == "said"
    posted, got = there.requests
    assert (posted.method, posted.path, posted.headers["x-key"]) == ("POST", "/a", key)
    assert (got.method, got.path, got.query) == ("GET", "/b", {"page": "2"})


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_failures_that_pass_are_tried_again_with_growing_pauses(status, connect, there, pauses):
    there.instead.extend([(status, {}, "busy")] * 3)
    assert connect(there.url).post("/a", 1)["what"] == 1
    assert len(there.requests) == 4
    assert len(pauses) == 3
    assert 0.4 <= pauses[0] < pauses[1] < pauses[2] <= 2.4


def test_it_gives_up_in_the_end(connect, there, refused):
    there.instead.extend([(503, {}, {"detail": "down for today"})] * 20)
    with refused("Testing at", "answers 503 to POST /a", "down for today"):
        connect(there.url).post("/a", 1)
    assert len(there.requests) == 6


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("7", 7, 7.1),
        ("99999", 60, 60),
        ("-5", 0.4, 0.6),
        ("soon", 0.4, 0.6),
    ],
)
def test_it_waits_as_long_as_it_is_asked(header, least, most, connect, there, pauses):
    there.instead.append((429, {"Retry-After": header}, ""))
    connect(there.url).get("/a")
    (pause,) = pauses
    assert least <= pause <= most


def test_it_waits_until_the_time_that_it_is_told(connect, there, pauses):
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=50), usegmt=True)
    there.instead.append((503, {"Retry-After": until}, ""))
    connect(there.url).get("/a")
    (pause,) = pauses
    assert 10 < pause <= 50


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
def test_refusals_are_not_tried_again(status, connect, there):
    there.instead.append((status, {}, {"detail": {"code": "x", "params": {"message": "because of this"}}}))
    with pytest.raises(ServerError, match="because of this") as caught:
        connect(there.url).get("/a")
    assert caught.value.status == status
    assert len(there.requests) == 1


def test_a_lost_connection_is_tried_again(connect, there):
    server = connect(there.url)
    server.get("/a")
    there.instead.extend(["drop", "drop"])
    assert server.get("/a")["you"] == "said"
    assert len(there.requests) == 4


def test_what_must_not_be_sent_twice_is_not(connect, there):
    server = connect(there.url)
    server.get("/a")
    there.instead.append("drop")
    with pytest.raises(ServerError) as caught:
        server.post("/a", 1, again=False)
    assert caught.value.wait_s == 0
    assert len(there.asked("POST", "/a")) == 1


def test_a_server_that_is_down_is_told_at_once(connect, pauses, refused):
    with refused("Testing at http://127.0.0.1:1 can't be reached", "is it running, and is url right?"):
        connect("http://127.0.0.1:1").get("/a")
    assert pauses == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_takes_the_key_nowhere(status, connect, there, serve, service, refused):
    elsewhere = serve(service())
    there.instead.append((status, {"Location": f"{elsewhere.url}/a"}, ""))
    with refused("redirects to", elsewhere.url, "give its address as url"):
        connect(there.url).post("/a", {"x": 1})
    assert elsewhere.requests == []


def test_an_answer_that_is_no_json(connect, there, refused):
    there.instead.append((200, {}, "<html>Welcome</html>"))
    with refused("Testing at", "doesn't answer as Testing would", "is url right?"):
        connect(there.url).get("/a")


def test_a_page_of_html_is_not_repeated(connect, there):
    there.instead.append((404, {}, "<html>Nothing here</html>"))
    with pytest.raises(ServerError, match="Not Found") as caught:
        connect(there.url).get("/a")
    assert "html" not in str(caught.value)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 500])
def test_the_key_stands_in_no_message_and_no_traceback(status, connect, there, key):
    there.instead.extend([(status, {"Location": f"/login?key={key}"}, {"detail": f"Invalid token {key}"})] * 9)
    with pytest.raises(ServerError) as caught:
        connect(there.url).get("/a")
    shown = "".join(traceback.format_exception(caught.value))
    assert str(status) in shown or "refuses the key" in shown or "let this key's user" in shown or "redirects" in shown
    assert key not in shown
    assert key not in repr(Account("Testing", there.url, key, "TESTING_KEY"))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("localhost:6900", "write it like http://localhost:6900"),
        ("", "write it like"),
        ("ftp://a.example", "write it like"),
        ("http://", "write it like"),
        ("http://a.example:port", "is invalid"),
        ("http://bob:hunter2@a.example", "a user, password"),
        ("https://a.example/?token=hunter2", "query"),
    ],
)
def test_what_is_no_address_is_refused_and_not_repeated(given, says):
    with pytest.raises(LossAuditError, match="url or X_URL") as caught:
        checked_url(given, "X_URL")
    assert says in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_an_address_may_have_a_path_and_a_slash():
    assert checked_url(" https://a.example/labels/ ", "X") == "https://a.example/labels"


def test_requests_go_below_the_path(connect, there):
    connect(f"{there.url}/labels").get("/api/me")
    assert there.requests[0].path == "/labels/api/me"


@pytest.mark.parametrize("given", [None, "", " \n"])
def test_no_key(given, refused):
    with refused("no key", "key or X_KEY"):
        checked_key(given, "X_KEY")


@pytest.mark.parametrize("given", ["se\ncret", "sécret", "se\x00cret"])
def test_a_key_that_no_header_holds_is_not_repeated(given):
    with pytest.raises(LossAuditError, match="copy it again") as caught:
        checked_key(given, "X_KEY")
    assert "cret" not in str(caught.value)


def test_blanks_around_a_key_go():
    assert checked_key(" abc\n", "X") == "abc"


@pytest.mark.parametrize("kind", ["rubrix", "label-studio", "argilla"])
@pytest.mark.parametrize("said", [{}, [], 5, None, "<html>", [[]], {"username": 3, "results": 3, "tasks": 3}])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_servers_that_answer_anything_are_no_fault_of_ours(kind, said, serve, service, about, key):
    if kind == "argilla":
        pytest.importorskip("argilla")

    class Anything(service):
        def answer(self, request):  # noqa: ARG002
            return 200, said

    place, said_of_it = Place(name="errors", url=serve(Anything()).url, key=key), []
    with contextlib.closing(connect_sink(kind, place, about)) as sink:
        for ask in (lambda: sink.find(create=True), lambda: sink.find(create=False), lambda: list(sink.held())):
            try:
                ask()
            except LossAuditError as error:
                said_of_it.append(str(error))
    assert all(len(message.splitlines()) == 1 and key not in message for message in said_of_it)
