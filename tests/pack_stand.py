"""A stand for pack: open batches as the rounds give them, and what our own decoder reads of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple

from aiokafka.record.memory_records import MemoryRecords

from _native import batch_c, batch_py, pack_c, pack_py
from _native.batch_py import HEAD_BYTES
from _native.cells import ANON, ID, NAME, SENT, TIME, TYPE, USER, ScanError, ScanSpec
from _native.columns import ColumnBuffers, Decoder
from _native.pack_stamp import One, Packed, Stamp
from _native.scan import scan

NOW_US = 1_763_970_000_123_456  # 2025-11-24T07:40:00.123456Z
BOOT = b"\x00\x01\xfebooty"
SPEC = ScanSpec(
    {
        ID: (("messageId",), ("id",)),
        TYPE: (("type",),),
        NAME: (("event",), ("name",)),
        USER: (("userId",),),
        ANON: (("anonymousId",),),
        TIME: (("timestamp",),),
        SENT: (("sentAt",),),
    },
    batch_keys=("batch",),
    array=True,
    ndjson=True,
)
CE_SPEC = ScanSpec({ID: (("id",),), TYPE: (("type",),), TIME: (("time",),), USER: (("userid",),)}, array=True)
TIMES = [
    "2025-11-24T07:39:00Z",
    "2025-11-24T07:39:00.5Z",
    "2025-11-24t07:39:00.123456789z",
    "2025-11-24 07:39:00,25",
    "2025-11-24T07:39:60Z",
    "2025-11-24T07:39",
    "2025-11-24T07:39:00 +05:30",
    "2025-11-24T07:39:00-0800",
    "2025-11-24T07:39:00+14",
    "2025-11-24",
    " 2025-11-24T07:39:00Z\t",
    "1763969940",
    1763969940.25,
    1763969940123,
    "1763969940123456",
    1763969940123456789,
    "-1",
    "1e9",
    "2025-02-29",
    "2024-02-29",
    "2025-13-01",
    "2025-11-24T24:00:00Z",
    "2025-11-24T07:39:00+24:00",
    "2025-11-24T07:39:00+23:59",
    "1899-12-31T23:59:59Z",
    "2199-12-31T23:59:59.999999Z",
    "2200-01-01",
    "0000-01-01",
    "2025-11-24T07:39:00." + "1" * 44,
    "2025-11-24T07:39:00." + "1" * 45,
    99999999999,
    100000000000,
    99999999999999,
    100000000000000,
    "1763969940123.4567",
    "1763969940123456.7",
    99999999999999999,
    100000000000000000,
    999999999999999999,
    "1000000000000000000",
    True,
    "yesterday",
]


class Twins(NamedTuple):
    """One pair of twins: the module of pack and the module of the batches that it fills."""

    pack: ModuleType
    batch: ModuleType


PYTHON = Twins(pack_py, batch_py)
CYTHON = Twins(pack_c, batch_c)


@dataclass
class OpenBatches:
    """The open batches of one topic; a full one's successor takes its place, as in ingest.rounds."""

    twins: Twins
    partitions: int = 1
    bytes_max: int = 1 << 20
    compression: str = "none"
    opened: list[tuple[int, int, Any]] = field(default_factory=list)
    current: dict[int, Any] = field(default_factory=dict)

    def open(self, partition: int, size: int) -> Any:
        batch = self.current.get(partition)
        if batch is None or batch.size() + size > batch.bytes_max:
            bytes_max = max(self.bytes_max, size + HEAD_BYTES)
            batch = self.current[partition] = self.twins.batch.RecordBatch(self.compression, bytes_max)
        self.opened.append((partition, size, batch))
        return batch

    def built(self) -> dict[int, list[bytes]]:
        """The sealed batches by Kafka partition."""
        found: dict[int, list[bytes]] = {}
        for batch in dict.fromkeys(batch for _, _, batch in self.opened):
            partition = next(number for number, _, other in self.opened if other is batch)
            found.setdefault(partition, []).append(batch._build())
        return found


@dataclass
class Told:
    """A record as it stands in a batch."""

    partition: int
    key: bytes | None
    value: bytes
    names: list[str]
    headers: dict[str, bytes]


def stamp(**more: Any) -> Stamp:
    """A usual request; `more` replaces."""
    usual: dict[str, Any] = {
        "boot": BOOT,
        "number": 7,
        "received_us": NOW_US,
        "source": b"web",
        "dialect": b"segment",
        "ack": b"kafka",
        "event_bytes_max": 32 * 1024,
    }
    return Stamp(**{**usual, **more})


def packed(
    twins: Twins, body: bytes, spec: ScanSpec = SPEC, batches: OpenBatches | None = None, **more: Any
) -> tuple[Packed, list[Told]]:
    """What pack makes of a body, and every record of the batches."""
    batches = batches or OpenBatches(twins)
    found = twins.pack.pack(body, scan(body, spec), stamp(**more), batches)
    return found, told(batches)


def outcome(twins: Twins, work: Callable[[OpenBatches], Any], **more: Any) -> object:
    """All that can be seen of a call: what it gives or raises, what it opened, every byte of the batches."""
    batches = OpenBatches(twins, **more)
    result: Any
    try:
        result = work(batches)
    except ScanError:
        raise
    except ValueError as error:
        return str(error), [(partition, size) for partition, size, _ in batches.opened]
    opened = [batch for _, _, batch in batches.opened]
    if isinstance(result, tuple):
        result = (result[0], result[1], [opened.index(batch) for batch in result[2]], result[3])
    else:
        result = opened.index(result)
    sizes = [(partition, size, batch.size()) for partition, size, batch in batches.opened]
    return result, sizes, batches.built()


def appended(twins: Twins, one: One, **more: Any) -> Told:
    """The record that append_one makes."""
    batches = OpenBatches(twins)
    batch = twins.pack.append_one(one, stamp(**more), batches)
    assert [other for _, _, other in batches.opened] == [batch]
    (record,) = told(batches)
    return record


def told(batches: OpenBatches) -> list[Told]:
    """The records of all batches, by Kafka partition and in order, as aiokafka reads them."""
    found = []
    for partition, datas in sorted(batches.built().items()):
        for data in datas:
            batch = MemoryRecords(data).next_batch()
            assert batch.validate_crc()
            for record in batch:
                names = [name for name, _ in record.headers]
                headers = dict(record.headers)
                assert len(headers) == len(names)
                found.append(Told(partition, record.key, record.value, names, headers))
    return found


def landed(batches: OpenBatches, *, quarantine_topic: bool = False) -> list[dict[str, Any]]:
    """The rows that the sink's decoder makes of the batches; none of them may be quarantined by it."""
    from sink.table import wrap

    tables: dict[tuple[int, bool], ColumnBuffers] = {}

    def table_of(hour: int, quarantine: bool) -> ColumnBuffers:
        table = ColumnBuffers(quarantine=quarantine or quarantine_topic)
        return tables.setdefault((hour, quarantine), table)

    decoder = Decoder(table_of, grace_us=1 << 60, record_bytes_max=1 << 30, quarantine_topic=quarantine_topic)
    for partition, datas in sorted(batches.built().items()):
        for data in datas:
            fed = decoder.feed(partition, 0, 0, data, [])
            assert fed.quarantined == 0
    assert not any(quarantine for _, quarantine in tables)
    return [row for table in tables.values() for row in wrap(table).to_pylist()]
