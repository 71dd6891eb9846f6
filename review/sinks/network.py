"""The way to a server: proxies and certificates that the environment names, and bounds for what a server answers.

`transport_to` makes what httpx and Argilla's client send requests with. Addresses of this machine are never proxied.
"""

import concurrent.futures
import importlib.util
import ipaddress
import os
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import httpx

from lossaudit.engine.errors import LossAuditError, brief

LONGEST_S = 600.0
"""Seconds that a whole answer may take; each piece of it may take the client's timeout."""
MOST_BYTES = 1 << 28
_PROXIES = ("http", "https", "socks5", "socks5h")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")


class EndlessError(httpx.TransportError):
    """A server sends more than anyone can take."""


@dataclass(frozen=True)
class Proxy:
    """A proxy that the environment or the system names."""

    url: str
    """Its address, which may have a password."""
    origin: str
    """What names it, for messages."""

    def __str__(self) -> str:
        url = httpx.URL(self.url)
        return f"the proxy {url.scheme}://{url.netloc.decode('ascii')} ({self.origin})"

    def __repr__(self) -> str:
        return f"Proxy({self})"


def proxy_to(url: str) -> Proxy | None:
    """The proxy that requests to a URL go through. Raises LossAuditError for one that can't be used."""
    parsed = httpx.URL(url)
    if _is_here(parsed.host) or urllib.request.proxy_bypass(parsed.host):
        return None
    named = urllib.request.getproxies()
    kind = parsed.scheme if named.get(parsed.scheme) else "all"
    if not (address := named.get(kind)):
        return None
    variables = [name for name in (f"{kind}_proxy", f"{kind}_PROXY".upper()) if os.environ.get(name)]
    origin = variables[0] if variables else "the system's settings"
    return _checked(address if "://" in address else f"http://{address}", origin)


def transport_to(url: str) -> httpx.BaseTransport:
    """Sends requests to the server at a URL. Raises LossAuditError for proxies or certificates that can't be used."""
    proxy = proxy_to(url)
    inner = httpx.HTTPTransport(verify=_certificates(), trust_env=False, proxy=proxy.url if proxy else None)
    return _Bounded(inner)


def refuses_certificate(error: BaseException | None) -> bool:
    """Whether a connection failed because this machine doesn't trust the server's certificate."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _checked(address: str, origin: str) -> Proxy:
    try:
        proxy = Proxy(address, origin)
        scheme = httpx.URL(address).scheme
    except httpx.InvalidURL as error:
        raise LossAuditError(f"{origin} doesn't hold the address of a proxy: {brief(error)}") from None
    around = "or name the server in NO_PROXY, to reach it without a proxy"
    if scheme not in _PROXIES:
        raise LossAuditError(f"{proxy} isn't of a known kind; write it like http://proxy:3128, {around}")
    if scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise LossAuditError(f"{proxy} needs the package socksio, which isn't installed: pip install socksio; {around}")
    return proxy


def _is_here(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _certificates() -> ssl.SSLContext:
    """Trusts what the environment names; else the authorities of httpx and those of the system."""
    named = {name: place for name in _CERTIFICATES if (place := os.environ.get(name))}
    if not named:
        context = httpx.create_ssl_context(trust_env=False)
        context.load_default_certs()
        return context
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for name, place in named.items():
        try:
            if Path(place).is_dir():
                context.load_verify_locations(capath=place)
            else:
                context.load_verify_locations(cafile=place)
        except OSError as error:  # SSLError is one
            raise LossAuditError(f"{name} names {place}, which has no certificates: {brief(error)}") from error
    return context


class _Bounded(httpx.BaseTransport):
    """Ends answers that are too large or too slow, and takes none compressed, which could unpack to anything."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        until = time.monotonic() + LONGEST_S
        request.headers["Accept-Encoding"] = "identity"
        response = self._answer(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            response.close()
            raise EndlessError("its answer is compressed, which it wasn't asked for")
        response.stream = _BoundedStream(cast(httpx.SyncByteStream, response.stream), until)
        return response

    def _answer(self, request: httpx.Request) -> httpx.Response:
        """The beginning of the answer. A thread waits for it, since headers may drip for days within all timeouts."""
        answer: concurrent.futures.Future[httpx.Response] = concurrent.futures.Future()

        def wait() -> None:
            try:
                answer.set_result(self._inner.handle_request(request))
            except BaseException as error:
                answer.set_exception(error)

        threading.Thread(target=wait, daemon=True).start()
        try:
            return answer.result(LONGEST_S)
        except concurrent.futures.TimeoutError as error:
            raise EndlessError(f"it didn't answer within {LONGEST_S:.0f} s") from error

    def close(self) -> None:
        self._inner.close()


class _BoundedStream(httpx.SyncByteStream):
    def __init__(self, inner: httpx.SyncByteStream, until: float) -> None:
        self._inner = inner
        self._until = until

    def __iter__(self) -> Iterator[bytes]:
        seen = 0
        for piece in self._inner:
            seen += len(piece)
            if seen > MOST_BYTES:
                raise EndlessError(f"its answer has more than {MOST_BYTES >> 20} MB")
            if time.monotonic() > self._until:
                raise EndlessError(f"its answer took more than {LONGEST_S:.0f} s")
            yield piece

    def close(self) -> None:
        self._inner.close()
