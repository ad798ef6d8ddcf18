"""Times as SDKs write them, both sides of each bound, and the way back."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from _native import client_time, timestamp
from _native.timestamp import MAX_US, MIN_US, parse_us, rfc3339

NOON_US = int(datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("text", "after_noon_us"),
    [
        (b"2026-11-23T12:00:00Z", 0),
        (b"2026-11-23t12:00:00z", 0),
        (b"2026-11-23 12:00:00", 0),
        (b"2026-11-23T12:00Z", 0),
        (b"2026-11-23T12:00:00.5Z", 500_000),
        (b"2026-11-23T12:00:00.1234567899Z", 123_456),
        (b"2026-11-23T14:00:00+02:00", 0),
        (b"2026-11-23T06:30:00.001-0530", 1000),
        (b"2026-11-23T13:00:00+01", 0),
        (b"2026-11-23", -12 * 3600 * 1_000_000),
        (b"2026-11-23T11:59:60Z", 0),
        (b" 2026-11-23T12:00:00Z ", 0),
    ],
)
def test_text_as_sdks_write_it(text: bytes, after_noon_us: int) -> None:
    assert parse_us(text) == NOON_US + after_noon_us


@pytest.mark.parametrize(
    ("text", "us"),
    [
        (b"0", 0),
        (b"99999999999", None),  # seconds, but in the year 5138
        (b"1700000000", 1_700_000_000_000_000),
        (b"1700000000.25", 1_700_000_000_250_000),
        (b"1.7e9", 1_700_000_000_000_000),
        (b"100000000000", 100_000_000_000_000),  # 1e11 is milliseconds
        (b"1700000000123", 1_700_000_000_123_000),
        (b"1700000000123.5", 1_700_000_000_123_500),
        (b"100000000000000", 100_000_000_000_000),  # 1e14 is microseconds
        (b"1700000000123456", 1_700_000_000_123_456),
        (b"100000000000000000", 100_000_000_000_000),  # 1e17 is nanoseconds
        (b"1700000000123456789", 1_700_000_000_123_456),
        (b"-1", -1_000_000),
    ],
)
def test_numbers_are_told_apart_by_size(text: bytes, us: int | None) -> None:
    assert parse_us(text) == us


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"now",
        b"2026-13-01",
        b"2026-02-30T00:00:00Z",
        b"2026-11-23T24:00:00Z",
        b"2026-11-23T12:00:61Z",
        b"2026-11-23T12:00:00+24:00",
        b"2026-11-23T12:00:00+01:60",
        b"2026-11-23T12",
        b"1e999",
        b"NaN",
        b"1" * 65,
    ],
)
def test_what_is_no_time_is_none(text: bytes) -> None:
    assert parse_us(text) is None


def test_the_years_taken_are_1900_to_2199() -> None:
    assert parse_us(b"1900-01-01T00:00:00Z") == MIN_US
    assert parse_us(b"1899-12-31T23:59:59.999999Z") is None
    assert parse_us(b"2199-12-31T23:59:59.999999Z") == MAX_US - 1
    assert parse_us(b"2200-01-01T00:00:00Z") is None


@given(st.integers(MIN_US, MAX_US - 1))
def test_there_and_back(at_us: int) -> None:
    assert parse_us(rfc3339(at_us)) == at_us


@given(st.binary(max_size=80))
def test_any_bytes_give_a_time_or_none(text: bytes) -> None:
    at_us = parse_us(text)
    assert at_us is None or MIN_US <= at_us < MAX_US


LOOSE = st.from_regex(rb"[ \t]?-?\d{1,22}([-:.,TtZz+ eE]\d{0,7}){0,8}[Zz ]?", fullmatch=True)


@given(st.one_of(st.binary(max_size=70), LOOSE, st.datetimes().map(lambda at: at.isoformat().encode())))
def test_the_twin_reads_the_same(text: bytes) -> None:
    assert client_time.parse_us(text) == timestamp.parse_us(text)
