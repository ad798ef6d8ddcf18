"""The hot HTTP path beside uvicorn's own: the same requests give the same bytes; every bound, both sides."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import uvicorn
import uvloop
from door_stand import DoorStand, basic

from ingest import sweeper as sweeper_module
from ingest.app import build_app
from ingest.protocol import LINGER_BYTES_MAX, PIPELINED_MAX, HotProtocol
from ingest.sweeper import Sweeper

DATE = re.compile(rb"date: [^\r]*\r\n")
EVENT = b'{"type":"track","event":"Bought","messageId":"m-%d","userId":"u"}'
KEY = basic("good").encode()


def request(
    body: bytes = EVENT % 1,
    path: bytes = b"/v1/track",
    method: bytes = b"POST",
    more: tuple[bytes, ...] = (),
    key: bytes = KEY,
) -> bytes:
    lines = [method + b" " + path + b" HTTP/1.1", b"Host: test", b"Authorization: " + key, *more]
    if body or method == b"POST":
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(body: bytes, size: int = 7) -> bytes:
    lines = [
        b"POST /v1/track HTTP/1.1",
        b"Host: test",
        b"Authorization: " + KEY,
        b"Transfer-Encoding: chunked",
    ]
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    coded = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return b"\r\n".join(lines) + b"\r\n\r\n" + coded + b"0\r\n\r\n"


class Held(DoorStand):
    """A door that keeps its answers back until it is told."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.asked = 0
        self.held: list[asyncio.Future[None]] = []
        self.holding = True
        self.rounds.outcome = self.outcome  # type: ignore[method-assign]

    def outcome(self, _: object) -> asyncio.Future[None]:
        self.asked += 1
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.holding:
            self.held.append(future)
        else:
            future.set_result(None)
        return future

    def go(self) -> None:
        self.holding = False
        for future in self.held:
            future.set_result(None)


