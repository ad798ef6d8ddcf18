"""The sink on real Kafka: what lands and how soon, and G3 whatever is killed, paused, or comes and goes."""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from kafka_stand import end_offsets
from sink_stand import (
    SinkProcess,
    Writer,
    add_partitions,
    check,
    headers,
    land_settings,
    landed,
    make_topic,
    prove,
    query,
    sinks,
    until,
)


class Stand:
    """One topic, one lake, and the sinks of a test."""

    def __init__(self, kafka: str, folder: Path, started: list[SinkProcess]) -> None:
        self.kafka = kafka
        self.lake = folder / "lake"
        self.topic = f"t-{uuid.uuid4().hex[:12]}"
        self.table: dict[str, Any] = {"lanes": 1, "roll_seconds": 1}
        self._folder = folder
        self._started = started

    def sink(self, kill: tuple[str, int, bool] | None = None, group: str = "") -> SinkProcess:
        """`group`: one of its own, so that nobody waits for the session of a sink that was killed."""
        settings = land_settings(self.lake, group or self.topic, {self.topic: self.table})
        one = SinkProcess(self.kafka, settings, self._folder / f"sink{len(self._started)}.log", kill)
        self._started.append(one)
        return one

    def writer(self, partitions: int, **options: Any) -> Writer:
        return Writer(self.kafka, self.topic, partitions, **options)

    def rows(self) -> int:
        return len(landed(self.lake, self.topic))

    def until_rows(self, count: int) -> None:
        until(lambda: self.rows() >= count, f"{count} rows")
        assert self.rows() == count

    def check(self) -> None:
        check(self.kafka, self.lake, self.topic)
        report = prove(self.lake)
        assert report.problems == []


@pytest.fixture
def stand(kafka: str, tmp_path: Path) -> Iterator[Stand]:
    with sinks() as started:
        yield Stand(kafka, tmp_path, started)


def test_a_topic_is_waited_for_with_words_and_lands_within_two_seconds_of_its_append(stand: Stand) -> None:
    sink = stand.sink()
    until(lambda: any("no such topic yet" in why for why in sink.status.get("reasons", ())), "words")
    assert sink.status["ready"] is False
    make_topic(stand.kafka, stand.topic, 2)
    sink.wait_ready()
    assert sink.lanes() == {(stand.topic, 0)}
    writer = stand.writer(2)
    delays = []
    for _ in range(3):
        writer.write(10)
        writer.flush()
        written = time.monotonic()
        stand.until_rows(writer.number)
        delays.append(time.monotonic() - written)
    print(f"append to visible row, roll_seconds = 1: {[round(delay, 2) for delay in delays]} s")
    assert max(delays) < 3
    until(lambda: sink.status["lag_records"] == 0, "no lag")
    lane = sink.status["lanes"][0]
    assert sum(lane["positions"].values()) == 30
    assert sink.status["kafka"]["state"] == "up"
    assert sink.stop() == 0
    stand.check()


def test_a_stop_lands_what_is_held(stand: Stand) -> None:
    stand.table["roll_seconds"] = 3600
    make_topic(stand.kafka, stand.topic)
    sink = stand.sink()
    sink.wait_ready()
    writer = stand.writer(1)
    writer.write(100)
    writer.flush()
    until(lambda: sink.status["buffered_bytes"] > 0 and sink.status["lag_records"] == 100, "rows are held")
    sink.signal(signal.SIGINT)  # a terminal's Ctrl-C reaches all processes; the supervisor decides
    sink.signal(signal.SIGTERM)
    assert sink.wait_dead() == 0
    assert stand.rows() == 100
    assert "the sink is stopping" in sink.status["reasons"]
    stand.check()


