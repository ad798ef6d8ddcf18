"""One measurement of a collector: takes a contender and a row of the bench, gives events per CPU-second.

A fresh topic, a warm process, then requests as fast as connections are free for a stated time. What arrived
is counted by the topic's end offsets, what it cost by the CPU seconds of the contender's processes.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Final

from loadtest.bodies import Request
from loadtest.connection import LOST
from loadtest.contender import Contender, ContenderError, Running, free_port
from loadtest.kafka_topic import batches, create_topic, delete_topic, end_offsets
from loadtest.pool import Pool, Ready
from loadtest.schedule import at_once
from loadtest.sender import Sender, Sent, Target

START_SECONDS_MAX: Final = 60.0
FILL_SECONDS_MAX: Final = 600.0
ACCEPTED: Final = range(200, 300)


@dataclass(frozen=True, slots=True)
class CollectorRow:
    """What is sent: `requests` rendered, in requests of `batch_events`, over so many connections."""

    name: str
    requests: Sequence[Request]
    batch_events: int
    compression: str
    connections: int
    partitions: int = 8
    warm_seconds: float = 2.0
    seconds: float = 6.0


@dataclass(frozen=True, slots=True)
class CollectorFigures:
    """One run. Latencies in ms under full load, of the service alone; `refused`: events not accepted."""

    contender: str
    events: int
    refused: int
    cpu_seconds: float
    seconds: float
    p50_ms: float
    p99_ms: float
    batch_events: float
    batch_bytes: float
    memory_bytes: int

    @property
    def events_per_cpu_second(self) -> float:
        """The figure that counts."""
        return self.events / self.cpu_seconds if self.cpu_seconds else 0.0


async def measure(
    contender: Contender, row: CollectorRow, kafka: str, folder: Path, seed: int
) -> CollectorFigures:
    """Run it once; ContenderError where it does not start or accepts nothing. Suspends for seconds."""
    topic, port = f"bench-{secrets.token_hex(4)}", free_port()
    await create_topic(kafka, topic, row.partitions)
    words = {"kafka": kafka, "topic": topic, "port": str(port), "compression": row.compression}
    words |= {"partitions": str(row.partitions), "lake": str(folder / topic)}
    try:
        with Running(contender, folder / topic, words) as running:
            await running.listening(port, START_SECONDS_MAX)
            pool = _Counted(row.requests, f"127.0.0.1:{port}", seed)
            await _accepting(pool, port)
            await _send(pool, port, row, row.warm_seconds)
            before, cpu = await end_offsets(kafka, topic), running.cpu_seconds
            sent = await _send(pool, port, row, row.seconds)
            cpu_seconds, memory = running.cpu_seconds - cpu, running.memory_bytes
            running.check()
            after = await end_offsets(kafka, topic)
        reached = await batches(kafka, topic, before)
    finally:
        await delete_topic(kafka, topic)
    return CollectorFigures(
        contender=contender.name,
        events=sum(after.values()) - sum(before.values()),
        refused=sum(count for status, count in sent.events_by_status.items() if status not in ACCEPTED),
        cpu_seconds=cpu_seconds,
        seconds=sent.seconds,
        p50_ms=sent.service_us.get_value_at_percentile(50) / 1000,
        p99_ms=sent.service_us.get_value_at_percentile(99) / 1000,
        batch_events=reached.events_mean,
        batch_bytes=reached.bytes_mean,
        memory_bytes=memory,
    )


async def filled(
    contender: Contender, row: CollectorRow, kafka: str, topic: str, folder: Path, seed: int, events: int
) -> int:
    """Fill a new topic with at least so many events through a collector; how many it holds. Suspends."""
    port = free_port()
    await create_topic(kafka, topic, row.partitions)
    words = {"kafka": kafka, "topic": topic, "port": str(port), "compression": row.compression}
    words |= {"partitions": str(row.partitions), "lake": str(folder / topic)}
    with Running(contender, folder / topic, words) as running:
        await running.listening(port, START_SECONDS_MAX)
        pool = _Counted(row.requests, f"127.0.0.1:{port}", seed)
        await _accepting(pool, port)
        requests = repeat(0.0, -(-events // row.batch_events))
        await Sender(Target("127.0.0.1", port), pool, requests, connections=row.connections).run(
            FILL_SECONDS_MAX
        )
    return sum((await end_offsets(kafka, topic)).values())


class _Counted(Pool):
    """A pool that remembers the last answer only."""

    last = (LOST, b"")

    def answered(self, request: Ready, status: int, body: bytes) -> None:
        self.last = (status, body)


async def _send(pool: _Counted, port: int, row: CollectorRow, seconds: float) -> Sent:
    target = Target("127.0.0.1", port)
    return await Sender(target, pool, at_once(), connections=row.connections).run(seconds)


async def _accepting(pool: _Counted, port: int) -> None:
    """Suspends until one request was accepted: it listens before it can reach Kafka."""
    deadline = asyncio.get_running_loop().time() + START_SECONDS_MAX
    while True:
        sent = await Sender(Target("127.0.0.1", port), pool, iter((0.0,)), connections=1).run(1)
        if any(status in ACCEPTED for status in sent.statuses):
            return
        if asyncio.get_running_loop().time() > deadline:
            raise ContenderError(f"nothing was accepted within {START_SECONDS_MAX} s: {pool.last}")
        await asyncio.sleep(0.2)