@asynccontextmanager
async def served(stand: DoorStand, *, hot: bool = True) -> AsyncIterator[int]:
    """The port of a server on the hot path, or on uvicorn's own."""
    sweeper = Sweeper()
    protocol: Any = "httptools"
    if hot:
        protocol = partial(HotProtocol, door=stand.door, limits=stand.settings.limits, sweeper=sweeper)
    config = uvicorn.Config(
        build_app(stand.door),
        http=protocol,
        port=0,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    serving = asyncio.create_task(server.serve())
    sweeping = asyncio.create_task(sweeper.run())
    try:
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        stand.door.flush_counts()
        server.should_exit = server.force_exit = True
        sweeping.cancel()
        await asyncio.wait([serving], timeout=10)


async def said(port: int, pieces: list[bytes], *, answers: int | None = None, pause: float = 0.0) -> bytes:
    """What comes back for these pieces, without the date; until closed, or until so many answers came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(pause)
        found = b""
        async with asyncio.timeout(10):
            while answers is None or complete_answers(found) < answers:
                data = await reader.read(65536)
                if not data:
                    break
                found += data
        return DATE.sub(b"", found)
    finally:
        writer.close()


def complete_answers(data: bytes) -> int:
    count = 0
    while b"\r\n\r\n" in data:
        head, _, rest = data.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        size = int(length[1]) if length else 0
        if len(rest) < size:
            return count
        data = rest[size:]
        count += 1
    return count


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await work()

    uvloop.run(bounded())


ALIKE: Mapping[str, tuple[list[bytes], int]] = {
    "accepted": ([request()], 1),
    "batch": ([request(b'{"batch":[%s,%s]}' % (EVENT % 1, EVENT % 2), b"/v1/batch")], 1),
    "bad event in a batch": ([request(b'{"batch":[1,%s]}' % (EVENT % 2), b"/v1/batch")], 1),
    "native": ([request(b"[" + EVENT % 1 + b"]", b"/events")], 1),
    "not JSON": ([request(b"{")], 1),
    "wrong key": ([request(key=basic("bad").encode())], 1),
    "no such path": ([request(path=b"/nowhere")], 1),
    "escaped path": ([request(path=b"/v1/%74rack")], 1),
    "query": ([request(path=b"/v1/track?x=1&debug=1")], 1),
    "get": ([request(b"", b"/openapi.json", b"GET")], 1),
    "pixel": ([request(b"", b"/pixel.gif?id=1&t=x&key=good", b"GET")], 1),
    "preflight": (
        [
            request(
                b"",
                b"/v1/track",
                b"OPTIONS",
                (b"Origin: https://shop.example", b"Access-Control-Request-Method: POST"),
            )
        ],
        1,
    ),
    "origin": ([request(more=(b"Origin: https://shop.example",))], 1),
    "chunked": ([chunked(EVENT % 1)], 1),
    "asked to close": ([request(more=(b"Connection: close",))], 1),
    "old HTTP": ([request().replace(b"HTTP/1.1", b"HTTP/1.0")], 1),
    "two after each other": ([request(), request(EVENT % 2)], 2),
    "pipelined": ([request() + request(EVENT % 2) + request(b"", b"/openapi.json", b"GET") + request()], 4),
    "pipelined with refusals": ([request(b"{") + request() + request(path=b"/nowhere") + request()], 4),
    "empty body": ([request(b"")], 1),
    "options for all": ([request(b"", b"*", b"OPTIONS")], 1),
}


@pytest.mark.parametrize("name", ALIKE)
def test_both_paths_answer_with_the_same_bytes(name: str) -> None:
    pieces, answers = ALIKE[name]

    async def work() -> None:
        found = []
        for hot in (True, False):
            stand = DoorStand()
            async with served(stand, hot=hot) as port:
                found.append((await said(port, pieces, answers=answers), stand.rows()))
        assert complete_answers(found[0][0]) == answers
        assert found[0] == found[1]

    run(work)


def test_a_request_may_be_cut_at_every_byte() -> None:
    whole = request() + chunked(EVENT % 2)

    async def work() -> None:
        stand = DoorStand()
        async with served(stand) as port:
            expected = await said(port, [whole], answers=2)
            cuts = [
                said(port, [whole[:at], whole[at:]], answers=2, pause=0.002) for at in range(1, len(whole))
            ]
            assert set(await asyncio.gather(*cuts)) == {expected}
            single = await said(port, [whole[at : at + 1] for at in range(len(whole))], answers=2)
            assert single == expected
        assert len(stand.rows()) == 2 * (len(whole) + 1)

    run(work)


def test_answers_come_in_the_order_of_their_requests_whatever_takes_long() -> None:
    async def work() -> None:
        stand = Held()
        async with served(stand) as port:
            asking = asyncio.create_task(
                said(port, [request() + request(b"", b"/openapi.json", b"GET") + request(b"{")], answers=3)
            )
            while not stand.asked:
                await asyncio.sleep(0.01)
            stand.go()
            found = await asking
        assert [line[9:12] for line in re.findall(rb"HTTP/1.1 \d+", found)] == [b"200", b"200", b"400"]
        assert stand.asked == 1

    run(work)


@pytest.mark.parametrize(("count", "status"), [(PIPELINED_MAX + 1, b"200"), (PIPELINED_MAX + 2, b"400")])
def test_g10_requests_that_wait_on_a_connection_are_bounded(count: int, status: bytes) -> None:
    async def work() -> None:
        stand = Held()
        async with served(stand) as port:
            asking = asyncio.create_task(said(port, [request() * count], answers=count))
            while not stand.asked:
                await asyncio.sleep(0.01)
            stand.go()
            found = re.findall(rb"HTTP/1.1 (\d+)", await asking)
        assert found == [b"200"] * (count - 1) + [status]
        assert len(stand.rows()) == count - (status == b"400")

    run(work)


LIMITS = {
    "header_bytes_max": 1024,
    "header_count_max": 10,
    "target_bytes_max": 1024,
    "body_bytes_max": 1024,
    "header_seconds_max": 0.6,
    "body_seconds_max": 0.6,
    "idle_seconds_max": 1,
}
FIXED_BYTES = len(b"host") + 4 + 4 + len(b"authorization") + 4 + len(KEY) + len(b"content-length") + 2 + 4
FILL = 1024 - FIXED_BYTES - len(b"x") - 4


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (request(more=(b"X: " + b"x" * FILL,)), b"200"),
        (request(more=(b"X: " + b"x" * (FILL + 1),)), b"431"),
        (request(more=(b"X: " + b"x" * 100_000,)), b"431"),
        (request(more=tuple(b"X%d: y" % number for number in range(7))), b"200"),
        (request(more=tuple(b"X%d: y" % number for number in range(8))), b"431"),
        (request(path=b"/v1/track?" + b"q" * (1024 - 10)), b"200"),
        (request(path=b"/v1/track?" + b"q" * (1024 - 9)), b"414"),
        (request(b'{"messageId":"' + b"i" * (1024 - 16) + b'"}'), b"200"),
        (request(b'{"messageId":"' + b"i" * (1024 - 15) + b'"}'), b"413"),
        (chunked(b'{"messageId":"' + b"i" * (1024 - 16) + b'"}'), b"200"),
        (chunked(b'{"messageId":"' + b"i" * (1024 - 15) + b'"}'), b"413"),
        (b"POST /v1/track HTTP/1.1\r\nHost: test\r\nContent-Length: x\r\n\r\n", b"400"),
        (
            b"POST /v1/track HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"400",
        ),
        (b"POST /v1/track HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00", b"400"),
        (chunked(EVENT % 1).replace(b"0\r\n\r\n", b"zz\r\n\r\n"), b"400"),
        (b"POST /nowhere HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
    ],
)
def test_g10_every_bound_of_a_request_has_both_sides(asked: bytes, status: bytes) -> None:
    async def work() -> None:
        async with served(DoorStand(limits=LIMITS)) as port:
            assert re.findall(rb"HTTP/1.1 (\d+)", await said(port, [asked], answers=1)) == [status]

    run(work)


@pytest.mark.parametrize(
    ("begun", "status"),
    [
        (b"", []),
        (b"POST /v1/tr", [b"408"]),
        (b"POST /v1/track HTTP/1.1\r\nHost: te", [b"408"]),
        (request()[:-5], [b"408"]),
        (request(path=b"/nowhere")[:-5], [b"408"]),
        (request() + request()[:-5], [b"200", b"408"]),
        (request() + b"POST /v1", [b"200", b"408"]),
        (request(), [b"200"]),
    ],
)
def test_g10_a_client_that_goes_silent_is_told_and_closed(
    begun: bytes, status: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeper_module, "SWEEP_SECONDS", 0.05)

    async def work() -> None:
        async with served(DoorStand(limits=LIMITS)) as port:
            found = await said(port, [begun])  # until it is closed
            assert re.findall(rb"HTTP/1.1 (\d+)", found) == status

    run(work)


def test_g10_a_client_that_trickles_has_no_more_time() -> None:
    async def work() -> None:
        async with served(DoorStand(limits=LIMITS)) as port:
            loop = asyncio.get_running_loop()
            began = loop.time()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.suppress(ConnectionError):
                while not reader.at_eof() and loop.time() - began < 8:
                    writer.write(b"X")
                    await asyncio.sleep(0.1)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0.01):
                            await reader.read(1000)
            writer.close()
            assert loop.time() - began < 6

    run(work)


def test_g10_a_refused_body_can_be_sent_to_its_end_and_the_answer_is_read() -> None:
    async def work() -> None:
        async with served(DoorStand(limits=LIMITS)) as port:
            head = request(b"x" * (1 << 20))
            assert b"413" in await said(port, [head[: 1 << 19], head[1 << 19 :]], answers=1, pause=0.1)
            endless = b"POST /v1/track HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999\r\n\r\n"
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(endless)
            sent = 0
            with contextlib.suppress(ConnectionError):
                while sent <= 4 * LINGER_BYTES_MAX and not writer.is_closing():
                    writer.write(b"x" * 65536)
                    await writer.drain()
                    sent += 65536
            assert sent <= 4 * LINGER_BYTES_MAX
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()

    run(work)


def test_expect_100_is_answered_before_the_body() -> None:
    async def work() -> None:
        async with served(DoorStand()) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            whole = request(more=(b"Expect: 100-continue",))
            head, _, body = whole.partition(b"\r\n\r\n")
            writer.write(head + b"\r\n\r\n")
            async with asyncio.timeout(5):
                assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
                writer.write(body)
                assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()

    run(work)


def test_a_client_that_leaves_costs_nothing_and_is_forgotten() -> None:
    async def work() -> None:
        stand = Held()
        async with served(stand) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request())
            while not stand.asked:
                await asyncio.sleep(0.01)
            writer.transport.abort()
            await asyncio.sleep(0.05)
            stand.go()
            assert b"200" in await said(port, [request(EVENT % 2)], answers=1)
        assert {row["event_id"] for row in stand.rows()} == {"m-1", "m-2"}

    run(work)


JAVA = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")


@pytest.mark.parametrize("cut", [False, True])
def test_g10_an_offer_of_another_protocol_is_ignored_and_its_body_is_a_body(cut: bool) -> None:
    """As java.net.http.HttpClient sends it; a body that looks like a request must not become one."""
    inner = request(EVENT % 2)
    outer = request(b'{"messageId":"m-1","type":"track","x":' + b'"' + b"x" * 40 + b'"}', more=JAVA)
    smuggling = request(inner, more=JAVA)

    async def work() -> None:
        stand = DoorStand()
        async with served(stand) as port:
            for asked, status in ((outer, b"200"), (smuggling, b"400")):
                at = asked.index(b"\r\n\r\n") + 4 if cut else len(asked)
                pieces = [asked[:at], asked[at:], request(EVENT % 3)]
                found = await said(port, pieces, answers=2, pause=0.02)
                assert re.findall(rb"HTTP/1.1 (\d+)", found) == [status, b"200"]
        assert {row["event_id"] for row in stand.rows()} == {"m-1", "m-3"}

    run(work)


@pytest.mark.parametrize(
    "line",
    [b"CONNECT x:1", b"GET http://", b"GET http://[::1/", b"GET http://x:99999999/events", b"POST http://[/"],
)
def test_g10_a_target_that_can_not_be_read_is_answered(line: bytes) -> None:
    async def work() -> None:
        async with served(DoorStand()) as port:
            found = await said(port, [line + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"])
            assert re.findall(rb"HTTP/1.1 (\d+)", found) == [b"400"]

    run(work)


@pytest.mark.parametrize("path", [b"/v1/track", b"/nowhere"])
def test_g8_connections_are_bounded_and_who_is_too_many_is_told_to_come_again(path: bytes) -> None:
    async def work() -> None:
        async with served(DoorStand(limits={"connections_max": 10})) as port:
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(9)]
            asked = request(path=path, more=(b"Origin: https://shop.example",))
            assert b"HTTP/1.1 503" not in await said(port, [asked], answers=1)
            held.append(await asyncio.open_connection("127.0.0.1", port))
            refused = await said(port, [asked], answers=1)
            assert b"HTTP/1.1 503" in refused
            assert b"retry-after: " in refused
            assert b"access-control-allow-origin: https://shop.example" in refused
            for _, writer in held:
                writer.close()

    run(work)


def test_g8_bodies_that_are_being_read_are_bounded_over_all_connections() -> None:
    size = 1 << 18

    async def work() -> None:
        stand = DoorStand(collector={"bodies_bytes_max": 1 << 20}, limits={"body_bytes_max": 1 << 19})
        async with served(stand) as port:
            held = []
            for _ in range(3):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(request(b" " * (size + 1))[:-1])
                held.append(writer)
            async with asyncio.timeout(5):
                while stand.door.bodies.nbytes < 3 * size:
                    await asyncio.sleep(0.01)
            for path in (b"/v1/batch", b"/v1/%62atch"):
                assert b"HTTP/1.1 200" in await said(port, [request(b'{"batch":[]}', path)], answers=1)
                refused = await said(port, [request(b" " * (size + 1), path)], answers=1)
                assert b"HTTP/1.1 503" in refused
            for writer in held:
                writer.transport.abort()
            async with asyncio.timeout(5):
                while stand.door.bodies.nbytes:
                    await asyncio.sleep(0.01)

    run(work)


@pytest.mark.parametrize("path", [b"/v1/track", b"/v1/%74rack"])
def test_a_client_that_only_half_closes_reads_its_answer(path: bytes) -> None:
    async def work() -> None:
        stand = Held()
        async with served(stand) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request(path=path))
            writer.write_eof()
            async with asyncio.timeout(5):
                while not stand.asked:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.05)
                stand.go()
                found = await reader.read()
            assert b"HTTP/1.1 200" in found
            assert b"connection: close" in found
            writer.close()

    run(work)
