"""The vocabulary of pack: what a request says for all its events, one record by itself, what came of them.

All bytes here are text in UTF-8, but for `boot` and `value`. What a client sent as a header and is not UTF-8
is read as ISO-8859-1 (RFC 9110 section 5.5), so that no record has a header that can't be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from _native.record import CONTENT_JSON

if TYPE_CHECKING:
    from _native.batch import RecordBatch

BOOT_BYTES: Final = 8
NUMBER_MAX: Final = (1 << 63) - 1  # readers keep the number in an int64
RECEIVED_US_MAX: Final = 253_402_300_799_999_999  # the end of the year 9999
POSITION_MAX: Final = (1 << 31) - 1
HEADERS_BYTES: Final = 320  # of a record's own overhead, header names and fixed values, rounded up


class Stamp(NamedTuple):
    """What one request says for all its events. Times are microseconds since 1970 UTC.

    number: the first hr_seq number to give; the caller's next one is `Packed.number`.
    flags: bits of `_native.record.Flags` that every event gets.
    key_by_anonymous: the anonymous id goes before the user id where both could be the key.
    event_bytes_max: bytes of an event's JSON text; what is larger is left out.
    sent_us: the envelope's sentAt; an event's own SENT role goes before.
    context: JSON text that the events share; it is never cut, so the caller bounds it.
    type_default, user_default, anon_default: for events that have none of their own.
    required: roles that an event must have, be it by a default; without them it is left out.
    attributes: events are structured CloudEvents and become records in binary mode.
    """

    boot: bytes
    number: int
    received_us: int
    source: bytes
    dialect: bytes
    ack: bytes
    event_bytes_max: int
    flags: int = 0
    key_by_anonymous: bool = False
    ip: bytes | None = None
    agent: bytes | None = None
    sent_us: int | None = None
    context: bytes | None = None
    content_type: bytes = CONTENT_JSON
    type_default: bytes | None = None
    user_default: bytes | None = None
    anon_default: bytes | None = None
    required: tuple[int, ...] = ()
    attributes: bool = False


class One(NamedTuple):
    """One record by itself: a binary CloudEvent, or what goes to the quarantine. Empty text counts as absent.

    time: the client's text. extra: headers beyond those of `_native.record.HEADERS`, which they can't
    replace, but for ce_specversion and ce_source. reason and position belong to the quarantine alone.
    """

    value: bytes | bytearray | memoryview
    content_type: bytes | None = CONTENT_JSON
    id: bytes | None = None
    type: bytes | None = None
    name: bytes | None = None
    user: bytes | None = None
    anon: bytes | None = None
    time: bytes | None = None
    extra: tuple[tuple[bytes, bytes], ...] = ()
    reason: bytes | None = None
    position: int | None = None


class Batches(Protocol):
    """The open batches of one topic: `open` gives one that has room for a record of `size` bytes."""

    partitions: int

    def open(self, partition: int, size: int) -> Any: ...  # a RecordBatch; callers know less of it


class Packed(NamedTuple):
    """What became of a scan's events: accepted + len(left_out) is their number.

    number: the next free hr_seq number. touched: the batches that got records, each once, in the order of
    their first. left_out: (row, reason), a key of `_native.record.QUARANTINE_REASONS`.
    """

    accepted: int
    number: int
    touched: list[RecordBatch]
    left_out: list[tuple[int, str]]


def bytes_expected(stamp: Stamp, body_bytes: int, count: int) -> int:
    """About how many bytes `count` events of a body will take in batches, before compression.

    Values and what is lifted out of them take up to twice the body; what the request shares stands in every
    record, so a large context in front of many small events is what makes the difference.
    """
    shared = (stamp.source, stamp.source, stamp.dialect, stamp.ack, stamp.content_type)
    optional = (
        stamp.ip,
        stamp.agent,
        stamp.context,
        stamp.type_default,
        stamp.user_default,
        stamp.anon_default,
    )
    each = HEADERS_BYTES + sum(map(len, shared)) + sum(len(text) for text in optional if text)
    return 2 * body_bytes + count * each
