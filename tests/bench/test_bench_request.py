"""What a request costs between the socket and the producer, in CPU time: HTTP, door, pack, rounds, answer.

    pytest tests/bench/test_bench_request.py --benchmark-only

measures; without the option each runs tiny, as a test. Connections are of the real protocol class over a
transport that keeps what is written; scan, pack, batches and rounds are the real ones; the outlet says at
once that a round is in the log. So neither the kernel nor Kafka is in the figure. `ns_per_event` is of the
fastest round.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import pytest
import uvicorn
import uvloop
from door_stand import BOOT, NOW_US, DoorStand, basic
from scan_stand import sessions
from uvicorn.server import ServerState

from _native.batch import RecordBatch
from ingest.app import build_app
from ingest.broker_rounds import Batch, KafkaPartition
from ingest.door import Door
from ingest.errors import ProduceError
from ingest.protocol import HotProtocol
from ingest.rounds import Rounds
from ingest.sweeper import Sweeper

PARTITIONS: Final = 8
ROUND_SECONDS_MAX: Final = 30


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.7", 4711), "sockname": ("192.0.2.1", 8080)})
        self.written: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        return

    def resume_reading(self) -> None:
        return


class Outlet:
    """A broker that has everything in its log one turn of the loop later."""

    def __init__(self) -> None:
        self.batches = 0

    def refusal(self) -> None:
        return None

    def partition_count(self, topic: str) -> int:
        return PARTITIONS

    def leader_of(self, topic: str, partition: int) -> int:
        return 0

    def batch_bytes_max(self, topic: str) -> int:
        return 1 << 20

    async def wait_ready(self) -> None:
        return

    async def send(
        self, batches: Mapping[KafkaPartition, Batch]
    ) -> dict[KafkaPartition, ProduceError | None]:
        self.batches += len(batches)
        await asyncio.sleep(0)
        return dict.fromkeys(batches)


def requests(events: int, count: int) -> list[bytes]:
    """`count` requests of `events` events each, as an SDK of a server sends them."""
    made = []
    for seed in range(count):
        body = b'{"batch":[%s],"sentAt":"2026-11-23T10:00:00.000Z"}' % b",".join(
            texts(sessions(events, seed=seed))
        )
        head = (
            f"POST /v1/batch HTTP/1.1\r\nHost: events.example\r\nContent-Length: {len(body)}\r\n"
            f"Authorization: {basic('good')}\r\nContent-Type: application/json\r\n"
            "User-Agent: analytics-python/2.3.2\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


def texts(events: list[dict[str, Any]]) -> list[bytes]:
    return [json.dumps(event, separators=(",", ":")).encode() for event in events]


class Stand:
    """Connections to one door on real rounds."""

    def __init__(self, connections: int, compression: str) -> None:
        settings = DoorStand().settings
        self.outlet = Outlet()
        self.rounds = Rounds(
            self.outlet,
            lambda bytes_max: RecordBatch(compression, bytes_max),
            batch_bytes_max=1 << 20,
            pending_bytes_max=1 << 28,
            produce_timeout_seconds=ROUND_SECONDS_MAX,
        )
        self.door = Door(settings, self.rounds, lambda: NOW_US, BOOT)
        config = uvicorn.Config(
            build_app(self.door), lifespan="off", log_config=None, access_log=False, server_header=False
        )
        config.load()
        state = ServerState()
        new = partial(HotProtocol, door=self.door, limits=settings.limits, sweeper=Sweeper())
        self.protocols = [new(config=config, server_state=state, app_state={}) for _ in range(connections)]
        self.transports = [Transport() for _ in self.protocols]
        for protocol, transport in zip(self.protocols, self.transports, strict=True):
            protocol.connection_made(transport)

    async def post(self, data: list[bytes]) -> None:
        """One request on each connection; until all are answered."""
        for protocol, one in zip(self.protocols, data, strict=True):
            protocol.data_received(one)
        while not all(transport.written for transport in self.transports):
            await asyncio.sleep(0)
        for transport in self.transports:
            assert transport.written[0].startswith(b"HTTP/1.1 200 OK\r\n")
            transport.written.clear()


@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize(("events", "connections"), [(1, 256), (1, 2048), (100, 32)])
def test_requests_are_answered(
    benchmark: Any, request: pytest.FixtureRequest, events: int, connections: int, compression: str
) -> None:
    measuring = request.config.getoption("benchmark_only")
    connections = connections if measuring else 8
    data = requests(events, connections)

    async def work() -> float:
        stand = Stand(connections, compression)
        running = asyncio.create_task(stand.rounds.run())
        await asyncio.sleep(0)
        try:
            await stand.post(data)
            began = time.process_time()
            turns = 20_000 // connections if measuring else 1
            for _ in range(turns):
                await stand.post(data)
            return (time.process_time() - began) / turns / connections
        finally:
            stand.door.flush_counts()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    found = []
    benchmark.pedantic(lambda: found.append(uvloop.run(work())), rounds=5 if measuring else 1)
    benchmark.extra_info["ns_per_request"] = round(min(found) * 1e9)
    benchmark.extra_info["ns_per_event"] = round(min(found) / events * 1e9)
    assert min(found) > 0
