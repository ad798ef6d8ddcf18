"""Kafka is killed, hangs or is away while events are produced: every answer is honest and comes in time."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from kafka_stand import KafkaStand, records, topic_made
from produce_stand import Producing, failure, producing

from ingest.aiokafka_producer import CLOSE_SECONDS_MAX
from ingest.errors import ProduceError
from ingest.probe import SILENCE_SECONDS_MAX
from ingest.produce import PROBE_SECONDS, SETTLE_SECONDS_MAX

MIB = 1024 * 1024
PARTITIONS = 4
SENDERS = 20
SLACK_SECONDS = 1.5  # for a busy machine


@pytest.fixture(scope="module")
def stand(kafka_jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaStand]:
    """A broker of this module's own, to be killed."""
    stand = KafkaStand(tmp_path_factory.mktemp("killed") / "kafka")
    try:
        yield stand.start()
    finally:
        stand.stop()


@pytest.fixture
def own_kafka(stand: KafkaStand) -> KafkaStand:
    """The broker, running and answering whatever the last test did to it."""
    return stand.revive()


@dataclass
class Load:
    """Many clients that post one numbered record after the other, and what each was told."""

    it: Producing
    topic: str
    told: dict[bytes, str] = field(default_factory=dict)
    slowest_seconds: float = 0.0
    stopping: bool = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(SENDERS):
                tasks.create_task(self._client(number))

    async def _client(self, name: int) -> None:
        number = 0
        while not self.stopping:
            value = b"%d.%d" % (name, number)
            number += 1
            started = time.monotonic()
            try:
                await self.it.post(self.topic, (number % PARTITIONS, None, value))
                self.told[value] = "in the log"
            except ProduceError as error:
                self.told[value] = error.code
                if error.code == "kafka_down":
                    await asyncio.sleep(0.05)  # a client backs off
            self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - started)

    def in_the_log(self) -> set[bytes]:
        return {value for value, told in self.told.items() if told == "in the log"}

    async def until_more_are_in_the_log(self, more: int, seconds: float = 30.0) -> None:
        aim = len(self.in_the_log()) + more
        async with asyncio.timeout(seconds):
            while len(self.in_the_log()) < aim:
                await asyncio.sleep(0.02)


def assert_honest(bootstrap_servers: str, topic: str, told: dict[bytes, str]) -> None:
    """What was said to be in the log is there exactly once; nothing is there twice or from nowhere."""
    found = Counter(message.value() for message in records(bootstrap_servers, topic))
    assert {value for value, what in told.items() if what == "in the log"} <= found.keys()
    assert not [value for value, count in found.items() if count > 1]
    assert found.keys() <= told.keys()
    nothing_went_out = {value for value, what in told.items() if what in ("kafka_down", "produce_timeout")}
    assert not nothing_went_out & found.keys()


@pytest.mark.parametrize("timeout_seconds", [2.0, 30.0])
def test_g2_what_was_answered_survives_a_killed_broker_and_is_there_once(
    own_kafka: KafkaStand, timeout_seconds: float
) -> None:
    topic = topic_made(own_kafka.bootstrap_servers, PARTITIONS)
    told: dict[bytes, str] = {}

    async def scenario() -> None:
        async with producing(
            own_kafka.bootstrap_servers, {topic: MIB}, timeout_seconds=timeout_seconds
        ) as it:
            load = Load(it, topic, told)
            running = asyncio.create_task(load.run())
            await load.until_more_are_in_the_log(2_000)
            own_kafka.signal(signal.SIGSTOP)
            await asyncio.sleep(0)  # what came before is answered
            while not it.producer._sent_at:
                await asyncio.sleep(0)  # a round is out that nobody will ever read
            own_kafka.kill()
            await it.until("down")
            own_kafka.start(wait=False)
            await it.until("up")
            await load.until_more_are_in_the_log(2_000)
            load.stopping = True
            await running
            assert load.slowest_seconds < timeout_seconds + SLACK_SECONDS
            assert set(told.values()) > {"in the log"}, "nobody noticed that Kafka was away"

    asyncio.run(scenario())
    assert_honest(own_kafka.bootstrap_servers, topic, told)
    if timeout_seconds > 20:
        assert "outcome_unknown" not in told.values(), "there was time to ask the broker again"


def test_g8_while_the_broker_hangs_every_answer_is_in_time_and_it_goes_on_afterwards(
    own_kafka: KafkaStand,
) -> None:
    topic = topic_made(own_kafka.bootstrap_servers, PARTITIONS)
    timeout_seconds, told = 4.0, {}

    async def scenario() -> None:
        async with producing(
            own_kafka.bootstrap_servers, {topic: MIB}, timeout_seconds=timeout_seconds
        ) as it:
            load = Load(it, topic, told)
            running = asyncio.create_task(load.run())
            await load.until_more_are_in_the_log(1_000)
            own_kafka.signal(signal.SIGSTOP)
            await it.until("down", PROBE_SECONDS + SILENCE_SECONDS_MAX + SLACK_SECONDS)
            await asyncio.sleep(timeout_seconds + SETTLE_SECONDS_MAX)  # style: longer than every deadline
            assert it.producer.kafka.state == "down"
            own_kafka.signal(signal.SIGCONT)
            await it.until("up")
            await load.until_more_are_in_the_log(1_000)
            load.stopping = True
            await running
            assert load.slowest_seconds < timeout_seconds + SLACK_SECONDS

    asyncio.run(scenario())
    assert_honest(own_kafka.bootstrap_servers, topic, told)


@pytest.mark.parametrize("fault", [signal.SIGSTOP, signal.SIGKILL])
def test_stopping_never_hangs_on_a_broker_that_does_not_answer(own_kafka: KafkaStand, fault: int) -> None:
    topic = topic_made(own_kafka.bootstrap_servers, PARTITIONS)

    async def scenario() -> None:
        async with producing(own_kafka.bootstrap_servers, {topic: MIB}) as it:
            await it.post(topic, (0, None, b"before"))
            own_kafka.signal(fault)
            out = it.post(topic, *[(partition, None, b"out") for partition in range(PARTITIONS)])
            await asyncio.sleep(0.3)  # style: the request is on its way
            behind = it.post(topic, (0, None, b"behind"))
            started = time.monotonic()
            assert await it.rounds.flush(1.0) == PARTITIONS + 1
            assert time.monotonic() - started < 1.0 + SLACK_SECONDS
        assert time.monotonic() - started < 1.0 + 2 * CLOSE_SECONDS_MAX + SLACK_SECONDS
        assert (await failure(out)).code == "outcome_unknown"
        assert (await failure(behind)).code == "outcome_unknown"

    asyncio.run(scenario())


def test_a_producer_connects_as_soon_as_there_is_a_broker(own_kafka: KafkaStand) -> None:
    topic = topic_made(own_kafka.bootstrap_servers)
    own_kafka.stop()

    async def scenario() -> None:
        own_kafka.start(wait=False)
        async with producing(own_kafka.bootstrap_servers, {topic: MIB}) as it:
            await it.post(topic, (0, None, b"late"))

    asyncio.run(scenario())
    assert [message.value() for message in records(own_kafka.bootstrap_servers, topic)] == [b"late"]
