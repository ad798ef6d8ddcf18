"""A real Kafka for tests: started, killed, stopped and continued, and asked what its log holds."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
import uuid
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from headrace.stack import broker, jars
from headrace.stack.broker import Broker
from headrace.stack.broker_files import Secure

POLL_SECONDS = 0.05
READ_SECONDS_MAX = 20
QUIET = {"log_level": 2}  # a broker that is killed on purpose is no news


class KafkaStand:
    """One Kafka on one directory; plain and blocking. `kill` and `start` keep its port and its data.

    To be started from the main thread: it ends with the thread that started it.
    """

    def __init__(self, home: Path, secure: Secure | None = None) -> None:
        self.home = home
        self._secure = secure
        self.broker: Broker | None = None
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        assert self.broker is not None
        return self.broker.bootstrap_servers

    def start(self, *, wait: bool = True) -> KafkaStand:
        port = self.broker.ports.broker if self.broker else 0
        self.broker = broker.prepare(self.home, jars.class_path(), port=port, secure=self._secure)
        with (self.home / "stderr").open("ab") as output:
            self.process = subprocess.Popen(
                self.broker.argv(),
                env=self.broker.env(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        if wait:
            self.wait_answering()
        return self

    def answers(self) -> bool:
        assert self.broker is not None
        return asyncio.run(broker.answering("127.0.0.1", self.broker.ports.broker))

    def wait_answering(self) -> None:
        assert self.broker is not None
        assert self.process is not None
        deadline = time.monotonic() + broker.START_SECONDS_MAX
        while not self.answers():
            if self.process.poll() is not None:
                raise broker.diagnosis(self.broker)
            assert time.monotonic() < deadline, "Kafka does not answer"
            time.sleep(POLL_SECONDS)

    def signal(self, number: int) -> None:
        """Send a signal; SIGSTOP and SIGKILL have taken effect afterwards."""
        assert self.process is not None
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()
        deadline = time.monotonic() + broker.STOP_SECONDS_MAX
        while number == signal.SIGSTOP and not self._stands_still():
            assert time.monotonic() < deadline, "SIGSTOP has no effect"
            time.sleep(0.01)

    def _stands_still(self) -> bool:
        assert self.process is not None
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/stat")
        return all(") T " in thread.read_text() for thread in threads)

    def revive(self) -> KafkaStand:
        """Continue it, or start it again if it ended."""
        assert self.process is not None
        if self.process.poll() is not None:
            return self.start()
        self.process.send_signal(signal.SIGCONT)
        self.wait_answering()
        return self

    def kill(self) -> None:
        """SIGKILL, at once."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """In order; SIGKILL if that does not end it."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(broker.STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()


def topic_made(bootstrap_servers: str, partitions: int = 1, **config: str) -> str:
    """A new topic with a name of its own; `config` with _ for the dots."""
    name = f"t-{uuid.uuid4().hex[:12]}"
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, **QUIET})
    settings = {key.replace("_", "."): value for key, value in config.items()}
    admin.create_topics([NewTopic(name, partitions, 1, config=settings)])[name].result(READ_SECONDS_MAX)
    end_offsets(bootstrap_servers, name)  # waits until every Kafka partition has its leader
    return name


def end_offsets(bootstrap_servers: str, topic: str) -> dict[int, int]:
    """End offset of each Kafka partition, as confluent-kafka reads it; waits for leaders."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "stand", **QUIET})
    deadline = time.monotonic() + READ_SECONDS_MAX
    try:
        while True:
            try:
                partitions = consumer.list_topics(topic, READ_SECONDS_MAX).topics[topic].partitions
                return {
                    index: consumer.get_watermark_offsets(TopicPartition(topic, index), READ_SECONDS_MAX)[1]
                    for index in partitions
                }
            except KafkaException:  # a leader that is not one yet
                assert time.monotonic() < deadline, f"no leaders of {topic}"
                time.sleep(POLL_SECONDS)
    finally:
        consumer.close()


def records(bootstrap_servers: str, topic: str) -> list[Message]:
    """All records of a topic up to its present end, in order within a Kafka partition (read_committed)."""
    ends = end_offsets(bootstrap_servers, topic)
    consumer = Consumer(
        {"bootstrap.servers": bootstrap_servers, "group.id": "stand", "enable.auto.commit": False, **QUIET}
    )
    found: list[Message] = []
    try:
        consumer.assign([TopicPartition(topic, index, 0) for index in ends])
        deadline = time.monotonic() + READ_SECONDS_MAX
        while any(
            position.offset < ends[position.partition]
            for position in consumer.position([TopicPartition(topic, index) for index in ends])
            if ends[position.partition]
        ):
            assert time.monotonic() < deadline, f"{len(found)} records read, ends are {ends}"
            for message in consumer.consume(10_000, timeout=0.2):
                assert message.error() is None, message.error()
                found.append(message)
    finally:
        consumer.close()
    return found
