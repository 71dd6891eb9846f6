"""The way to a server: proxies and certificates of the environment, and servers that answer without end."""

import contextlib
import gzip
import http.server
import json
import shutil
import ssl
import subprocess
import threading
import time

import pytest

from lossaudit.review.sinks import Place, network
from lossaudit.review.sinks import connect as connect_sink
from lossaudit.review.sinks.http import Account, Server
from lossaudit.review.sinks.network import proxy_to

VARIABLES = (
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "ssl_cert_file",
    "ssl_cert_dir",
    "requests_ca_bundle",
)
FAR = "http://annotation.example"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in (*VARIABLES, "requests_ca_bundle"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def get(key):
    """The answer of a server to a GET request."""

    def go(url, path="/a"):
        with contextlib.closing(Server(Account("Testing", url, key, "K"), headers={"X-Key": key})) as server:
            return server.get(path)

    return go


@pytest.fixture
def https(tmp_path):
    """The URL of a server on loopback whose certificate nobody knows, and the file of that certificate."""
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("openssl, which makes the certificate, isn't here")
    certificate, secret = tmp_path / "certificate.pem", tmp_path / "secret.pem"
    request = "req -x509 -newkey rsa:2048 -nodes -days 3 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    command = [openssl, *request.split(), "-keyout", secret, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"you": "said"}')

        def log_message(self, *arguments):
            pass

    class Quiet(http.server.ThreadingHTTPServer):
        def handle_error(self, *arguments):
            pass  # a client that hangs up, since it doesn't trust us

    server = Quiet(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, secret)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}", certificate
    server.shutdown()
    server.server_close()


@pytest.fixture
def raw():
    """A server that sends what a function yields, after the start of an answer; returns its URL."""
    servers = []

    def start(pieces, headers=b"content-type: application/json\r\n\r\n"):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                with contextlib.suppress(OSError):
                    self.wfile.write(b"HTTP/1.1 200 OK\r\n" + headers)
                    for piece in pieces():
                        self.wfile.write(piece)

            def log_message(self, *arguments):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.socket.close()


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "socks5://127.0.0.1:1"])
def test_addresses_of_this_machine_are_never_proxied(variable, proxy, serve, service, get, monkeypatch):
    monkeypatch.setenv(variable, proxy)
    there = serve(service())
    assert get(there.url)["you"] == "said"
    assert get(there.url.replace("127.0.0.1", "localhost"))["you"] == "said"
    for url in ("http://[::1]:6900", "http://127.8.9.1", "https://a.localhost", "http://0.0.0.0:6900"):
        assert proxy_to(url) is None


def test_other_addresses_are_proxied_but_for_those_of_no_proxy(serve, service, get, monkeypatch):
    proxy = serve(service())
    monkeypatch.setenv("HTTP_PROXY", proxy.url.removeprefix("http://"))
    assert get(FAR)["you"] == "said"
    assert proxy.requests[0].headers["host"] == "annotation.example"
    monkeypatch.setenv("NO_PROXY", "elsewhere.example,annotation.example")
    assert proxy_to(FAR) is None


def test_argillas_client_goes_the_same_way(serve, service, about, key, monkeypatch, refused):
    pytest.importorskip("argilla")

    class Proxy(service):
        def answer(self, request):
            me = {"id": "7a0ed3e5-a1f6-4e4f-a9f1-d2b4b9b5b0a4", "username": "ada", "role": "owner"}
            return (200, me) if request.path == "/api/v1/me" else (418, {"detail": "all came here"})

    proxy = serve(Proxy())
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    with (
        contextlib.closing(connect_sink("argilla", Place(name="errors", url=FAR, key=key), about)) as sink,
        refused("all came here"),
    ):
        sink.find(create=False)


def test_a_proxy_that_fails_is_named_without_its_password(get, monkeypatch, refused):
    monkeypatch.setenv("HTTP_PROXY", "http://bob:hunter2@127.0.0.1:1")
    with refused(f"Testing at {FAR} can't be reached through the proxy http://127.0.0.1:1 (HTTP_PROXY)", "NO_PROXY"):
        get(FAR)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    with refused("the proxy http://127.0.0.1:1 (https_proxy)"):
        get(FAR.replace("http", "https"))
    assert "hunter2" not in f"{proxy_to(FAR)} {proxy_to(FAR)!r}"


