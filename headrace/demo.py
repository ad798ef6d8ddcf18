"""The demo of `headrace up --demo`: takes the collector's address and a key, sends sessions of a web shop.

Each event is a request of its own, as from a browser, in the dialect of its visitor. It behaves as a client
should: what is answered "later" is sent again, with a pause, and nothing else is sent meanwhile.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from loadtest.bodies import DIALECTS, Request
from loadtest.sessions import US, Event, stream

ANSWER_SECONDS_MAX: Final = 15.0  # of one request, connecting included
PAUSE_SECONDS: Final = 0.5  # before the first repetition, doubled each time
PAUSE_SECONDS_MAX: Final = 10.0
HEAD_BYTES_MAX: Final = 64 * 1024
LATE_US: Final = 2 * US  # later than this, the rest of the stream moves with it: no burst after an outage
LATER: Final = {408, 429, 500, 502, 503, 504}
SEED: Final = 1
DIALECT_OF_TEN: Final = ("segment",) * 7 + ("native",) * 2 + ("cloudevents",)


@dataclass(slots=True)
class DemoCounts:
    """Events answered with success, events refused for good, requests that have to be sent again."""

    accepted: int = 0
    refused: int = 0
    repeated: int = 0


class Unanswered(Exception):
    """The request may have been taken, or not."""


async def run(
    url: str, key: str, sessions_per_second: float, counts: DemoCounts, stop: asyncio.Event | None = None
) -> None:
    """Send until cancelled, or until `stop` is set and the request under way is answered. Suspends.

    `key` may be empty: the source needs none. About five events a session, spread over some minutes.
    """
    stop = stop or asyncio.Event()
    door = Door(url)
    began_us = time.time_ns() // 1000
    moved_us = 0
    try:
        for event in stream(SEED + began_us, sessions_per_second, began_us):
            now_us = time.time_ns() // 1000
            if now_us > event.due_us + moved_us + LATE_US:
                moved_us = now_us - event.due_us
            if await _stopped(stop, (event.due_us + moved_us - now_us) / US):
                return
            await _deliver(door, rendered(event, key, moved_us), counts, stop)
    finally:
        door.close()


def rendered(event: Event, key: str, moved_us: int = 0) -> Request:
    """The request of one event, `moved_us` later than it was planned."""
    moved = replace(event, made_us=event.made_us + moved_us, sent_us=event.sent_us + moved_us)
    request = DIALECTS[DIALECT_OF_TEN[event.person.rank % 10]]([moved], key)
    kept = (header for header in request.headers if key or header[0] != "authorization")
    return replace(request, headers=(*kept, ("user-agent", event.person.agent)))


async def _deliver(door: Door, request: Request, counts: DemoCounts, stop: asyncio.Event) -> None:
    """Send until it is answered for good."""
    pause = PAUSE_SECONDS
    while True:
        wait = pause
        try:
            status, headers = await door.ask(request)
        except Unanswered:
            status = 0
        else:
            if 200 <= status < 300:
                counts.accepted += len(request.ids)
                return
            if status not in LATER:
                counts.refused += len(request.ids)
                return
            with suppress(ValueError):
                wait = max(pause, float(headers.get("retry-after", "0")))
        counts.repeated += 1
        if await _stopped(stop, min(wait, PAUSE_SECONDS_MAX)):
            return
        pause = min(pause * 2, PAUSE_SECONDS_MAX)


async def _stopped(stop: asyncio.Event, seconds: float) -> bool:
    """Rest; True as soon as the stop came."""
    if seconds <= 0:
        return stop.is_set()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
    return stop.is_set()


class Door:
    """The collector, over one kept-open connection."""

    def __init__(self, url: str) -> None:
        """`url`: scheme, host and port."""
        place = urlsplit(url)
        self._host = place.hostname or "127.0.0.1"
        self._secure = place.scheme == "https"
        self._port = place.port or (443 if self._secure else 80)
        self._name = place.netloc
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: Request) -> tuple[int, Mapping[str, str]]:
        """Status and headers (names in lower case) of the answer. Raises Unanswered."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                reader, writer = self._streams or await self._connect()
                self._streams = reader, writer
                writer.write(self._bytes(request))
                await writer.drain()
                status, headers = await _head(reader)
                if not await _emptied(reader, status, headers):
                    self.close()
                return status, headers
        except (
            OSError,
            EOFError,
            ValueError,
            asyncio.LimitOverrunError,
        ) as error:  # TimeoutError is an OSError
            self.close()
            raise Unanswered(str(error)) from error
        except asyncio.CancelledError:
            self.close()
            raise

    def close(self) -> None:
        """Let the connection go."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context: ssl.SSLContext | None = None
        if self._secure:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE  # our own collector, on this machine
        return await asyncio.open_connection(self._host, self._port, ssl=context, limit=HEAD_BYTES_MAX)

    def _bytes(self, request: Request) -> bytes:
        headers = (("host", self._name), *request.headers, ("content-length", str(len(request.body))))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        return f"POST {request.path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + request.body


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Status line and headers of an answer (RFC 9112)."""
    text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = text.split("\r\n")
    if not first.startswith("HTTP/1."):
        raise ValueError(f"expected an answer of HTTP/1.1, got {first[:40]!r}")
    pairs = (line.partition(":") for line in lines if line)
    return int(first.partition(" ")[2][:3]), {name.strip().lower(): value.strip() for name, _, value in pairs}


async def _emptied(reader: asyncio.StreamReader, status: int, headers: Mapping[str, str]) -> bool:
    """Read the body away; False where the connection can't be used again."""
    length = headers.get("content-length", "0" if status in (204, 304) else "")
    if not length.isdigit() or headers.get("connection", "").lower() == "close":
        return False
    await reader.readexactly(int(length))
    return True
