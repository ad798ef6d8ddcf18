"""The settings: the programs' parts put together from one headrace.toml and `HEADRACE__…` variables.

Read once, at start: gives one frozen Settings, or a SettingsError that names key, value and expectation.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from _native.record import TOPIC_QUARANTINE
from headrace.errors import SettingsError
from headrace.settings_faults import explained, near
from ingest import settings as door
from ingest.settings import Name
from sink import settings as landing

PREFIX = "HEADRACE__"


class KafkaSettings(door.ProduceSettings):
    """[kafka]: how to reach it, for both programs; the collector's own keys come from ingest."""

    bootstrap_servers: str = Field("", description="host:port, comma between several")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="as in Kafka's clients"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="as in Kafka's clients"
    )
    sasl_username: str | None = Field(None, description="user of the SASL login")
    sasl_password: SecretStr | None = Field(None, description="password of the SASL login")
    ssl_cafile: Path | None = Field(None, description="PEM file of the authority; unset: the system's")
    ssl_certfile: Path | None = Field(None, description="PEM file of the client's certificate")
    ssl_keyfile: Path | None = Field(None, description="PEM file of the client's private key")


class TopicSettings(door.TopicSettings, landing.TableSettings):
    """[topics.NAME]: how the topic is created, and how its records become files."""


class Settings(BaseSettings):
    """All of headrace.toml. Variables such as HEADRACE__KAFKA__BOOTSTRAP_SERVERS go before the file."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    collector: door.CollectorSettings = door.CollectorSettings()
    kafka: KafkaSettings = KafkaSettings()
    lake: landing.LakeSettings = landing.LakeSettings()
    sources: door.Sources = {}
    topics: dict[Name, TopicSettings] = {}
    spool: door.SpoolSettings = door.SpoolSettings()
    sink: landing.SinkSettings = landing.SinkSettings()
    limits: door.LimitSettings = door.LimitSettings()

    @field_validator("topics")
    @classmethod
    def _plain_quarantine(cls, topics: dict[str, TopicSettings]) -> dict[str, TopicSettings]:
        quarantine = topics.get(TOPIC_QUARANTINE)
        if quarantine is not None and quarantine.columns:
            raise ValueError(f"{TOPIC_QUARANTINE}.columns: expected none, what is there may not even be JSON")
        return topics

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Variables first, then the file (it comes as init values); nothing else is looked at."""
        return env_settings, init_settings

    def topic_names(self) -> tuple[str, ...]:
        """Topics that events may go to: those of the sources and of [topics], and the quarantine."""
        named = {source.topic for source in self.sources.values()} | set(self.topics)
        return (*sorted(named - {TOPIC_QUARANTINE}), TOPIC_QUARANTINE)

    def topic(self, name: str) -> TopicSettings:
        """Settings of a topic, the defaults where the file says nothing of it."""
        return self.topics.get(name, TopicSettings())

    def ingest(self) -> door.IngestSettings:
        """The collector's part."""
        return door.IngestSettings(
            collector=self.collector,
            limits=self.limits,
            sources=self.sources,
            topics={name: picked(door.TopicSettings, self.topic(name)) for name in self.topic_names()},
            spool=self.spool,
            produce=picked(door.ProduceSettings, self.kafka),
        )

    def land(self) -> landing.LandSettings:
        """The sink's part."""
        names = self.sink.topics or self.topic_names()
        tables = {name: picked(landing.TableSettings, self.topic(name)) for name in names}
        return landing.LandSettings(lake=self.lake, sink=self.sink, tables=tables)


def picked(part: type[Any], whole: Any) -> Any:
    """The fields of `part` out of a model that inherits from it, as it was set there."""
    return part(
        **{name: getattr(whole, name) for name in part.model_fields if name in whole.model_fields_set}
    )


def load(path: Path | None) -> Settings:
    """Read headrace.toml (None: defaults) and the variables; SettingsError says what is wrong with which key.

    For composition roots only: the one place that reads the environment.
    """
    refuse_unknown_variables()
    table: dict[str, Any] = {}
    if path is not None:
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SettingsError("config_unreadable", f"{path}: cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError("config_unreadable", f"{path}: is not TOML: {error}") from error
    try:
        return Settings(**table)
    except ValidationError as error:
        told = explained(error, Settings, str(path or "environment"))
        raise SettingsError("config_invalid", told) from error


def refuse_unknown_variables() -> None:
    """A variable that begins HEADRACE__ and names no table and key is a mistake, not a no-op."""
    for name in sorted(os.environ):
        if not name.upper().startswith(PREFIX):
            continue
        words = name.upper().removeprefix(PREFIX).lower().split("__")
        field = Settings.model_fields.get(words[0])
        if field is None:
            meant = near(words[0], Settings.model_fields)
            raise SettingsError("config_invalid", f"variable {name}: no table {words[0]!r}; {meant}")