def test_what_is_no_event_is_a_quarantine_row_and_what_was_aborted_no_row(stand: Stand) -> None:
    make_topic(stand.kafka, stand.topic)
    writer = stand.writer(1, **{"transactional.id": stand.topic, "linger.ms": 0})
    writer.producer.init_transactions()
    for aborted in (False, True, False, True):
        writer.producer.begin_transaction()
        writer.write(5)
        writer.producer.flush()
        if aborted:
            writer.producer.abort_transaction()
        else:
            writer.producer.commit_transaction()
    foreign = Producer({"bootstrap.servers": stand.kafka, "compression.type": "lz4"})
    foreign.produce(stand.topic, b"not ours", key=b"k", headers=[("their", b"own")])
    foreign.produce(stand.topic, None, key=b"a tombstone", headers=headers(77))
    foreign.flush()
    sink = stand.sink()
    until(lambda: sink.status.get("landed_rows") == 10 and not sink.status["lag_records"], "all is landed")
    assert sink.stop() == 0
    rows = landed(stand.lake, stand.topic)
    told = query(stand.lake, "headrace.quarantine", "reason, kafka_offset", "order by kafka_offset")
    assert [reason for reason, _ in told] == ["foreign_record", "corrupt_record"]
    assert len(rows) == 10
    ids = query(stand.lake, stand.topic, "event_id", "order by kafka_offset")
    assert [at for (at,) in ids] == [f"event-{n}" for n in (1, 2, 3, 4, 5, 11, 12, 13, 14, 15)]
    report = prove(stand.lake)
    assert report.problems == []
    assert report.topics[stand.topic].records == end_offsets(stand.kafka, stand.topic)[0]


def test_no_record_is_placed_by_append_where_both_clocks_are_one(stand: Stand) -> None:
    make_topic(stand.kafka, stand.topic)
    writer = stand.writer(1, **{"linger.ms": 0})
    for _ in range(50):
        writer.write(20)
        writer.flush()
    sink = stand.sink()
    stand.until_rows(1000)
    assert sink.stop() == 0
    told = query(
        stand.lake,
        stand.topic,
        "min(epoch_us(appended_at) - epoch_us(received_at)), count(*) filter (flags & 131072 <> 0)",
    )
    print(f"least append time - receive time: {told[0][0]} µs")
    assert told[0][1] == 0


CRASHES = [
    ("upload", 1, False),
    ("create_once", 1, True),  # the lane's origin
    ("create_once", 2, False),  # uploaded, not committed
    ("create_once", 2, True),  # committed, not visible
    ("complete", 1, True),
    ("create_once", 3, True),  # one generation later
]


@pytest.mark.parametrize(
    "kill", CRASHES, ids=lambda kill: f"{kill[0]}{kill[1]}-{'after' if kill[2] else 'before'}"
)
def test_g3_a_sink_killed_at_a_step_of_the_commit_is_followed_by_one_that_lands_each_record_once(
    stand: Stand, kill: tuple[str, int, bool]
) -> None:
    make_topic(stand.kafka, stand.topic, 2)
    writer = stand.writer(2)
    writer.write(200)
    writer.flush()
    killed = stand.sink(kill)
    until(lambda: killed.process.poll() is not None or stand.rows() == writer.number, "a first commit")
    writer.write(100)
    writer.flush()
    assert killed.wait_dead() == -signal.SIGKILL
    seen = landed(stand.lake, stand.topic)
    assert len(seen) == len(set(seen))
    writer.write(50)
    writer.flush()
    sink = stand.sink(group=f"{stand.topic}-next")
    stand.until_rows(350)
    assert sink.stop() == 0
    stand.check()


def test_g3_sinks_that_are_killed_again_and_again_while_records_come(stand: Stand) -> None:
    stand.table["roll_seconds"] = 0.5
    make_topic(stand.kafka, stand.topic, 4)
    writer = stand.writer(4)
    for turn in range(4):
        sink = stand.sink(group=f"{stand.topic}-{turn}")
        before = stand.rows()
        writer.write(2000)
        writer.flush()
        until(lambda before=before: stand.rows() > before, f"turn {turn} lands")
        writer.write(500)
        writer.flush()
        time.sleep(0.1 * turn)  # each time somewhere else between fetch and commit
        sink.kill()
        seen = landed(stand.lake, stand.topic)
        assert len(seen) == len(set(seen))
    sink = stand.sink(group=f"{stand.topic}-last")
    stand.until_rows(writer.number)
    assert sink.stop() == 0
    stand.check()


