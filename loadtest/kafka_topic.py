"""The log between the two ends of a measurement: a topic that is made for one run, and what really is in it.

End offsets are the only count that is believed. Record batches are walked by their headers alone (KIP-98), to
say how large the batches were that a collector reached.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from struct import Struct
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.fetch import FetchRequest

BATCH_HEAD: Final = Struct(">qiibIhiqqqhii")  # 61 bytes, see Kafka's RecordBatch
PREFIX_BYTES: Final = 12  # base offset and length, which the length does not count
SAMPLE_BYTES: Final = 4 << 20
ANSWER_SECONDS_MAX: Final = 20.0
TOPIC_CONFIG: Final = {
    "message.timestamp.type": "LogAppendTime",
    "compression.type": "producer",
    "cleanup.policy": "delete",
    "max.message.bytes": str(9 << 20),
}


@dataclass(frozen=True, slots=True)
class Batches:
    """Of the record batches in a sample from each Kafka partition's beginning: how many, and their means."""

    count: int
    events_mean: float
    bytes_mean: float


async def create_topic(kafka: str, topic: str, partitions: int) -> None:
    """Make it, and wait until it can be used. Suspends."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        await admin.start()
        try:
            await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=TOPIC_CONFIG)])
            while not await _ready(admin, topic, partitions):  # noqa: ASYNC110 - there is nothing to wait for
                await asyncio.sleep(0.1)
        finally:
            await admin.close()


async def delete_topic(kafka: str, topic: str) -> None:
    """Give its disk space back. Suspends."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        await admin.start()
        try:
            await admin.delete_topics([topic])
        finally:
            await admin.close()


async def end_offsets(kafka: str, topic: str) -> dict[int, int]:
    """By Kafka partition. Suspends."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka)
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        await consumer.start()
        try:
            await consumer._client.add_topic(topic)
            numbers = consumer.partitions_for_topic(topic) or set()
            ends = await consumer.end_offsets([TopicPartition(topic, number) for number in numbers])
        finally:
            await consumer.stop()
    return {where.partition: end for where, end in ends.items()}


async def batches(kafka: str, topic: str, offsets: dict[int, int]) -> Batches:
    """The record batches from these offsets on, SAMPLE_BYTES of each Kafka partition at most. Suspends."""
    client = AIOKafkaClient(bootstrap_servers=kafka)
    sizes: list[tuple[int, int]] = []
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        await client.bootstrap()
        try:
            await client.add_topic(topic)
            for number, offset in offsets.items():
                leader = client.cluster.leader_for_partition(TopicPartition(topic, number))
                wanted = [(topic, [(number, offset, SAMPLE_BYTES)])]
                answer = await client.send(leader, FetchRequest(0, 1, SAMPLE_BYTES, 0, wanted))
                sizes += _walked(answer.topics[0][1][0][-1] or b"", offset)
        finally:
            await client.close()
    count = max(len(sizes), 1)
    return Batches(len(sizes), sum(one for one, _ in sizes) / count, sum(one for _, one in sizes) / count)


async def _ready(admin: AIOKafkaAdminClient, topic: str, partitions: int) -> bool:
    (found,) = await admin.describe_topics([topic])
    return len(found["partitions"]) == partitions and all(one["leader"] >= 0 for one in found["partitions"])


def _walked(data: bytes, offset: int) -> list[tuple[int, int]]:
    """Records and bytes of each whole batch that begins at `offset` or later."""
    found, at = [], 0
    while at + BATCH_HEAD.size <= len(data):
        head = BATCH_HEAD.unpack_from(data, at)
        size = PREFIX_BYTES + head[1]
        if at + size > len(data):
            break
        if head[0] >= offset:
            found.append((head[12], size))
        at += size
    return found
