"""Pack, the Python twin and specification: takes the rows of a scan, gives records in open batches."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from _native.batch_py import RecordBatch, record_bytes
from _native.cells import (
    ABSENT,
    ANON,
    ARRAY,
    EVENT,
    ID,
    NAME,
    OBJECT,
    ROLES,
    ROW,
    SENT,
    STRING,
    STRING_ESCAPED,
    TIME,
    TYPE,
    USER,
    VALUE,
    Cell,
    Scan,
)
from _native.hash import partition_of
from _native.pack_cloudevents_py import json_text, taken_apart
from _native.pack_record_py import Record, legible_one, legible_stamp, record_of
from _native.pack_stamp import (
    BOOT_BYTES,
    NUMBER_MAX,
    POSITION_MAX,
    RECEIVED_US_MAX,
    Batches,
    One,
    Packed,
    Stamp,
)
from _native.scan import text
from _native.timestamp import MAX_US, MIN_US, parse_us

Body = bytes | bytearray | memoryview

NO_ROOM: Final = "the batch that was opened for a record has no room for it"


def pack(body: Body, scan: Scan, stamp: Stamp, batches: Batches) -> Packed:
    """See `_native.pack`."""
    check_stamp(stamp, scan.count)
    check_rows(scan, body)
    writer = Writer(stamp, batches)
    left_out: list[tuple[int, str]] = []
    for index in range(scan.count):
        row = scan.rows[index * ROW : (index + 1) * ROW]
        reason = refusal(row, stamp)
        taken = None if reason else event_of(body, row, writer.stamp)
        if taken is None:
            left_out.append((index, reason or "invalid_event"))
        else:
            writer.put(*taken)
    return Packed(writer.number - stamp.number, writer.number, writer.touched, left_out)


def append_one(one: One, stamp: Stamp, batches: Batches) -> RecordBatch:
    """See `_native.pack`."""
    check_stamp(stamp, 1)
    check_one(one)
    return Writer(stamp, batches).put(legible_one(one), stamp.sent_us, 0)


class Writer:
    """Numbers records and appends them to the batch of their Kafka partition."""

    def __init__(self, stamp: Stamp, batches: Batches) -> None:
        self.number = stamp.number
        self.touched: list[RecordBatch] = []
        self.stamp = legible_stamp(stamp)
        self._batches = batches
        self._open: dict[int, RecordBatch] = {}

    def put(self, one: One, sent_us: int | None, flags: int) -> RecordBatch:
        """Append one record; its number is taken only by this."""
        record = record_of(one, self.stamp, self.number, sent_us, flags)
        batch = self._batch(record)
        if not batch.append(*record, self.stamp.received_us // 1000):
            raise RuntimeError(NO_ROOM)
        self.number += 1
        return batch

    def _batch(self, record: Record) -> RecordBatch:
        partition = partition_of(record.key, self._batches.partitions)
        size = record_bytes(*record)
        batch = self._open.get(partition)
        if batch is None or batch.size() + size > batch.bytes_max:
            batch = self._open[partition] = self._batches.open(partition, size)
            if batch not in self.touched:
                self.touched.append(batch)
        return batch


def refusal(row: Sequence[int], stamp: Stamp) -> str | None:
    """Why the event of a row is left out, as far as the row tells."""
    start, end, kind = cell(row, EVENT)
    if kind != OBJECT:
        return "not_an_object"
    if end - start > stamp.event_bytes_max:
        return "event_too_large"
    defaults = {TYPE: stamp.type_default, USER: stamp.user_default, ANON: stamp.anon_default}
    missing = any(cell(row, role)[2] == ABSENT and not defaults.get(role) for role in stamp.required)
    return "invalid_event" if missing else None


def event_of(body: Body, row: Sequence[int], stamp: Stamp) -> tuple[One, int | None, int] | None:
    """The event of a row, when it was sent, its flags; None if it is no valid CloudEvent."""

    def lifted(role: int) -> bytes | None:
        return text(body, cell(row, role))

    whole = cell(row, VALUE) if cell(row, VALUE)[2] != ABSENT else cell(row, EVENT)
    event = One(
        value=b"" if stamp.attributes else json_text(body, whole),
        content_type=stamp.content_type,
        id=lifted(ID),
        type=lifted(TYPE),
        name=lifted(NAME),
        user=lifted(USER),
        anon=lifted(ANON),
        time=lifted(TIME),
    )
    sent = lifted(SENT)
    sent_us = parse_us(sent) if sent else None
    sent_us = stamp.sent_us if sent_us is None else sent_us
    if not stamp.attributes:
        return event, sent_us, 0
    taken = taken_apart(body, *cell(row, EVENT)[:2], event)
    return None if taken is None else (taken[0], sent_us, taken[1])


def cell(row: Sequence[int], role: int) -> Cell:
    """The cell of a role."""
    return row[3 * role], row[3 * role + 1], row[3 * role + 2]


def check_stamp(stamp: Stamp, count: int) -> None:
    """ValueError if something in it could not be written as readers expect it."""
    if len(stamp.boot) != BOOT_BYTES:
        raise ValueError(f"expected a boot id of {BOOT_BYTES} bytes, got {len(stamp.boot)}")
    if not 0 <= stamp.number <= NUMBER_MAX - count:
        raise ValueError(f"expected a number from 0 to {NUMBER_MAX} - {count}, got {stamp.number}")
    if not 0 <= stamp.received_us <= RECEIVED_US_MAX:
        raise ValueError(f"expected received_us from 0 to {RECEIVED_US_MAX}, got {stamp.received_us}")
    if not all(EVENT <= role < ROLES for role in stamp.required):
        raise ValueError(f"expected required roles from {EVENT} to {ROLES - 1}, got {stamp.required}")
    if stamp.sent_us is not None and not MIN_US <= stamp.sent_us < MAX_US:
        raise ValueError(f"expected sent_us from {MIN_US} to {MAX_US}, got {stamp.sent_us}")


def check_one(one: One) -> None:
    """ValueError if its position could not be written."""
    if one.position is not None and not -1 <= one.position <= POSITION_MAX:
        raise ValueError(f"expected a position from -1 to {POSITION_MAX}, got {one.position}")


def check_rows(scan: Scan, body: Body) -> None:
    """ValueError if it can't be a scan of this body."""
    rows, size = scan.rows, len(body)
    if len(rows) != scan.count * ROW:
        raise ValueError(f"expected {scan.count * ROW} numbers in {scan.count} rows, got {len(rows)}")
    for at in range(0, len(rows), 3):
        start, end, kind = rows[at], rows[at + 1], rows[at + 2]
        quotes = kind in (STRING, STRING_ESCAPED)
        where = f"{(start, end, kind)} in row {at // ROW}"
        if not (ABSENT <= kind <= ARRAY and quotes <= start <= end <= size - quotes):
            raise ValueError(f"expected cells within {size} bytes, got {where}")
        if kind == STRING_ESCAPED and not is_string(bytes(body[start:end])):
            raise ValueError(f"expected the inside of a JSON string, got {where}")


def is_string(inside: bytes) -> bool:
    """Whether these bytes, between quotes, are a JSON string."""
    try:
        json.loads(f'"{inside.decode()}"')
    except ValueError:
        return False
    return True
