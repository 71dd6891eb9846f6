"""Connections to the review page's server, none of which may keep others out.

A connection that doesn't complete its request in time is closed, and an address has a limited number of connections:
the one that has waited longest makes room for a new one.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_PER_ADDRESS = 64
"""Connections of one address at most; a browser opens six."""
PATIENCE_S = 10.0
"""Seconds that a request may take to arrive."""


class Connection(H11Protocol):
    """One connection, for uvicorn's option `http`."""

    _since = 0.0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = self.loop.time()
        self._wait()
        self._make_room()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    @property
    def is_answering(self) -> bool:
        """Whether a whole request has arrived that isn't answered yet."""
        return self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete

    def _wait(self) -> None:
        """Gives the next request its time."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(PATIENCE_S, self._expire)

    def _expire(self) -> None:
        if self.is_answering:
            self._wait()
        else:
            self.transport.abort()

    def _make_room(self) -> None:
        address = self.client and self.client[0]
        open_ones: list[Any] = [one for one in self.connections if not one.transport.is_closing()]
        same = [one for one in open_ones if one.client and one.client[0] == address]
        waiting = [one for one in same if one is not self and not one.is_answering]
        if len(same) > MOST_PER_ADDRESS and waiting:
            min(waiting, key=lambda one: one._since).transport.abort()