def test_g3_lanes_move_when_a_sink_joins_and_when_one_is_killed(stand: Stand) -> None:
    stand.table |= {"lanes": 4, "roll_seconds": 0.5}
    make_topic(stand.kafka, stand.topic, 8)
    writer = stand.writer(8)
    first = stand.sink()
    first.wait_ready()
    assert len(first.lanes()) == 4
    writer.write(4000)
    writer.flush()
    second = stand.sink()
    until(lambda: len(first.lanes()) == len(second.lanes()) == 2, "two lanes each")
    assert not first.lanes() & second.lanes()
    writer.write(4000)
    writer.flush()
    until(lambda: second.status["landed_rows"] > 0, "the second lands")
    writer.write(1000)
    writer.flush()
    second.kill()
    until(lambda: len(first.lanes()) == 4, "the first has all lanes again")
    stand.until_rows(writer.number)
    third = stand.sink()
    until(lambda: len(third.lanes()) == 2, "a third joins")
    kept = first.lanes()
    assert third.stop() == 0
    until(lambda: len(first.lanes()) == 4, "it leaves in order", 5)
    assert kept < first.lanes()
    assert first.stop() == 0
    stand.check()


def test_g3_a_sink_that_hung_until_its_lanes_had_moved_wakes_up_and_nothing_is_there_twice(
    stand: Stand,
) -> None:
    stand.table |= {"lanes": 2, "roll_seconds": 2}
    make_topic(stand.kafka, stand.topic, 4)
    writer = stand.writer(4)
    sinks_ = [stand.sink(), stand.sink()]
    until(lambda: all(len(sink.lanes()) == 1 for sink in sinks_), "a lane each")
    writer.write(2000)
    writer.flush()
    until(lambda: sinks_[0].status["buffered_bytes"] > 0, "the first holds rows")
    sinks_[0].signal(signal.SIGSTOP)
    until(lambda: len(sinks_[1].lanes()) == 2, "its lane has moved")
    writer.write(2000)
    writer.flush()
    stand.until_rows(writer.number)
    sinks_[0].signal(signal.SIGCONT)
    writer.write(2000)
    writer.flush()
    until(lambda: all(len(sink.lanes()) == 1 and sink.ready() for sink in sinks_), "it is back")
    stand.until_rows(writer.number)
    assert [sink.stop() for sink in sinks_] == [0, 0]
    stand.check()


def test_added_kafka_partitions_are_landed_from_their_first_record(stand: Stand) -> None:
    stand.table["lanes"] = 3
    make_topic(stand.kafka, stand.topic, 2)
    sink = stand.sink()
    sink.wait_ready()
    assert sink.lanes() == {(stand.topic, 0), (stand.topic, 1)}
    add_partitions(stand.kafka, stand.topic, 5)
    writer = stand.writer(5)
    until(lambda: writer.producer.list_topics(stand.topic).topics[stand.topic].partitions.get(4), "added")
    writer.write(50)
    writer.flush()
    until(lambda: {at for at, _ in landed(stand.lake, stand.topic)} == set(range(5)), "all five")
    assert len(sink.lanes()) == 3
    assert sink.stop() == 0
    stand.check()


def test_another_number_of_lanes_ends_the_program_with_one_clear_line(stand: Stand) -> None:
    make_topic(stand.kafka, stand.topic)
    sink = stand.sink()
    sink.wait_ready()
    assert sink.stop() == 0
    stand.table["lanes"] = 2
    sink = stand.sink()
    assert sink.wait_dead() == 1
    until(lambda: any("put lanes = 1 back" in why for why in sink.status["reasons"]), "the reason")
    assert '"event": "sink_failed"' in sink.log.read_text()


def test_a_kafka_that_is_away_is_waited_for_with_words_and_a_stop_is_heard(
    tmp_path: Path,
) -> None:
    with sinks() as started:
        sink = SinkProcess("127.0.0.1:9", land_settings(tmp_path / "lake", "g", {"t": {}}), tmp_path / "log")
        started.append(sink)
        until(lambda: any("Kafka is away" in why for why in sink.status.get("reasons", ())), "words")
        assert sink.status["kafka"]["state"] == "down"
        begun = time.monotonic()
        assert sink.stop() == 0
        assert time.monotonic() - begun < 8
