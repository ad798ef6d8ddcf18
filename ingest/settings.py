"""The collector's part of the settings: HTTP, sources, limits, spool and producing.

`headrace.settings` puts the parts together; nothing here reads a file or the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator

from ingest import dialects
from ingest.errors import IngestError
from ingest.routes import Routes

Port = Annotated[int, Field(ge=0, le=65535)]
Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,199}$")]

OwnPath = Annotated[str, Field(pattern=r"^/[A-Za-z0-9._~/-]{1,200}$")]
Key = Annotated[SecretStr, Field(min_length=1, max_length=1024)]

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


class Part(BaseModel):
    """A table of headrace.toml: unknown keys are refused, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CollectorSettings(Part):
    """[collector]: where the SDKs post to."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: Port = Field(8080, description="port of the SDK paths; 0: any free port")
    admin_port: Port = Field(
        8081, description="port of /healthz, /readyz, /metrics, on loopback; 0: any free port"
    )
    workers: int = Field(1, ge=1, le=64, description="worker processes; one CPU core each")
    trusted_proxies: tuple[str, ...] = Field(
        (), description="networks whose Forwarded and X-Forwarded-For are believed"
    )
    tls_cert: Path | None = Field(None, description="PEM file with the certificate chain")
    tls_key: Path | None = Field(None, description="PEM file with the private key")
    bodies_bytes_max: int = Field(
        256 * MIB,
        ge=MIB,
        le=64 * GIB,
        description="bytes of request bodies that are being read, per worker",
    )
    pending_bytes_max: int = Field(
        64 * MIB,
        ge=MIB,
        le=16 * GIB,
        description="bytes of accepted events not yet answered by Kafka, per worker",
    )
    batch_bytes_max: int = Field(
        MIB, ge=16 * KIB, le=8 * MIB, description="bytes of one record batch before compression"
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        for text in texts:
            try:
                ip_network(text, strict=False)
            except ValueError:
                raise ValueError(
                    f"expected networks such as 10.0.0.0/8 or 2001:db8::/32, got {text!r}"
                ) from None
        return texts


class SourceLimitSettings(Part):
    """[sources.NAME.limits]: where unset, those of [limits], else the dialect's own."""

    body_bytes_max: int | None = Field(
        None, ge=KIB, le=256 * MIB, description="bytes of a body after inflating"
    )
    event_bytes_max: int | None = Field(
        None, ge=KIB, le=4 * MIB, description="bytes of one event's JSON text"
    )
    batch_events_max: int | None = Field(None, ge=1, le=1_000_000, description="events of one request")


class LimitSettings(SourceLimitSettings):
    """[limits]: of every request and connection."""

    depth_max: int = Field(64, ge=8, le=512, description="levels of nested JSON")
    header_bytes_max: int = Field(32 * KIB, ge=KIB, le=MIB, description="bytes of all request headers")
    header_count_max: int = Field(100, ge=10, le=1000, description="request headers")
    target_bytes_max: int = Field(
        64 * KIB, ge=KIB, le=MIB, description="bytes of the request target (path and query)"
    )
    header_seconds_max: float = Field(10.0, ge=0.1, lt=30, description="seconds until all headers are there")
    body_seconds_max: float = Field(30.0, ge=0.1, lt=60, description="seconds until the body is there")
    idle_seconds_max: float = Field(
        65.0, ge=1, le=3600, description="seconds that a kept-open connection may rest"
    )
    connections_max: int = Field(10_000, ge=10, le=1_000_000, description="open connections per worker")


class PrivacySettings(Part):
    """[sources.NAME.privacy]: what is left out before anything is stored."""

    address: Literal["keep", "truncate", "drop"] = Field(
        "keep",
        description="client address: kept; last octet (IPv4) or last 80 bits (IPv6) zeroed; not stored",
    )


