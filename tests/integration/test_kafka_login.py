"""Kafka with TLS and SCRAM: both programs work through the options of [kafka]; refusals have words."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
import trustme
from kafka_stand import KafkaStand, records, topic_made
from produce_stand import MIB, producing
from pydantic import SecretStr
from stack_stand import HEADRACE, ask, free_port, until

from headrace.kafka_client import client_options
from headrace.settings import KafkaSettings, load
from headrace.stack.broker_files import Secure
from ingest import topics
from ingest.produce import Producer
from ingest.settings import TopicSettings

READY_SECONDS = 60
USER, PASSWORD = "headrace", "correct horse battery staple"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.RSA)


@pytest.fixture(scope="module")
def secure_kafka(
    kafka_jars: None, authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KafkaStand]:
    folder = tmp_path_factory.mktemp("secure")
    certificate = authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.RSA)
    pem = folder / "broker.pem"
    chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    pem.write_bytes(pkcs8(certificate.private_key_pem.bytes()) + chain)
    stand = KafkaStand(folder / "kafka", Secure(pem, USER, PASSWORD))
    try:
        yield stand.start()
    finally:
        stand.stop()


def pkcs8(key: bytes) -> bytes:
    """The key in the form that Kafka reads."""
    from cryptography.hazmat.primitives import serialization

    return serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def settings_of(stand: KafkaStand, cafile: Path, password: str = PASSWORD) -> KafkaSettings:
    assert stand.broker is not None
    return KafkaSettings(
        bootstrap_servers=f"127.0.0.1:{stand.broker.ports.secure}",
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username=USER,
        sasl_password=SecretStr(password),
        ssl_cafile=cafile,
    )


def test_events_are_produced_through_tls_and_a_login(
    secure_kafka: KafkaStand, authority: trustme.CA, tmp_path: Path
) -> None:
    cafile = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(cafile))
    options = client_options(settings_of(secure_kafka, cafile))

    async def prepare() -> dict[str, int]:
        states = await topics.ensure(options, {"secured": TopicSettings(partitions=2)}, batch_bytes_max=MIB)
        return topics.usable(states)

    async def scenario() -> None:
        async with producing(options, prepare) as it:
            await it.post("secured", (0, b"k", b"a"), (1, b"k", b"b"))

    asyncio.run(scenario())
    found = records(secure_kafka.bootstrap_servers, "secured")
    assert sorted(message.value() for message in found) == [b"a", b"b"]


@pytest.mark.parametrize("wrong", ["password", "authority"])
def test_a_refused_login_or_certificate_is_a_kafka_that_is_down_with_the_reason(
    secure_kafka: KafkaStand, authority: trustme.CA, tmp_path: Path, wrong: str
) -> None:
    cafile = tmp_path / "ca.pem"
    (trustme.CA() if wrong == "authority" else authority).cert_pem.write_to_path(str(cafile))
    password = "not it" if wrong == "password" else PASSWORD
    options = client_options(settings_of(secure_kafka, cafile, password))
    topic = topic_made(secure_kafka.bootstrap_servers)

    async def scenario() -> str:
        async def prepare() -> dict[str, int]:
            return {topic: MIB}

        producer = Producer(options, prepare, produce_timeout_seconds=2, clock_us=lambda: 0)
        running = asyncio.create_task(producer.run())
        async with asyncio.timeout(15):
            while "can't be used" not in producer.kafka.reason:
                await asyncio.sleep(0.05)
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert producer.kafka.state == "down"
        return producer.kafka.reason

    reason = asyncio.run(scenario())
    expected = "certificate" if wrong == "authority" else "uthentication"
    assert expected in reason
    assert PASSWORD not in reason


def config_of(stand: KafkaStand, cafile: Path, lake: Path) -> str:
    assert stand.broker is not None
    return f"""
[collector]
port = {free_port()}
admin_port = {free_port()}
[kafka]
bootstrap_servers = "127.0.0.1:{stand.broker.ports.secure}"
security_protocol = "SASL_SSL"
sasl_mechanism = "SCRAM-SHA-512"
sasl_username = "{USER}"
ssl_cafile = "{cafile}"
[lake]
url = "file://{lake}"
[sink]
group = "secured-sink"
admin_port = {free_port()}
[sources.web]
write_keys = ["k"]
topic = "secured-events"
[topics.secured-events]
partitions = 2
roll_seconds = 1
"""


def test_collect_and_sink_work_through_tls_and_a_login(
    secure_kafka: KafkaStand, authority: trustme.CA, tmp_path: Path
) -> None:
    cafile, config, lake = tmp_path / "ca.pem", tmp_path / "headrace.toml", tmp_path / "lake"
    authority.cert_pem.write_to_path(str(cafile))
    config.write_text(config_of(secure_kafka, cafile, lake))
    settings = load(config)
    environment = {**os.environ, "HEADRACE__KAFKA__SASL_PASSWORD": PASSWORD}
    running = []
    try:
        for command in ("collect", "sink"):
            with (tmp_path / f"{command}.log").open("wb") as log:
                words = [*HEADRACE, command, "--config", str(config)]
                running.append(subprocess.Popen(words, env=environment, stdout=log, stderr=log))

        def told(command: str) -> str:
            return (tmp_path / f"{command}.log").read_text()[-3000:]

        def ready(port: int) -> bool:
            assert all(one.poll() is None for one in running), told("collect") + told("sink")
            try:
                return ask(f"http://127.0.0.1:{port}", "GET", "/readyz")[0] == 200
            except OSError:
                return False

        until(lambda: ready(settings.collector.admin_port), READY_SECONDS, "the collector is ready")
        until(lambda: ready(settings.sink.admin_port), READY_SECONDS, "the sink is ready")
        url = f"http://127.0.0.1:{settings.collector.port}"
        headers = {"authorization": "Bearer k", "content-type": "application/json"}
        status, answered, _ = ask(url, "POST", "/events", b'{"type":"hello","id":"s-1"}', headers)
        assert (status, answered["headrace-ack"]) == (204, "kafka")

        def landed() -> list[dict[str, object]]:
            files = sorted(lake.glob("secured-events/date=*/hour=*/*.parquet"))
            return [row for file in files for row in parquet.ParquetFile(file).read().to_pylist()]

        until(landed, READY_SECONDS, "the event is in the lake")
        assert [(row["event_id"], row["source"], row["ack"]) for row in landed()] == [("s-1", "web", "kafka")]
        for one in running:
            one.send_signal(signal.SIGTERM)
        assert [one.wait(30) for one in running] == [0, 0], told("collect") + told("sink")
        assert PASSWORD not in told("collect") + told("sink")
    finally:
        for one in running:
            if one.poll() is None:
                one.kill()
                one.wait(10)
