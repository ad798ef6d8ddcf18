"""What Kafka is configured with on one machine: the text of server.properties and log4j2.properties.

One node is broker and controller (KRaft), on loopback only. Sources: Kafka's broker configuration
reference, KIP-500, KIP-631; the figures below were measured on Kafka 4.3.1.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

MIB: Final = 1024 * 1024
LOOPBACK: Final = "127.0.0.1"
REQUEST_BYTES_MAX: Final = 100 * MIB  # Kafka's default; a round of the collector stays below it
QUEUED_BYTES_MAX: Final = 128 * MIB  # of requests that wait for a thread
LOG_FILE_BYTES_MAX: Final = 10 * MIB
LOG_FILES_MAX: Final = 3
# After SIGKILL the new Kafka may not register until the session of the dead one has ended: with the default
# of 9 s the port answers after 13.5 s, with this after 6.5 s.
SESSION_MS: Final = 3_000
HEARTBEAT_MS: Final = 500
OWN_PARTITIONS: Final = 8  # of Kafka's own topics; 50 by default, for many groups on many brokers


class Ports(NamedTuple):
    """Where Kafka listens on loopback; `secure` (TLS and login) is 0 for nowhere."""

    broker: int
    controller: int
    secure: int = 0


class Secure(NamedTuple):
    """A second listener with TLS and SCRAM-SHA-512, and the one user who may log in there."""

    certificate: Path  # PEM: private key (PKCS 8, not encrypted), then the certificate chain
    user: str
    password: str


def server_properties(ports: Ports, data: Path, secure: Secure | None) -> str:
    """The text of server.properties."""
    listeners = {"PLAINTEXT": ports.broker}
    protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"
    if secure is not None:
        listeners["SECURE"] = ports.secure
        protocols += ",SECURE:SASL_SSL"
    advertised = ",".join(f"{name}://{LOOPBACK}:{port}" for name, port in listeners.items())
    lines = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{LOOPBACK}:{ports.controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"{advertised},CONTROLLER://{LOOPBACK}:{ports.controller}",
        "advertised.listeners": advertised,
        "listener.security.protocol.map": protocols,
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": _escaped(str(data)),
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": OWN_PARTITIONS,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": OWN_PARTITIONS,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": OWN_PARTITIONS,
        "group.initial.rebalance.delay.ms": 0,
        "broker.session.timeout.ms": SESSION_MS,
        "broker.heartbeat.interval.ms": HEARTBEAT_MS,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "socket.request.max.bytes": REQUEST_BYTES_MAX,
        "queued.max.request.bytes": QUEUED_BYTES_MAX,
        "log.cleaner.dedupe.buffer.size": 16 * MIB,  # 128 MiB of the heap by default
    }
    if secure is not None:
        lines |= _login(secure)
    return "".join(f"{key}={value}\n" for key, value in lines.items())


def _login(secure: Secure) -> dict[str, str | int]:
    listener = "listener.name.secure"
    module = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    return {
        f"{listener}.ssl.keystore.type": "PEM",
        f"{listener}.ssl.keystore.location": _escaped(str(secure.certificate)),
        f"{listener}.sasl.enabled.mechanisms": "SCRAM-SHA-512",
        f"{listener}.scram-sha-512.sasl.jaas.config": module,
    }


def log4j2_properties(log: Path) -> str:
    """The text of log4j2.properties: all into files of bounded size, errors to stderr as well."""
    pattern = "%d{yyyy-MM-dd'T'HH:mm:ss.SSSX}{UTC} %-5p %c{1} %m%n"
    lines = {
        "status": "error",
        "appender.file.type": "RollingFile",
        "appender.file.name": "file",
        "appender.file.fileName": _escaped(str(log)),
        "appender.file.filePattern": _escaped(f"{log}.%i"),
        "appender.file.layout.type": "PatternLayout",
        "appender.file.layout.pattern": pattern,
        "appender.file.policies.type": "Policies",
        "appender.file.policies.size.type": "SizeBasedTriggeringPolicy",
        "appender.file.policies.size.size": LOG_FILE_BYTES_MAX,
        "appender.file.strategy.type": "DefaultRolloverStrategy",
        "appender.file.strategy.max": LOG_FILES_MAX - 1,
        "appender.console.type": "Console",
        "appender.console.name": "console",
        "appender.console.target": "SYSTEM_ERR",
        "appender.console.layout.type": "PatternLayout",
        "appender.console.layout.pattern": pattern,
        "appender.console.filter.threshold.type": "ThresholdFilter",
        "appender.console.filter.threshold.level": "error",
        "logger.config.name": "org.apache.kafka.common.config",
        "logger.config.level": "warn",  # else each start writes all 400 settings, three times
        "rootLogger.level": "info",
        "rootLogger.appenderRef.file.ref": "file",
        "rootLogger.appenderRef.console.ref": "console",
    }
    return "".join(f"{key}={value}\n" for key, value in lines.items())


def ports_of(server_properties: str) -> Ports | None:
    """The ports that an earlier server.properties names, so that the next start can keep them."""
    found = dict(re.findall(rf"(\w+)://{re.escape(LOOPBACK)}:(\d+)", server_properties))
    if not {"PLAINTEXT", "CONTROLLER"} <= found.keys():
        return None
    return Ports(int(found["PLAINTEXT"]), int(found["CONTROLLER"]), int(found.get("SECURE", 0)))


def _escaped(value: str) -> str:
    """As java.util.Properties reads it back: Latin-1, a backslash begins an escape."""
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = [int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2)]
    return "".join(chr(code) if code < 0x80 else f"\\u{code:04x}" for code in codes)
