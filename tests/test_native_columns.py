"""What the decoder makes of record batches: whole and cut, ours and foreign, sound and damaged."""

from __future__ import annotations

import base64
import contextlib
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from columns_stand import (
    GRACE_US,
    HOUR,
    MIB,
    NOW_US,
    TWINS,
    Headers,
    Landing,
    batch_of,
    events,
    headers_of,
    marker,
    sign,
    texts,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from _native import wants_extensions
from _native.columns import LANDED, QUARANTINE, TWIN
from _native.inflate import InflateError, inflate
from _native.record import QUARANTINE_REASONS, Flags


@pytest.fixture(params=list(TWINS), scope="module", autouse=True)
def twin(request: pytest.FixtureRequest) -> Iterator[str]:
    before, Landing.twin = Landing.twin, request.param
    yield request.param
    Landing.twin = before


def test_the_cython_twin_serves_where_it_is_built() -> None:
    assert ("cython" if wants_extensions() else "python") == TWIN


def one_row(value: bytes | None, headers: Headers, key: bytes | None = b"user") -> dict[str, Any]:
    landing = Landing()
    fed = landing.feed(batch_of([(key, value, headers)]))
    assert (fed.rows, fed.quarantined) == (1, 0)
    return landing.rows()[0]


def one_quarantined(value: bytes | None, headers: Headers, key: bytes | None = b"user") -> dict[str, Any]:
    landing = Landing()
    fed = landing.feed(batch_of([(key, value, headers)]))
    assert (fed.rows, fed.quarantined, fed.next_offset) == (0, 1, 1)
    row = landing.rows(quarantine=True)[0]
    assert row["reason"] in QUARANTINE_REASONS
    return row


@pytest.mark.parametrize("codec", [0, 1, 2, 3, 4])
def test_every_codec_gives_the_same_rows(codec: int) -> None:
    landing = Landing()
    fed = landing.feed(batch_of(events(50), base=10, codec=codec), next_offset=10)
    assert (fed.next_offset, fed.rows, fed.quarantined, fed.holes, fed.skipped) == (60, 50, 0, [], [])
    assert (fed.last_batch, fed.hours) == ((10, 7), {HOUR: 50})
    assert fed.appended_us_max == NOW_US // 1000 * 1000
    assert [row["payload"] for row in landing.rows()] == texts(50)
    table = landing.tables[HOUR, False]
    assert table.spans == {3: (10, 60, 50)}
    assert (table.received_us_min, table.received_us_max) == (NOW_US, NOW_US)
    assert table.nbytes > 50 * 100


def test_all_columns_of_a_collectors_record() -> None:
    more = {"hr_name": b"Order", "hr_anon": b"anon", "hr_ip": b"192.0.2.1", "hr_ua": b"UA", "hr_ctx": b"{}"}
    headers = headers_of(9, flags=Flags.ID_MADE, hr_user=b"me", hr_sent=struct.pack(">q", NOW_US), **more)
    row = one_row(b'{"a":1}', [*headers, ("ce_dataschema", b"s"), ("bin", b"\xff")], key=b"id-9")
    assert list(row) == [column.name for column in LANDED]
    assert row == {
        "event_id": "id-9",
        "event_type": "track",
        "event_name": "Order",
        "source": "web",
        "dialect": "segment",
        "user_id": "me",
        "anonymous_id": "anon",
        "event_time": datetime(2025, 11, 24, 7, 40, 0, 123456, UTC),
        "received_at": datetime(2025, 11, 24, 7, 40, 0, 123456, UTC),
        "appended_at": datetime(2025, 11, 24, 7, 40, 0, 123000, UTC),
        "client_ip": "192.0.2.1",
        "user_agent": "UA",
        "payload": '{"a":1}',
        "payload_bytes": None,
        "content_type": None,
        "attributes": [
            ("hr_ctx", "{}"),
            ("ce_dataschema", "s"),
            ("bin.base64", "/w=="),
            ("hr_sent", "2025-11-24T07:40:00.123456Z"),
        ],
        "ack": "kafka",
        "flags": int(Flags.ID_MADE),
        "collector": b"bootid08".hex(),
        "sequence": 9,
        "kafka_incarnation": 2,
        "kafka_partition": 3,
        "kafka_offset": 0,
    }


@pytest.mark.parametrize(
    ("flag", "user", "anonymous"),
    [(Flags.KEY_IS_USER, "key", "a"), (Flags.KEY_IS_ANON, "u", "key"), (Flags(0), "u", "a")],
)
def test_the_id_that_is_the_key_comes_back(flag: Flags, user: str, anonymous: str) -> None:
    row = one_row(b"{}", headers_of(flags=flag, hr_user=b"u", hr_anon=b"a"), key=b"key")
    assert (row["user_id"], row["anonymous_id"]) == (user, anonymous)


def test_a_missing_type_is_null_and_attributes_that_differ_from_the_default_stay() -> None:
    headers = headers_of(
        flags=Flags.TYPE_MISSING, ce_type=b"event", ce_source=b"/shop", ce_specversion=b"1.1"
    )
    row = one_row(b"{}", headers)
    assert row["event_type"] is None
    assert row["attributes"] == [("ce_specversion", "1.1"), ("ce_source", "/shop")]


@pytest.mark.parametrize(
    ("value", "content_type", "columns"),
    [
        (b"{}", b"application/json", ("{}", None, None)),
        (b"{}", b"application/cloudevents+json; charset=utf-8", ("{}", None, None)),
        (b"", None, (None, None, None)),
        (b"", b"text/plain", (None, b"", "text/plain")),
        (b"\xff", b"image/png", (None, b"\xff", "image/png")),
        (b"x", None, (None, b"x", None)),
        (b"{}", b"application/jsonp", (None, b"{}", "application/jsonp")),
    ],
)
def test_the_content_type_decides_where_the_value_stands(
    value: bytes, content_type: bytes | None, columns: tuple[object, ...]
) -> None:
    row = one_row(value, headers_of(content_type=content_type))
    assert (row["payload"], row["payload_bytes"], row["content_type"]) == columns


@pytest.mark.parametrize("text", [b"2025-02-30T00:00:00.000000Z", b"2025-02-03", b"2025-02-03T00:00:00+01"])
def test_a_time_that_cannot_be_read_is_null_flagged_and_kept(text: bytes) -> None:
    row = one_row(b"{}", headers_of(ce_time=text))
    assert (row["event_time"], row["flags"]) == (None, int(Flags.TIME_UNREADABLE))
    assert row["attributes"] == [("ce_time", text.decode())]


def test_sent_times_of_any_size_of_number_are_kept() -> None:
    row = one_row(b"{}", headers_of(hr_sent=struct.pack(">q", -5)))
    assert row["attributes"] == [("hr_sent", "-5")]


@pytest.mark.parametrize(
    ("late_us", "by_append"),
    [(0, False), (1_000_000, False), (1_000_001, True), (-GRACE_US, False), (-GRACE_US - 1, True)],
)
def test_a_receive_time_is_believed_up_to_the_append_time_and_back_to_the_grace(
    late_us: int, by_append: bool
) -> None:
    append_us = HOUR * 3_600_000_000 + (10_000_000 if late_us < 0 else 3_599_999_000)
    landing = Landing()
    landing.feed(batch_of([(b"k", b"{}", headers_of(received_us=append_us + late_us))], append_us=append_us))
    (row,) = landing.rows()
    assert row["flags"] == (int(Flags.PLACED_BY_APPEND) if by_append else 0)
    hour = append_us // 3_600_000_000 if by_append else (append_us + late_us) // 3_600_000_000
    assert list(landing.tables) == [(hour, False)]


def test_an_event_that_was_in_the_spool_stays_in_the_hour_of_its_receive_time() -> None:
    received_us = HOUR * 3_600_000_000
    landing = Landing()
    headers = headers_of(received_us=received_us, hr_ack=b"disk")
    landing.feed(batch_of([(b"k", b"{}", headers)], append_us=received_us + GRACE_US + 7_200_000_000))
    (row,) = landing.rows()
    assert row["flags"] == 0
    assert list(landing.tables) == [(HOUR, False)]


def test_append_time_is_the_batchs_where_the_topic_says_so() -> None:
    data = bytearray(batch_of(events(2), attributes=0x08))
    struct.pack_into(">q", data, 35, NOW_US // 1000 + 5)
    landing = Landing()
    landing.feed(sign(data))
    assert {row["appended_at"].microsecond for row in landing.rows()} == {128000}


def test_a_foreign_record_is_quarantined_with_all_that_it_had() -> None:
    row = one_quarantined(b"\xff", [("a", b"x"), ("b", b"\xff"), ("c", None)], key=b"k")
    assert row["reason"] == "foreign_record"
    assert (row["payload_bytes"], row["event_id"], row["source"]) == (b"\xff", None, None)
    assert row["received_at"] == row["appended_at"]
    expected = {"a": "x", "b.base64": "/w==", "c": "", "kafka_key": base64.b64encode(b"k").decode()}
    assert dict(row["attributes"]) == expected
    assert list(row) == [column.name for column in QUARANTINE]


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        (b"{}", headers_of(hr_seq=None), "foreign_record"),
        (b"{}", headers_of(hr_time=None), "foreign_record"),
        (None, headers_of(), "corrupt_record"),
        (b"{}", headers_of(hr_seq=b"x" * 15), "corrupt_record"),
        (b"{}", headers_of(hr_seq=b"x" * 8 + b"\x80" + bytes(7)), "corrupt_record"),
        (b"{}", headers_of(hr_time=b"x" * 9), "corrupt_record"),
        (b"{}", headers_of(received_us=-1), "corrupt_record"),
        (b"{}", headers_of(hr_flags=b"xxx"), "corrupt_record"),
        (b"{}", headers_of(hr_sent=b""), "corrupt_record"),
        (b"{}", headers_of(ce_id=b"\xff"), "corrupt_record"),
        (b'"\xff"', headers_of(), "payload_not_utf8"),
    ],
)
def test_a_record_that_is_not_whole_is_quarantined_with_its_value(
    value: bytes | None, headers: Headers, reason: str
) -> None:
    row = one_quarantined(value, headers)
    assert (row["reason"], row["payload_bytes"], row["payload"]) == (reason, value, None)
    if reason == "payload_not_utf8":
        assert (row["event_id"], row["content_type"]) == ("id-0", "application/json")


