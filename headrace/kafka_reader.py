"""Kafka as commands see it: takes client options, gives offsets and records; in no group, writing nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from time import time_ns
from typing import Any, Final, TypeAlias

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from headrace.errors import HeadraceError
from sink.errors import BrokerError
from sink.kafka_log import KafkaLog, Topic

Held: TypeAlias = dict[int, tuple[int, int]]  # [first, next) offsets by Kafka partition

ANSWER_SECONDS_MAX: Final = 10.0
FETCH_BYTES_MAX: Final = 8 * 1024 * 1024  # in memory, of all Kafka partitions of a fetch
CLOSE_SECONDS_MAX: Final = 3.0


@asynccontextmanager
async def reader(options: Mapping[str, Any]) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer without a group. HeadraceError `kafka_unreachable` when Kafka does not answer in time."""
    consumer = AIOKafkaConsumer(
        **options,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",  # what retention has deleted meanwhile is passed over
        request_timeout_ms=int(ANSWER_SECONDS_MAX * 1000),
        fetch_max_bytes=FETCH_BYTES_MAX,
    )
    servers = ",".join(options["bootstrap_servers"])
    try:
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                await consumer.start()
        except OSError as error:  # TimeoutError too
            raise unreachable(servers, error) from error
        yield consumer
    except (KafkaError, TimeoutError) as error:
        raise unreachable(servers, error) from error
    finally:
        with suppress(TimeoutError):  # the program ends, and its connections with it
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await consumer.stop()


def unreachable(servers: str, error: BaseException) -> HeadraceError:
    """The error that says what to do."""
    reason = str(error) or f"nothing came within {ANSWER_SECONDS_MAX:g} s"
    if "Unable to bootstrap" in reason:
        reason = "no broker there takes the connection"
    return HeadraceError(
        "kafka_unreachable",
        f"Kafka at {servers} does not answer: {reason}. Is it running there?",
        retriable=True,
    )


async def existing_topics(consumer: AIOKafkaConsumer) -> set[str]:
    """All topics that are not Kafka's own. Suspends."""
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        return {str(name) for name in await consumer.topics() if not name.startswith("__")}


async def topics_of(options: Mapping[str, Any], names: Iterable[str]) -> dict[str, Topic]:
    """Those of the topics that exist, with their ids and Kafka partitions; none is created by asking."""
    log = KafkaLog(options, names, now_us=lambda: time_ns() // 1000)
    try:
        return await log.refresh()
    except BrokerError as error:
        raise unreachable(",".join(options["bootstrap_servers"]), error) from error
    finally:
        await log.close()


async def spans(consumer: AIOKafkaConsumer, topics: Mapping[str, Topic]) -> dict[str, Held]:
    """What Kafka holds of each topic."""
    places = [TopicPartition(name, number) for name, topic in topics.items() for number in topic.leaders]
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        first = await consumer.beginning_offsets(places)
        end = await consumer.end_offsets(places)
    found: dict[str, Held] = {name: {} for name in topics}
    for place in places:
        found[place.topic][place.partition] = (first[place], end[place])
    return found
