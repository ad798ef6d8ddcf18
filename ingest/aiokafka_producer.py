"""Produce, one aiokafka producer: how it is made, how it is taken apart, and what its failures mean.

`AIOKafkaProducer.stop` waits for batches and requests that may never end while a broker is dead. So the
parts are ended one by one, within a deadline: connections (requests on them fail), sender, then what is
left of the batches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from ingest.errors import ProduceError

CONNECT_SECONDS_MAX: Final = 10.0
OBSTACLE_SECONDS_MAX: Final = 3.0
CLOSE_SECONDS_MAX: Final = 2.0
METADATA_AGE_MS_MAX: Final = 30_000

log = structlog.get_logger()


class ProducerReplaced(KafkaError):  # type: ignore[misc]  # aiokafka has no types
    """Put on batches that were still unresolved when their producer was taken apart."""


async def connected(
    options: Mapping[str, Any], topics: Iterable[str], *, timeout_seconds: float
) -> AIOKafkaProducer:
    """A started producer that knows the topics. Raises KafkaError, OSError or TimeoutError."""
    producer = AIOKafkaProducer(
        **options,
        enable_idempotence=True,
        acks="all",
        linger_ms=0,
        max_request_size=2**31 - 1,  # sizes are checked before hand-over
        request_timeout_ms=int(timeout_seconds * 1000),
        metadata_max_age_ms=METADATA_AGE_MS_MAX,
    )
    try:
        async with asyncio.timeout(CONNECT_SECONDS_MAX):
            await producer.start()
            await producer.client.set_topics(topics)
            for topic in topics:
                await producer.partitions_for(topic)
    except BaseException:
        await take_apart(producer)
        raise
    return producer


async def obstacle(options: Mapping[str, Any]) -> str | None:
    """Why the first server can't be used, None if it can: aiokafka only says that no server could be used.

    A refused login and an unknown authority must not look like a broker that is away. Suspends for seconds.
    """
    servers = dict(options)
    host, port, _ = collect_hosts(servers.pop("bootstrap_servers"), randomize=False)[0]
    try:
        async with asyncio.timeout(OBSTACLE_SECONDS_MAX):
            connection = await create_conn(host, port, **servers)
    except ConnectionRefusedError:
        return f"nothing listens on {host}:{port}"
    except TimeoutError:
        return f"{host}:{port} does not answer within {OBSTACLE_SECONDS_MAX:g} s"
    except (KafkaError, OSError) as error:
        return f"{host}:{port} can't be used: {said(error)}"
    connection.close()
    return None


async def take_apart(producer: AIOKafkaProducer) -> None:
    """End a producer for good; what it still held fails with ProducerReplaced. Suspends for seconds."""
    client, sender = producer.client, producer._sender.sender_task
    if sender is not None:
        sender.cancel()
    with suppress(TimeoutError, KafkaError, OSError):
        async with asyncio.timeout(CLOSE_SECONDS_MAX):
            await client.close()
    if sender is not None:
        await _end(sender, client)
    accumulator = producer._message_accumulator
    queued = [batch for batches in accumulator._batches.values() for batch in batches]
    accumulator._pending_batches.update(queued)  # else the end of one that was sent before is an error
    accumulator.fail_all(ProducerReplaced("the producer was replaced"))
    for batch in queued:
        look(batch._drain_waiter)
    producer._closed = True  # else it warns when it is collected


async def _end(sender: asyncio.Task[None], client: Any) -> None:
    """Wait until the sender's task is done. Being cancelled, it waits for its requests, which may hang."""
    now = asyncio.get_running_loop().time
    patience, deadline = now() + CLOSE_SECONDS_MAX / 2, now() + CLOSE_SECONDS_MAX
    while not sender.done() and now() < deadline:
        if client._md_update_fut is not None and not client._md_update_fut.done():
            client._md_update_fut.set_result(False)  # nobody else will: its task ended with the client
        if now() > patience:
            sender.cancel()  # reaches the request that it waits for
        await asyncio.wait({sender}, timeout=0.1)
    if not sender.done():
        log.warning("sender_not_ended", after_seconds=CLOSE_SECONDS_MAX)
    elif not sender.cancelled() and sender.exception() is not None:
        log.warning("sender_failed", error=said(sender.exception()))


def look(future: asyncio.Future[Any]) -> None:
    """See a failure that nobody may be waiting for any more, else asyncio complains about it."""
    if not future.cancelled():
        future.exception()


def said(error: BaseException | None) -> str:
    """A failure in one line of text: its name, once (aiokafka's errors say their own), and its words."""
    name, text = type(error).__name__, str(error)
    words = text.removeprefix(name).removeprefix(": ")
    return f"{name}: {words}" if words else name


def error_of(failure: BaseException) -> ProduceError:
    """What a failed batch means to the requests that touched it."""
    if isinstance(failure, MessageSizeTooLargeError | RecordListTooLargeError):
        return ProduceError("batch_too_large", f"Kafka refused a record batch: {said(failure)}")
    if isinstance(failure, ProducerReplaced | TimeoutError):
        text = f"it is not known whether Kafka has the events: {said(failure)}"
        return ProduceError("outcome_unknown", text, retriable=True)
    return ProduceError("produce_refused", f"Kafka did not take the events: {said(failure)}", retriable=True)