def test_records_of_the_quarantine_topic_bring_reason_and_position() -> None:
    landing = Landing(quarantine_topic=True)
    headers = headers_of(hr_reason=b"not_an_object", hr_position=struct.pack(">i", -1))
    fed = landing.feed(batch_of([(b"k", b"\xff", headers)]))
    (row,) = landing.rows()
    assert (fed.rows, row["reason"], row["position"]) == (1, "not_an_object", -1)
    assert (row["payload_bytes"], row["content_type"]) == (b"\xff", "application/json")


def test_a_fetch_may_begin_inside_a_batch() -> None:
    landing = Landing()
    fed = landing.feed(batch_of(events(5), base=10), next_offset=13)
    assert (fed.next_offset, fed.rows, fed.holes) == (15, 2, [])
    assert [row["kafka_offset"] for row in landing.rows()] == [13, 14]
    assert landing.feed(batch_of(events(5), base=10), next_offset=15).rows == 0


def test_offsets_that_kafka_does_not_have_are_holes() -> None:
    data = batch_of(events(2), base=5) + batch_of(events(2), base=9, last_delta=4)
    data += batch_of(events(1), base=14)
    fed = Landing().feed(data, next_offset=3)
    assert (fed.holes, fed.rows, fed.next_offset) == ([(3, 5), (7, 9), (11, 14)], 5, 15)


