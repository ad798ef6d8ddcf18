"""Between decode and parquet: the columns of a landed table, their order, and how their buffers are laid out.

    kind      offsets          data                          Arrow type that wraps it
    text      int32, rows + 1  UTF-8, one after the other    utf8
    bytes     int32, rows + 1  bytes, one after the other    binary
    int32     -                4 bytes a row, native order   int32
    int64     -                8 bytes a row, native order   int64
    time      -                8 bytes a row, native order   timestamp[us, UTC]
    date      -                4 bytes a row, native order   date32 (days since 1970)
    bool      -                1 bit a row, lowest first     bool
    double    -                8 bytes a row, native order   float64
    decimal   -                16 bytes a row, little-endian decimal128(38, 9)
    map       int32, rows + 1  -, two children of kind text  map<utf8, utf8>

A validity buffer has one bit a row, lowest first, 1 = there is a value; without nulls there is none. A null
has no bytes (text, bytes, map) or a zero (fixed width). Source: Arrow columnar format 1.4, "Physical memory
layout".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal[
    "text", "bytes", "int32", "int64", "time", "map", "date", "bool", "double", "decimal"
]
PromotedType: TypeAlias = Literal["string", "bool", "int64", "double", "decimal", "timestamp", "date", "json"]
Buffer: TypeAlias = bytes | bytearray | memoryview

# int32 offsets end at 2 GiB: whoever fills a table lands it at this many bytes at the latest. One feed adds
# less than the other half unless batches were made to do it (record_bytes_max of the smallest records).
BUFFER_BYTES_MAX: Final = 1 << 30

TIME_US_MAX: Final = (
    253_402_300_799_999_999  # the last microsecond of the year 9999, as far as dates are written
)
# Clocks that follow a time server are apart by milliseconds; by a second only when something is wrong.
CLOCK_AHEAD_US_MAX: Final = 1_000_000
DECIMAL_DIGITS: Final = 38
DECIMAL_SCALE: Final = 9  # digits of fraction: what money and measures need, and 29 digits before them
PROMOTED_MAX: Final = 256  # columns of a table beside the landed ones
OFFSET_MAX: Final = (1 << 63) - (1 << 32)  # so that offset + int32 stays an int64


class Column(NamedTuple):
    """Name and kind of one column."""

    name: str
    kind: Kind


PROMOTED_KINDS: Final[dict[PromotedType, Kind]] = {
    "string": "text",
    "bool": "bool",
    "int64": "int64",
    "double": "double",
    "decimal": "decimal",
    "timestamp": "time",
    "date": "date",
    "json": "text",
}


class Promoted(NamedTuple):
    """A column lifted from the payload: the keys that lead to it from the top, and what is expected there."""

    name: str
    path: tuple[str, ...]
    type: PromotedType

    @property
    def column(self) -> Column:
        """As the table has it."""
        return Column(self.name, PROMOTED_KINDS[self.type])


class ColumnView(NamedTuple):
    """The buffers of one column, laid out as its kind says; nothing is copied."""

    name: str
    kind: Kind
    nulls: int
    validity: Buffer | None
    offsets: memoryview | None
    data: memoryview | None
    children: tuple[ColumnView, ...] = ()


LANDED: Final[tuple[Column, ...]] = (
    Column("event_id", "text"),
    Column("event_type", "text"),
    Column("event_name", "text"),
    Column("source", "text"),
    Column("dialect", "text"),
    Column("user_id", "text"),
    Column("anonymous_id", "text"),
    Column("event_time", "time"),
    Column("received_at", "time"),
    Column("appended_at", "time"),
    Column("client_ip", "text"),
    Column("user_agent", "text"),
    Column("payload", "text"),
    Column("payload_bytes", "bytes"),
    Column("content_type", "text"),
    Column("attributes", "map"),
    Column("ack", "text"),
    Column("flags", "int64"),
    Column("collector", "text"),
    Column("sequence", "int64"),
    Column("kafka_incarnation", "int32"),
    Column("kafka_partition", "int32"),
    Column("kafka_offset", "int64"),
)

QUARANTINE: Final[tuple[Column, ...]] = (*LANDED, Column("reason", "text"), Column("position", "int32"))


@dataclass(slots=True)
class Fed:
    """What one feed made of the batches of one Kafka partition.

    Every offset from the `next_offset` that was given to the one here is in exactly one of: `rows`,
    `quarantined`, a range of `skipped` (first, next, reason: control, aborted) or a range of `holes`
    (first, next: Kafka has none).
    """

    next_offset: int
    rows: int = 0
    quarantined: int = 0
    skipped: list[tuple[int, int, str]] = field(default_factory=list)
    holes: list[tuple[int, int]] = field(default_factory=list)
    last_batch: tuple[int, int] | None = None  # base offset, leader epoch of the last batch taken
    appended_us_max: int = 0  # latest append time of the batches taken, µs since 1970; 0: none
    hours: dict[int, int] = field(
        default_factory=dict
    )  # rows by hour since 1970 UTC, quarantined ones left out
    nulled: dict[str, int] = field(
        default_factory=dict
    )  # by promoted column: values that are null because they had another type
