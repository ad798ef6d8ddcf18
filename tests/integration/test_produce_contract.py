"""aiokafka 0.14 and a real broker take our record batches: the internals that ingest.produce relies on."""

from __future__ import annotations

import asyncio
import os
import random
from collections import defaultdict
from typing import Any

import pytest
from aiokafka import TopicPartition as AioTopicPartition
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.produce import ProduceRequest
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME
from confluent_kafka import Producer as RdKafkaProducer
from kafka_stand import end_offsets, records, topic_made
from produce_stand import Producing, failure, producing

from _native.hash import murmur2

PARTITIONS = 4
MIB = 1024 * 1024


def counted(it: Producing) -> list[ProduceRequest]:
    """The produce requests that go out from now on."""
    assert it.producer._producer is not None
    client = it.producer._producer.client
    send, seen = client.send, []

    async def noted(node: int, request: Any, **options: Any) -> Any:
        if isinstance(request, ProduceRequest):
            seen.append(request)
        return await send(node, request, **options)

    client.send = noted
    return seen


def producer_id(it: Producing) -> int:
    assert it.producer._producer is not None
    return int(it.producer._producer._txn_manager.producer_id)


@pytest.mark.parametrize("compression", ["zstd", "lz4", "none"])
def test_records_are_read_back_as_they_were_produced(kafka: str, compression: str) -> None:
    topic = topic_made(kafka, PARTITIONS, message_timestamp_type="LogAppendTime", compression_type="producer")
    source = random.Random(7)
    sent: dict[int, list[tuple[bytes | None, bytes, list[tuple[str, bytes]]]]] = defaultdict(list)

    async def scenario() -> None:
        async with producing(kafka, {topic: MIB}, compression=compression) as it:
            for number in range(40):
                headers = ((b"hr_seq", os.urandom(16)), (b"ce_id", b"%d" % number), (b"ce_x", b""))
                made = [
                    (
                        source.randrange(PARTITIONS),
                        source.choice(
                            [None, b"", "jürgen".encode(), os.urandom(source.choice([1, 127, 300]))]
                        ),
                        source.choice([b"", b"{}", source.randbytes(source.choice([5, 8_000]))]),
                    )
                    for _ in range(source.choice([1, 3, 60]))
                ]
                for partition, key, value in made:
                    sent[partition].append((key, value, [(name.decode(), text) for name, text in headers]))
                await it.post(topic, *made, headers=headers)

    asyncio.run(scenario())
    read: dict[int, list[Any]] = defaultdict(list)
    for message in records(kafka, topic):
        assert message.offset() == len(read[message.partition()]), "offsets have no holes"
        assert message.timestamp()[0] == TIMESTAMP_LOG_APPEND_TIME
        read[message.partition()].append((message.key(), message.value(), message.headers()))
    assert read == sent


def test_a_round_is_one_request_and_asks_for_all_copies(kafka: str) -> None:
    topic = topic_made(kafka, PARTITIONS)

    async def scenario() -> None:
        async with producing(kafka, {topic: MIB}) as it:
            requests = counted(it)
            await it.post(topic, *[(partition, b"k", b"first") for partition in range(PARTITIONS)])
            assert len(requests) == 1
            assert requests[0].required_acks == -1
            together = [it.post(topic, (partition, b"k", b"next")) for partition in range(PARTITIONS)]
            await asyncio.gather(*together)
            assert len(requests) == 2

    asyncio.run(scenario())
    assert end_offsets(kafka, topic) == dict.fromkeys(range(PARTITIONS), 2)


def test_what_comes_while_a_round_is_out_goes_together(kafka: str) -> None:
    topic = topic_made(kafka, 1)

    async def scenario() -> None:
        async with producing(kafka, {topic: MIB}) as it:
            requests = counted(it)
            first = it.post(topic, (0, None, b"0"))
            while not requests:
                await asyncio.sleep(0)
            rest = [it.post(topic, (0, None, b"%d" % number)) for number in range(1, 500)]
            await asyncio.gather(first, *rest)
            assert len(requests) == 2

    asyncio.run(scenario())
    assert [message.value() for message in records(kafka, topic)] == [b"%d" % number for number in range(500)]


