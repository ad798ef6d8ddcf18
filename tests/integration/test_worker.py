"""One collector worker as its supervisor runs it, on a real broker: what it answered survives its end."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kafka_stand import KafkaStand, records, topic_made

from headrace import handover
from headrace.settings import KafkaSettings, Settings
from ingest.settings import SourceSettings

CLIENTS = 8
EVENTS = 5  # in a request
SECONDS_MAX = 30.0


@dataclass
class Worker:
    """A worker process and what it says of itself."""

    process: subprocess.Popen[bytes]
    log: Path
    lines: list[dict[str, Any]] = field(default_factory=list)

    def until(self, holds: Any, what: str) -> dict[str, Any]:
        """The latest status line for which it holds."""
        deadline = time.monotonic() + SECONDS_MAX
        while not (self.lines and holds(self.lines[-1])):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, f"{what}: {self.lines[-1:]}"
            time.sleep(0.02)
        return self.lines[-1]

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(SECONDS_MAX)


@contextmanager
def listening() -> Iterator[socket.socket]:
    """The supervisor's socket; it outlives every worker."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield listener


@contextmanager
def working(kafka: str, topic: str, listener: socket.socket, folder: Path) -> Iterator[Worker]:
    settings = Settings(
        kafka=KafkaSettings(bootstrap_servers=kafka, produce_timeout_seconds=5),
        sources={"shop": SourceSettings(topic=topic)},
    )
    reading, writing = os.pipe()
    log = folder / f"worker-{uuid.uuid4().hex[:6]}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "headrace.child", "collector", "--supervisor", str(os.getpid())),
                *("--fd", str(listener.fileno()), "--status-fd", str(writing)),
            ],
            stdin=subprocess.PIPE,
            stderr=output,
            pass_fds=(listener.fileno(), writing),
        )
    os.close(writing)
    assert process.stdin is not None
    process.stdin.write(handover.dump("collector", settings))
    process.stdin.close()
    worker = Worker(process, log)

    def follow() -> None:
        with os.fdopen(reading, "rb") as pipe:
            for line in pipe:
                worker.lines.append(json.loads(line))

    threading.Thread(target=follow, daemon=True).start()
    try:
        yield worker
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


class Load:
    """Clients that post numbered events over kept-open connections, and remember what was answered 2xx."""

    def __init__(self, port: int) -> None:
        self.answered: set[str] = set()
        self.sent: set[str] = set()
        self.statuses: Counter[int] = Counter()
        self._port = port
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._client, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(SECONDS_MAX)

    def until_answered(self, more: int) -> None:
        aim, deadline = len(self.answered) + more, time.monotonic() + SECONDS_MAX
        while len(self.answered) < aim:
            assert time.monotonic() < deadline, self.statuses
            time.sleep(0.02)

    def _client(self, name: int) -> None:
        connection, number = http.client.HTTPConnection("127.0.0.1", self._port, timeout=SECONDS_MAX), 0
        while not self._stop.is_set():
            ids = [f"{name}-{number}-{index}" for index in range(EVENTS)]
            number += 1
            self.sent.update(ids)
            body = json.dumps([{"id": each, "type": "t"} for each in ids])
            try:
                connection.request("POST", "/events", body, {"content-type": "application/json"})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                continue
            self.statuses[answer.status] += 1
            if 200 <= answer.status < 300:
                assert answer.getheader("headrace-ack") == "kafka"
                self.answered.update(ids)


def landed(kafka: str, topic: str) -> Counter[str]:
    """How often each event id is in the log."""
    return Counter(json.loads(message.value())["id"] for message in records(kafka, topic))


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_g2_what_a_worker_answered_is_in_the_log_however_it_ends(
    kafka: str, tmp_path: Path, ending: signal.Signals
) -> None:
    topic = topic_made(kafka, 4, message_timestamp_type="LogAppendTime")
    with listening() as listener:
        port = listener.getsockname()[1]
        with working(kafka, topic, listener, tmp_path) as first:
            first.until(lambda line: line["ready"], "ready")
            with Load(port) as load:
                load.until_answered(2000)
                code = first.end(ending)
                with working(kafka, topic, listener, tmp_path) as second:
                    load.until_answered(500)
                    assert second.lines
                    load.__exit__()
                    assert second.end(signal.SIGTERM) == 0
    found = landed(kafka, topic)
    assert load.answered <= found.keys()
    assert found.keys() <= load.sent
    assert max(found.values()) == 1
    if ending == signal.SIGTERM:
        assert code == 0
        assert set(load.statuses) <= {200, 202, 204, 503}
        stopped = [line for line in first.log.read_text().splitlines() if "worker_stopped" in line]
        assert [json.loads(line)["records_not_flushed"] for line in stopped] == [0]
        assert "the collector is stopping" in first.lines[-1]["reasons"]


def test_a_worker_says_what_it_can_do_while_kafka_comes_and_goes(tmp_path: Path, kafka_jars: None) -> None:
    stand = KafkaStand(tmp_path / "kafka").start()
    topic = topic_made(stand.bootstrap_servers, 1, message_timestamp_type="LogAppendTime")
    try:
        with listening() as listener, working(stand.bootstrap_servers, topic, listener, tmp_path) as worker:
            port = listener.getsockname()[1]
            worker.until(lambda line: line["ready"] and line["kafka"]["state"] == "up", "ready")
            assert posted(port) < 300
            stand.stop()
            down = worker.until(lambda line: line["kafka"]["state"] == "down", "down")
            assert not down["ready"]
            assert any("Kafka is away" in reason for reason in down["reasons"])
            assert posted(port) == 503
            stand.start()
            worker.until(lambda line: line["ready"], "ready again")
            assert posted(port) < 300
            assert worker.end(signal.SIGTERM) == 0
    finally:
        stand.stop()


def posted(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS_MAX)
    try:
        connection.request("POST", "/events", '{"id":"a","type":"t"}', {"content-type": "application/json"})
        return connection.getresponse().status
    finally:
        connection.close()


def test_ctrl_c_is_the_supervisors_and_does_not_touch_a_worker(kafka: str, tmp_path: Path) -> None:
    topic = topic_made(kafka, 1)
    with listening() as listener, working(kafka, topic, listener, tmp_path) as worker:
        worker.until(lambda line: line["ready"], "ready")
        worker.process.send_signal(signal.SIGINT)
        assert posted(listener.getsockname()[1]) < 300
        assert worker.end(signal.SIGTERM) == 0


def test_a_worker_without_any_kafka_stops_on_sigterm(tmp_path: Path) -> None:
    with listening() as listener, working("127.0.0.1:1", "events", listener, tmp_path) as worker:
        line = worker.until(lambda line: "127.0.0.1:1" in line["kafka"]["reason"], "a reason")
        assert not line["ready"]
        assert "127.0.0.1:1" in line["kafka"]["reason"]
        started = time.monotonic()
        assert worker.end(signal.SIGTERM) == 0
        assert time.monotonic() - started < 10
