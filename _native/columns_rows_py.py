"""Inside decode, the Python twin: takes one record, gives its row, or why it can't be one.

A row is a list of values in the order of QUARANTINE (a landed table takes the first columns of it): text and
bytes as bytes, numbers as int, the map as pairs, None for null. `_native.record` tells the headers.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from _native.columns_layout import QUARANTINE, TIME_US_MAX
from _native.columns_record_py import MalformedError, Record, read_rest
from _native.record import CONTENT_JSON, SPECVERSION, Flags

Value: TypeAlias = bytes | int | Sequence[tuple[bytes, bytes]] | None
Row: TypeAlias = list[Value]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
EVENT_TIME: Final = re.compile(rb"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?Z", re.ASCII)
JSON_TYPE: Final = re.compile(
    rb"\s*(application/json|text/json|[^;\s]+\+json)\s*(;.*)?", re.IGNORECASE | re.DOTALL
)
# As plain numbers: an operation on IntFlag costs more than all the rest of a row's flags.
TYPE_MISSING: Final = int(Flags.TYPE_MISSING)
KEY_IS_USER: Final = int(Flags.KEY_IS_USER)
KEY_IS_ANON: Final = int(Flags.KEY_IS_ANON)
TIME_UNREADABLE: Final = int(Flags.TIME_UNREADABLE)
DOOR_FLAGS: Final = 0xFFFF  # the low half; the high half is the sink's own

AT: Final = {column.name: at for at, column in enumerate(QUARANTINE)}
RECEIVED: Final = AT["received_at"]
APPENDED: Final = AT["appended_at"]
PAYLOAD: Final = AT["payload"]
PAYLOAD_BYTES: Final = AT["payload_bytes"]
ATTRIBUTES: Final = AT["attributes"]
FLAGS: Final = AT["flags"]
ACK: Final = AT["ack"]
PARTITION: Final = AT["kafka_partition"]
OFFSET: Final = AT["kafka_offset"]
REASON: Final = AT["reason"]


class UnfitError(ValueError):
    """The record is readable but is not one of ours; `reason` is a key of QUARANTINE_REASONS."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def row_of(
    data: bytes,
    span: tuple[int, int, int],
    offset: int,
    appended_us: int,
    where: tuple[int, int],
    quarantine: bool,
) -> tuple[Row, str | None]:
    """The row of any record, and why it goes to the quarantine, if it does.

    `span`: where the record starts in `data`, where its key begins, where it ends.
    """
    start, rest_at, stop = span
    try:
        record = read_rest(data, rest_at, stop, offset, appended_us)
    except MalformedError:
        row = blank_row(offset, appended_us, appended_us, where)
        row[PAYLOAD_BYTES] = data[start:stop]
        return row, "corrupt_record"
    try:
        return event_row(record, where, quarantine)
    except UnfitError as error:
        return unfit_row(record, where), error.reason


def event_row(record: Record, where: tuple[int, int], quarantine: bool) -> tuple[Row, str | None]:
    """The row of a collector's record, and the quarantine reason if its payload can't be what it says.

    `where` is (incarnation, Kafka partition); `quarantine`: the topic is the quarantine, so its headers are
    columns and the payload may be anything. UnfitError where the record is not one of ours or its headers
    are damaged.
    """
    found = dict(record.headers)
    take = found.pop
    seq, received = take(b"hr_seq", None), take(b"hr_time", None)
    if seq is None or received is None:
        raise UnfitError("foreign_record")
    received_us = _integer(received, 8)
    flags = _integer(take(b"hr_flags", bytes(4)), 4) & DOOR_FLAGS
    position = take(b"hr_position", None) if quarantine else None
    if record.value is None or len(seq) != 16 or seq[8] >= 0x80 or not 0 <= received_us <= TIME_US_MAX:
        raise UnfitError("corrupt_record")
    source, event_type = take(b"hr_source", None), take(b"ce_type", None)
    sent = take(b"hr_sent", None)
    event_time, flags = _event_time(found, flags)
    payload, payload_bytes, content_type, reason = _payload(record.value, found, quarantine)
    row: Row = [
        take(b"ce_id", None),
        None if flags & TYPE_MISSING else event_type,
        take(b"hr_name", None),
        source,
        take(b"hr_dialect", None),
        *_people(record.key, found, flags),
        event_time,
        received_us,
        record.appended_us,
        take(b"hr_ip", None),
        take(b"hr_ua", None),
        payload,
        payload_bytes,
        content_type,
        None,
        take(b"hr_ack", None),
        flags,
        seq[:8].hex().encode(),
        int.from_bytes(seq[8:], "big"),
        *where,
        record.offset,
        take(b"hr_reason", None) if quarantine else None,
        None if position is None else _integer(position, 4),
    ]
    _expect_text(row)
    row[ATTRIBUTES] = _attributes(found, source, sent)
    return row, reason


