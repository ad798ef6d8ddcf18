"""Record batches as a broker keeps them, and tables that a decoder of either twin fills."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from _native import columns_buffers_c, columns_buffers_py, columns_c, columns_py
from _native.columns import Fed, Promoted
from _native.hash import crc32c
from sink.table import wrap

NOW_US = 1_763_970_000_123_456
HOUR = NOW_US // 3_600_000_000
GRACE_US = 300_000_000
MIB = 1 << 20
Headers = list[tuple[str, bytes | None]]
Records = Sequence[tuple[bytes | None, bytes | None, Headers]]


class Twin(NamedTuple):
    """One implementation of the decoder."""

    buffers: Any
    decoder: Any


TWINS: Final = {
    "python": Twin(columns_buffers_py.ColumnBuffers, columns_py.Decoder),
    "cython": Twin(columns_buffers_c.ColumnBuffers, columns_c.Decoder),
}


def headers_of(number: int = 0, received_us: int = NOW_US, flags: int = 0, **more: bytes | None) -> Headers:
    """Headers as a collector writes them; `more` replaces (None: leaves out) by name, - written as _."""
    found: dict[str, bytes | None] = {
        "hr_seq": b"bootid08" + struct.pack(">Q", number),
        "hr_time": struct.pack(">q", received_us),
        "hr_source": b"web",
        "hr_dialect": b"segment",
        "hr_ack": b"kafka",
        "hr_flags": struct.pack(">I", flags),
        "ce_specversion": b"1.0",
        "ce_id": b"id-%d" % number,
        "ce_source": b"web",
        "ce_type": b"track",
        "ce_time": b"2025-11-24T07:40:00.123456Z",
        "content-type": b"application/json",
    }
    found.update({name.replace("content_type", "content-type"): value for name, value in more.items()})
    return [(name, value) for name, value in found.items() if value is not None]


def batch_of(
    records: Records,
    base: int = 0,
    codec: int = 0,
    append_us: int = NOW_US,
    transaction: int | None = None,
    **fields: int,
) -> bytes:
    """A batch as a broker keeps it; `fields` are attributes (ORed) and last_delta."""
    producer = -1 if transaction is None else transaction
    builder = DefaultRecordBatchBuilder(2, codec, transaction is not None, producer, 0, 0, 1 << 30)
    for offset, (key, value, headers) in enumerate(records):
        assert builder.append(offset, append_us // 1000, key, value, headers) is not None
    data = bytearray(builder.build())
    struct.pack_into(">q", data, 0, base)
    struct.pack_into(">i", data, 12, 7)  # leader epoch
    attributes, last_delta = struct.unpack_from(">hi", data, 21)
    attributes |= fields.get("attributes", 0)
    struct.pack_into(">hi", data, 21, attributes, fields.get("last_delta", last_delta))
    return sign(data)


def sign(data: bytearray) -> bytes:
    struct.pack_into(">I", data, 17, crc32c(bytes(data[21:])))
    return bytes(data)


def marker(base: int, producer: int, commit: bool) -> bytes:
    return batch_of(
        [(struct.pack(">hh", 0, commit), b"\0" * 6, [])], base, transaction=producer, attributes=0x20
    )


def events(count: int, first: int = 0) -> list[tuple[bytes | None, bytes | None, Headers]]:
    return [(b"user", b'{"n":%d}' % n, headers_of(n)) for n in range(first, first + count)]


def texts(count: int) -> list[str]:
    return [value.decode() for _, value, _ in events(count) if value is not None]


class Landing:
    """Tables by (hour, quarantine) and the decoder that fills them."""

    twin = "cython"  # where the test does not say; a module's fixture may set it

    def __init__(
        self,
        record_bytes_max: int = MIB,
        quarantine_topic: bool = False,
        twin: str | None = None,
        columns: Sequence[Promoted] = (),
    ) -> None:
        self.tables: dict[tuple[int, bool], Any] = {}
        self.asked: list[tuple[int, bool]] = []
        self.kind = TWINS[twin or self.twin]
        self.decoder = self.kind.decoder(
            self.table_of,
            grace_us=GRACE_US,
            record_bytes_max=record_bytes_max,
            quarantine_topic=quarantine_topic,
            columns=columns,
        )
        self.columns = columns
        self.quarantine_topic = quarantine_topic

    def table_of(self, hour: int, quarantine: bool) -> Any:
        key = (hour, quarantine)
        self.asked.append(key)
        if key not in self.tables:
            self.tables[key] = self.kind.buffers(
                quarantine=quarantine or self.quarantine_topic, columns=self.columns
            )
        return self.tables[key]

    def feed(self, data: bytes, next_offset: int = 0, aborted: Iterable[tuple[int, int]] = ()) -> Fed:
        fed: Fed = self.decoder.feed(3, 2, next_offset, data, list(aborted))
        return fed

    def rows(self, quarantine: bool = False) -> list[dict[str, Any]]:
        tables = [wrap(table) for (_, kind), table in sorted(self.tables.items()) if kind == quarantine]
        for table in tables:
            table.validate(full=True)
        return [row for table in tables for row in table.to_pylist()]


def seen(landing: Landing) -> dict[tuple[int, bool], Any]:
    """All that can be seen of the tables, down to each buffer's bytes."""
    return {key: table_seen(table) for key, table in landing.tables.items()}


def table_seen(table: Any) -> tuple[Any, ...]:
    views = [view_seen(view) for view in table.buffers()]
    counts = (table.rows, table.nbytes, table.received_us_min, table.received_us_max)
    return (*counts, table.quarantine, table.spans, views)


def view_seen(view: Any) -> tuple[Any, ...]:
    buffers = [None if one is None else bytes(one) for one in (view.validity, view.offsets, view.data)]
    return (view.name, view.kind, view.nulls, *buffers, [view_seen(child) for child in view.children])


def compare(
    data: bytes,
    next_offset: int = 0,
    aborted: Sequence[tuple[int, int]] = (),
    record_bytes_max: int = 65_536,
    quarantine_topic: bool = False,
) -> Fed:
    """Both twins fed until nothing moves: every answer, every table asked for and every byte."""
    made, told = [], []
    for twin in TWINS:
        landing = Landing(record_bytes_max, quarantine_topic, twin)
        feds, at = [landing.feed(data, next_offset, aborted)], next_offset
        while feds[-1].next_offset > at and len(feds) < 9:
            at = feds[-1].next_offset
            feds.append(landing.feed(data, at, aborted))
        made.append((feds, landing.asked, seen(landing)))
        told.append(feds[0])
    assert made[0] == made[1]
    return told[0]
