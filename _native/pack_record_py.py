"""Inside pack, the Python twin: takes what is known of one record, gives its key, headers and flags.

What a request says is made legible first; what a scan has lifted is UTF-8 already.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from _native.pack_stamp import One, Stamp
from _native.record import FIELD_BYTES_MAX, HEADERS, SPECVERSION, TYPE_UNKNOWN, Flags
from _native.timestamp import MAX_US, MIN_US, parse_us, rfc3339

# As plain numbers: an operation on IntFlag costs more than all the rest of a record's flags.
ID_MADE: Final = int(Flags.ID_MADE)
TYPE_MISSING: Final = int(Flags.TYPE_MISSING)
KEY_IS_USER: Final = int(Flags.KEY_IS_USER)
KEY_IS_ANON: Final = int(Flags.KEY_IS_ANON)
TIME_CORRECTED: Final = int(Flags.TIME_CORRECTED)
TIME_SUSPECT: Final = int(Flags.TIME_SUSPECT)
TIME_UNREADABLE: Final = int(Flags.TIME_UNREADABLE)
FIELD_CUT: Final = int(Flags.FIELD_CUT)

HOUR_US: Final = 3_600_000_000
EARLY_US_MAX: Final = 7 * 24 * HOUR_US  # a client's time that is not corrected is suspect beyond these
LATE_US_MAX: Final = HOUR_US
REPLACEABLE: Final = frozenset((b"ce_specversion", b"ce_source"))
RESERVED: Final = frozenset(name.encode() for name in HEADERS)


class Record(NamedTuple):
    """A record as it is appended."""

    key: bytes
    value: bytes | bytearray | memoryview
    headers: list[tuple[bytes, bytes]]


class _Lift:
    """Lifts text into headers; remembers whether any of it had to be cut."""

    def __init__(self) -> None:
        self.flags = 0

    def __call__(self, *choices: bytes | None) -> bytes | None:
        """The first that is not empty, at most FIELD_BYTES_MAX bytes of it."""
        found = next(filter(None, choices), None)
        if found is None:
            return None
        if len(found) <= FIELD_BYTES_MAX:
            return found
        self.flags = FIELD_CUT
        end = FIELD_BYTES_MAX
        while end and found[end] & 0xC0 == 0x80:  # within a character: cut before it
            end -= 1
        return found[:end]


def legible(text: bytes | None) -> bytes | None:
    """Text in UTF-8; what is not UTF-8 is read as ISO-8859-1."""
    if text:
        try:
            text.decode()
        except UnicodeDecodeError:
            return text.decode("latin-1").encode()
    return text


def legible_stamp(stamp: Stamp) -> Stamp:
    """The stamp with all that a client wrote legible."""
    return stamp._replace(
        agent=legible(stamp.agent),
        content_type=legible(stamp.content_type) or b"",
        type_default=legible(stamp.type_default),
        user_default=legible(stamp.user_default),
        anon_default=legible(stamp.anon_default),
    )


def legible_one(one: One) -> One:
    """One record with all that a client wrote legible."""
    return one._replace(
        content_type=legible(one.content_type),
        id=legible(one.id),
        type=legible(one.type),
        name=legible(one.name),
        user=legible(one.user),
        anon=legible(one.anon),
        time=legible(one.time),
        extra=tuple((legible(name) or b"", legible(text) or b"") for name, text in one.extra),
    )


def record_of(one: One, stamp: Stamp, number: int, sent_us: int | None, flags: int) -> Record:
    """Everything about one record, in the order of `_native.record.HEADERS`."""
    lift = _Lift()
    event_id = lift(one.id)
    if event_id is None:
        event_id, flags = b"%s-%d" % (stamp.boot.hex().encode(), number), flags | ID_MADE
    event_type = lift(one.type, stamp.type_default)
    if event_type is None:
        event_type, flags = TYPE_UNKNOWN, flags | TYPE_MISSING
    name = lift(one.name)
    user, anon = lift(one.user, stamp.user_default), lift(one.anon, stamp.anon_default)
    agent = lift(stamp.agent)
    key, flag = key_of(event_id, user, anon, stamp.key_by_anonymous)
    time, time_flags = event_time(one.time, sent_us, stamp.received_us)
    flags = (flags | flag | time_flags | lift.flags | stamp.flags) & 0xFFFFFFFF
    own = {name: text for name, text in one.extra if name in REPLACEABLE and text}
    headers: list[tuple[bytes, bytes | None]] = [
        (b"hr_seq", stamp.boot + number.to_bytes(8, "big")),
        (b"hr_time", int64(stamp.received_us)),
        (b"hr_source", stamp.source),
        (b"hr_dialect", stamp.dialect),
        (b"hr_ack", stamp.ack),
        (b"hr_flags", flags.to_bytes(4, "big")),
        (b"ce_specversion", own.get(b"ce_specversion", SPECVERSION)),
        (b"ce_id", event_id),
        (b"ce_source", own.get(b"ce_source", stamp.source)),
        (b"ce_type", event_type),
        (b"ce_time", time),
        (b"content-type", one.content_type),
        (b"hr_name", name),
        (b"hr_user", None if flag == KEY_IS_USER else user),
        (b"hr_anon", None if flag == KEY_IS_ANON else anon),
        (b"hr_ip", stamp.ip),
        (b"hr_ua", agent),
        (b"hr_sent", None if sent_us is None else int64(sent_us)),
        (b"hr_ctx", stamp.context),
        (b"hr_reason", one.reason),
        (b"hr_position", None if one.position is None else one.position.to_bytes(4, "big", signed=True)),
    ]
    headers += [(name, text) for name, text in one.extra if name not in RESERVED]
    return Record(key, one.value, [(name, text) for name, text in headers if text])


def key_of(
    event_id: bytes, user: bytes | None, anon: bytes | None, key_by_anonymous: bool
) -> tuple[bytes, int]:
    """The record's key and the flag that says which id it is."""
    if anon and (key_by_anonymous or not user):
        return anon, KEY_IS_ANON
    return (user, KEY_IS_USER) if user else (event_id, 0)


def event_time(text: bytes | None, sent_us: int | None, received_us: int) -> tuple[bytes | None, int]:
    """`ce_time` and its flags; the correction is left out where it would leave what a time may be."""
    if not text:
        return None, 0
    client_us = parse_us(text)
    if client_us is None:
        return None, TIME_UNREADABLE
    if sent_us is not None and MIN_US <= (at_us := received_us - (sent_us - client_us)) < MAX_US:
        return rfc3339(at_us), TIME_CORRECTED
    near = received_us - EARLY_US_MAX <= client_us <= received_us + LATE_US_MAX
    return rfc3339(client_us), 0 if near else TIME_SUSPECT


def int64(value: int) -> bytes:
    """8 bytes, big-endian, signed."""
    return value.to_bytes(8, "big", signed=True)