def unfit_row(record: Record, where: tuple[int, int]) -> Row:
    """The quarantine row of a record that is not one of ours: its value, its key and every header."""
    found = dict(record.headers)
    received_us = int.from_bytes(found.get(b"hr_time", b""), "big", signed=True)
    if len(found.get(b"hr_time", b"")) != 8 or not 0 <= received_us <= TIME_US_MAX:
        received_us = record.appended_us
    row = blank_row(record.offset, received_us, record.appended_us, where)
    row[PAYLOAD_BYTES] = record.value
    pairs = [_attribute(name, value) for name, value in found.items()]
    if record.key is not None:
        pairs.append((b"kafka_key", base64.b64encode(record.key)))
    row[ATTRIBUTES] = pairs
    return row


def blank_row(offset: int, received_us: int, appended_us: int, where: tuple[int, int]) -> Row:
    """A quarantine row of which only the place on Kafka and the times are known."""
    row: Row = [None] * len(QUARANTINE)
    row[RECEIVED], row[APPENDED], row[ATTRIBUTES], row[FLAGS] = received_us, appended_us, (), 0
    row[AT["kafka_incarnation"]], row[PARTITION], row[OFFSET] = *where, offset
    return row


def _integer(data: bytes, size: int) -> int:
    if len(data) != size:
        raise UnfitError("corrupt_record")
    return int.from_bytes(data, "big", signed=True)


def _expect_text(row: Row) -> None:
    # One decode for all: a NUL between them can't complete a sequence, so the whole is valid only if each is.
    # The payload was looked at before, and payload_bytes is not text.
    known = (PAYLOAD, PAYLOAD_BYTES)
    texts = [value for at, value in enumerate(row) if at not in known and isinstance(value, bytes)]
    try:
        b"\0".join(texts).decode()
    except UnicodeDecodeError:
        raise UnfitError("corrupt_record") from None


def _people(key: bytes | None, found: dict[bytes, bytes], flags: int) -> tuple[bytes | None, bytes | None]:
    user, anonymous = found.pop(b"hr_user", None), found.pop(b"hr_anon", None)
    return key if flags & KEY_IS_USER else user, key if flags & KEY_IS_ANON else anonymous


def _event_time(found: dict[bytes, bytes], flags: int) -> tuple[int | None, int]:
    text = found.get(b"ce_time")
    if text is None:
        return None, flags
    match = EVENT_TIME.fullmatch(text)
    if match:
        year, month, day, hour, minute, second = map(int, match.groups()[:6])
        micros = int((match[7] or b"").ljust(6, b"0"))
        try:
            time = datetime(year, month, day, hour, minute, second, micros, UTC)
        except ValueError:
            pass  # as the thirtieth of February: stays in the attributes, flagged below
        else:
            del found[b"ce_time"]
            return (time - EPOCH) // timedelta(microseconds=1), flags
    return None, flags | TIME_UNREADABLE


def _payload(
    value: bytes, found: dict[bytes, bytes], quarantine: bool
) -> tuple[bytes | None, bytes | None, bytes | None, str | None]:
    """payload, payload_bytes, content_type, reason."""
    content_type = found.get(b"content-type")
    json = bool(content_type and JSON_TYPE.fullmatch(content_type))
    if not value and (json or not content_type):
        return None, None, None, None
    if json:
        try:
            value.decode()
        except UnicodeDecodeError:
            found.pop(b"content-type")
            return None, value, content_type, None if quarantine else "payload_not_utf8"
        if content_type == CONTENT_JSON:
            found.pop(b"content-type")
        return value, None, None, None
    found.pop(b"content-type", None)
    return None, value, content_type or None, None


def _attributes(
    found: dict[bytes, bytes], source: bytes | None, sent: bytes | None
) -> list[tuple[bytes, bytes]]:
    if found.get(b"ce_specversion") == SPECVERSION:
        del found[b"ce_specversion"]
    if found.get(b"ce_source") == source:
        found.pop(b"ce_source", None)
    if sent is not None:
        found[b"hr_sent"] = _time_text(_integer(sent, 8))
    return [_attribute(name, value) for name, value in found.items()]


def _attribute(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """Name and value as text: what is not UTF-8 stands as base64 under a name that says so."""
    try:
        value.decode()
    except UnicodeDecodeError:
        name, value = name + b".base64", base64.b64encode(value)
    try:
        name.decode()
    except UnicodeDecodeError:
        name = base64.b64encode(name) + b".name.base64"
    return name, value


def _time_text(time_us: int) -> bytes:
    """RFC 3339 with microseconds; outside the years 1970 to 9999 the number as it is."""
    if not 0 <= time_us <= TIME_US_MAX:
        return str(time_us).encode()
    time = EPOCH + timedelta(microseconds=time_us)
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()