@pytest.mark.parametrize("status", [403, 407, 502])
def test_an_answer_that_a_proxy_may_have_given_names_it(status, serve, service, get, monkeypatch, refused):
    proxy = serve(service())
    proxy.instead.extend([(status, {}, "no")] * 9)
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    with refused(f"the answer may be of the proxy {proxy.url} (HTTP_PROXY)"):
        get(FAR)


@pytest.mark.parametrize(
    ("proxy", "says"),
    [
        ("socks5://127.0.0.1:1", "needs the package socksio, which isn't installed: pip install socksio"),
        ("socks4://127.0.0.1:1", "isn't of a known kind; write it like http://proxy:3128"),
        ("http://a:port", "doesn't hold the address of a proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used(proxy, says, get, monkeypatch, refused):
    monkeypatch.setattr(network.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("ALL_PROXY", proxy)
    with refused("ALL_PROXY", says):
        get(FAR)


def test_a_certificate_that_nobody_knows(https, get, refused):
    url, _ = https
    with refused(f"the certificate of Testing at {url} isn't trusted", "SSL_CERT_FILE or REQUESTS_CA_BUNDLE"):
        get(url)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_an_authority_of_ones_own(variable, https, get, monkeypatch):
    url, certificate = https
    monkeypatch.setenv(variable, str(certificate))
    assert get(url) == {"you": "said"}


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_certificates_that_are_none(variable, content, tmp_path, get, monkeypatch, refused):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv(variable, str(path))
    with refused(f"{variable} names {path}, which has no certificates"):
        get("https://127.0.0.1:1")


def test_an_answer_that_never_ends(raw, get, monkeypatch, refused, pauses):
    monkeypatch.setattr(network, "MOST_BYTES", 3 << 20)

    def endless():
        while True:
            yield b" " * 65536

    with refused("doesn't answer as Testing would", "its answer has more than 3 MB", "is url right?"):
        get(raw(endless))
    assert pauses == []


def test_an_answer_that_drips(raw, get, monkeypatch, refused):
    def drip():
        while True:
            time.sleep(0.05)
            yield b" "

    monkeypatch.undo()
    monkeypatch.setattr(network, "LONGEST_S", 0.3)
    for headers in (b"\r\n", b"x-header: "):
        with refused("doesn't answer as Testing would", "0 s"):
            get(raw(drip, headers))


def test_a_compressed_answer_is_not_unpacked(raw, get, refused):
    bomb = gzip.compress(b" " * (8 << 20))
    with refused("its answer is compressed"):
        get(raw(lambda: [bomb], b"content-encoding: gzip\r\n\r\n"))


@pytest.mark.parametrize("said", ["[" * 100_000, "1" * 5000, "\x00", "<html>"])
@pytest.mark.parametrize("kind", ["application/json", "image/png", "text/plain; charset=klingon"])
def test_what_is_no_json_of_any_content_type(said, kind, serve, service, get, refused):
    there = serve(service())
    there.instead.append((200, {"Content-Type": kind}, said))
    with refused("doesn't answer as Testing would"):
        get(there.url)


@pytest.mark.parametrize("kind", ["rubrix", "label-studio"])
def test_pages_that_never_end(kind, serve, service, about, key, monkeypatch, refused):
    monkeypatch.setattr(f"lossaudit.review.sinks.{kind.replace('-', '_')}.MOST_PAGES", 7)
    record = {"id": 1, "inputs": {"text": "a"}, "last_updated": "2026-11-01T00:00:00"}
    task = {"id": 1, "data": {"text": "a"}, "annotations": []}
    project = {"id": 1, "title": "errors", "label_config": ""}
    answers = {
        "/api/datasets/errors/TextClassification/data": "\n".join([json.dumps(record)] * 1000),
        "/api/tasks/": {"total": 1 << 40, "tasks": [task] * 100},
        "/api/users": [],
        "/api/projects/": {"next": "more", "results": [project] * 100},
    }

    class Endless(service):
        def answer(self, request):
            return 200, answers[request.path]

    there = serve(Endless())
    with contextlib.closing(connect_sink(kind, Place(name="other", url=there.url, key=key), about)) as sink:
        if kind == "label-studio":
            with refused("lists more than", "pages of records"):
                sink.find(create=False)
            sink._project = 1
        else:
            sink._name = "errors"
        with refused("lists more than", "pages of records"):
            list(sink.held())
