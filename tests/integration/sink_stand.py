"""The sink on a real broker: topics, records as collectors write them, sinks as processes, what landed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from sink.settings import LakeSettings
from sink.store import open_store
from sink.verify import Report, verify

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BOOT = bytes(range(8))
SECONDS_MAX = 40.0

Offset = tuple[int, int]


def until(holds: Callable[[], Any], what: str, seconds_max: float = SECONDS_MAX) -> Any:
    """What `holds` gives as soon as that is true; fails with `what` at the deadline."""
    deadline = time.monotonic() + seconds_max
    while True:
        found = holds()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds_max} s: {what}"
        time.sleep(0.05)


def make_topic(kafka: str, topic: str, partitions: int = 1, **config: str) -> None:
    settings = {"message.timestamp.type": "LogAppendTime", **config}
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(topic, partitions, 1, config=settings)])[topic].result(20)
    until(lambda: topic in admin.list_topics(timeout=10).topics, f"topic {topic}")


def delete_topic(kafka: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.delete_topics([topic])[topic].result(20)
    until(lambda: topic not in admin.list_topics(timeout=10).topics, f"no topic {topic}")


def add_partitions(kafka: str, topic: str, partitions: int) -> None:
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_partitions([NewPartitions(topic, partitions)])[topic].result(20)


def headers(number: int, received_us: int | None = None) -> list[tuple[str, bytes]]:
    """The headers of a collector's record, in their order."""
    received = received_us if received_us is not None else time.time_ns() // 1000
    return [
        ("hr_seq", BOOT + number.to_bytes(8, "big")),
        ("hr_time", received.to_bytes(8, "big", signed=True)),
        ("hr_source", b"shop"),
        ("hr_dialect", b"native"),
        ("hr_ack", b"kafka"),
        ("hr_flags", bytes(4)),
        ("ce_specversion", b"1.0"),
        ("ce_id", b"event-%d" % number),
        ("ce_source", b"shop"),
        ("ce_type", b"track"),
        ("content-type", b"application/json"),
    ]


class Writer:
    """A collector's producer, by confluent-kafka; numbers go on from one call to the next."""

    def __init__(self, kafka: str, topic: str, partitions: int, **options: Any) -> None:
        self.topic = topic
        self.partitions = partitions
        self.number = 0
        self.producer = Producer(
            {"bootstrap.servers": kafka, "acks": "all", "linger.ms": 5, "compression.type": "zstd", **options}
        )

    def write(self, count: int, payload: bytes = b'{"type":"track"}') -> None:
        for _ in range(count):
            self.number += 1
            self.producer.produce(
                self.topic,
                payload,
                partition=self.number % self.partitions,
                headers=headers(self.number),
            )
            self.producer.poll(0)

    def flush(self) -> None:
        assert self.producer.flush(30) == 0


def readable(kafka: str, topic: str) -> set[Offset]:
    """Every (Kafka partition, offset) that a read_committed consumer of librdkafka gets."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": "counting",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    numbers = list(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
    starts = {at: consumer.get_watermark_offsets(TopicPartition(topic, at), timeout=10)[0] for at in numbers}
    consumer.assign([TopicPartition(topic, at, starts[at]) for at in numbers])
    found: set[Offset] = set()
    ended = 0
    deadline = time.monotonic() + SECONDS_MAX
    while ended < len(numbers):
        assert time.monotonic() < deadline, "the topic does not end"
        for message in consumer.consume(1000, timeout=0.2):
            if message.error():
                ended += 1
            else:
                found.add((message.partition(), message.offset()))
    consumer.close()
    return found


def query(lake: Path, topic: str, select: str, where: str = "") -> list[Any]:
    """Rows of a query over what a plain listing of the topic's folder shows; `rows` is the table."""
    files = f"{lake}/{topic}/date=*/hour=*/*.parquet"
    if not any(lake.glob(f"{topic}/date=*/hour=*/*.parquet")):
        return []
    with duckdb.connect() as connection:
        return connection.execute(f"select {select} from read_parquet('{files}') as rows {where}").fetchall()


def landed(lake: Path, topic: str) -> list[Offset]:
    """(Kafka partition, offset) of every visible row, as often as it is there."""
    return [(at, offset) for at, offset in query(lake, topic, "kafka_partition, kafka_offset")]


def check(kafka: str, lake: Path, topic: str) -> None:
    """Exactly once: what is visible is what a read_committed consumer of another library gets, each once."""
    rows = landed(lake, topic)
    assert len(rows) == len(set(rows)), "rows are there twice"
    assert set(rows) == readable(kafka, topic)


def prove(lake: Path) -> Report:
    """What verify says, every row read."""

    async def ask() -> Report:
        store = open_store(LakeSettings(url=f"file://{lake}"))
        try:
            return await verify(store, deep=True)
        finally:
            await store.close()

    return asyncio.run(ask())


def land_settings(lake: Path, group: str, tables: dict[str, dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"lake": {"url": f"file://{lake}"}, "sink": {"group": group}, "tables": tables} | more


class SinkProcess:
    """One sink; `status` is the last line that it wrote."""

    def __init__(
        self,
        kafka: str,
        settings: dict[str, Any],
        log: Path,
        kill: tuple[str, int, bool] | None = None,
    ) -> None:
        self.status: dict[str, Any] = {}
        self.lines: list[dict[str, Any]] = []
        self.log = log
        reader, writer = os.pipe()
        told = {
            "settings": settings,
            "client_options": {"bootstrap_servers": kafka},
            "status_fd": writer,
            "log": str(log),
            "kill": kill,
        }
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "sink_process.py")],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stderr=log.with_suffix(".stderr").open("a"),
            pass_fds=(writer,),
        )
        os.close(writer)
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(told).encode())
        self.process.stdin.close()
        self._reading = threading.Thread(target=self._read, args=(reader,), daemon=True)
        self._reading.start()

    def _read(self, reader: int) -> None:
        with open(reader, encoding="utf-8") as pipe:
            for line in pipe:
                self.status = json.loads(line)
                self.lines.append(self.status)

    def lanes(self) -> set[tuple[str, int]]:
        return {(lane["topic"], lane["lane"]) for lane in self.status.get("lanes", ())}

    def ready(self) -> bool:
        return bool(self.status.get("ready")) and self.process.poll() is None

    def wait_ready(self) -> None:
        until(self.ready, f"a sink that is ready, not {self.status}; see {self.log}")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait_dead(self, seconds_max: float = SECONDS_MAX) -> int:
        return self.process.wait(seconds_max)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait_dead()

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait_dead()


@contextmanager
def sinks() -> Iterator[list[SinkProcess]]:
    """Whatever is put into the list has ended behind the block."""
    started: list[SinkProcess] = []
    try:
        yield started
    finally:
        for one in started:
            if one.process.poll() is None:
                one.signal(signal.SIGCONT)
                one.kill()
