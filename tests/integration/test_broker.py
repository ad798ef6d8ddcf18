"""Kafka of the one-machine stack, the real one: starts, stops, survives, and says why it can't."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from kafka_stand import KafkaStand, end_offsets, topic_made

from headrace.errors import HeadraceError
from headrace.stack import broker, jars, leftover
from headrace.stack.launch import started

START = """
import json, pathlib, subprocess, sys, time
from headrace.stack import broker, jars
made = broker.prepare(pathlib.Path(sys.argv[1]), jars.class_path())
kafka = subprocess.Popen(made.argv(), env=made.env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(json.dumps({"pid": kafka.pid, "port": made.ports.broker}), flush=True)
time.sleep(60)
"""


@pytest.fixture
def stand(kafka_jars: None, tmp_path: Path) -> Iterator[KafkaStand]:
    stand = KafkaStand(tmp_path / "kafka of jürg")
    try:
        yield stand
    finally:
        stand.stop()


def waited(what: str, holds: object, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def produced(bootstrap_servers: str, topic: str, count: int) -> None:
    producer = Producer({"bootstrap.servers": bootstrap_servers, "acks": "all"})
    for number in range(count):
        producer.produce(topic, b"%d" % number)
    assert producer.flush(20) == 0


def test_kafka_keeps_its_port_and_its_data_through_stop_and_kill_and_ignores_ctrl_c(
    stand: KafkaStand,
) -> None:
    stand.start()
    assert stand.broker is not None
    assert stand.process is not None
    servers, cluster = stand.bootstrap_servers, (stand.home / "data" / "meta.properties").read_text()
    topic = topic_made(servers)
    produced(servers, topic, 10)
    stand.signal(signal.SIGINT)
    stand.stop()
    assert stand.process.returncode == 128 + signal.SIGTERM, "it stopped in order, not by Ctrl-C"
    stand.start()
    assert stand.bootstrap_servers == servers
    produced(servers, topic, 10)
    stand.kill()
    stand.start()
    assert stand.bootstrap_servers == servers
    assert (stand.home / "data" / "meta.properties").read_text() == cluster
    assert end_offsets(servers, topic) == {0: 20}
    assert stand.broker.log.read_text().count("Kafka Server started") == 3


def test_a_kafka_ends_with_its_supervisor_and_the_next_start_goes_on(stand: KafkaStand) -> None:
    supervisor = subprocess.Popen([sys.executable, "-c", START, str(stand.home)], stdout=subprocess.PIPE)
    assert supervisor.stdout is not None
    told = json.loads(supervisor.stdout.readline())
    since = started(told["pid"])
    try:
        waited("a pid file", lambda: leftover.owner(stand.home / "kafka.pid"))
        with pytest.raises(HeadraceError) as caught:
            broker.prepare(stand.home, jars.class_path())
        assert caught.value.code == "broker_in_use"
        assert f"process {supervisor.pid} runs Kafka" in str(caught.value)
    finally:
        supervisor.kill()
        supervisor.wait()
    stand.start()
    assert stand.broker is not None
    assert stand.broker.ports.broker == told["port"]
    assert started(told["pid"]) != since, "the left-over is gone"


def test_a_kafka_whose_port_was_taken_meanwhile_says_so(stand: KafkaStand) -> None:
    stand.start(wait=False)
    stand.kill()
    assert stand.broker is not None
    with socket.create_server(("127.0.0.1", stand.broker.ports.controller)):
        process = subprocess.Popen(
            stand.broker.argv(), env=stand.broker.env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        assert process.wait(30) != 0
    error = broker.diagnosis(stand.broker)
    assert error.code == "port_taken"
    assert str(stand.broker.ports.controller) in str(error)


def filled(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(65536))


@pytest.mark.may_skip
def test_a_kafka_whose_disk_is_full_says_so(kafka_jars: None, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300m", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk can only be mounted by root")
    stand = KafkaStand(small / "kafka")
    try:
        stand.start()
        topic = topic_made(stand.bootstrap_servers)
        filler = small / "filler"
        with pytest.raises(OSError, match="No space"):
            filled(filler)
        producer = Producer({"bootstrap.servers": stand.bootstrap_servers, "message.timeout.ms": 3000})
        for _ in range(100):
            producer.produce(topic, os.urandom(50_000))
        producer.flush(5)
        assert stand.process is not None
        assert stand.process.wait(60) != 0
        assert stand.broker is not None
        assert broker.diagnosis(stand.broker).code == "disk_full"
        with pytest.raises(HeadraceError, match="Make room"):
            stand.start()
        filler.unlink()
        stand.start()
    finally:
        stand.stop()
        subprocess.run(["umount", "-l", str(small)], check=False)
