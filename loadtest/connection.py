"""One kept-open HTTP/1.1 connection: takes the bytes of a request, gives the status and body of its answer.

One request at a time, no pipelining: what a browser or an SDK does. Raw transports and httptools' parser,
because a client library costs more per request than the collector that is measured. Source: RFC 9112.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

import httptools

BODY_BYTES_MAX: Final = 1 << 20  # of an answer that is kept; what comes beyond is read and thrown away
LOST: Final = 0  # in place of a status: the connection ended without an answer


class Connection(asyncio.Protocol):
    """A connection to the target; `answered` is called with itself, the status (or LOST) and the body."""

    def __init__(self, answered: Callable[[Connection, int, bytes], None]) -> None:
        self.busy = False
        self.open = False
        self.ticket: Any = None
        """What the sender wants to know again when the answer comes."""
        self._answered = answered
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._body = bytearray()

    def send(self, request: bytes | bytearray | memoryview, ticket: Any) -> None:
        """Send one request, whole; the answer is told later. The connection must be open and not busy."""
        assert self.open, "a connection must be open"
        assert not self.busy, "one request at a time"
        assert self._transport is not None
        self.busy = True
        self.ticket = ticket
        self._body.clear()
        self._transport.write(request)

    def close(self) -> None:
        """End it; a request under way is told as LOST."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self.open = True

    def connection_lost(self, _: Exception | None) -> None:
        self.open = False
        if self.busy:
            self.busy = False
            self._answered(self, LOST, b"")

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        if len(self._body) + len(body) <= BODY_BYTES_MAX:
            self._body += body

    def on_message_complete(self) -> None:
        """Called by the parser: the answer is whole."""
        status = self._parser.get_status_code()
        if status < 200:  # 100 Continue and the like: the answer is still to come
            return
        keep = self._parser.should_keep_alive()
        self.busy = False
        if not keep:
            self.open = False
            self.close()
        self._answered(self, status, bytes(self._body))
