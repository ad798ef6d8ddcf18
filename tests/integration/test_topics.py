"""Topics on a real broker: created as the guarantees need them, read back, refused where they lose events."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource
from kafka_stand import topic_made
from produce_stand import MIB, failure, producing

from ingest import topics
from ingest.errors import ProduceError
from ingest.settings import TopicSettings

BATCH_BYTES_MAX = MIB


def ensured(kafka: str, **settings: TopicSettings) -> dict[str, topics.TopicState]:
    return asyncio.run(topics.ensure({"bootstrap_servers": kafka}, settings, batch_bytes_max=BATCH_BYTES_MAX))


def new_name() -> str:
    return f"t-{uuid.uuid4().hex[:12]}"


def codes(states: dict[str, topics.TopicState], name: str) -> dict[str, str]:
    return {finding.code: finding.severity for finding in topics.judge(states, [name])}


def changed(kafka: str, topic: str, key: str, value: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka})
    entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result(20)


def test_a_missing_topic_is_created_as_the_guarantees_need_it(kafka: str) -> None:
    name = new_name()
    state = ensured(kafka, **{name: TopicSettings(partitions=5, retention_hours=3)})[name]
    assert (state.partitions, state.copies, state.brokers) == (5, 1, 1)
    wanted = {
        "message.timestamp.type": "LogAppendTime",
        "compression.type": "producer",
        "cleanup.policy": "delete",
        "retention.ms": str(3 * 3_600_000),
        "min.insync.replicas": "1",
        "max.message.bytes": str(topics.message_bytes_max(BATCH_BYTES_MAX)),
    }
    assert {key: state.config[key] for key in wanted} == wanted
    assert codes({name: state}, name) == {"one_copy": "warning"}
    assert topics.usable({name: state}) == {name: topics.message_bytes_max(BATCH_BYTES_MAX)}


def test_a_topic_that_exists_is_taken_as_it_is_and_never_changed(kafka: str) -> None:
    name = topic_made(kafka, 2, retention_ms="1234567", message_timestamp_type="CreateTime")
    state = ensured(kafka, **{name: TopicSettings(partitions=8)})[name]
    assert (state.partitions, state.config["retention.ms"]) == (2, "1234567")
    assert codes({name: state}, name)["create_time"] == "warning"


def test_two_workers_that_create_the_same_topic_both_have_it(kafka: str) -> None:
    name = new_name()

    async def both() -> list[Any]:
        settings = {name: TopicSettings()}
        options = {"bootstrap_servers": kafka}
        return await asyncio.gather(
            *[topics.ensure(options, settings, batch_bytes_max=BATCH_BYTES_MAX) for _ in range(4)]
        )

    for states in asyncio.run(both()):
        assert states[name].partitions == 8


def test_a_topic_that_cannot_be_created_is_named_and_the_others_are_there(kafka: str) -> None:
    good, bad = new_name(), new_name()
    states = ensured(kafka, **{good: TopicSettings(), bad: TopicSettings(replication=3)})
    assert set(states) == {good}
    assert [(found.topic, found.code, found.severity) for found in topics.judge(states, [bad])] == [
        (bad, "topic_missing", "error")
    ]


@pytest.mark.parametrize("policy", ["compact", "compact,delete"])
def test_a_compacted_topic_is_refused(kafka: str, policy: str) -> None:
    name = topic_made(kafka, 1, cleanup_policy=policy)
    states = ensured(kafka, **{name: TopicSettings()})
    assert codes(states, name)["compacted"] == "error"
    assert topics.usable(states) == {}


def test_what_loses_events_or_trust_is_warned_of(kafka: str) -> None:
    name = topic_made(kafka, 1, message_timestamp_type="LogAppendTime", compression_type="producer")
    assert set(codes(ensured(kafka, **{name: TopicSettings()}), name)) == {"one_copy", "message_bytes_low"}
    changed(kafka, name, "message.timestamp.type", "CreateTime")
    changed(kafka, name, "compression.type", "gzip")
    changed(kafka, name, "max.message.bytes", str(topics.EVENT_BYTES_MAX))
    found = asyncio.run(topics.inspect({"bootstrap_servers": kafka}, [name, "no-such-topic"]))
    assert {(each.topic, each.code) for each in found} == {
        (name, "create_time"),
        (name, "recompressed"),
        (name, "one_copy"),
        ("no-such-topic", "topic_missing"),
    }


def test_a_topic_that_becomes_compacted_or_returns_is_seen_by_the_next_look(kafka: str) -> None:
    name = new_name()

    async def prepare() -> dict[str, int]:
        settings = {name: TopicSettings(partitions=1)}
        options = {"bootstrap_servers": kafka}
        return topics.usable(await topics.ensure(options, settings, batch_bytes_max=BATCH_BYTES_MAX))

    async def scenario() -> None:
        async with producing(kafka, prepare) as it:
            await it.post(name, (0, None, b"a"))
            await asyncio.to_thread(changed, kafka, name, "cleanup.policy", "compact")
            await it.producer.refresh()
            with pytest.raises(ProduceError) as caught:
                it.post(name, (0, None, b"b"))
            assert caught.value.code == "topic_unusable"
            await asyncio.to_thread(changed, kafka, name, "cleanup.policy", "delete")
            await it.producer.refresh()
            await it.post(name, (0, None, b"c"))

    asyncio.run(scenario())


def test_kafka_that_is_away_is_an_error_and_not_an_empty_answer() -> None:
    with pytest.raises((OSError, KafkaError, TimeoutError)):
        asyncio.run(topics.read({"bootstrap_servers": "127.0.0.1:1"}, ["events"]))


def test_a_deleted_topic_is_refused_until_it_is_made_again(kafka: str) -> None:
    name = new_name()

    async def prepare() -> dict[str, int]:
        settings = {name: TopicSettings(partitions=1)}
        options = {"bootstrap_servers": kafka}
        return topics.usable(await topics.ensure(options, settings, batch_bytes_max=BATCH_BYTES_MAX))

    async def scenario() -> None:
        async with producing(kafka, prepare, timeout_seconds=3) as it:
            await it.post(name, (0, None, b"a"))
            admin = AdminClient({"bootstrap.servers": kafka})
            await asyncio.to_thread(lambda: admin.delete_topics([name])[name].result(20))
            error = await failure(it.post(name, (0, None, b"lost")))
            assert error.retriable
            async with asyncio.timeout(20):
                while True:
                    try:
                        await it.producer.refresh()
                        await it.post(name, (0, None, b"b"))
                        return
                    except ProduceError:
                        await asyncio.sleep(0.1)

    asyncio.run(scenario())
