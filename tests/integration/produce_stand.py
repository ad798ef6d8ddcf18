"""The produce side alone on a real broker: producer, rounds and real record batches, without HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiokafka.protocol.produce import ProduceRequest

from _native.batch import RecordBatch, record_bytes
from ingest.errors import ProduceError
from ingest.produce import Producer
from ingest.rounds import Rounds

MIB = 1024 * 1024
CONNECT_SECONDS_MAX = 30.0
Headers = tuple[tuple[bytes, bytes], ...]


@dataclass
class Producing:
    """What a test holds: post records, and look at the producer."""

    producer: Producer
    rounds: Rounds
    requests: list[ProduceRequest] = field(default_factory=list)

    def post(
        self,
        topic: str,
        *records: tuple[int, bytes | None, bytes],
        headers: Headers = ((b"hr_source", b"demo"),),
    ) -> asyncio.Future[None]:
        """One request of records (Kafka partition, key, value). Raises ProduceError as a door sees it."""
        batches = self.rounds.batches(topic)
        touched = []
        for partition, key, value in records:
            batch = batches.open(partition, record_bytes(key, value, headers))
            assert isinstance(batch, RecordBatch)
            assert batch.append(key, value, headers, time.time_ns() // 1_000_000)
            touched.append(batch)
        return self.rounds.outcome(touched)

    async def until(self, state: str, seconds: float = CONNECT_SECONDS_MAX) -> None:
        async with asyncio.timeout(seconds):
            while self.producer.kafka.state != state:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def producing(
    options: str | Mapping[str, Any],
    topics: Mapping[str, int] | Callable[[], Awaitable[Mapping[str, int]]],
    *,
    compression: str = "zstd",
    timeout_seconds: float = 10.0,
    batch_bytes_max: int = MIB,
) -> AsyncIterator[Producing]:
    """A producer that is connected. `topics`: name to max.message.bytes. Internal errors fail the test."""

    async def fixed() -> Mapping[str, int]:
        assert isinstance(topics, Mapping)
        return topics

    client_options = {"bootstrap_servers": options} if isinstance(options, str) else dict(options)
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
    producer = Producer(
        client_options,
        topics if callable(topics) else fixed,
        produce_timeout_seconds=timeout_seconds,
        clock_us=lambda: time.time_ns() // 1000,
    )
    rounds = Rounds(
        producer,
        partial(RecordBatch, compression),
        batch_bytes_max=batch_bytes_max,
        pending_bytes_max=64 * MIB,
        produce_timeout_seconds=timeout_seconds,
    )
    it = Producing(producer, rounds)
    running = [asyncio.create_task(producer.run()), asyncio.create_task(rounds.run())]
    try:
        await it.until("up")
        yield it
    finally:
        started = time.monotonic()
        for task in running:
            task.cancel()
        ended = await asyncio.gather(*running, return_exceptions=True)
        seconds = time.monotonic() - started
    assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended
    assert seconds < 6, f"stopping took {seconds} s"
    assert not complaints, complaints


async def failure(future: Awaitable[None]) -> ProduceError:
    """The error that a request is told."""
    try:
        await future
    except ProduceError as error:
        return error
    raise AssertionError("expected a ProduceError, it succeeded")
