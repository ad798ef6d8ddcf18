"""What Kafka has: takes topic names, gives their ids, Kafka partitions and leaders.

    Metadata v12 request    [topic id 16 · name · tags] · may create · operations · tags
    response                throttle 4 · [node 4 · host · port 4 · rack · tags] · cluster · controller 4 ·
                            [error 2 · name · topic id 16 · internal 1 · [error 2 · Kafka partition 4 ·
                            leader 4 · leader epoch 4 · [replica 4] · [in sync 4] · [offline 4] · tags] ·
                            operations 4 · tags] · tags

All strings and arrays are compact (KIP-482); the topic id is that of KIP-516, written as Kafka's tools
write it. A topic is never created by asking for it. Source: Kafka 4.3 MetadataRequest.json,
MetadataResponse.json.
"""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, ClassVar, Final, Literal

import structlog
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from sink.errors import BrokerError

ANSWER_SECONDS_MAX: Final = 10.0  # of one request; a long poll is a fraction of it
CLOSE_SECONDS_MAX: Final = 3.0
FAILURES_MAX: Final = 3  # then the addresses from the settings are asked again: the brokers may have moved
NO_LEADER: Final = -1
UUID_BYTES: Final = 16

log = structlog.get_logger()


class _Uuid(AbstractType[bytes]):  # type: ignore[misc]
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(UUID_BYTES)


_BROKER = (
    ("node_id", Int32),
    ("host", CompactString()),
    ("port", Int32),
    ("rack", CompactString()),
    ("tags", TaggedFields),
)
_PARTITION = (
    ("error_code", Int16),
    ("partition", Int32),
    ("leader", Int32),
    ("leader_epoch", Int32),
    ("replicas", CompactArray(Int32)),
    ("in_sync", CompactArray(Int32)),
    ("offline", CompactArray(Int32)),
    ("tags", TaggedFields),
)
_TOPIC = (
    ("error_code", Int16),
    ("name", CompactString()),
    ("topic_id", _Uuid),
    ("is_internal", Boolean),
    ("partitions", CompactArray(*_PARTITION)),
    ("operations", Int32),
    ("tags", TaggedFields),
)


class MetadataAnswer(Response):  # type: ignore[misc]
    """Metadata response, version 12."""

    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_ms", Int32),
        ("brokers", CompactArray(*_BROKER)),
        ("cluster_id", CompactString()),
        ("controller_id", Int32),
        ("topics", CompactArray(*_TOPIC)),
        ("tags", TaggedFields),
    )
    topics: list[tuple[int, str, bytes, bool, list[tuple[Any, ...]], int, dict[int, bytes]]]


class MetadataQuestion(RequestStruct):  # type: ignore[misc]
    """Metadata request, version 12."""

    FLEXIBLE_VERSION: ClassVar[bool] = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = MetadataAnswer
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", CompactString()), ("tags", TaggedFields))),
        ("may_create", Boolean),
        ("operations", Boolean),
        ("tags", TaggedFields),
    )


class _Metadata(Request[MetadataQuestion]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topics: Iterable[str]) -> None:
        self._topics: list[tuple[bytes, str, dict[int, bytes]]] = [
            (bytes(UUID_BYTES), topic, {}) for topic in topics
        ]

    def build(self, request_struct_class: type[MetadataQuestion]) -> MetadataQuestion:
        return request_struct_class(self._topics, False, False, {})


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as the brokers see it now: its id, and the leader (node) of each Kafka partition."""

    name: str
    id: str
    leaders: Mapping[int, int] = field(default_factory=dict)

    def lane_partitions(self, lane: int, lanes: int) -> list[int]:
        """The Kafka partitions of a lane: those equal to it modulo `lanes`."""
        return [partition for partition in sorted(self.leaders) if partition % lanes == lane]


class KafkaLog:
    """What the brokers say of topics. Each call suspends, for ANSWER_SECONDS_MAX at the most.

    BrokerError (retriable) where no broker answers; `state` is how the last call ended.
    """

    def __init__(
        self, client_options: Mapping[str, Any], topics: Iterable[str], *, now_us: Callable[[], int]
    ) -> None:
        """`client_options`: keyword arguments of aiokafka's client."""
        self.state: Literal["up", "down"] = "down"
        self.reason = "not asked yet"
        self.since_us = now_us()
        """When `state` became what it is, µs since 1970."""
        self.topics: dict[str, Topic] = {}
        self._names = sorted(topics)
        self._options = {"request_timeout_ms": int(ANSWER_SECONDS_MAX * 1000), **client_options}
        self._now_us = now_us
        self._client: AIOKafkaClient | None = None
        self._opening = asyncio.Lock()
        self._failures = 0

    async def refresh(self) -> dict[str, Topic]:
        """The topics that exist, of those that were named at the start; also kept in `topics`."""
        answer = await self.ask(None, _Metadata(self._names))
        self.topics = {told[1]: _topic(told) for told in answer.topics if told[0] == 0}
        return self.topics

    async def topic_id(self, topic: str) -> str | None:
        """The id that the topic has now; None: there is no such topic."""
        found = (await self.refresh()).get(topic)
        return found.id if found else None

    async def ask(self, node: int | None, request: Request[Any], group: object = 0) -> Any:
        """Send a request to a broker (None: any); requests of one `group` have a connection of their own."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX + 1):
                client = await self._open()
                chosen = client.get_random_node() if node is None else node
                answer = await client.send(chosen, request, group=group)
        except (KafkaError, OSError, TimeoutError) as error:
            await self._failed(error)
            told = f"no answer from Kafka: {self.reason}"
            raise BrokerError("kafka_unavailable", told, retriable=True) from error
        if self.state == "down":
            log.info("kafka_answered")
            self.state, self.since_us = "up", self._now_us()
        self.reason, self._failures = "", 0
        return answer

    async def close(self) -> None:
        """Give back the connections."""
        client, self._client = self._client, None
        if client is None:
            return
        try:
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await client.close()
        except TimeoutError:
            log.warning("kafka_connections_left", seconds=CLOSE_SECONDS_MAX)

    async def _open(self) -> AIOKafkaClient:
        async with self._opening:
            if self._client is None:
                client = AIOKafkaClient(**self._options)
                await client.bootstrap()
                self._client = client
            return self._client

    async def _failed(self, error: Exception) -> None:
        told = str(error) or type(error).__name__
        if "Unable to bootstrap" in told:  # what follows in it is Python's, and says no more
            servers = self._options["bootstrap_servers"]
            told = f"no broker at {servers if isinstance(servers, str) else ', '.join(servers)} can be used"
        if self.state == "up":
            log.warning("kafka_lost", reason=told)
            self.state, self.since_us = "down", self._now_us()
        self.reason = told
        self._failures += 1
        if self._failures >= FAILURES_MAX:
            self._failures = 0
            await self.close()


def _topic(told: tuple[Any, ...]) -> Topic:
    _, name, topic_id, _, partitions, _, _ = told
    leaders = {number: leader if error == 0 else NO_LEADER for error, number, leader, *_ in partitions}
    return Topic(name, urlsafe_b64encode(topic_id).decode().rstrip("="), leaders)
