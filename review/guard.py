"""Middleware that lets only requests of the review page through to its server.

Every page in the browser and every program on the machine can send requests to the server. So each request must name
a host of this server (against DNS rebinding), come from its own page, and carry the token in a cookie. Browsers send
cookies to all ports of a host, so a request for data must carry a key as well, which only the page has.
"""

import hmac
import ipaddress
import secrets
import socket
from html import escape
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 1 << 20
"""Bytes of a request's body at most."""
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
_KEY_HEADER = "x-lossaudit-key"
_NO_TOKEN = "This link lacks the token of the running review, or has an old one: open the link that the review printed."
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>lossaudit review</title>
<h1>This page can’t be shown</h1>
<p>{why}</p>
"""


class Guard:
    """ASGI middleware that lets requests with the token through, and sends every answer with strict headers."""

    def __init__(self, app: ASGIApp, token: str, host: str, port: int, trust_proxy: bool = False) -> None:
        """host: the address that the server is bound to. port: its port, which separates the cookies of servers.
        trust_proxy: whether a proxy tells, in X-Forwarded-Host and X-Forwarded-Proto, where the browser thinks it is.
        """
        self.app = app
        self._trust_proxy = trust_proxy
        self._token = token
        self._hosts = _names_of(host)
        self._any_address = _address(host) is not None and ipaddress.ip_address(host).is_unspecified
        self._cookie = f"lossaudit_{port}"
        self._key = secrets.token_urlsafe(24)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_strict(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        request = Request(scope)
        answer = self._refused(request) or self._entering(request) or self._locked_out(request)
        await (answer or self.app)(scope, receive, send_strict)

    def _refused(self, request: Request) -> Response | None:
        headers = request.headers
        scheme, host = request.url.scheme, headers.get("host", "")
        if self._trust_proxy and "x-forwarded-host" in headers:
            scheme = headers.get("x-forwarded-proto", scheme)
            host = headers["x-forwarded-host"]
        elif not self._is_ours(_name_in(host)):
            return _refusal(
                request, 403, f"This server doesn't go by the name {host!r}.{self._behind_a_proxy(headers)}"
            )
        origin = headers.get("origin")
        if origin is None and request.method not in ("GET", "HEAD"):
            return _refusal(request, 403, "A request that changes something must state its origin.")
        if origin is not None and origin != f"{scheme}://{host}":
            return _refusal(request, 403, f"Requests from other pages are refused.{self._behind_a_proxy(headers)}")
        if request.method in ("GET", "HEAD"):
            return None
        if headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
            return _refusal(request, 415, "Only application/json is accepted.")
        length = headers.get("content-length", "")
        # With both a length and chunks, the chunks would count.
        if "transfer-encoding" in headers or not length.isdecimal() or int(length) > LARGEST_BODY:
            return _refusal(request, 413, f"A body must state its length, of at most {LARGEST_BODY} bytes.")
        return None

    def _entering(self, request: Request) -> Response | None:
        """Handles the start link: its token becomes a cookie, and the page opens under a link with the key instead.

        The key is behind a #, so that no browser sends it to a server by itself.
        """
        token = request.query_params.get("token")
        if not _is_page(request) or token is None:
            return None
        if not self._is_token(token):
            return _refusal(request, 403, _NO_TOKEN)
        page = f"./#key={self._key}"  # relative, since a proxy may have put a prefix before the path
        response: Response = RedirectResponse(page, 303)
        if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            # A redirect would still count as coming from the other page, and a strict cookie wouldn't be sent with it.
            response = HTMLResponse(
                f'<!doctype html><meta http-equiv="refresh" content="0;url={page}"><title>…</title>'
            )
        response.set_cookie(self._cookie, self._token, path="/", httponly=True, samesite="strict")
        return response

    def _locked_out(self, request: Request) -> Response | None:
        """Refuses requests without the cookie, and requests for data without the key."""
        needs_key = "/api/" in request.url.path
        if self._is_token(request.cookies.get(self._cookie, "")) and (
            not needs_key or _is_same(request.headers.get(_KEY_HEADER, ""), self._key)
        ):
            return None
        return _refusal(request, 403, _NO_TOKEN)

    def _behind_a_proxy(self, headers: Headers) -> str:
        """Advice for a request that seems to come through a proxy."""
        seems_so = "x-forwarded-host" in headers or "x-forwarded-for" in headers or "forwarded" in headers
        if not seems_so or self._trust_proxy:
            return ""
        return " If it runs behind a proxy of yours, start it with the option trust-proxy."

    def _is_token(self, value: str) -> bool:
        return _is_same(value, self._token)

    def _is_ours(self, name: str | None) -> bool:
        if name is None:
            return False
        # A name can be made to point here; an address can't.
        return name in self._hosts or (self._any_address and _address(name) is not None)


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach a server on this host."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _is_same(value: str, secret: str) -> bool:
    return hmac.compare_digest(value.encode(errors="surrogatepass"), secret.encode())


def _is_page(request: Request) -> bool:
    """Whether a request is for the page itself, and not for its files or data."""
    return request.url.path.endswith("/") and "/static/" not in request.url.path


def _refusal(request: Request, status: int, why: str) -> Response:
    """Says why, to a person on the page and to a program elsewhere."""
    return (
        HTMLResponse(_PAGE.format(why=escape(why)), status)
        if _is_page(request)
        else JSONResponse({"error": why}, status)
    )


def _name_in(host: str) -> str | None:
    """The name in a Host header, without the port, which differs behind a tunnel."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _names_of(host: str) -> set[str]:
    names = {host.lower(), "localhost", "127.0.0.1", "::1"}
    return names if is_loopback(host) else names | {socket.gethostname().lower(), socket.getfqdn().lower()}


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
