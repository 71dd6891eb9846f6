"""Opens the listening socket of the review page, knows its links, and serves the page."""

import socket
from collections.abc import Callable
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp

from lossaudit.engine.errors import LossAuditError, Option

from .connections import Connection
from .guard import is_loopback

_TRIES = 50
"""Ports that are tried after the given one."""
_LAST_PORT = 65535


@dataclass(frozen=True)
class Listener:
    """A listening socket and its address."""

    socket: socket.socket
    host: str
    port: int

    @property
    def is_private(self) -> bool:
        """Whether no other machine can reach it."""
        return is_loopback(self.host)

    def link(self, token: str, path: str = "") -> str:
        """The link to open on this machine. path: the page's path, with a slash before it and none behind."""
        host = "127.0.0.1" if self._is_everywhere else self.host
        return self._link(host, token, path)

    def link_from_elsewhere(self, token: str, path: str = "") -> str | None:
        """The link to open on another machine, None if it is the same link."""
        return self._link(socket.gethostname(), token, path) if self._is_everywhere else None

    @property
    def _is_everywhere(self) -> bool:
        return self.host in ("0.0.0.0", "::")

    def _link(self, host: str, token: str, path: str) -> str:
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}{path}/?token={token}"


def listen(host: str, port: int) -> Listener:
    """Listens on the first free port from `port` on; 0 is any free one. Raises LossAuditError if there is none."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise LossAuditError(
            f"can't listen on {host!r}: {error.strerror or error}; name another ", Option("host")
        ) from error
    last = min(port + _TRIES, _LAST_PORT) if port else 0
    for candidate in range(port, last + 1):
        # asyncio sends small answers at once (TCP_NODELAY) only if the protocol is named; else each takes 40 ms.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        # The port of a server that was just killed counts as free.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((address[0], candidate, *address[2:]))
            listening.listen(128)
        except OSError as error:
            listening.close()
            why = error.strerror or str(error)
            continue
        return Listener(listening, host, listening.getsockname()[1])
    where = f"ports {port} to {last}" if last > port else f"port {port}"
    raise LossAuditError(
        f"can't listen on {where} of {host!r}: {why}; name another ", Option("port"), " or ", Option("host")
    )


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()


def serve(app: ASGIApp, place: Listener, on_ready: Callable[[], None]) -> None:
    """Serves until Ctrl-C; all requests under way are answered before the KeyboardInterrupt is raised.

    on_ready: called once requests are answered, and Ctrl-C is heard: a server that is just starting may miss it.
    """
    config = uvicorn.Config(
        app,
        http=Connection,
        log_level="error",  # a warning for each malformed request would flood the terminal
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="off",
        proxy_headers=False,
        timeout_graceful_shutdown=2,
    )
    _Server(config, on_ready).run(sockets=[place.socket])
