"""The address and port that the page listens on."""

from lossaudit.review.listening import listen


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
    with refused("203.0.113.1", "another port or host"):
        listen("203.0.113.1", 0)
    with refused("no such host", "another host"):
        listen("no such host", 0)
