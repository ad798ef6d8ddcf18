"""The open loop: takes a schedule and requests, gives what was answered and how long after it was due.

A request goes out on the first free connection once it is due. Where none is free it waits, and its latency
counts all the same from the moment when it was due (no coordinated omission); it is counted as a late start.
What is due lies in the schedule, which is asked for one due time at a time: a backlog costs no memory.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

from hdrh.histogram import HdrHistogram

from loadtest.connection import LOST, Connection

LATENCY_US_MAX: Final = 600_000_000  # ten minutes; longer ones count as that
SIGNIFICANT_DIGITS: Final = 3
LATE_SECONDS: Final = 0.002  # a start later than this after its due time is a late start
RECONNECT_SECONDS: Final = 0.2
CONNECT_SECONDS_MAX: Final = 10.0
DRAIN_SECONDS_MAX: Final = 30.0  # for the answers that are still to come after the last request


class Request(Protocol):
    """The bytes of one request and how many events it holds."""

    @property
    def data(self) -> bytes:
        """Head and body."""

    @property
    def events(self) -> int:
        """How many it holds."""


R = TypeVar("R", bound=Request)


class Requests(Protocol[R]):
    """Where requests come from, in order; what an answer says of one is told back."""

    def next(self) -> R:
        """The next request. Does not suspend."""

    def answered(self, request: R, status: int, body: bytes) -> None:
        """What became of it; status LOST: no answer."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send; `tls` None: plain HTTP."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None


def new_histogram() -> HdrHistogram:
    """Latencies in µs, three significant digits."""
    return HdrHistogram(1, LATENCY_US_MAX, SIGNIFICANT_DIGITS)


@dataclass(slots=True)
class Sent:
    """What one sender did. Latency: from due time to answer; service: from start to answer, in µs."""

    requests: int = 0
    events: int = 0
    late_starts: int = 0
    late_seconds_max: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    events_by_status: Counter[int] = field(default_factory=Counter)
    latency_us: HdrHistogram = field(default_factory=new_histogram)
    service_us: HdrHistogram = field(default_factory=new_histogram)
    seconds: float = 0.0
    """From the first due time to the last answer."""


class Sender(Generic[R]):
    """One process's share of a load."""

    def __init__(
        self, target: Target, requests: Requests[R], due: Iterator[float], *, connections: int
    ) -> None:
        """`due`: seconds from the start of `run`, in order."""
        self.sent = Sent()
        self._target = target
        self._requests = requests
        self._due = due
        self._count = connections
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._busy = 0
        self._next: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._done = asyncio.Event()
        self._ending = False
        self._began = 0.0

    async def run(self, seconds: float) -> Sent:
        """Send what is due within `seconds`, then wait for the answers, DRAIN_SECONDS_MAX at the most.

        Raises OSError where not one connection can be had. Suspends.
        """
        opened = await asyncio.gather(*(self._connect() for _ in range(self._count)), return_exceptions=True)
        failures = [one for one in opened if isinstance(one, BaseException)]
        if len(failures) == self._count:
            raise failures[0]
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        self._next = next(self._due, None)
        self._pump()
        reconnecting = loop.create_task(self._reconnect())  # style: cancelled below, whatever happens
        ending = loop.call_later(seconds, self._end)
        try:
            async with asyncio.timeout(seconds + DRAIN_SECONDS_MAX):
                await self._done.wait()
        except TimeoutError:
            pass  # what was never answered is told as LOST below
        finally:
            ending.cancel()
            reconnecting.cancel()
            self._ending = True
            self.sent.seconds = loop.time() - self._began
            for connection in list(self._all):
                connection.close()
            await asyncio.sleep(0)  # the transports tell what they lost
        return self.sent

    def _end(self) -> None:
        self._ending = True
        self._next = None
        self._finish()

    def _finish(self) -> None:
        if self._next is None and not self._busy:
            self._done.set()

    def _pump(self) -> None:
        """Send whatever is due as far as connections are free; set the clock for the next."""
        loop = asyncio.get_running_loop()
        elapsed = loop.time() - self._began
        while self._next is not None and self._next <= elapsed and self._idle:
            connection = self._idle.pop()
            if connection.open:  # the server may have closed it while it was idle
                self._send(connection, self._next, elapsed)
                self._next = next(self._due, None)
        self._finish()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._next is not None and self._idle:
            self._timer = loop.call_at(self._began + self._next, self._pump)

    def _send(self, connection: Connection, due: float, elapsed: float) -> None:
        late = elapsed - due
        if late > LATE_SECONDS:
            self.sent.late_starts += 1
            self.sent.late_seconds_max = max(self.sent.late_seconds_max, late)
        request = self._requests.next()
        self._busy += 1
        self.sent.requests += 1
        self.sent.events += request.events
        connection.send(request.data, (request, due, time.perf_counter()))

    def _answered(self, connection: Connection, status: int, body: bytes) -> None:
        request, due, started = connection.ticket
        connection.ticket = None
        self._busy -= 1
        elapsed = asyncio.get_running_loop().time() - self._began
        sent = self.sent
        sent.statuses[status] += 1
        sent.events_by_status[status] += request.events
        sent.latency_us.record_value(micros(elapsed - due))
        sent.service_us.record_value(micros(time.perf_counter() - started))
        self._requests.answered(request, status, body)
        if connection.open:
            self._idle.append(connection)
        if status == LOST or not connection.open:
            self._all.discard(connection)
        self._pump()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_SECONDS_MAX):
            _, connection = await loop.create_connection(
                lambda: Connection(self._answered), self._target.host, self._target.port, ssl=self._target.tls
            )
        self._all.add(connection)
        self._idle.append(connection)

    async def _reconnect(self) -> None:
        """Put new connections in the place of those that ended, as a browser would."""
        while not self._ending:
            await asyncio.sleep(RECONNECT_SECONDS)
            self._idle = [one for one in self._idle if one.open]
            self._all = {one for one in self._all if one.open or one.busy}
            missing = self._count - len(self._all)
            await asyncio.gather(*(self._connect() for _ in range(missing)), return_exceptions=True)
            self._pump()


def micros(seconds: float) -> int:
    """As the histograms take it."""
    return min(max(int(seconds * 1_000_000), 1), LATENCY_US_MAX)
