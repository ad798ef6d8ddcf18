"""What the sink asks of Kafka, on a real broker: metadata, offsets, epochs, fetches; logs that are cut."""

from __future__ import annotations

import asyncio
import signal
import struct
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from kafka_stand import KafkaStand
from sink_stand import (
    SinkProcess,
    Writer,
    delete_topic,
    land_settings,
    landed,
    make_topic,
    prove,
    query,
    sinks,
    until,
)

from sink.errors import BrokerError
from sink.fetch import Fetched, Fetcher
from sink.kafka_log import KafkaLog
from sink.membership import Membership
from sink.topic_log import TopicLog


def clock_us() -> int:
    return time.time_ns() // 1000


@pytest.fixture
def topic() -> str:
    return f"t-{uuid.uuid4().hex[:12]}"


@asynccontextmanager
async def log_of(kafka: str, *topics: str) -> AsyncIterator[KafkaLog]:
    log = KafkaLog({"bootstrap_servers": kafka}, topics, now_us=clock_us)
    try:
        yield log
    finally:
        await log.close()


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await story()

    asyncio.run(bounded())


def base_offsets(batches: bytes) -> list[int]:
    found, at = [], 0
    while at + 12 <= len(batches):
        base, length = struct.unpack_from(">qi", batches, at)
        found.append(base)
        at += 12 + length
    return found


def test_a_topic_is_not_made_by_asking_and_one_made_anew_has_another_id(kafka: str, topic: str) -> None:
    async def story() -> None:
        async with log_of(kafka, topic) as log:
            for _ in range(3):
                assert await log.topic_id(topic) is None
            assert log.state == "up"
            await asyncio.to_thread(make_topic, kafka, topic, 3)
            first = await log.topic_id(topic)
            assert first is not None
            assert len(first) == 22
            assert log.topics[topic].lane_partitions(1, 2) == [1]
            await asyncio.to_thread(delete_topic, kafka, topic)
            await asyncio.to_thread(make_topic, kafka, topic, 3)
            assert await log.topic_id(topic) not in (None, first)

    run(story)


def test_a_member_of_the_group_does_not_bring_a_deleted_topic_back(kafka: str, topic: str) -> None:
    async def flush() -> None:
        return

    async def story() -> None:
        lanes: list[Any] = []
        options = {"bootstrap_servers": kafka}
        member = Membership(options, topic, {topic: 1}, given=lanes.append, flush=flush)
        running = asyncio.create_task(member.run())
        await asyncio.to_thread(make_topic, kafka, topic, 1)
        member.subscribe([topic])
        while not lanes:
            await asyncio.sleep(0.05)
        assert lanes == [{(topic, 0)}]
        await asyncio.to_thread(delete_topic, kafka, topic)
        while lanes[-1]:
            await asyncio.sleep(0.05)
        admin = AdminClient({"bootstrap.servers": kafka})
        assert topic not in admin.list_topics(timeout=10).topics
        running.cancel()
        await asyncio.wait([running])

    run(story)


def test_a_kafka_that_does_not_answer_is_told_and_can_be_tried_again(topic: str) -> None:
    async def story() -> None:
        async with log_of("127.0.0.1:9", topic) as log:
            with pytest.raises(BrokerError, match="no answer from Kafka") as caught:
                await log.refresh()
            assert caught.value.retriable
            assert (log.state, log.topics) == ("down", {})

    run(story)


def test_offsets_epochs_and_batches_are_what_the_log_holds(kafka: str, topic: str) -> None:
    async def story() -> None:
        make_topic(kafka, topic, 2)
        writer = Writer(kafka, topic, 1, **{"linger.ms": 0})
        for _ in range(3):
            writer.write(10)
            writer.flush()
        async with log_of(kafka, topic) as log:
            await log.refresh()
            source = TopicLog(log, topic)
            assert source.lane_partitions(0, 1) == [0, 1]
            assert await source.first_offsets([0, 1]) == {0: 0, 1: 0}
            assert await source.end_offsets([0, 1]) == {0: 30, 1: 0}
            base, epoch = await source.batch_at(0, 29) or (-1, -1)
            assert 0 < base <= 29
            assert await source.epoch_ends({0: epoch, 1: 0}) == {0: (epoch, 30), 1: (0, 0)}
            assert await source.epoch_ends({0: epoch + 5}) == {0: (-1, -1)}, "of an epoch to come"
            assert await source.batch_at(0, 30) is None
            assert await source.batch_at(0, 31) is None
            admin = AdminClient({"bootstrap.servers": kafka})
            place = TopicPartition(topic, 0, 20)
            admin.delete_records([place])[place].result(10)
            assert await source.first_offsets([0]) == {0: 20}
            assert await source.batch_at(0, 5) is None

    run(story)


