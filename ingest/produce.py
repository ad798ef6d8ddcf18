"""Produce: finished record batches go to Kafka, idempotent and acks=all, and come back as one outcome each.

Takes a round of sealed batches, gives for each None or the ProduceError. The producer is disposable:
aiokafka takes a sequence number when it drains a batch and never gives it back, so after one batch that
failed for good (or expired unsent) every later batch of that Kafka partition fails with
OutOfOrderSequenceNumber. An idempotent batch never expires while its broker is dead, and `stop()` may
hang. So after such a failure or an outage the others may settle within a deadline, then a new producer
with a new producer id takes over (`ingest.aiokafka_producer`).

Internals of aiokafka 0.14.0 that are used (tests/integration/test_produce_contract.py):
`_sender.sender_task`, `_message_accumulator.fail_all`, `._batches`, `._pending_batches`, a batch's
`_drain_waiter`, `client._md_update_fut`; and `send_batch` does not suspend when metadata are there and the
Kafka partition has nothing queued: a round is drained into one ProduceRequest per broker.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Literal, NamedTuple

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from ingest import metrics
from ingest.aiokafka_producer import (
    CONNECT_SECONDS_MAX,
    ProducerReplaced,
    connected,
    error_of,
    look,
    obstacle,
    said,
    take_apart,
)
from ingest.broker_rounds import Batch, KafkaPartition
from ingest.errors import ProduceError
from ingest.probe import SILENCE_SECONDS_MAX, Probe

NOBODY: Final = -1  # the broker of a Kafka partition without a leader
PROBE_SECONDS: Final = 1.0
SETTLE_SECONDS_MAX: Final = 2.0  # for the other batches after one failed for good
BACKOFF_SECONDS_MIN: Final = 0.1
BACKOFF_SECONDS_MAX: Final = 1.0

Prepare = Callable[[], Awaitable[Mapping[str, int]]]

log = structlog.get_logger()


class KafkaState(NamedTuple):
    """Whether Kafka answers, since when (microseconds since 1970 UTC) and, when down, why."""

    state: Literal["up", "down"]
    since_us: int
    reason: str


class Producer:
    """One Kafka producer at a time, replaced when it can't be trusted any more."""

    def __init__(
        self,
        client_options: Mapping[str, Any],
        prepare: Prepare,
        *,
        produce_timeout_seconds: float,
        clock_us: Callable[[], int],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """`prepare()` makes sure of the topics and gives each one's largest batch in bytes.

        `client_options`: keyword arguments of an aiokafka client. `changed` is called when the state
        changes.
        """
        self.kafka = KafkaState("down", clock_us(), "not connected yet")
        self._options = client_options
        self._prepare = prepare
        self._timeout_seconds = produce_timeout_seconds
        self._clock_us = clock_us
        self._changed = changed
        self._producer: AIOKafkaProducer | None = None
        self._topics: Mapping[str, int] = {}
        self._ready = asyncio.Event()
        self._spoiled = asyncio.Event()
        self._sent_at: dict[object, float] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        metrics.KAFKA_UP.set(0)

    async def run(self) -> None:
        """Keep a producer connected until cancelled."""
        backoff = BACKOFF_SECONDS_MIN
        while True:
            try:
                producer = await self._connect()
            except (KafkaError, OSError, TimeoutError) as error:
                self._mark("down", await obstacle(self._options) or said(error))
                await asyncio.sleep(backoff * random.uniform(0.5, 1.0))  # noqa: S311 - spreads reconnects
                backoff = min(backoff * 2, BACKOFF_SECONDS_MAX)
                continue
            backoff = BACKOFF_SECONDS_MIN
            try:
                self._adopt(producer)
                await self._watch(producer)
            finally:
                self._ready.clear()
                self._producer = None
                await take_apart(producer)

    async def refresh(self) -> None:
        """Make sure of the topics again, as somebody may have changed them. Raises as `prepare` does."""
        topics = await self._prepare()
        if self._producer is not None and set(topics) - set(self._topics):
            await self._producer.client.set_topics(topics)
        self._topics = topics

    def refusal(self) -> ProduceError | None:
        """Why nothing can be produced now, or None."""
        if self.kafka.state == "up":
            return None
        return ProduceError("kafka_down", f"Kafka is away: {self.kafka.reason}", retriable=True)

    def partition_count(self, topic: str) -> int:
        """How many Kafka partitions the topic has; 0 if it is unknown or may not be produced to."""
        if self._producer is None or topic not in self._topics:
            return 0
        return len(self._producer.client.cluster.partitions_for_topic(topic) or ())

    def leader_of(self, topic: str, partition: int) -> int:
        """The broker that takes this Kafka partition's batches now, or NOBODY."""
        if self._producer is None:
            return NOBODY
        leader = self._producer.client.cluster.leader_for_partition(TopicPartition(topic, partition))
        return NOBODY if leader is None else int(leader)

    def batch_bytes_max(self, topic: str) -> int:
        """Bytes of the largest sealed batch that the topic takes (its max.message.bytes)."""
        return self._topics.get(topic, 0)

    async def wait_ready(self) -> None:
        """Suspends until there is a producer that can be trusted."""
        await self._ready.wait()

    async def send(
        self, batches: Mapping[KafkaPartition, Batch]
    ) -> dict[KafkaPartition, ProduceError | None]:
        """Hand sealed batches over, at most one per Kafka partition, and wait for what becomes of each.

        Never raises for what Kafka does; ends within produce_timeout_seconds. A failure replaces it.
        """
        if (producer := self._producer) is None or self._spoiled.is_set():
            error = ProduceError("kafka_down", "there is no producer; nothing went out", retriable=True)
            return dict.fromkeys(batches, error)
        ticket = object()
        self._sent_at[ticket] = asyncio.get_running_loop().time()
        self._idle.clear()
        try:
            outcomes = await self._send(producer, batches)
        finally:
            del self._sent_at[ticket]
            if not self._sent_at:
                self._idle.set()
        for failed in filter(None, outcomes.values()):
            metrics.PRODUCE_ERRORS.labels(failed.code).inc()
        return outcomes

    async def _send(
        self, producer: AIOKafkaProducer, batches: Mapping[KafkaPartition, Batch]
    ) -> dict[KafkaPartition, ProduceError | None]:
        outcomes: dict[KafkaPartition, ProduceError | None] = {}
        futures: dict[KafkaPartition, asyncio.Future[Any]] = {}
        deadline = asyncio.get_running_loop().time() + self._timeout_seconds
        for where, batch in batches.items():
            try:
                futures[where] = await self._hand_over(producer, where, batch, deadline)
            except ProduceError as error:
                outcomes[where] = error
            except (KafkaError, TimeoutError) as error:
                text = f"the producer did not take a record batch: {said(error)}; nothing of it went out"
                outcomes[where] = ProduceError("kafka_down", text, retriable=True)
                self._spoil(f"handing over: {said(error)}")
        if futures:
            await self._wait(list(futures.values()), deadline)
        for where, future in futures.items():
            failure = future.exception() if future.done() else TimeoutError("no answer in time")
            outcomes[where] = None if failure is None else error_of(failure)
            if failure is not None and not isinstance(failure, ProducerReplaced):
                self._spoil(f"producing to {where[0]}: {said(failure)}")
        return outcomes

    async def _hand_over(
        self, producer: AIOKafkaProducer, where: KafkaPartition, batch: Batch, deadline: float
    ) -> asyncio.Future[Any]:
        topic, partition = where
        if partition not in (producer.client.cluster.partitions_for_topic(topic) or ()):
            text = f"topic {topic} has no Kafka partition {partition}; nothing went out"
            raise ProduceError("topic_unusable", text, retriable=True)
        async with asyncio.timeout_at(deadline):
            future: asyncio.Future[Any] = await producer.send_batch(batch, topic, partition=partition)
        future.add_done_callback(look)
        return future

    async def _wait(self, futures: list[asyncio.Future[Any]], deadline: float) -> None:
        """Until all are done; after a first failure the others get SETTLE_SECONDS_MAX."""
        now = asyncio.get_running_loop().time
        seconds = max(0.0, deadline - now())
        done, pending = await asyncio.wait(futures, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        if done and pending:
            await asyncio.wait(pending, timeout=min(SETTLE_SECONDS_MAX, max(0.0, deadline - now())))

    async def _connect(self) -> AIOKafkaProducer:
        async with asyncio.timeout(CONNECT_SECONDS_MAX):
            self._topics = await self._prepare()
        return await connected(self._options, self._topics, timeout_seconds=self._timeout_seconds)

    def _adopt(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._spoiled = asyncio.Event()
        self._mark("up", "")
        log.info("producer_connected", topics=sorted(self._topics))

    async def _watch(self, producer: AIOKafkaProducer) -> None:
        """Returns when this producer has to go: spoiled, or Kafka did not answer for too long."""
        loop = asyncio.get_running_loop()
        answered_at = loop.time()
        async with asyncio.TaskGroup() as questions:
            probe = Probe(producer.client, questions)
            while not self._spoiled.is_set():
                obstacle = await probe.obstacle()
                self._judge(obstacle)
                if obstacle is None:
                    answered_at = loop.time()
                elif loop.time() - answered_at > self._timeout_seconds:
                    self._spoil(f"no answer for {self._timeout_seconds} s")
                if producer._sender.sender_task.done():
                    self._spoil("aiokafka's sender ended")
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._spoiled.wait(), PROBE_SECONDS)
            probe.end()
        self._ready.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), SETTLE_SECONDS_MAX)

    def _judge(self, obstacle: str | None) -> None:
        """Mark Kafka up or down by what the probe says, and by requests that nobody answers."""
        if obstacle is not None:
            self._mark("down", obstacle)
        elif self._overdue():
            self._mark("down", f"a produce request is unanswered for {SILENCE_SECONDS_MAX:g} s")
        else:
            self._mark("up", "")

    def _overdue(self) -> bool:
        oldest = min(self._sent_at.values(), default=None)
        return oldest is not None and asyncio.get_running_loop().time() - oldest > SILENCE_SECONDS_MAX

    def _spoil(self, reason: str) -> None:
        if not self._spoiled.is_set():
            self._spoiled.set()
            self._ready.clear()
            metrics.PRODUCERS_REPLACED.inc()
            log.warning("producer_spoiled", reason=reason)

    def _mark(self, state: Literal["up", "down"], reason: str) -> None:
        since_us = self.kafka.since_us if state == self.kafka.state else self._clock_us()
        previous, self.kafka = self.kafka, KafkaState(state, since_us, reason)
        if state == "up" and self._producer is not None and not self._spoiled.is_set():
            self._ready.set()
        else:
            self._ready.clear()
        if previous == self.kafka:
            return
        metrics.KAFKA_UP.set(state == "up")
        if state == "up":
            log.info("kafka_state_changed", state=state)
        else:
            log.warning("kafka_state_changed", state=state, reason=reason)
        self._changed()
