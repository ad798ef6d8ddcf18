"""Times as clients write them: takes the text of a lifted value, gives microseconds since 1970 UTC, and back.

Text is RFC 3339 and its relatives: `T`, `t` or a space; a fraction of any length, cut to microseconds;
offset `Z`, `z`, `±hh:mm`, `±hhmm`, `±hh` or none (taken as UTC); a date alone is its midnight. Numbers, also
as text, are told apart by size: below 1e11 s, below 1e14 ms, below 1e17 µs, else ns.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

MIN_US: Final = -2_208_988_800_000_000  # 1900-01-01T00:00:00Z
MAX_US: Final = 7_258_118_400_000_000  # 2200-01-01T00:00:00Z, not included
TEXT_BYTES_MAX: Final = 64

SCALES: Final = (
    (Decimal(10) ** 11, Decimal(10) ** 6),
    (Decimal(10) ** 14, Decimal(1000)),
    (Decimal(10) ** 17, Decimal(1)),
)
NANOSECONDS: Final = Decimal("0.001")

RFC3339: Final = re.compile(
    rb"(\d{4})-(\d\d)-(\d\d)"
    rb"(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)? ?(?:[Zz]|([+-])(\d\d):?(\d\d)?)?)?",
    re.ASCII,
)
NUMBER: Final = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?", re.ASCII)


def parse_us(text: bytes) -> int | None:
    """Microseconds since 1970 UTC; None where it is no time, or one before 1900 or from 2200 on."""
    text = text.strip()
    if not text or len(text) > TEXT_BYTES_MAX:
        return None
    at = number_us(text) if NUMBER.fullmatch(text) else text_us(text)
    return at if at is not None and MIN_US <= at < MAX_US else None


def number_us(text: bytes) -> int | None:
    """A count of seconds, milliseconds, microseconds or nanoseconds, told apart by its size."""
    try:
        value = Decimal(text.decode("ascii"))
    except InvalidOperation:
        return None
    scale = next((factor for limit, factor in SCALES if abs(value) < limit), NANOSECONDS)
    if abs(value) >= Decimal(10) ** 20:
        return None
    return int((value * scale).to_integral_value("ROUND_FLOOR"))


def text_us(text: bytes) -> int | None:
    """RFC 3339, section 5.6, and its looser relatives."""
    match = RFC3339.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, zone_hours, zone_minutes = match.groups(b"0")
    leap = (
        second == b"60"
    )  # a leap second is the second after it, as RFC 3339 appendix D allows readers to take it
    try:
        moment = datetime(
            int(year), int(month), int(day), int(hour), int(minute), 59 if leap else int(second), tzinfo=UTC
        )
    except ValueError:
        return None
    if int(zone_hours) > 23 or int(zone_minutes) > 59:
        return None
    zone_us = (int(zone_hours) * 3600 + int(zone_minutes) * 60) * 1_000_000
    microseconds = int(fraction[:6].ljust(6, b"0"))
    whole_us = (moment - EPOCH) // timedelta(microseconds=1) + (1_000_000 if leap else 0)
    return whole_us + microseconds + (zone_us if sign == b"-" else -zone_us)


EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(at_us: int) -> bytes:
    """`2026-11-23T10:00:00.123456Z`: UTC, always six digits of fraction."""
    moment = EPOCH + timedelta(microseconds=at_us)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode("ascii")
