"""What Kafka's log of one topic holds: takes Kafka partitions, gives first and end offsets, ends of epochs.

    OffsetForLeaderEpoch v3 request   replica 4 (-1) · [topic · [Kafka partition 4 · current epoch 4 (-1) ·
                                      leader epoch 4]]
    response                          throttle 4 · [topic · [error 2 · Kafka partition 4 · leader epoch 4 ·
                                      end offset 8]]

The answer for epoch E is the highest epoch up to E that the leader's log knows, and the offset behind its
last record; (-1, -1): it knows none such. Source: Kafka 4.3 OffsetForLeaderEpochRequest.json, KIP-320.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from struct import Struct
from typing import Final, Protocol, TypeAlias

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.protocol.types import Array, Int16, Int32, Int64, Schema, String

from sink.errors import BrokerError
from sink.kafka_log import NO_LEADER, KafkaLog

EARLIEST: Final = -2
LATEST: Final = -1
CONSUMER: Final = -1  # the replica that asks: none
UNKNOWN: Final = -1
READ_UNCOMMITTED: Final = 0
OUT_OF_RANGE: Final = 1
BATCH_HEAD: Final = Struct(">qii")  # base offset, length, leader epoch (KIP-98)

BatchName: TypeAlias = tuple[int, int]
"""Base offset and leader epoch of a record batch: what it is recognised by."""


class EpochAnswer(Response):  # type: ignore[misc]
    """OffsetForLeaderEpoch response, version 3."""

    API_KEY = 23
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_ms", Int32),
        (
            "topics",
            Array(
                ("topic", String("utf-8")),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader_epoch", Int32),
                        ("end_offset", Int64),
                    ),
                ),
            ),
        ),
    )


class EpochQuestion(RequestStruct):  # type: ignore[misc]
    """OffsetForLeaderEpoch request, version 3."""

    API_KEY = 23
    API_VERSION = 3
    RESPONSE_TYPE = EpochAnswer
    SCHEMA = Schema(
        ("replica_id", Int32),
        (
            "topics",
            Array(
                ("topic", String("utf-8")),
                (
                    "partitions",
                    Array(("partition", Int32), ("current_epoch", Int32), ("leader_epoch", Int32)),
                ),
            ),
        ),
    )


class _Epochs(Request[EpochQuestion]):  # type: ignore[misc]
    API_KEY = 23

    def __init__(self, topic: str, epochs: Mapping[int, int]) -> None:
        self._topics = [(topic, [(partition, UNKNOWN, epoch) for partition, epoch in epochs.items()])]

    def build(self, request_struct_class: type[EpochQuestion]) -> EpochQuestion:
        return request_struct_class(CONSUMER, self._topics)


class Source(Protocol):
    """What a landing asks of its topic's log."""

    def lane_partitions(self, lane: int, lanes: int) -> list[int]:
        """The Kafka partitions of a lane, as they were when the topic was last asked for."""

    async def id(self) -> str | None:
        """The id that the topic has now; None: there is no such topic."""

    async def first_offsets(self, partitions: Iterable[int]) -> dict[int, int]:
        """The first offset that is still there."""

    async def end_offsets(self, partitions: Iterable[int]) -> dict[int, int]:
        """The offset behind the last record that all replicas have (high watermark)."""

    async def epoch_ends(self, epochs: Mapping[int, int]) -> dict[int, tuple[int, int]]:
        """Of a leader epoch by Kafka partition: the highest one up to it that is known, and its end."""

    async def batch_at(self, partition: int, offset: int) -> BatchName | None:
        """The batch that holds an offset; None: there is none, or none any more."""


class TopicLog:
    """The log of one topic. All questions suspend; BrokerError (retriable) where no leader answers."""

    def __init__(self, kafka: KafkaLog, topic: str) -> None:
        self._kafka = kafka
        self._topic = topic

    def lane_partitions(self, lane: int, lanes: int) -> list[int]:
        topic = self._kafka.topics.get(self._topic)
        return topic.lane_partitions(lane, lanes) if topic else []

    async def id(self) -> str | None:
        return await self._kafka.topic_id(self._topic)

    async def first_offsets(self, partitions: Iterable[int]) -> dict[int, int]:
        return await self._offsets(partitions, EARLIEST)

    async def end_offsets(self, partitions: Iterable[int]) -> dict[int, int]:
        return await self._offsets(partitions, LATEST)

    async def epoch_ends(self, epochs: Mapping[int, int]) -> dict[int, tuple[int, int]]:
        found: dict[int, tuple[int, int]] = {}
        for node, mine in self._by_leader(epochs):
            answer = await self._kafka.ask(node, _Epochs(self._topic, {at: epochs[at] for at in mine}))
            for error, partition, epoch, end in answer.topics[0][1]:
                await self._expect(error, partition)
                found[partition] = (epoch, end)
        return found

    async def batch_at(self, partition: int, offset: int) -> BatchName | None:
        for node, _ in self._by_leader([partition]):
            # One byte: a leader sends one whole batch even where it is larger (KIP-74).
            wanted = [(self._topic, [(partition, offset, 1)])]
            answer = await self._kafka.ask(node, FetchRequest(0, 0, 1, READ_UNCOMMITTED, wanted))
            told = answer.topics[0][1][0]
            if told[1] == OUT_OF_RANGE:
                return None
            await self._expect(told[1], partition)
            data = told[-1] or b""
            if len(data) >= BATCH_HEAD.size:
                base, _, epoch = BATCH_HEAD.unpack_from(data)
                return (base, epoch)
        return None

    async def _offsets(self, partitions: Iterable[int], which: int) -> dict[int, int]:
        found: dict[int, int] = {}
        for node, mine in self._by_leader(partitions):
            wanted = [(self._topic, [(partition, which) for partition in mine])]
            answer = await self._kafka.ask(node, OffsetRequest(CONSUMER, READ_UNCOMMITTED, wanted))
            for partition, error, _, offset, *_ in answer.topics[0][1]:
                await self._expect(error, partition)
                found[partition] = offset
        return found

    def _by_leader(self, partitions: Iterable[int]) -> Iterator[tuple[int, list[int]]]:
        topic = self._kafka.topics.get(self._topic)
        leaders = topic.leaders if topic else {}
        nodes: dict[int, list[int]] = {}
        for partition in partitions:
            nodes.setdefault(leaders.get(partition, NO_LEADER), []).append(partition)
        yield from nodes.items()

    async def _expect(self, error: int, partition: int) -> None:
        if error:
            await self._kafka.refresh()
            told = f"{self._topic}: Kafka partition {partition} does not answer (error {error})"
            raise BrokerError("kafka_unavailable", told, retriable=True)
