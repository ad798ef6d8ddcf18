"""The demo's stream: what it sends, and that it waits where it is told to."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable

import orjson
import pytest

from headrace import demo
from headrace.demo import DemoCounts, rendered, run
from loadtest.sessions import US, session

Answering = Callable[[bytes, int], bytes]
OK = b'HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{"success":true}'


class Collector:
    """A server that answers by a script, and keeps what it got."""

    def __init__(self, answering: Answering) -> None:
        self.requests: list[tuple[str, bytes]] = []
        self._answering = answering
        self.url = ""

    async def __aenter__(self) -> Collector:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
                body = await reader.readexactly(length)
                self.requests.append((head, body))
                answer = self._answering(body, len(self.requests))
                writer.write(answer)
                if not answer:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


def played(
    answering: Answering, until: Callable[[Collector, DemoCounts], bool]
) -> tuple[Collector, DemoCounts]:
    """Run the demo against a scripted collector until the condition holds."""

    async def story() -> tuple[Collector, DemoCounts]:
        counts, stop = DemoCounts(), asyncio.Event()
        async with Collector(answering) as collector, asyncio.timeout(30):
            task = asyncio.create_task(run(collector.url, "secret", 200.0, counts, stop))
            while not until(collector, counts) and not task.done():
                await asyncio.sleep(0.005)
            stop.set()
            await task
        return collector, counts

    return asyncio.run(story())


def test_it_sends_events_and_counts_the_answers() -> None:
    collector, counts = played(lambda body, n: OK, lambda _, counts: counts.accepted >= 50)
    assert counts.accepted == len(collector.requests)
    assert (counts.refused, counts.repeated) == (0, 0)
    paths = {head.split(" ")[1] for head, _ in collector.requests}
    assert paths == {"/v1/batch", "/events"}
    basic = base64.b64encode(b"secret:").decode()
    assert all(f"Basic {basic}" in head or "Bearer secret" in head for head, _ in collector.requests)
    assert all("user-agent: " in head for head, _ in collector.requests)
    assert all(orjson.loads(body) for _, body in collector.requests)


@pytest.mark.parametrize(
    "trouble",
    [b"HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n", b"", b"nonsense\r\n\r\n"],
    ids=["503", "connection cut", "no HTTP"],
)
def test_what_is_answered_later_is_sent_again_and_nothing_else_meanwhile(
    trouble: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "PAUSE_SECONDS", 0.01)
    collector, counts = played(
        lambda body, n: trouble if n in (3, 4, 5) else OK, lambda _, counts: counts.accepted >= 8
    )
    assert counts.repeated == 3
    assert counts.refused == 0
    bodies = [body for _, body in collector.requests]
    assert bodies[2] == bodies[3] == bodies[4] == bodies[5]
    assert len(bodies) == counts.accepted + 3


def test_retry_after_is_kept() -> None:
    asked: list[float] = []

    def answer(body: bytes, n: int) -> bytes:
        asked.append(asyncio.get_running_loop().time())
        return OK if n > 1 else b"HTTP/1.1 503 Busy\r\nRetry-After: 0.9\r\nContent-Length: 0\r\n\r\n"

    played(answer, lambda _, counts: counts.accepted >= 1)
    assert asked[1] - asked[0] >= 0.89


def test_what_is_refused_for_good_is_counted_and_not_repeated() -> None:
    unknown = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n"
    collector, counts = played(lambda body, n: unknown, lambda _, counts: counts.refused >= 5)
    assert counts.accepted == counts.repeated == 0
    assert len(collector.requests) == counts.refused


def test_a_collector_that_is_not_there_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PAUSE_SECONDS", 0.01)

    async def story() -> DemoCounts:
        counts = DemoCounts()
        async with Collector(lambda body, n: OK) as gone:
            url = gone.url
        async with asyncio.timeout(20):
            task = asyncio.create_task(run(url, "", 200.0, counts))
            while not counts.repeated:
                await asyncio.sleep(0.005)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return counts

    assert asyncio.run(story()).accepted == 0


def test_a_source_without_a_key_gets_none() -> None:
    event = session(1, 1, 0)[0]
    assert not [name for name, _ in rendered(event, "").headers if name == "authorization"]
    assert [name for name, _ in rendered(event, "k").headers if name == "authorization"]


def test_after_an_outage_the_clock_of_the_events_moves_with_them() -> None:
    event = session(1, 1, 1_795_400_000 * US)[0]
    assert rendered(event, "k").body != rendered(event, "k", 60 * US).body
    assert rendered(event, "k").ids == rendered(event, "k", 60 * US).ids
