"""The whole HTTP path, behind `ingest.protocol`: an uvicorn `http=` class that hands POSTs to the door.

    bytes ─▶ parser ─▶ head whole ─┬─ POST on a path of the door ─▶ HotCycle ─▶ Door.begin, end ─▶ written
                                   └─ anything else ─▶ uvicorn's cycle ─▶ Starlette ─▶ Door.answer ─▶ written

Both ways give the same bytes, and both pass the bounds that are kept here: bytes and number of headers, bytes
of the target, seconds for the head, seconds and bytes for the body, idle seconds, requests that wait on one
connection. A connection that is refused gets its answer and is then read for a while (`linger`): closing it
with bytes unread would reset it, and the client would never see why.

Internals of uvicorn 0.54 that are used: HttpToolsProtocol's callbacks, `cycle`, `pipeline`, `flow`,
`_start_asgi_task`. Source: RFC 9112 (section 9.6 for the lingering close), RFC 9110.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import Any, Final

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ingest.decode import too_large
from ingest.door import Door
from ingest.errors import Refusal, Situation
from ingest.exchange import Headers, Incoming
from ingest.hot_cycle import HotCycle
from ingest.request_head import refusal_of, said_length, without_offer
from ingest.settings import LimitSettings
from ingest.sweeper import Sweeper

PIPELINED_MAX: Final = 16  # requests of one connection that wait for the one before them
LINGER_SECONDS_MAX: Final = 2.0
LINGER_BYTES_MAX: Final = 16 << 20
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class ParsedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self, *given: Any, door: Door, limits: LimitSettings, sweeper: Sweeper, **named: Any
    ) -> None:
        super().__init__(*given, **named)
        self.door = door
        self.deadline = inf
        """When it is given up, by the loop's clock; inf while we have to answer."""
        self._limits = limits
        self._sweeper = sweeper
        self._in_head = False
        self._head_bytes = 0
        self._ignoring = False
        self._ignored_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._sweeper.add(self)
        self.deadline = self.loop.time() + self._limits.header_seconds_max

    def connection_lost(self, exc: Exception | None) -> None:
        self._sweeper.remove(self)
        for cycle in (self.cycle, *(waiting for waiting, _ in self.pipeline)):
            if isinstance(cycle, HotCycle):
                cycle.forget()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends nothing more; a request that is whole is still answered (not over TLS)."""
        cycle: Any = self.cycle
        if self._ignoring or cycle is None or cycle.response_complete or self.scheme == "https":
            return False
        whole = cycle.whole if isinstance(cycle, HotCycle) else not cycle.more_body
        cycle.keep_alive = False
        return bool(whole) and not self._in_head

    def data_received(self, data: bytes) -> None:
        """Parse; whatever is wrong with a head is answered here."""
        if self._ignoring:
            self._ignored_bytes += len(data)
            if self._ignored_bytes > LINGER_BYTES_MAX:
                self.transport.close()
            return
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self._stay(data[upgrade.args[0] :])
        except HttpParserCallbackError as error:
            self._refuse(refusal_of(error.__context__))
        except HttpParserError as error:
            self._refuse(refusal_of(error))
        else:
            if self._in_head:
                self._head_bytes += len(data)
                if self._head_bytes > self._limits.header_bytes_max + self._limits.target_bytes_max:
                    self._refuse(self._head_too_large("bytes of headers", self._limits.header_bytes_max))

    def on_message_begin(self) -> None:
        """A request begins: its head has header_seconds_max."""
        self._in_head = True
        self._head_bytes = 0
        self.url = b""
        self.headers: Headers = []
        self.expect_100_continue = False
        if self.cycle is None or self.cycle.response_complete:
            self.deadline = self.loop.time() + self._limits.header_seconds_max

    def on_url(self, url: bytes) -> None:
        self.url += url
        if len(self.url) > self._limits.target_bytes_max:
            text = f"the request target has more than {self._limits.target_bytes_max} bytes"
            raise Refusal(Situation.TARGET_TOO_LONG, "target_too_long", text)

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))
        if len(self.headers) > self._limits.header_count_max:
            raise self._head_too_large("headers", self._limits.header_count_max)

    def on_headers_complete(self) -> None:
        """The head is whole: POSTs of events stay here, the rest goes to uvicorn."""
        self._in_head = False
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise Refusal(Situation.MALFORMED, "connect", "this is no proxy")
        if self.parser.should_upgrade():  # begins in _stay, whose parser reads the body too
            return
        if sum(len(name) + len(value) + 4 for name, value in self.headers) > self._limits.header_bytes_max:
            raise self._head_too_large("bytes of headers", self._limits.header_bytes_max)
        if len(self.pipeline) >= PIPELINED_MAX:
            text = f"more than {PIPELINED_MAX} requests wait on this connection"
            raise Refusal(Situation.MALFORMED, "pipelined_too_deep", text)
        path, _, query = self.url.partition(b"?")
        bytes_max = 0
        if path[:1] == b"/" and b"%" not in path and method == b"POST":
            bytes_max = self.door.body_bytes_max("POST", path.decode("latin-1"))
        if bytes_max:
            self._begin_hot(path.decode("latin-1"), query, bytes_max)
        else:
            self._check_connections()
            self._begin_asgi()

    def on_body(self, body: bytes) -> None:
        cycle = self.cycle
        if not isinstance(cycle, HotCycle):
            super().on_body(body)
            return
        self.door.bodies.take(len(body))
        cycle.size += len(body)
        cycle.chunks.append(body)
        if cycle.size > cycle.bytes_max:
            raise too_large(cycle.bytes_max)

    def on_message_complete(self) -> None:
        """The body is whole: from here on it is we who are waited for."""
        cycle = self.cycle
        if self.parser.should_upgrade():
            return
        if not isinstance(cycle, HotCycle):
            super().on_message_complete()
            return
        cycle.whole = True
        if cycle.turn:
            self._start(cycle)

    def on_response_complete(self) -> None:
        """The request that was answered makes room for the one behind it."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._have_turn(cycle, app)
        else:
            seconds = self._limits.header_seconds_max if self._in_head else self._limits.idle_seconds_max
            self.deadline = self.loop.time() + (LINGER_SECONDS_MAX if self._ignoring else seconds)

    def expire(self) -> None:
        """The deadline has passed: say so where a request has begun, else just close."""
        waiting = self.cycle is not None and not self.cycle.response_complete
        if self._ignoring or not (self._in_head or waiting):
            self.transport.close()
            return
        what = "head" if self._in_head else "body"
        text = f"the {what} of the request did not come in time"
        self._refuse(Refusal(Situation.TOO_SLOW, f"{what}_too_slow", text))

    def linger(self) -> None:
        """Nothing more is answered here: read and throw away for a while, then close."""
        self._ignoring = True
        self.deadline = self.loop.time() + LINGER_SECONDS_MAX
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def shutdown(self) -> None:
        """The worker stops: a request that has begun is still answered, an idle connection is closed."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        else:
            self.cycle.keep_alive = False

    def _begin_hot(self, path: str, query: bytes, bytes_max: int) -> None:
        keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        incoming = Incoming("POST", path, query, self.headers, b"", self.client[0] if self.client else "")
        cycle = self._take_place(HotCycle(self, incoming, bytes_max, keep_alive=keep_alive))
        self._check_connections()
        if said_length(self.headers) > bytes_max:
            raise too_large(bytes_max)
        if cycle.turn:
            self._wait_for_body()

    def _check_connections(self) -> None:
        if len(self.connections) > self._limits.connections_max:
            text = f"more than {self._limits.connections_max} connections are open"
            raise Refusal(Situation.OVERLOAD, "too_many_connections", text)

    def _stay(self, rest: bytes) -> None:
        """The client offers another protocol; it is told nothing of it and its request is read as HTTP/1.1.

        The parser takes such a request for one without a body, so its head is parsed again without the
        offer. Source: RFC 9110 section 7.8: a server may ignore Upgrade.
        """
        version = self.parser.get_http_version()
        head = without_offer(self.parser.get_method(), self.url, version, self.headers)
        self.parser = HttpRequestParser(self)
        self.data_received(head + rest)

    def _take_place(self, cycle: HotCycle) -> HotCycle:
        """Put a cycle behind those that are still to be answered."""
        cycle.turn = self.cycle is None or self.cycle.response_complete
        self.cycle = cycle  # type: ignore[assignment]
        if not cycle.turn:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, None))  # type: ignore[arg-type]
        return cycle

    def _begin_asgi(self) -> None:
        """Let uvicorn begin the request that was parsed here."""
        self.deadline = inf  # the application bounds the time of the body
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        super().on_headers_complete()

    def _have_turn(self, cycle: Any, app: Any) -> None:
        """The requests before this one are answered."""
        if not isinstance(cycle, HotCycle):
            self._start_asgi_task(cycle, app)
            return
        cycle.turn = True
        if cycle.refused is not None:
            cycle.write(cycle.refused)
        elif cycle.whole:
            self._start(cycle)
        else:
            self._wait_for_body()

    def _wait_for_body(self) -> None:
        self.deadline = self.loop.time() + self._limits.body_seconds_max
        if self.expect_100_continue:
            self.transport.write(CONTINUE)

    def _start(self, cycle: HotCycle) -> None:
        self.deadline = inf
        cycle.start()

    def _refuse(self, refusal: Refusal) -> None:
        """Answer what can't be parsed or is too much, after the requests before it; then nothing more."""
        self._ignoring = True
        cycle: Any = self.cycle
        gathering = isinstance(cycle, HotCycle) and not cycle.whole and not self._in_head
        if not gathering:
            self._give_up_asgi(cycle)
            incoming = Incoming("", "", b"", self.headers, b"", self.client[0] if self.client else "")
            cycle = self._take_place(HotCycle(self, incoming, 0, keep_alive=False))
        cycle.keep_alive = False
        cycle.forget()
        cycle.refused = self.door.refusal(cycle.incoming, refusal)
        if cycle.turn:
            cycle.write(cycle.refused)

    def _give_up_asgi(self, cycle: Any) -> None:
        """The body of a request that Starlette reads can't be parsed any further: it gets no other answer."""
        if cycle is None or isinstance(cycle, HotCycle) or self._in_head or not cycle.more_body:
            return
        if self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline.popleft()
        cycle.disconnected = True
        cycle.response_complete = True
        cycle.message_event.set()

    def _head_too_large(self, what: str, most: int) -> Refusal:
        text = f"the request has more than {most} {what}"
        return Refusal(Situation.HEAD_TOO_LARGE, "head_too_large", text)