def test_an_aborted_transaction_is_skipped_until_its_marker() -> None:
    data = (
        batch_of(events(2), base=0, transaction=8)
        + batch_of(events(1), base=2, transaction=9)
        + marker(3, 8, commit=False)
        + batch_of(events(1), base=4, transaction=8)
        + marker(5, 8, commit=True)
        + marker(6, 9, commit=True)
    )
    landing = Landing()
    fed = landing.feed(data, aborted=[(8, 0)])
    assert fed.skipped == [(0, 2, "aborted"), (3, 4, "control"), (5, 6, "control"), (6, 7, "control")]
    assert ([row["kafka_offset"] for row in landing.rows()], fed.next_offset) == ([2, 4], 7)


def test_a_producer_is_skipped_only_from_the_aborted_offset_on() -> None:
    data = batch_of(events(2), base=0, transaction=8) + batch_of(events(2), base=2, transaction=8)
    assert Landing().feed(data, aborted=[(8, 2)]).skipped == [(2, 4, "aborted")]
    assert Landing().feed(data, aborted=[(8, 1)]).skipped == [(0, 2, "aborted"), (2, 4, "aborted")]


def test_a_cut_at_any_byte_leaves_the_rows_before_it_intact() -> None:
    batches = [batch_of(events(2, n * 2), base=n * 2, codec=n) for n in range(3)]
    data = b"".join(batches)
    ends = [sum(map(len, batches[: n + 1])) for n in range(3)]
    for cut in range(len(data)):
        landing = Landing()
        fed = landing.feed(data[:cut])
        whole = sum(end <= cut for end in ends)
        assert (fed.rows, fed.quarantined, fed.next_offset) == (whole * 2, 0, whole * 2), cut
        assert [row["payload"] for row in landing.rows()] == texts(whole * 2)


def test_records_cut_at_any_byte_inside_a_signed_batch_are_quarantined() -> None:
    data = batch_of(events(3))
    for cut in range(61, len(data)):
        short = bytearray(data[:cut])
        struct.pack_into(">i", short, 8, cut - 12)
        landing = Landing()
        fed = landing.feed(sign(short))
        assert (fed.rows + fed.quarantined, fed.next_offset, fed.holes) == (3, 3, [])
        assert fed.quarantined > 0
        assert [row["payload"] for row in landing.rows()] == texts(fed.rows)
        assert {row["reason"] for row in landing.rows(quarantine=True)} == {"corrupt_batch"}


