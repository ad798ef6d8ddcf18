"""Before produce: the topics exist as guarantees G1 to G3 need them, and what differs is named.

Takes topic settings and aiokafka client options, gives the state of each topic and findings about it.
Append time, because with create time a late replay is deleted by retention unread, a clock that is an
hour fast is refused by the broker, and one fast clock would seal everybody's hour; `delete`, as
compaction loses events. Sources: Kafka's topic configuration reference; KIP-4 (CreateTopics,
DescribeConfigs).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, NamedTuple

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

from ingest.settings import KIB, MIB, TopicSettings

EVENT_BYTES_MAX: Final = 4 * MIB  # upper bound of limits.event_bytes_max
RECORD_OVERHEAD_BYTES_MAX: Final = 256 * KIB  # headers (14 of at most 4 KiB, shared context) and batch header
REPLICATION: Final = 3
UNKNOWN_TOPIC: Final = 3  # error codes of the Kafka protocol guide
TOPIC_ALREADY_EXISTS: Final = 36
HOUR_MS: Final = 3_600_000
REQUEST_SECONDS_MAX: Final = 10.0
APPEAR_SECONDS_MAX: Final = 5.0  # from a topic's creation until each broker knows it
APPEAR_POLL_SECONDS: Final = 0.05

log = structlog.get_logger()


class Finding(NamedTuple):
    """Something about a topic that a person should know. `error`: the collector doesn't produce to it."""

    topic: str
    code: str
    text: str
    severity: Literal["error", "warning"]


class TopicState(NamedTuple):
    """A topic as Kafka has it; `config` is empty when it may not be read."""

    name: str
    partitions: int
    copies: int
    brokers: int
    config: Mapping[str, str]

    @property
    def message_bytes_max(self) -> int:
        """Bytes of the largest record batch, as sealed, that the topic takes."""
        return int(self.config.get("max.message.bytes", MIB))


def message_bytes_max(batch_bytes_max: int) -> int:
    """max.message.bytes of a topic: a full record batch passes, or the largest event with all its headers."""
    return max(batch_bytes_max, EVENT_BYTES_MAX) + RECORD_OVERHEAD_BYTES_MAX


async def ensure(
    client_options: Mapping[str, Any], topics: Mapping[str, TopicSettings], *, batch_bytes_max: int
) -> dict[str, TopicState]:
    """Create the topics that are missing; existing ones are never changed. Returns those that exist.

    A topic that can't be created is logged and left out. Raises KafkaError, OSError or TimeoutError when
    Kafka does not answer.
    """
    async with _admin(client_options) as admin:
        existing = set(await admin.list_topics())
        brokers = len((await admin.describe_cluster())["brokers"])
        size_max = message_bytes_max(batch_bytes_max)
        missing = [
            _new_topic(name, settings, brokers, size_max)
            for name, settings in topics.items()
            if name not in existing
        ]
        if missing:
            existing |= await _create(admin, missing)
        return await _describe(admin, [name for name in topics if name in existing])


async def read(client_options: Mapping[str, Any], names: Iterable[str]) -> dict[str, TopicState]:
    """The state of those of the topics that exist. Raises KafkaError, OSError or TimeoutError."""
    async with _admin(client_options) as admin:
        existing = set(await admin.list_topics())
        return await _describe(admin, [name for name in names if name in existing])


async def inspect(client_options: Mapping[str, Any], names: Iterable[str]) -> list[Finding]:
    """What differs from what the guarantees need. Raises KafkaError, OSError or TimeoutError."""
    asked = list(names)
    states = await read(client_options, asked)
    return judge(states, asked)


def judge(states: Mapping[str, TopicState], names: Iterable[str]) -> list[Finding]:
    """Findings about the topics `names`; one that has no state does not exist."""
    findings: list[Finding] = []
    for name in names:
        if name in states:
            findings += _findings(states[name])
        else:
            findings.append(Finding(name, "topic_missing", "the topic does not exist", "error"))
    return findings


def usable(states: Mapping[str, TopicState]) -> dict[str, int]:
    """Topics that may be produced to, with the bytes of their largest record batch."""
    refused = {finding.topic for finding in judge(states, states) if finding.severity == "error"}
    return {name: state.message_bytes_max for name, state in states.items() if name not in refused}


