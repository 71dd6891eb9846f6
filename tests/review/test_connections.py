"""Connections that hold back their requests: each is closed, and none keeps the page from answering."""

import asyncio
import contextlib
import socket
import threading

import httpx
import pytest
import uvicorn

from lossaudit.review import connections
from lossaudit.review.connections import MOST_PER_ADDRESS, Connection


@pytest.fixture
def port(monkeypatch):
    """A server that answers everything with "here", and is patient for half a second."""
    monkeypatch.setattr(connections, "PATIENCE_S", 0.5)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(answer, http=Connection, log_level="critical", lifespan="off", ws="none"))
    running = threading.Thread(target=asyncio.run, args=(server.serve(sockets=[listening]),))
    running.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    running.join(30)


async def answer(scope, receive, send):  # noqa: ARG001
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"here"})


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n", id="half of the headers"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc", id="half of the body"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HT", id="half of a second request"),
    ],
)
def test_a_request_that_never_ends_is_closed(said, port):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as waiting:
        waiting.sendall(said)
        with contextlib.suppress(ConnectionError):  # a reset, once everything sent before it is read
            while waiting.recv(4096):
                pass


def test_waiting_connections_keep_nobody_out(port, monkeypatch):
    monkeypatch.setattr(connections, "PATIENCE_S", 600)
    waiting = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(3 * MOST_PER_ADDRESS)]
    for _ in range(3):
        assert httpx.get(f"http://127.0.0.1:{port}/", timeout=20).text == "here"
    for one in waiting:
        one.setblocking(False)
    assert sum(not is_closed(one) for one in waiting) <= MOST_PER_ADDRESS
    for one in waiting:
        one.close()


def is_closed(waiting):
    try:
        return waiting.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_requests_on_one_connection_each_have_their_time(port):
    with httpx.Client(timeout=20) as client:
        assert [client.get(f"http://127.0.0.1:{port}/").text for _ in range(5)] == ["here"] * 5