def test_any_flipped_byte_behind_the_checksum_is_found() -> None:
    data = batch_of(events(2))
    for at in range(17, len(data)):
        bad = bytearray(data)
        bad[at] ^= 0x40
        landing = Landing()
        fed = landing.feed(bytes(bad) + batch_of(events(1), base=2))
        assert fed.rows == 1, at
        assert fed.quarantined + sum(end - first for first, end in fed.holes) == 2, at
        assert landing.rows(quarantine=True)[0]["payload_bytes"] == bytes(bad)


def test_an_unknown_codec_is_a_quarantine_row_for_every_offset() -> None:
    landing = Landing()
    data = batch_of(events(3), base=4, attributes=5)
    fed = landing.feed(data + batch_of(events(1), base=7), next_offset=4)
    assert (fed.rows, fed.quarantined, fed.next_offset) == (1, 3, 8)
    rows = landing.rows(quarantine=True)
    assert [(row["kafka_offset"], row["payload_bytes"]) for row in rows] == [(4, data), (5, None), (6, None)]


def test_a_record_with_a_lying_length_inside_is_quarantined_alone() -> None:
    data = bytearray(batch_of([(b"k", b"{}", headers_of(0)), (b"k", b"{}", headers_of(1))]))
    at = data.index(b"hr_seq") - 1
    data[at] = 0x7F  # a header name of -64 bytes
    landing = Landing()
    fed = landing.feed(sign(data))
    assert (fed.rows, fed.quarantined) == (1, 1)
    (row,) = landing.rows(quarantine=True)
    assert row["reason"] == "corrupt_record"
    assert b"bootid08" in row["payload_bytes"]


@pytest.mark.parametrize("codec", [1, 2, 3, 4])
def test_inflating_stops_at_the_bound(codec: int) -> None:
    data = batch_of([(None, b"a" * 50_000, headers_of())], codec=codec)
    plain = inflate(codec, memoryview(data)[61:], MIB)
    assert inflate(codec, memoryview(data)[61:], len(plain)) == plain
    with pytest.raises(InflateError):
        inflate(codec, memoryview(data)[61:], len(plain) - 1)
    landing = Landing(record_bytes_max=len(plain) - 1)
    assert (landing.feed(data).quarantined, landing.feed(data, next_offset=1).rows) == (1, 0)


def test_a_feed_ends_with_the_batch_that_reaches_the_bound() -> None:
    one = batch_of(events(1))
    data = one + batch_of(events(1), base=1) + batch_of(events(1), base=2)
    walked = len(one) + len(one) - 61
    assert Landing(record_bytes_max=walked).feed(data).next_offset == 1
    assert Landing(record_bytes_max=walked + 1).feed(data).next_offset == 2


def test_a_damaged_header_is_not_believed_about_a_million_offsets() -> None:
    landing = Landing()
    fed = landing.feed(batch_of(events(1), attributes=5, last_delta=1 << 30))
    assert (fed.quarantined, fed.next_offset) == (1, 1)


@given(st.binary(max_size=400), st.integers(0, 1 << 40))
def test_arbitrary_bytes_raise_nothing(data: bytes, next_offset: int) -> None:
    assert Landing().feed(data, next_offset).next_offset >= next_offset


@settings(deadline=None)
@given(
    st.integers(0, 4),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6),
    st.booleans(),
)
def test_mutated_batches_raise_nothing_and_account_for_every_offset(
    codec: int, edits: list[tuple[int, int]], signed: bool
) -> None:
    data = bytearray(batch_of(events(3), codec=codec) + batch_of(events(2), base=3))
    first = len(data) - len(batch_of(events(2), base=3))
    for at, byte in edits:
        data[at % len(data)] = byte
    if signed:
        data[:first] = sign(data[:first])
    landing = Landing(record_bytes_max=65_536)
    fed = landing.feed(bytes(data))
    gone = sum(end - start for start, end, *_ in [*fed.skipped, *fed.holes])
    assert fed.rows + fed.quarantined + gone == fed.next_offset
    assert len(landing.rows()) == fed.rows == sum(fed.hours.values())
    assert len(landing.rows(quarantine=True)) == fed.quarantined


@given(st.binary(max_size=200), st.integers(1, 4))
def test_inflating_arbitrary_bytes_raises_only_its_own_error(data: bytes, codec: int) -> None:
    with contextlib.suppress(InflateError):
        assert len(inflate(codec, memoryview(data), 65_536)) <= 65_536
