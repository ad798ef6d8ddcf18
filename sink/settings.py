"""The sink's part of the settings: the lake, its tables and the sink's own bounds.

`headrace.settings` puts the parts together; nothing here reads a file or the environment.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from _native.columns_layout import LANDED, PROMOTED_MAX, Promoted, PromotedType
from _native.scan_plan import KEY_BYTES_MAX, PATH_KEYS_MAX

Port = Annotated[int, Field(ge=0, le=65535)]
ColumnName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,199}$")]

OnGap = Literal["stop", "record"]

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


class Part(BaseModel):
    """A table of headrace.toml: unknown keys are refused, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LakeSettings(Part):
    """[lake]: where Parquet lands. Keys come from the environment (AWS_*)."""

    url: str = Field(
        "", pattern=r"^$|^(s3://[^/]+(/.*)?|file:///.+)$", description="s3://bucket/prefix or file:///path"
    )
    endpoint_url: str | None = Field(
        None, pattern=r"^https?://", description="of an S3 store that is not AWS"
    )
    region: str | None = Field(None, description="of the S3 bucket")
    request_seconds_max: float = Field(30.0, ge=1, le=300, description="one request to the store")


class ColumnSettings(Part):
    """[topics.NAME.columns] NAME = { path, type }: a typed column lifted from the payload."""

    path: str = Field(pattern=r"^\$(\.[^.\[\]\s]+)+$", description="JSON path, as $.properties.price")
    type: PromotedType = Field(description="type of the column; another one in the payload becomes null")

    @field_validator("path")
    @classmethod
    def _walkable(cls, path: str) -> str:
        keys = path.split(".")[1:]
        if len(keys) > PATH_KEYS_MAX:
            raise ValueError(f"expected at most {PATH_KEYS_MAX} keys, got {len(keys)}")
        if any(len(key.encode()) > KEY_BYTES_MAX for key in keys):
            raise ValueError(f"expected keys of at most {KEY_BYTES_MAX} bytes each")
        return path


class TableSettings(Part):
    """The sink's keys of [topics.NAME]: how the topic's records become files."""

    lanes: int = Field(
        1, ge=1, le=1024, description="shares that commit on their own; never changes once landed"
    )
    roll_bytes: int = Field(
        128 * MIB, ge=MIB, le=GIB, description="bytes in memory after which files are landed"
    )
    roll_seconds: float = Field(300.0, ge=0.5, le=86_400, description="seconds after which files are landed")
    seal_grace_seconds: float = Field(
        300.0, ge=1, le=86_400, description="seconds after an hour before it is sealed"
    )
    on_gap: OnGap = Field(
        "stop",
        description="what to do when Kafka's log was cut, made anew, or lost what was not landed",
    )
    columns: dict[ColumnName, ColumnSettings] = Field(
        {}, max_length=PROMOTED_MAX, description="promoted columns; a type change needs a new name"
    )

    @field_validator("columns")
    @classmethod
    def _apart(cls, columns: dict[str, ColumnSettings]) -> dict[str, ColumnSettings]:
        # Query engines take names without regard to case, so names that differ by it alone are one.
        taken = {column.name: "a landed column" for column in LANDED}
        taken |= dict.fromkeys(("date", "hour"), "part of a file's path")
        for name in columns:
            if name.lower() in taken:
                raise ValueError(f"{name} is {taken[name.lower()]}: expected another name")
            taken[name.lower()] = "there already, but for upper case"
        return columns

    @property
    def promoted(self) -> tuple[Promoted, ...]:
        """The promoted columns, as the decoder takes them."""
        return tuple(
            Promoted(name, tuple(column.path.split(".")[1:]), column.type)
            for name, column in self.columns.items()
        )


class SinkSettings(Part):
    """[sink]: the program that lands."""

    group: str = Field("headrace-sink", min_length=1, max_length=200, description="Kafka consumer group")
    topics: tuple[Name, ...] = Field(
        (), description="topics to land; none: those of the sources, and the quarantine"
    )
    admin_port: Port = Field(
        8082, description="port of /healthz, /readyz, /metrics, on loopback; 0: any free port"
    )
    memory_bytes_max: int = Field(
        512 * MIB, ge=64 * MIB, le=64 * GIB, description="bytes of rows not yet landed"
    )
    fetch_bytes_max: int = Field(8 * MIB, ge=64 * KIB, le=64 * MIB, description="bytes of one fetch")


class LandSettings(Part):
    """All that a sink is given; `tables` names every topic that it lands."""

    lake: LakeSettings
    sink: SinkSettings
    tables: dict[Name, TableSettings]
