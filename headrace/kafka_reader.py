"""Kafka as commands see it: takes client options, gives offsets and records; in no group, writing nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from headrace.errors import HeadraceError

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
    reason = str(error) or f"no answer within {ANSWER_SECONDS_MAX:g} s"
    return HeadraceError(
        "kafka_unreachable",
        f"Kafka at {servers} does not answer: {reason}. Is it running there?",
        retriable=True,
    )


async def partitions_of(consumer: AIOKafkaConsumer, topics: Iterable[str]) -> dict[str, list[int]]:
    """The Kafka partitions of those topics that exist."""
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        existing = await consumer.topics()
    return {
        topic: sorted(consumer.partitions_for_topic(topic) or ()) for topic in topics if topic in existing
    }


async def spans(consumer: AIOKafkaConsumer, topics: Iterable[str]) -> dict[str, dict[int, tuple[int, int]]]:
    """[first, next) offsets that Kafka holds of each Kafka partition, of those topics that exist."""
    places = [
        TopicPartition(topic, number)
        for topic, numbers in (await partitions_of(consumer, topics)).items()
        for number in numbers
    ]
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        first = await consumer.beginning_offsets(places)
        end = await consumer.end_offsets(places)
    found: dict[str, dict[int, tuple[int, int]]] = {}
    for place in places:
        found.setdefault(place.topic, {})[place.partition] = (first[place], end[place])
    return found