def test_after_a_batch_that_is_too_large_the_producer_is_replaced_and_goes_on(kafka: str) -> None:
    topic, other = topic_made(kafka, 1, max_message_bytes="10000"), topic_made(kafka, 1)

    async def scenario() -> None:
        async with producing(kafka, {topic: MIB, other: MIB}) as it:
            await it.post(topic, (0, b"k", b"before"))
            first_id = producer_id(it)
            large, small = it.post(topic, (0, b"k", os.urandom(20_000))), it.post(other, (0, b"k", b"beside"))
            error = await failure(large)
            assert (error.code, error.retriable) == ("batch_too_large", False)
            await small
            await asyncio.wait_for(it.post(topic, (0, b"k", b"after")), 5)
            assert producer_id(it) != first_id

    asyncio.run(scenario())
    assert [message.value() for message in records(kafka, topic)] == [b"before", b"after"]
    assert [message.value() for message in records(kafka, other)] == [b"beside"]


@pytest.mark.parametrize(("size", "code"), [(9_000, None), (11_000, "batch_too_large")])
def test_the_size_that_the_topic_takes_is_checked_before_anything_goes_out(
    kafka: str, size: int, code: str | None
) -> None:
    topic = topic_made(kafka, 1, max_message_bytes="10000")

    async def scenario() -> None:
        async with producing(kafka, {topic: 10_000}) as it:
            requests = counted(it)
            answer = it.post(topic, (0, None, os.urandom(size)))
            if code is None:
                await answer
                return
            assert (await failure(answer)).code == code
            assert not requests
            assert it.producer.refusal() is None, "a size that was known to be too large spoils nothing"

    asyncio.run(scenario())


def test_the_largest_batch_is_as_large_as_the_settings_allow(kafka: str) -> None:
    topic = topic_made(kafka, 1, max_message_bytes=str(9 * MIB))

    async def scenario() -> None:
        async with producing(kafka, {topic: 9 * MIB}, compression="none", batch_bytes_max=8 * MIB) as it:
            requests = counted(it)
            await it.post(topic, *[(0, None, os.urandom(100_000)) for _ in range(80)])
            assert len(requests) == 1

    asyncio.run(scenario())
    assert end_offsets(kafka, topic) == {0: 80}


def test_a_producer_that_is_fenced_off_by_kafka_is_replaced(kafka: str) -> None:
    topic = topic_made(kafka, 1)

    async def scenario() -> None:
        async with producing(kafka, {topic: MIB}) as it:
            await it.post(topic, (0, None, b"before"))
            assert it.producer._producer is not None
            manager = it.producer._producer._txn_manager
            manager.increment_sequence_number(
                AioTopicPartition(topic, 0), 5
            )  # as after a batch that was lost
            error = await failure(it.post(topic, (0, None, b"refused")))
            assert (error.code, error.retriable) == ("produce_refused", True)
            await asyncio.wait_for(it.post(topic, (0, None, b"after")), 5)

    asyncio.run(scenario())
    assert [message.value() for message in records(kafka, topic)] == [b"before", b"after"]


def test_a_lost_answer_makes_no_second_copy(kafka: str) -> None:
    topic = topic_made(kafka, 1)

    async def scenario() -> None:
        async with producing(kafka, {topic: MIB}) as it:
            assert it.producer._producer is not None
            client, lost = it.producer._producer.client, []
            send = client.send

            async def lossy(node: int, request: Any, **options: Any) -> Any:
                answer = await send(node, request, **options)
                if isinstance(request, ProduceRequest) and not lost:
                    lost.append(answer)
                    raise KafkaConnectionError("the answer was lost")
                return answer

            client.send = lossy
            await it.post(topic, (0, None, b"once"), (0, None, b"each"))
            await it.post(topic, (0, None, b"after"))
            assert lost

    asyncio.run(scenario())
    assert [message.value() for message in records(kafka, topic)] == [b"once", b"each", b"after"]


def test_keys_go_where_other_clients_put_them(kafka: str) -> None:
    topic = topic_made(kafka, 12)
    keys = [b"", b"a", "ключ".encode(), *(os.urandom(size) for size in range(1, 64))]
    java_like = RdKafkaProducer({"bootstrap.servers": kafka, "partitioner": "murmur2_random"})
    for key in keys:
        java_like.produce(topic, key=key, value=b"")
    assert java_like.flush(20) == 0
    found = {message.key(): message.partition() for message in records(kafka, topic)}
    assert found == {key: (murmur2(key) & 0x7FFFFFFF) % 12 for key in keys}
