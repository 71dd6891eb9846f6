"""HTTP for annotation servers: sends requests with a key, retries after temporary failures, and reads JSON.

Errors are one line that never contains the key. Redirects aren't followed, so that no other host sees the key.
"""

import contextlib
import email.utils
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from lossaudit.engine.errors import LossAuditError, Option, Part, brief

from .network import EndlessError, proxy_to, refuses_certificate, transport_to

MOST_PAGES = 10_000
"""Pages of records that one server may have; each has some hundreds."""
_TRIES = 6
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 60.0
_TIMEOUT = httpx.Timeout(120.0, connect=10.0)
"""Timeouts in seconds. Servers take long to store bulks of long texts."""
_OF_PROXIES = (403, 407, 502, 503, 504)
"""Answers of proxies that don't let a request through."""
_REASONS = ("validation_errors", "detail", "params", "message")
_Result = TypeVar("_Result")


class ServerError(LossAuditError):
    """A server refused a request, or didn't answer."""

    def __init__(self, *parts: Part, status: int | None = None, wait_s: float | None = None) -> None:
        super().__init__(*parts)
        self.status = status
        """HTTP status, None if there was no answer."""
        self.wait_s = wait_s
        """Seconds to wait before a retry; None if a retry is pointless."""


@dataclass(frozen=True)
class Account:
    """A server and the key for it; makes the errors for their failures."""

    kind: str
    """Name of the server in messages."""
    url: str
    key: str
    key_variable: str
    """Environment variable of the key."""

    def __str__(self) -> str:
        return f"{self.kind} at {self.url}"

    def __repr__(self) -> str:
        return f"Account({self.kind!r}, {self.url!r})"

    def silence(self, error: Exception, *, passing: bool) -> ServerError:
        """The error for a server that doesn't answer as it should. passing: whether a retry may help."""
        why = self._without_key(brief(error))
        if isinstance(error, EndlessError):
            return ServerError(f"{self} doesn't answer as {self.kind} would: {why}; is ", Option("url"), " right?")
        if refuses_certificate(error):
            return ServerError(
                f"the certificate of {self} isn't trusted on this machine ({why}); if an authority of your own issued "
                "it, name that authority's certificate in SSL_CERT_FILE or REQUESTS_CA_BUNDLE"
            )
        wait_s = 0.0 if passing else None
        if proxy := proxy_to(self.url):
            return ServerError(
                f"{self} can't be reached through {proxy} ({why}); is the proxy right? NO_PROXY names servers that are "
                "reached without it",
                wait_s=wait_s,
            )
        return ServerError(
            f"{self} can't be reached ({why}); is it running, and is ", Option("url"), " right?", wait_s=wait_s
        )

    def failure(self, error: BaseException) -> ServerError:
        """The error for any other failure between us and the server."""
        return ServerError(f"{self}: {self._without_key(brief(error, 300))}")

    def nonsense(self) -> ServerError:
        """The error for an answer that this kind of server wouldn't give."""
        return ServerError(f"{self} doesn't answer as {self.kind} would; is ", Option("url"), " right?")

    def endless(self) -> ServerError:
        """The error for pages that never end."""
        return ServerError(f"{self} lists more than {MOST_PAGES:,} pages of records; is ", Option("url"), " right?")

    @contextlib.contextmanager
    def understood(self) -> Iterator[None]:
        """Around the reading of answers: missing values, or values of another type, raise the `nonsense` error."""
        try:
            yield
        except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise self.nonsense() from error

    def refusal(self, response: httpx.Response) -> ServerError:
        """The error for an answer that isn't a success."""
        status = response.status_code
        detail = self._without_key(_detail(response))
        message: tuple[Part, ...]
        if response.is_redirect:
            to = self._without_key(response.headers.get("location", "nowhere"))
            message = (f"{self} redirects to {to}; if that is your server, give its address as ", Option("url"))
        elif status == httpx.codes.UNAUTHORIZED:
            right = (Option("key"), f" or {self.key_variable}")
            message = (f"{self} refuses the key ({detail}); give the right one with ", *right)
        elif status == httpx.codes.FORBIDDEN:
            message = (f"{self} doesn't let this key's user do that ({detail})",)
        else:
            asked = f"{response.request.method} {response.request.url.path}"
            message = (f"{self} answers {status} to {asked}: {detail}",)
        if status in _OF_PROXIES and (proxy := proxy_to(self.url)):
            message = (*message, f"; the answer may be of {proxy}")
        return ServerError(*message, status=status, wait_s=_wait_s(status, response.headers.get("retry-after")))

    def _without_key(self, text: str) -> str:
        return text.replace(self.key, "…")


