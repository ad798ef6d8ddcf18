"""What `headrace up` adds to a configuration: takes settings and options, gives settings that are complete.

The options come first, then the configuration, then what one machine needs: Kafka and lake of its own, the
spool beside them, files that are visible within seconds, and without any source the source `demo`.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, SecretStr, ValidationError

from headrace.errors import SettingsError
from headrace.settings import Settings
from ingest.settings import SourceSettings
from sink.settings import LakeSettings

ROLL_SECONDS: Final = 4.0  # with fetching and committing, a row is visible within 10 s
DEMO: Final = "demo"  # the name of the source, and its key
DATA_DEFAULT: Final = Path("headrace-data")

Part = TypeVar("Part", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `headrace up`, as they were typed."""

    config: Path | None = None
    data: Path = DATA_DEFAULT
    port: int | None = None
    kafka: str | None = None
    lake: str | None = None
    demo: bool = False
    ready_file: Path | None = None


def fill(settings: Settings, options: Options, data: Path) -> Settings:
    """Settings with everything but the address of a Kafka of our own. SettingsError says what is wrong."""
    settings = settings.model_copy(
        update={
            "collector": _changed(settings.collector, port=options.port),
            "kafka": _changed(settings.kafka, bootstrap_servers=options.kafka),
            "lake": _lake(settings.lake, options.lake, data),
            "spool": _changed(settings.spool, dir=settings.spool.dir or data / "spool"),
            "sources": settings.sources or _demo(settings.collector.host),
        }
    )
    topics = {name: settings.topic(name) for name in settings.topic_names()}
    return settings.model_copy(
        update={
            "topics": {
                name: topic
                if "roll_seconds" in topic.model_fields_set
                else topic.model_copy(update={"roll_seconds": ROLL_SECONDS})
                for name, topic in topics.items()
            }
        }
    )


def with_kafka(settings: Settings, bootstrap_servers: str) -> Settings:
    """The same with the address of Kafka."""
    kafka = settings.kafka.model_copy(update={"bootstrap_servers": bootstrap_servers})
    return settings.model_copy(update={"kafka": kafka})


def demo_key(settings: Settings) -> str | None:
    """The key of the demo's events: of the source `demo`, else of the first one; None: it needs no key."""
    source = settings.sources.get(DEMO) or next(iter(settings.sources.values()))
    return next((secret.get_secret_value() for secret in source.write_keys), None)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _demo(host: str) -> dict[str, SourceSettings]:
    if not is_loopback(host):
        raise SettingsError(
            "config_invalid",
            f"collector.host = {host!r}: anybody may send without [sources.NAME], so that only loopback "
            "is listened on; expected 127.0.0.1, or a source with write_keys",
        )
    return {DEMO: SourceSettings(write_keys=(SecretStr(DEMO),), keyless=True)}


def _lake(lake: LakeSettings, option: str | None, data: Path) -> LakeSettings:
    url = option or lake.url or f"file://{quote(str(data / 'lake'))}"
    if "://" not in url:
        url = f"file://{quote(str(Path(url).expanduser().absolute()))}"
    try:
        return LakeSettings(**{**lake.model_dump(exclude_unset=True), "url": url})
    except ValidationError as error:
        raise SettingsError(
            "config_invalid", f"--lake {url!r}: expected s3://bucket/prefix, file:///path or a folder"
        ) from error


def _changed(part: Part, **values: object) -> Part:
    """The part with these values, but for those that are None; checked like any other."""
    given = {name: value for name, value in values.items() if value is not None}
    if not given:
        return part
    try:
        return type(part)(**{**part.model_dump(exclude_unset=True), **given})
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise SettingsError(
            "config_invalid", f"{fault['loc'][0]} = {fault['input']!r}: {fault['msg']}"
        ) from error