def _findings(state: TopicState) -> list[Finding]:
    def found(code: str, text: str, severity: Literal["error", "warning"] = "warning") -> Finding:
        return Finding(state.name, code, text, severity)

    findings: list[Finding] = []
    config = state.config
    if "compact" in config.get("cleanup.policy", "delete"):
        text = f"cleanup.policy is {config['cleanup.policy']}, must be delete: compaction loses events"
        findings.append(found("compacted", text, "error"))
    if not config:
        return [found("config_unreadable", "its configuration may not be read (DescribeConfigs refused)")]
    if config.get("message.timestamp.type") != "LogAppendTime":
        text = "message.timestamp.type is not LogAppendTime: retention may delete unread; hours stay open"
        findings.append(found("create_time", text))
    if config.get("compression.type") != "producer":
        text = (
            f"compression.type is {config.get('compression.type')}, not producer: the broker compresses again"
        )
        findings.append(found("recompressed", text))
    if state.copies == 1:
        findings.append(found("one_copy", "only one copy is kept: the loss of a broker's disk loses events"))
    elif int(config.get("min.insync.replicas", 1)) < 2:
        text = f"min.insync.replicas is 1 of {state.copies} copies: an answer may stand for one copy only"
        findings.append(found("insync_low", text))
    if state.copies > 1 and config.get("unclean.leader.election.enable") == "true":
        text = "unclean.leader.election.enable is true: a broker that is behind may become leader"
        findings.append(found("unclean_election", text))
    if state.message_bytes_max < EVENT_BYTES_MAX:
        text = (
            f"max.message.bytes is {state.message_bytes_max}: events up to {EVENT_BYTES_MAX} bytes don't pass"
        )
        findings.append(found("message_bytes_low", text))
    return findings


def _new_topic(name: str, settings: TopicSettings, brokers: int, size_max: int) -> NewTopic:
    copies = settings.replication or max(1, min(REPLICATION, brokers))
    insync = settings.min_insync_replicas or max(1, copies - 1)
    config = {
        "message.timestamp.type": "LogAppendTime",
        "compression.type": "producer",
        "cleanup.policy": "delete",
        "retention.ms": str(settings.retention_hours * HOUR_MS),
        "max.message.bytes": str(size_max),
        "min.insync.replicas": str(insync),
    }
    if brokers >= REPLICATION:
        config["unclean.leader.election.enable"] = "false"
    return NewTopic(name, settings.partitions, copies, topic_configs=config)


async def _create(admin: AIOKafkaAdminClient, topics: list[NewTopic]) -> set[str]:
    """The names that exist afterwards; another worker may have been first."""
    response = await admin.create_topics(topics)
    created: set[str] = set()
    for name, code, text in response.topic_errors:
        if code in (0, TOPIC_ALREADY_EXISTS):
            created.add(name)
            log.info("topic_created", topic=name, by_another=code != 0)
        else:
            log.error("topic_not_created", topic=name, error=for_code(code).__name__, text=text)
    return created


async def _describe(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, TopicState]:
    """States of the topics; a new one is asked for until the broker that answers knows it too."""
    deadline = asyncio.get_running_loop().time() + APPEAR_SECONDS_MAX
    states: dict[str, TopicState] = {}
    while names:
        states |= await _described(admin, names)
        names = [name for name in names if name not in states]
        if names and asyncio.get_running_loop().time() > deadline:
            log.warning("topics_not_described", topics=names, after_seconds=APPEAR_SECONDS_MAX)
            break
        if names:
            await asyncio.sleep(APPEAR_POLL_SECONDS)
    return states


async def _described(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, TopicState]:
    """States of those of the topics that the broker knows by now, in layout and in configuration."""
    brokers = len((await admin.describe_cluster())["brokers"])
    layout = {topic["topic"]: topic["partitions"] for topic in await admin.describe_topics(names)}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    config: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(resources):
        for code, _, _, name, entries in response.resources:
            if code != UNKNOWN_TOPIC:
                config[name] = {entry[0]: entry[1] for entry in entries} if code == 0 else {}
    states: dict[str, TopicState] = {}
    for name in names:
        if (partitions := layout.get(name)) and name in config:
            copies = min(len(partition["replicas"]) for partition in partitions)
            states[name] = TopicState(name, len(partitions), copies, brokers, config[name])
    return states


@asynccontextmanager
async def _admin(client_options: Mapping[str, Any]) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**client_options, request_timeout_ms=int(REQUEST_SECONDS_MAX * 1000))
    try:
        async with asyncio.timeout(REQUEST_SECONDS_MAX):
            await admin.start()
            yield admin
    finally:
        async with asyncio.timeout(REQUEST_SECONDS_MAX):
            await admin.close()