def test_fetches_give_committed_batches_from_the_offset_on_of_all_kafka_partitions(
    kafka: str, topic: str
) -> None:
    async def story() -> None:
        make_topic(kafka, topic, 2)
        writer = Writer(kafka, topic, 2, **{"linger.ms": 0})
        for _ in range(4):
            writer.write(200, b'"%s"' % (b"x" * 500))
            writer.flush()
        async with log_of(kafka, topic) as log:
            await log.refresh()
            fetcher = Fetcher(log, topic, 0, bytes_max=20_000)
            offsets = {0: 0, 1: 0}
            seen: dict[int, list[int]] = {0: [], 1: []}
            first: list[int] = []
            while any(offset < 400 for offset in offsets.values()):
                for fetched in await fetcher.next(offsets):
                    assert fetched.offset == offsets[fetched.partition]
                    assert fetched.stable_offset == 400
                    bases = base_offsets(fetched.batches)
                    if not bases:
                        continue
                    first.append(fetched.partition)
                    seen[fetched.partition] += bases
                    offsets[fetched.partition] = bases[-1] + _count(fetched)
            assert seen[0] == sorted(set(seen[0]))
            assert first.index(1) < 4, "one that has much does not keep the other waiting"
            begun = time.monotonic()
            assert not any(one.batches for one in await fetcher.next(offsets))
            assert 0.1 < time.monotonic() - begun < 5, "nothing comes: a long poll"
            with pytest.raises(BrokerError, match="out of range") as caught:
                await fetcher.next({0: 401})
            assert caught.value.code == "out_of_range"
            fetcher.close()

    run(story)


def _count(fetched: Fetched) -> int:
    """Records of the last batch."""
    at = fetched.batches.rfind(struct.pack(">q", base_offsets(fetched.batches)[-1]))
    return int(struct.unpack_from(">i", fetched.batches, at + 57)[0])


def test_fetches_tell_where_aborted_transactions_begin(kafka: str, topic: str) -> None:
    async def story() -> None:
        make_topic(kafka, topic, 1)
        writer = Writer(kafka, topic, 1, **{"transactional.id": topic, "linger.ms": 0})
        writer.producer.init_transactions()
        writer.producer.begin_transaction()
        writer.write(3)
        writer.flush()
        writer.producer.abort_transaction()
        writer.producer.begin_transaction()
        writer.write(2)
        writer.flush()
        async with log_of(kafka, topic) as log:
            await log.refresh()
            fetcher = Fetcher(log, topic, 0, bytes_max=1 << 20)
            (fetched,) = await fetcher.next({0: 0})
            assert fetched.stable_offset == 4, "an open transaction can't be read"
            assert [offset for _, offset in fetched.aborted] == [0]
            assert max(base_offsets(fetched.batches)) == 3
            writer.producer.commit_transaction()
            fetcher.close()

    run(story)


def test_a_lane_of_a_topic_without_leaders_waits_for_one(kafka: str, topic: str) -> None:
    async def story() -> None:
        async with log_of(kafka, topic) as log:
            await log.refresh()
            fetcher = Fetcher(log, topic, 0, bytes_max=1 << 20)
            with pytest.raises(BrokerError, match="have no leader") as caught:
                await fetcher.next({0: 0})
            assert caught.value.retriable

    run(story)


class OwnKafka:
    """A broker of this test's own, whose log can be cut; a sink that runs on it."""

    def __init__(self, folder: Path, topic: str) -> None:
        self.lake = folder / "lake"
        self.topic = topic
        self.stand = KafkaStand(folder / "kafka")

    def settings(self, on_gap: str) -> dict[str, Any]:
        table = {"roll_seconds": 1, "on_gap": on_gap}
        return land_settings(self.lake, self.topic, {self.topic: table})

    def write(self, batches: int) -> None:
        writer = Writer(self.stand.bootstrap_servers, self.topic, 1, **{"linger.ms": 200})
        for _ in range(batches):
            writer.write(10)
            writer.flush()

    def cut(self, batches: int) -> None:
        """Killed, and when it is back only the first batches are there: a disk that lost the last writes."""
        self.stand.kill()
        (segment,) = self.stand.home.rglob(f"{self.topic}-0/00000000000000000000.log")
        data = segment.read_bytes()
        at = 0
        for _ in range(batches):
            at += 12 + struct.unpack_from(">i", data, at + 8)[0]
        segment.write_bytes(data[:at])
        for index in segment.parent.glob("*index"):
            index.unlink()
        self.stand.start()


