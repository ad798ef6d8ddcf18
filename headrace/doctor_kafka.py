"""Doctor's look at Kafka: takes settings, gives checks of reach, topics, rights and clock. Changes nothing.

Rights come from Metadata v12 with the topic's authorized operations (KIP-430): a bit for each code of Kafka's
AclOperation. Where no authorizer is set, every bit is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from time import monotonic, time, time_ns
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.protocol.api import Request

from headrace.checkup import Check
from headrace.errors import HeadraceError
from headrace.kafka_client import AWAY_ADVICE, client_options
from headrace.kafka_reader import reader, spans, topics_of
from headrace.settings import KafkaSettings
from ingest.topics import inspect
from sink.errors import BrokerError
from sink.kafka_log import UUID_BYTES, KafkaLog, MetadataQuestion, Topic

OPERATIONS_UNKNOWN: Final = -(1 << 31)
RIGHTS: Final = {"Read": 3, "Write": 4, "Describe": 8}  # AclOperation codes that the two programs need
RECORD_SECONDS_MAX: Final = 3.0
SKEW_SECONDS_MAX: Final = 2.0
CONFIG_COMMAND: Final = (
    "kafka-configs.sh --bootstrap-server {servers} --alter --topic {topic} --add-config {config}"
)
CONFIGS: Final = {  # by code of ingest.topics
    "compacted": "cleanup.policy=delete",
    "create_time": "message.timestamp.type=LogAppendTime",
    "recompressed": "compression.type=producer",
    "insync_low": "min.insync.replicas=2",
    "unclean_election": "unclean.leader.election.enable=false",
    "message_bytes_low": "max.message.bytes=4456448",
}
ADVICE: Final = {
    "one_copy": "for events that must outlive a disk: three brokers, and a topic with replication 3",
    "config_unreadable": "allow this user DescribeConfigs on the topic",
    "topic_missing": "nothing: the collector creates it when it starts",
}


class _Rights(Request[MetadataQuestion]):  # type: ignore[misc]
    """Metadata of topics with what this user may do to each."""

    API_KEY = 3

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics: list[tuple[bytes, str, dict[int, bytes]]] = [
            (bytes(UUID_BYTES), topic, {}) for topic in topics
        ]

    def build(self, request_struct_class: type[MetadataQuestion]) -> MetadataQuestion:
        return request_struct_class(self._topics, False, True, {})


async def check_kafka(kafka: KafkaSettings, topics: Sequence[str]) -> AsyncIterator[Check]:
    """All checks of Kafka, in order; what can't be asked ends them. Suspends."""
    servers = kafka.bootstrap_servers
    try:
        options = client_options(kafka)
        began = monotonic()
        known = await topics_of(options, topics)
        took_ms = (monotonic() - began) * 1000
        yield Check("kafka", "ok", f"{servers} answers ({took_ms:.0f} ms, {kafka.security_protocol})")
        for check in await _topic_checks(options, topics, servers):
            yield check
        yield await _rights_check(options, known)
        yield await _clock_check(options, known)
    except HeadraceError as error:
        yield Check("kafka", "wrong", str(error), AWAY_ADVICE)


async def _topic_checks(options: Mapping[str, Any], topics: Sequence[str], servers: str) -> list[Check]:
    try:
        findings = await inspect(options, topics)
    except (KafkaError, OSError, TimeoutError) as error:
        told = f"the topics' settings can't be read: {error or type(error).__name__}"
        return [Check("kafka", "wrong", told, "allow this user Describe and DescribeConfigs")]
    checks = []
    for topic, code, text, severity in findings:
        todo = ADVICE.get(code, "")
        if code in CONFIGS:
            todo = CONFIG_COMMAND.format(servers=servers, topic=topic, config=CONFIGS[code])
        bad = severity == "error" and code != "topic_missing"
        checks.append(Check("kafka", "wrong" if bad else "note", f"{topic}: {text}", todo))
    good = [topic for topic in topics if topic not in {finding.topic for finding in findings}]
    if good:
        checks.insert(0, Check("kafka", "ok", f"{', '.join(good)}: set up as the guarantees need"))
    return checks


async def _rights_check(options: Mapping[str, Any], topics: Mapping[str, Topic]) -> Check:
    """What this user may do to the topics that exist."""
    log = KafkaLog(options, topics, now_us=lambda: time_ns() // 1000)
    try:
        answer = await log.ask(None, _Rights(list(topics)))
    except BrokerError as error:
        return Check("kafka", "note", f"rights can't be read: {error}")
    finally:
        await log.close()
    return judge_rights({told[1]: told[5] for told in answer.topics})


def judge_rights(operations: Mapping[str, int]) -> Check:
    """The check of the rights; `operations`: bits by topic."""
    lacking = []
    for topic, bits in operations.items():
        missing = [name for name, code in RIGHTS.items() if not bits >> code & 1]
        if bits != OPERATIONS_UNKNOWN and missing:
            lacking.append(f"{' and '.join(missing)} on {topic}")
    if not lacking:
        return Check("kafka", "ok", "this user may read and write the topics")
    todo = (
        "collectors need Write and Describe, sinks Read and Describe: kafka-acls.sh --add --allow-principal …"
    )
    return Check("kafka", "wrong", f"this user lacks {', '.join(lacking)}", todo)


async def _clock_check(options: Mapping[str, Any], topics: Mapping[str, Topic]) -> Check:
    """The append time of the newest record against the clock of this machine."""
    async with reader(options) as consumer:
        held = await spans(consumer, topics)
        places = {
            TopicPartition(topic, number): end - 1
            for topic, numbers in held.items()
            for number, (first, end) in numbers.items()
            if end > first
        }
        newest_ms = await _newest_ms(consumer, places) if places else 0
    return judge_clock(newest_ms / 1000, time())


async def _newest_ms(consumer: AIOKafkaConsumer, places: Mapping[TopicPartition, int]) -> int:
    consumer.assign(list(places))
    for place, offset in places.items():
        consumer.seek(place, offset)
    newest, waited_for = 0, set(places)
    deadline = asyncio.get_running_loop().time() + RECORD_SECONDS_MAX
    while waited_for and asyncio.get_running_loop().time() < deadline:
        found = await consumer.getmany(timeout_ms=500)
        newest = max([newest, *(one.timestamp for some in found.values() for one in some)])
        waited_for -= set(found)
    return newest


def judge_clock(newest: float, now: float) -> Check:
    """The check of the clocks, seconds since 1970; 0: there is no record to compare with."""
    ahead = newest - now
    if not newest:
        return Check("clock", "note", "no record in Kafka yet, so its clock can't be compared with this one")
    if ahead > SKEW_SECONDS_MAX:
        told = f"Kafka's newest record is {ahead:.1f} s in the future: one of the clocks is wrong"
        return Check(
            "clock", "wrong", told, "keep the clocks of all machines with NTP (chrony, systemd-timesyncd)"
        )
    told = f"no record of Kafka is newer than this machine's clock (the newest is {-ahead:.0f} s old)"
    return Check("clock", "ok", told)
