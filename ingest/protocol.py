"""The hot HTTP path: plain POSTs of events, read in one pass; all else goes to the parser.

    bytes ─▶ read_head ─┬─ a plain POST on a path of the door, nothing before it unanswered ─▶ HotCycle
                        └─ anything else, or not to be told yet ─▶ ingest.parsed_protocol

A request is taken here only between two others, where the parser has seen nothing of it, and what is taken
the parser would have taken too, with the same result (`_native.head`). So every rule and every bound stands
there; here are only those that a plain request can touch. Any part of its body may still be to come.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import Any

from _native.head import Head, read_head
from ingest.errors import Refusal
from ingest.exchange import Incoming
from ingest.hot_cycle import HotCycle
from ingest.parsed_protocol import LINGER_BYTES_MAX, LINGER_SECONDS_MAX, PIPELINED_MAX, ParsedProtocol

__all__ = ["LINGER_BYTES_MAX", "LINGER_SECONDS_MAX", "PIPELINED_MAX", "HotProtocol"]

new_tuple = tuple.__new__  # makes a NamedTuple in half the time of a call with arguments


class HotProtocol(ParsedProtocol):
    """One connection. uvicorn is given `partial(HotProtocol, door=…, limits=…, sweeper=…)`."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._between = True
        """Whether the parser has seen nothing of a next request."""
        self._missing = 0
        """Bytes of the body of `cycle` that the parser is not to see."""
        self._peer = ""
        self._bounds = (
            self._limits.target_bytes_max,
            self._limits.header_count_max,
            self._limits.header_bytes_max,
        )

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._peer = self.client[0] if self.client else ""

    def data_received(self, data: bytes) -> None:
        """Take a plain request at once, or leave the bytes to the parser."""
        if not self._ignoring:
            if self._missing:
                data = self._rest_of_body(data)
            elif self._between and (self.cycle is None or self.cycle.response_complete):
                head = read_head(data, *self._bounds)
                if head is not None:
                    data = self._after(head, data)
        if data:
            super().data_received(data)

    def on_message_begin(self) -> None:
        self._between = False
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._between = True
        super().on_message_complete()

    def _after(self, head: Head, data: bytes) -> bytes:
        """Begin the request of a head; what is left for the parser: all where nothing here is for it."""
        path, query, headers, named, head_bytes, body_bytes = head
        known, bytes_max = self.door.entrances.get(path, ("", 0))
        if body_bytes > bytes_max or len(self.connections) > self._limits.connections_max or not known:
            return data
        end = head_bytes + body_bytes
        incoming = new_tuple(
            Incoming, ("POST", known, query, headers, data[head_bytes:end], self._peer, named)
        )
        cycle = HotCycle(self, incoming, bytes_max, keep_alive=True, whole=len(data) >= end)
        self.cycle = cycle  # type: ignore[assignment]
        if not cycle.whole:
            cycle.turn = True
            cycle.incoming = incoming._replace(body=b"")
            self.deadline = self.loop.time() + self._limits.body_seconds_max
            self._missing = body_bytes
            return self._rest_of_body(incoming.body)
        self.deadline = inf
        cycle.start()
        return data[end:] if len(data) > end else b""

    def _rest_of_body(self, data: bytes) -> bytes:
        """Gather a body up to its stated length; gives what stands behind it."""
        cycle: Any = self.cycle
        part = data[: self._missing]
        try:
            self.door.bodies.take(len(part))
        except Refusal as refusal:
            self._refuse(refusal)
            return b""
        cycle.chunks.append(part)
        self._missing -= len(part)
        if not self._missing:
            cycle.whole = True
            self._start(cycle)
        return data[len(part) :]