@pytest.fixture
def own(kafka_jars: None, tmp_path: Path, topic: str) -> Iterator[OwnKafka]:
    (tmp_path / "kafka").mkdir()
    own = OwnKafka(tmp_path, topic)
    own.stand.start()
    try:
        yield own
    finally:
        own.stand.stop()


def test_g3_a_log_that_kafka_lost_and_that_has_grown_again_stops_the_lane_and_is_recorded_when_told(
    own: OwnKafka, tmp_path: Path
) -> None:
    make_topic(own.stand.bootstrap_servers, own.topic)
    own.write(5)
    with sinks() as started:
        sink = SinkProcess(own.stand.bootstrap_servers, own.settings("stop"), tmp_path / "sink.log")
        started.append(sink)
        until(lambda: len(landed(own.lake, own.topic)) == 50, "50 rows")
        own.cut(3)
        own.write(4)
        until(lambda: any("from offset 30 on" in why for why in sink.status["reasons"]), "it stops")
        assert sink.status["ready"] is False
        assert [lane["stopped"] for lane in sink.status["lanes"]] == [True]
        assert sink.stop() == 0
        assert len(landed(own.lake, own.topic)) == 50
        sink = SinkProcess(own.stand.bootstrap_servers, own.settings("record"), tmp_path / "next.log")
        started.append(sink)
        until(lambda: len(landed(own.lake, own.topic)) == 90, "what differs is landed too")
        assert sink.stop() == 0
    told = query(own.lake, own.topic, "kafka_incarnation, min(kafka_offset), max(kafka_offset)", "group by 1")
    assert sorted(told) == [(0, 0, 49), (1, 30, 69)]
    report = prove(own.lake)
    assert len(report.problems) == 1
    assert "a gap that nobody has acknowledged" in report.problems[0]


def test_g3_kafka_killed_and_stopped_while_a_sink_lands_costs_nothing(own: OwnKafka, tmp_path: Path) -> None:
    make_topic(own.stand.bootstrap_servers, own.topic)
    own.write(5)
    with sinks() as started:
        sink = SinkProcess(own.stand.bootstrap_servers, own.settings("stop"), tmp_path / "sink.log")
        started.append(sink)
        until(lambda: len(landed(own.lake, own.topic)) == 50, "50 rows")
        own.stand.kill()
        until(lambda: sink.status["kafka"]["state"] == "down", "it is told")
        assert sink.status["ready"] is False
        own.stand.start()
        own.write(5)
        until(lambda: len(landed(own.lake, own.topic)) == 100 and sink.ready(), "100 rows")
        own.stand.signal(signal.SIGSTOP)
        time.sleep(1)  # a pause, not a wait: long polls are under way
        own.stand.signal(signal.SIGCONT)
        own.write(5)
        until(lambda: len(landed(own.lake, own.topic)) == 150, "150 rows")
        assert sink.stop() == 0
    assert prove(own.lake).problems == []


def test_a_topic_created_anew_stops_the_lane_with_words(kafka: str, topic: str, tmp_path: Path) -> None:
    make_topic(kafka, topic)
    writer = Writer(kafka, topic, 1)
    writer.write(10)
    writer.flush()
    settings = land_settings(tmp_path / "lake", topic, {topic: {"roll_seconds": 1}})
    with sinks() as started:
        sink = SinkProcess(kafka, settings, tmp_path / "log")
        started.append(sink)
        until(lambda: len(landed(tmp_path / "lake", topic)) == 10, "10 rows")
        delete_topic(kafka, topic)
        make_topic(kafka, topic)
        again = Writer(kafka, topic, 1)
        again.write(20)
        again.flush()
        until(lambda: any("created anew" in why for why in sink.status["reasons"]), "it stops")
        assert sink.stop() == 0
    assert len(landed(tmp_path / "lake", topic)) == 10
    assert prove(tmp_path / "lake").problems == []
