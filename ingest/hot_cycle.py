"""One POST on the hot path, in the place of uvicorn's cycle: gathered, answered by the door, written.

Takes the head of a request and the pieces of its body, gives the bytes of the answer to the transport.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from ingest.answers import CLOSE
from ingest.door import Waiting
from ingest.exchange import Answer, Headers, Incoming, Prepared

if TYPE_CHECKING:
    from ingest.parsed_protocol import ParsedProtocol


class _NoEvent(asyncio.Event):
    """uvicorn sets the event of a cycle whose connection is lost; here nobody waits for it."""

    def set(self) -> None:
        return


class HotCycle:
    """What uvicorn's protocol asks of a cycle, and the pieces of the body."""

    __slots__ = (
        "bytes_max",
        "chunks",
        "disconnected",
        "incoming",
        "keep_alive",
        "protocol",
        "refused",
        "response_complete",
        "size",
        "turn",
        "waiting",
        "whole",
    )
    message_event = _NoEvent()

    def __init__(
        self,
        protocol: ParsedProtocol,
        incoming: Incoming,
        bytes_max: int,
        *,
        keep_alive: bool,
        whole: bool = False,
    ) -> None:
        """`whole`: the body stands in `incoming`; else it comes in `chunks`."""
        self.protocol = protocol
        self.incoming = incoming
        self.bytes_max = bytes_max
        self.keep_alive = keep_alive
        self.turn = whole  # no request before it on this connection is still to be answered
        self.whole = whole
        self.refused: Answer | None = None
        self.waiting: Waiting | None = None
        self.chunks: list[bytes] = []
        self.size = 0
        self.disconnected = False
        self.response_complete = False

    def start(self) -> None:
        """Answer it, at once or when the outcome of its events is known; no task is made for it."""
        if chunks := self.chunks:
            self.forget()
            body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            self.incoming = self.incoming._replace(body=body)
        begun = self.protocol.door.begin(self.incoming)
        if isinstance(begun, Answer):
            self.write(begun)
        else:
            self.waiting = begun
            begun.outcome.add_done_callback(self._end)

    def forget(self) -> None:
        """Hold nothing of the body any more."""
        held, self.chunks = sum(map(len, self.chunks)), []
        self.protocol.door.bodies.give(held)

    def _end(self, _: object) -> None:
        assert self.waiting is not None
        self.write(self.protocol.door.end(self.waiting))

    def write(self, answer: Answer) -> None:
        """Send the answer, the same bytes as uvicorn would; nothing where the client is gone."""
        if self.disconnected or self.response_complete:
            return
        self.response_complete = True
        protocol = self.protocol
        beside = protocol.server_state.default_headers
        if self.keep_alive and isinstance(answer, Prepared):
            if answer.beside is not beside:  # the date is another one
                answer.written, answer.beside = bytes_of(answer, beside), beside
            protocol.transport.write(answer.written)
        else:
            self.keep_alive = self.keep_alive and CLOSE not in answer.headers
            protocol.transport.write(bytes_of(answer, beside, close=not self.keep_alive))
            if not self.keep_alive:
                protocol.linger()
        protocol.on_response_complete()


def bytes_of(answer: Answer, beside: Headers, *, close: bool = False) -> bytes:
    """An answer as uvicorn writes it, with the server's own headers before those of the answer."""
    lines = [STATUS_LINE[answer.status]]
    for name, value in (*beside, *answer.headers):
        lines += (name, b": ", value, b"\r\n")
    if close and CLOSE not in answer.headers:
        lines.append(b"connection: close\r\n")
    lines += (b"\r\n", answer.body)
    return b"".join(lines)