class SourceSettings(Part):
    """[sources.NAME]: one sending application."""

    write_keys: tuple[Key, ...] = Field((), description="keys that name this source; none: no key is needed")
    keyless: bool = Field(
        False,
        description="whether it takes what comes without a key, too; one without write_keys always does",
    )
    paths: dict[OwnPath, OwnPath] = Field(
        {},
        description="paths of its own, each with the SDK path that it stands for; no key is needed there",
    )
    topic: Name = Field("events", description="Kafka topic of its events")
    ack: Literal["kafka", "disk", "memory"] = Field(
        "kafka", description="durable where, before it is answered; until there is a spool: kafka for all"
    )
    on_outage: Literal["spool", "refuse"] = Field(
        "spool", description="while Kafka is away; until there is a spool: 503 for both"
    )
    origins: tuple[str, ...] = Field(("*",), description="origins of pages that may post; *: any")
    key_by: Literal["user", "anonymous"] = Field(
        "user", description="which id is the record's key where both exist"
    )
    privacy: PrivacySettings = Field(PrivacySettings(), description="see [sources.NAME.privacy]")
    limits: SourceLimitSettings = Field(
        SourceLimitSettings(), description="see [sources.NAME.limits]; unset: those of [limits]"
    )


def keyless(sources: Mapping[str, SourceSettings]) -> str | None:
    """The source that takes what comes without a key: one that says so, else the only one without keys."""
    names = [name for name, source in sources.items() if source.keyless or not source.write_keys]
    plain = [name for name in names if sources[name].keyless or not sources[name].paths]
    return next(iter(plain), names[0] if len(names) == 1 else None)


def _told_apart(sources: dict[str, SourceSettings]) -> dict[str, SourceSettings]:
    """No key or own path may name two sources, and at most one takes what comes without either."""
    plain = [name for name, each in sources.items() if each.keyless or not (each.write_keys or each.paths)]
    if len(plain) > 1:
        raise ValueError(f"at most one source without write_keys or keyless, got {', '.join(plain)}")
    keys: dict[str, str] = {}
    paths: dict[str, str] = {}
    for name, source in sources.items():
        for key in source.write_keys:
            if (owner := keys.setdefault(key.get_secret_value(), name)) != name:
                raise ValueError(f"a key that is in one source only, got one in {owner} and in {name}")
        for path in source.paths:
            if (owner := paths.setdefault(path, name)) != name:
                raise ValueError(f"a path that is in one source only, got {path} in {owner} and in {name}")
    try:
        Routes(dialects.found(), {name: source.paths for name, source in sources.items()})
    except IngestError as error:
        raise ValueError(str(error)) from error
    return sources


Sources = Annotated[dict[Name, SourceSettings], AfterValidator(_told_apart)]


class SpoolSettings(Part):
    """[spool]: the disk that will ride out an outage of Kafka; nothing is written there yet."""

    dir: Path | None = Field(None, description="folder on a local disk; not used yet")
    bytes_max: int = Field(GIB, ge=16 * MIB, description="bytes on disk per worker; not used yet")


class ProduceSettings(Part):
    """The collector's keys of [kafka]."""

    compression: Literal["zstd", "lz4", "none"] = Field("zstd", description="codec of record batches")
    produce_timeout_seconds: float = Field(
        10.0, ge=0.5, le=120, description="a request is answered within this, whatever Kafka does"
    )


class TopicSettings(Part):
    """The collector's keys of [topics.NAME]: how the topic is created."""

    partitions: int = Field(8, ge=1, le=10_000, description="Kafka partitions")
    replication: int | None = Field(
        None, ge=1, le=10, description="copies; unset: 3, or as many as there are brokers"
    )
    min_insync_replicas: int | None = Field(
        None, ge=1, le=10, description="copies before Kafka says yes; unset: replication - 1, at least 1"
    )
    retention_hours: int = Field(168, ge=1, le=87_600, description="hours that Kafka keeps a record")


class IngestSettings(Part):
    """All that a collector worker is given."""

    collector: CollectorSettings
    limits: LimitSettings
    sources: Sources
    topics: dict[Name, TopicSettings]
    spool: SpoolSettings
    produce: ProduceSettings
