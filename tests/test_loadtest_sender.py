"""The open loop against a server with scripted answers: it must report exactly what that server did."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import pytest
import uvloop

from loadtest.connection import LOST
from loadtest.schedule import at_once, even, poisson
from loadtest.sender import Sender, Sent, Target

REQUEST = b"POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
ACCEPTED = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
HANG_UP = b""

Script = Callable[[int], Awaitable[bytes]]


@dataclass
class Parcel:
    data: bytes = REQUEST
    events: int = 3


@dataclass
class Parcels:
    answers: list[tuple[int, bytes]] = field(default_factory=list)

    def next(self) -> Parcel:
        return Parcel()

    def answered(self, request: Parcel, status: int, body: bytes) -> None:
        self.answers.append((status, body))


class Server:
    """Answers request n, over all connections, with what the script says; "" closes without an answer."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.seen = 0
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                await reader.readexactly(len(REQUEST))
                self.seen += 1
                answer = await self.script(self.seen)
                writer.write(answer)
                if answer in (HANG_UP, CLOSING):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


def run(
    script: Script, due: Callable[[], Iterator[float]], seconds: float, connections: int
) -> tuple[Sent, Server, Parcels]:
    async def main() -> tuple[Sent, Server, Parcels]:
        server, parcels = Server(script), Parcels()
        listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        async with listener:
            port = listener.sockets[0].getsockname()[1]
            sender = Sender(Target("127.0.0.1", port), parcels, due(), connections=connections)
            async with asyncio.timeout(20):
                return await sender.run(seconds), server, parcels

    return uvloop.run(main())


async def at_once_accepted(_: int) -> bytes:
    return ACCEPTED


def test_every_due_request_is_sent_once_and_its_answer_is_told() -> None:
    sent, server, parcels = run(at_once_accepted, lambda: even(200, 0.5), 5, 4)
    assert sent.requests == server.seen == 100
    assert sent.events == 300
    assert sent.statuses == {200: 100}
    assert sent.events_by_status == {200: 300}
    assert parcels.answers == [(200, b"ok")] * 100
    assert sent.latency_us.get_total_count() == 100


def test_a_stall_counts_for_every_request_that_was_due_meanwhile() -> None:
    async def script(number: int) -> bytes:
        if number == 50:
            await asyncio.sleep(1.0)  # style: the scripted stall itself
        return ACCEPTED

    sent, _, _ = run(script, lambda: even(100, 2.0), 10, 1)
    # 200 requests, 100 of them due during the stall: a closed loop would report one slow request.
    assert sent.requests == 200
    assert sent.latency_us.get_max_value() >= 990_000
    slow = sum(1 for item in sent.latency_us.get_recorded_iterator() if item.value_iterated_to >= 100_000)
    assert slow > 0
    assert sent.latency_us.get_value_at_percentile(75) >= 400_000
    assert sent.latency_us.get_value_at_percentile(20) <= 100_000
    assert sent.service_us.get_value_at_percentile(75) <= 100_000
    assert sent.late_starts >= 90
    assert sent.late_seconds_max >= 0.9


def test_refusals_and_lost_connections_are_counted_as_such() -> None:
    async def script(number: int) -> bytes:
        return {10: BUSY, 20: HANG_UP, 30: CLOSING}.get(number, ACCEPTED)

    sent, server, parcels = run(script, lambda: even(100, 1.0), 10, 2)
    assert sent.statuses == {200: 98, 503: 1, LOST: 1}
    assert Counter(status for status, _ in parcels.answers) == {200: 98, 503: 1, LOST: 1}
    assert server.connections == 4  # two that ended were replaced


def test_a_server_that_never_answers_is_told_as_lost_and_does_not_hang(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("loadtest.sender.DRAIN_SECONDS_MAX", 0.3)

    async def script(_: int) -> bytes:
        await asyncio.Event().wait()
        return ACCEPTED

    sent, _, _ = run(script, lambda: even(10, 0.2), 0.3, 1)
    assert sent.statuses == {LOST: 1}
    assert sent.requests == 1


def test_a_closed_loop_ends_with_its_time() -> None:
    sent, server, _ = run(at_once_accepted, at_once, 0.3, 4)
    assert sent.requests == server.seen
    assert sent.requests > 100
    assert sent.seconds < 2


def test_poisson_arrivals_have_the_rate_and_repeat_with_the_seed() -> None:
    first = list(poisson(lambda at: 100 if at < 5 else 1000, 1000, 10, seed=7))
    again = list(poisson(lambda at: 100 if at < 5 else 1000, 1000, 10, seed=7))
    assert first == again
    assert first == sorted(first)
    early, late = sum(at < 5 for at in first), sum(at >= 5 for at in first)
    assert 400 < early < 600  # 500 expected, standard deviation 22
    assert 4650 < late < 5350  # 5000 expected, standard deviation 71
    assert first != list(poisson(lambda at: 100 if at < 5 else 1000, 1000, 10, seed=8))