class Server:
    """A connection to a server. One thread at a time may use it."""

    def __init__(
        self, account: Account, *, headers: dict[str, str] | None = None, auth: httpx.Auth | None = None
    ) -> None:
        """headers, auth: the ways to send the key."""
        self.account = account
        self._reached = False
        self._client = httpx.Client(
            base_url=account.url,
            headers=headers,
            auth=auth,
            timeout=_TIMEOUT,
            follow_redirects=False,
            transport=transport_to(account.url),
        )

    def get(self, path: str, **params: Any) -> Any:
        """The JSON answer to a GET request."""
        return self._json(self.request("GET", path, params=params))

    def post(self, path: str, body: Any, *, again: bool = True) -> Any:
        """The JSON answer to a POST request. again: whether it may be sent twice, since an answer may be lost."""
        return self._json(self.request("POST", path, body=body, again=again))

    def request(
        self, method: str, path: str, *, body: Any = None, params: Any = None, again: bool = True
    ) -> httpx.Response:
        """A successful answer. Raises ServerError; after temporary failures, only once several tries have failed."""

        def attempt() -> httpx.Response:
            return self._attempt(method, path, body, params)

        return persistently(attempt) if again else attempt()

    def close(self) -> None:
        self._client.close()

    def _json(self, response: httpx.Response) -> Any:
        with self.account.understood():
            return response.json()

    def _attempt(self, method: str, path: str, body: Any, params: Any) -> httpx.Response:
        try:
            response = self._client.request(method, path, json=body, params=params or None)
        except httpx.TransportError as error:
            # A server that has never answered is down or elsewhere; a retry wouldn't help.
            raise self.account.silence(error, passing=self._reached) from error
        self._reached = True
        if not response.is_success:
            raise self.account.refusal(response)
        return response


def persistently(attempt: Callable[[], _Result]) -> _Result:
    """Returns the result of `attempt`, retried after temporary ServerErrors with growing pauses. Raises the last."""
    for tries in range(1, _TRIES):
        try:
            return attempt()
        except ServerError as error:
            if error.wait_s is None:
                raise
            pause(tries, error.wait_s)
    return attempt()


def pause(tries: int, asked_s: float) -> None:
    """Waits before the next try: twice as long each time, slightly at random, and at least as long as requested."""
    time.sleep(max(_FIRST_WAIT_S * 2 ** (tries - 1) * random.uniform(0.8, 1.2), asked_s))


def checked_url(url: str, variable: str) -> str:
    """The URL without a slash at its end. Raises LossAuditError if it can't be a server's.

    variable: its environment variable. The message doesn't repeat the URL, which may contain a password.
    """
    try:
        parsed = httpx.URL(url.strip())
    except httpx.InvalidURL as error:
        raise LossAuditError("the URL (", Option("url"), f" or {variable}) is invalid: {brief(error)}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise LossAuditError(
            "the URL (", Option("url"), f" or {variable}) is invalid; write it like http://localhost:6900"
        )
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise LossAuditError(
            "the URL (",
            Option("url"),
            f" or {variable}) has more than an address (a user, password, query or fragment); give the key with ",
            Option("key"),
            " instead",
        )
    return str(parsed).rstrip("/")


def checked_key(key: str | None, variable: str) -> str:
    """The key without spaces around it. Raises LossAuditError if it is missing, or doesn't fit into a header."""
    key = (key or "").strip()
    if not key:
        raise LossAuditError("there is no key; give it with ", Option("key"), f" or {variable}")
    if not (key.isascii() and key.isprintable()):
        raise LossAuditError(
            "the key (", Option("key"), f" or {variable}) has characters that no key can have; copy it again"
        )
    return key


def _wait_s(status: int, retry_after: str | None) -> float | None:
    """Seconds to wait after an answer with this status, None if a retry is pointless.

    retry_after: the header of that name, in seconds or as a date (RFC 9110, 10.2.3).
    """
    if status != httpx.codes.TOO_MANY_REQUESTS and status < 500:
        return None
    try:
        seconds = float(retry_after or 0)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(str(retry_after)).timestamp() - time.time()
        except ValueError:
            seconds = 0.0
    return min(max(seconds, 0.0), _LONGEST_WAIT_S)


def _detail(response: httpx.Response) -> str:
    """The server's reason for its refusal, in one line."""
    try:
        said = response.json()
    except (RecursionError, ValueError):
        said = None  # a page of HTML says no more than the status
    # The reason is nested: {"detail": {"code": …, "params": {"message": …}}}.
    while isinstance(said, dict) and any(said.get(name) for name in _REASONS):
        said = next(said[name] for name in _REASONS if said.get(name))
    return brief(ValueError(said or response.reason_phrase or "no reason given"), 300)
